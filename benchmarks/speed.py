"""How fast recordings are transcribed, stage by stage, and how near each stage is to its floor.

``python -m benchmarks.speed`` writes ``benchmarks/results/speed.json``.

Whole processes are started one after another, in rounds, so that what else the machine does hits
all of them alike. A process counts with the processor time that it and its children took (user and
system), the least of all rounds; time on the clock is kept beside it, and ratios are to a bare
``import torch`` of the same run. Stages are timed in one process with one thread, once a model is
loaded, the least of several runs. Their floors: operations over what one core does in a product of
large matrices (ONNX Runtime), bytes over what it copies, decoding by libsndfile alone, imports of
the libraries alone. The recordings are the 13 of drums alone in ``$SOFTLOC_DATA/drums-dev``; the
song is as much of them, one after another, as makes four minutes.

``--before DIR`` also measures another checkout, ``--peer NAME=COMMAND`` another program: a command
for the shell in which ``{files}`` stands for the recordings.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from benchmarks.drums.render import data_folder
from benchmarks.drums.scoring import summarise
from softloc.audio import read_audio, read_blocks
from softloc.checkpoints import load_checkpoint
from softloc.decoding import decode_onsets
from softloc.engines import ONNX, TORCH, Engine, OnnxEngine, TorchEngine
from softloc.engines.onnx_file import GraphWriter
from softloc.features import (
    FeatureSettings,
    NumpyLogMel,
    band_levels,
    compress_magnitudes,
    magnitude_levels,
)
from softloc.formats import read_corpus, write_onsets
from softloc.inference import CHUNK_FRAMES, compute_frames, sample_chunks
from softloc.model_files import read_model
from softloc.network import multiplications_per_frame
from softloc.pipeline import Transcriber, load

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
COMMAND = "python -m benchmarks.speed"
MODELS = ("drums", "drums-small")
SONG_S = 240.0
RATE_HZ = 44_100

IMPORT_TORCH = "import torch"
LIBROSA = (
    "import sys, librosa\n"
    "for path in sys.argv[1:]:\n"
    "    samples, rate = librosa.load(path, sr=None)\n"
    "    librosa.onset.onset_detect(y=samples, sr=rate, units='time')\n"
)
#: What a start cannot do without: the interpreter, arrays, decoder, resampler, network.
LIBRARIES = "import numpy, onnxruntime, soundfile, soxr"
#: The same with what parses a command line, and a command that does nothing.
COMMAND_LINE = (
    f"{LIBRARIES}, typer\ndef nothing(files: list[str]) -> None: pass\ntyper.run(nothing)\n"
)

# A child begins with the memory of its parent, so what is measured is started by a small process.
_RUNNER = (
    "import json, os, subprocess, sys, time\n"
    "begin = time.perf_counter()\n"
    "process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
    "_, status, usage = os.wait4(process.pid, 0)\n"
    "print(json.dumps({\n"
    "    'cpu_s': usage.ru_utime + usage.ru_stime, 'wall_s': time.perf_counter() - begin,\n"
    "    'memory_mb': usage.ru_maxrss // 1024}))\n"
    "sys.exit(os.waitstatus_to_exitcode(status) != 0)\n"
)

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Cost:
    """What a process took: the least of all rounds."""

    cpu_s: float
    wall_s: float
    memory_mb: int


def main() -> None:
    """Measure and write the record."""
    options = _parse()
    torch.set_num_threads(1)
    folder = data_folder("drums-dev")
    files = sorted((folder / "drums").glob("*.flac"))
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="softloc-speed-") as scratch:
        song = write_song(Path(scratch) / "song.flac", files)
        cases = whole_processes(files, song, Path(scratch), options)
        processes = measure_processes(cases, options.rounds)
        loaded = {
            model: measure_loaded(model, files, Path(scratch), options.rounds) for model in MODELS
        }
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "method": __doc__,
        "audio_s": round(sum(soundfile.info(path).duration for path in files), 1),
        "song_s": SONG_S,
        "rounds": options.rounds,
        "load_average": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "machine": machine(),
        "processes": {name: asdict(cost) for name, cost in processes.items()},
        "loaded": loaded,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS.name}")


# ---- whole processes


def whole_processes(
    files: Sequence[Path], song: Path, scratch: Path, options: argparse.Namespace
) -> dict[str, tuple[list[str], Path]]:
    """Name commands and the checkouts whose code they run."""
    names = [str(path) for path in files]
    python, out = sys.executable, str(scratch / "out") + "/"

    def transcribe(*more: str) -> list[str]:
        command = [python, "-m", "softloc_cli", "transcribe", "-q", "--overwrite", "-o", out]
        return [*command, *more]

    cases = {
        "python": [python, "-c", "pass"],
        IMPORT_TORCH: [python, "-c", IMPORT_TORCH],
        "import of the libraries": [python, "-c", LIBRARIES],
        "import of the libraries, and Typer": [python, "-c", COMMAND_LINE, "a.wav"],
        "softloc --help": [python, "-m", "softloc_cli", "--help"],
        "librosa onsets": [python, "-c", LIBROSA, *names],
    }
    for engine in (TORCH, ONNX):
        for model in MODELS:
            cases[f"{model}, {engine}"] = transcribe("--engine", engine, "-m", model, *names)
        song_out = str(scratch / "song.mid")
        cases[f"song, drums, {engine}"] = [
            *(python, "-m", "softloc_cli", "transcribe", "-q", "--engine", engine),
            *("-o", song_out, str(song)),
        ]
    cases["drums, onnx, -j 2"] = transcribe("--engine", ONNX, "-j", "2", *names)
    found = {name: (command, ROOT) for name, command in cases.items()}
    if options.before is not None:
        found["before: drums"] = (transcribe(*names), options.before)
        found["before: softloc --help"] = ([python, "-m", "softloc_cli", "--help"], options.before)
    for peer in options.peer:
        name, command = peer.split("=", maxsplit=1)
        text = command.replace("{files}", shlex.join(names))
        found[name] = (["/bin/sh", "-c", text], ROOT)
    return found


def measure_processes(
    cases: Mapping[str, tuple[Sequence[str], Path]], rounds: int
) -> dict[str, Cost]:
    """Run all commands in turn, several times."""
    costs: dict[str, list[Cost]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (command, checkout) in cases.items():
            costs[name].append(run_process(command, checkout))
            print(name, costs[name][-1], flush=True)
    return {name: _least(found) for name, found in costs.items()}


def run_process(command: Sequence[str], checkout: Path) -> Cost:
    """Run a command to its end and ask the system what it took."""
    environment = {**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'models'}"}
    # An installation has its modules compiled; here the first round compiles them.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    result = subprocess.run(  # noqa: S603 - our own commands, or the user's
        [sys.executable, "-S", "-c", _RUNNER, *command],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"{shlex.join(command[:6])}: {result.stderr}")
    found = json.loads(result.stdout)
    return Cost(round(found["cpu_s"], 3), round(found["wall_s"], 3), found["memory_mb"])


def _least(costs: Sequence[Cost]) -> Cost:
    return Cost(
        min(cost.cpu_s for cost in costs),
        min(cost.wall_s for cost in costs),
        max(cost.memory_mb for cost in costs),
    )


def write_song(path: Path, files: Sequence[Path]) -> Path:
    """Write four minutes of the recordings."""
    samples = np.concatenate([soundfile.read(file, dtype="float32")[0] for file in files])
    soundfile.write(path, samples[: round(SONG_S * RATE_HZ)], RATE_HZ, subtype="PCM_16")
    return path


# ---- once a model is loaded


def measure_loaded(model: str, files: Sequence[Path], scratch: Path, rounds: int) -> dict[str, Any]:
    """Time every stage with either engine, the whole chain, and the floors."""
    settings = read_model(model).settings
    recordings = [read_audio(path, settings.features.sample_rate_hz).samples for path in files]
    audio_s = sum(map(len, recordings)) / settings.features.sample_rate_hz
    engines = {name: load(model, "cpu", name, n_threads=1) for name in (TORCH, ONNX)}
    chains: dict[str, Callable[[], object]] = {}
    for name, transcriber in engines.items():
        chains[f"{name}, from files"] = _each(transcriber.transcribe, files)
        chains[f"{name}, from memory"] = _from_memory(transcriber, recordings)
    stages: dict[str, Callable[[], object]] = {}
    stages |= _torch_stages(model, recordings)
    stages |= _onnx_stages(model, recordings)
    stages |= _common_stages(engines[ONNX], files, recordings, scratch)
    times = time_all({**chains, **stages}, rounds)
    n_frames = sum(settings.features.grid.n_frames(len(samples)) for samples in recordings)
    return {
        "frames": n_frames,
        "stages_cpu_s": {name: times[name] for name in stages},
        "chain_cpu_s": {name: times[name] for name in chains},
        "times_real_time": {name: round(audio_s / times[name]) for name in chains},
        "floors": _floors(model, n_frames, files, rounds),
        "f1": {name: score(transcriber, files) for name, transcriber in engines.items()},
    }


def _torch_stages(model: str, recordings: Sequence[Samples]) -> dict[str, Callable[[], object]]:
    checkpoint = load_checkpoint(model)
    engine = TorchEngine(checkpoint.log_mel, checkpoint.networks)
    chunks = chunks_of(engine, recordings)
    with torch.inference_mode():
        features = [engine.compute_features(torch.from_numpy(chunk)) for chunk in chunks]
        levels = [part[0, :, 0] for part in features]
        n_context = 2 * engine.network.look_back_frames
        features = [
            torch.cat((before[:, -n_context:], part), dim=1)
            for before, part in zip([features[0], *features], features, strict=False)
        ]
        encoded = [engine.convolve(part) for part in features]
    weights = torch.zeros(len(checkpoint.settings.classes), checkpoint.settings.features.n_bands)

    def infer(function: Callable[[], object]) -> Callable[[], object]:
        return torch.inference_mode()(function)

    return {
        "features, torch": infer(
            lambda: [engine.compute_features(torch.from_numpy(chunk)) for chunk in chunks]
        ),
        "convolutions, torch": lambda: [engine.convolve(part) for part in features],
        "LSTM and dense, torch": infer(lambda: [engine.read(part, None) for part in encoded]),
        "loudness, torch": infer(lambda: [weights @ band_levels(part).T for part in levels]),
    }


def _onnx_stages(model: str, recordings: Sequence[Samples]) -> dict[str, Callable[[], object]]:
    file = read_model(model)
    engine = OnnxEngine(file, n_threads=1)
    log_mel = NumpyLogMel(file.settings.features, file.tensors["log_mel.filterbank"])
    chunks = chunks_of(engine, recordings)
    magnitudes = [log_mel.band_magnitudes(chunk) for chunk in chunks]
    features = [compress_magnitudes(part) for part in magnitudes]
    n_context = 2 * engine.network.look_back_frames
    features = [
        np.concatenate((before[-n_context:], part))
        for before, part in zip([features[0], *features], features, strict=False)
    ]
    encoded = [engine.convolve(part) for part in features]
    weights = np.zeros((len(file.settings.classes), file.settings.features.n_bands), np.float32)
    return {
        "features, onnx": lambda: [
            compress_magnitudes(log_mel.band_magnitudes(chunk)) for chunk in chunks
        ],
        "convolutions, onnx": lambda: [engine.convolve(part) for part in features],
        "LSTM and dense, onnx": lambda: [engine.read(part, None) for part in encoded],
        "loudness, onnx": lambda: [weights @ magnitude_levels(part).T for part in magnitudes],
    }


def _common_stages(
    transcriber: Transcriber, files: Sequence[Path], recordings: Sequence[Samples], scratch: Path
) -> dict[str, Callable[[], object]]:
    settings = transcriber.settings
    answers = [
        compute_frames(transcriber.engine, [samples]).probabilities for samples in recordings
    ]
    events = [transcriber.transcribe(samples, RATE_HZ) for samples in recordings]

    def decode() -> None:
        for rows in answers:
            decode_onsets(
                rows,
                settings.classes,
                settings.features.grid,
                softness_ms=settings.softness_ms,
                event_mass=settings.event_mass,
            )

    return {
        "decode": lambda: [list(read_blocks(path)) for path in files],
        "resample from 48 kHz": _each(_resample, recordings),
        "events": decode,
        "write": _each(functools.partial(write_onsets, scratch / "a.mid"), events),
    }


def _resample(samples: Samples) -> None:
    stream = soxr.ResampleStream(48_000, RATE_HZ, 1, dtype="float32", quality="HQ")
    stream.resample_chunk(samples)
    stream.resample_chunk(samples[:0], last=True)


def chunks_of(engine: Engine, recordings: Sequence[Samples]) -> list[Samples]:
    """Cut recordings as they go through an engine."""
    return [
        chunk for samples in recordings for chunk in sample_chunks(engine, [samples], CHUNK_FRAMES)
    ]


def _each(function: Callable[[Any], object], things: Sequence[Any]) -> Callable[[], object]:
    return lambda: [function(thing) for thing in things]


def _from_memory(transcriber: Transcriber, recordings: Sequence[Samples]) -> Callable[[], object]:
    return lambda: [transcriber.transcribe(samples, RATE_HZ) for samples in recordings]


def time_all(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run all functions in turn; processor time of each, the least of all rounds."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):  # the first warms up
        for name, function in functions.items():
            begin = time.process_time()
            function()
            times[name].append(time.process_time() - begin)
    return {name: round(min(found[1:]), 4) for name, found in times.items()}


# ---- floors


def _floors(model: str, n_frames: int, files: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Least time that each stage could take on this core."""
    settings = read_model(model).settings
    flops, copied = core_flops(rounds), copied_bytes_per_s(rounds)
    network = 2 * settings.n_members * multiplications_per_frame(settings.network) * n_frames
    features = feature_operations(settings.features) * n_frames
    samples = 4 * settings.features.hop_samples * n_frames
    decoder = time_all({"decode": _each(_only_decode, files)}, rounds)["decode"]
    return {
        "core_gflops": round(flops / 1e9, 1),
        "copy_gb_per_s": round(copied / 1e9, 1),
        "network_gflop": round(network / 1e9, 2),
        "features_gflop": round(features / 1e9, 2),
        "network_s": round(network / flops, 4),
        "features_s": round(features / flops + samples / copied, 4),
        "decode_s": decoder,
    }


def feature_operations(settings: FeatureSettings) -> int:
    """Operations of one frame: window, real transform, magnitudes, filters where they are not 0."""
    n, bins = settings.fft_samples, settings.fft_samples // 2 + 1
    transform = round(2.5 * n * math.log2(n))
    return n + transform + 4 * bins + 4 * bins + 4 * settings.n_bands


def core_flops(rounds: int, size: int = 1024) -> float:
    """Operations a second of a product of matrices in one thread."""
    graph = GraphWriter("product")
    matrix = np.random.default_rng(0).random((size, size), np.float32)
    left = graph.add_input("left", (size, size))
    graph.add("MatMul", (left, graph.add_constant(matrix)), ("product",))
    graph.add_output("product", (size, size))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.to_bytes(), options, providers=["CPUExecutionProvider"]
    )
    seconds = time_all({"": lambda: session.run(None, {"left": matrix})}, 5 * rounds)[""]
    return 2.0 * size**3 / seconds


def copied_bytes_per_s(rounds: int, size: int = 1 << 26) -> float:
    """Bytes a second that one core copies between arrays larger than its caches."""
    source, target = np.ones(size, np.uint8), np.empty(size, np.uint8)
    seconds = time_all({"": lambda: np.copyto(target, source)}, 3 * rounds)[""]
    return size / seconds


def _only_decode(path: Path) -> None:
    with soundfile.SoundFile(path) as file:
        while len(file.read(10 * RATE_HZ, "float32")):
            pass


# ---- what speed must not cost


def score(transcriber: Transcriber, files: Sequence[Path]) -> dict[str, float]:
    """F1 on the recordings, mean of KD SD HH."""
    labels = data_folder("drums-dev") / "labels.csv"
    references = read_corpus(labels).recordings
    names = {f"drums/{path.name}": path for path in files}
    estimates = {name: transcriber.transcribe(path) for name, path in names.items()}
    scores = summarise({name: references[name] for name in names}, estimates)
    return {window: scores[window]["mean_kd_sd_hh"] for window in ("50ms", "20ms")}


def machine() -> dict[str, Any]:
    """Describe what was measured on."""
    packages = ("numpy", "onnxruntime", "soundfile", "soxr", "torch", "librosa")
    lines = Path("/proc/cpuinfo")
    text = lines.read_text(encoding="utf-8") if lines.exists() else ""
    models = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return {
        "processor": models[0] if models else platform.processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "environment": {k: v for k, v in os.environ.items() if k.startswith("OMP_")},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run")
    parser.add_argument("--before", type=Path, metavar="DIR", help="another checkout, to compare")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=COMMAND", help="another program"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
