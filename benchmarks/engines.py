"""Ways to compute the network that were weighed: ``python -m benchmarks.engines``.

Writes ``benchmarks/results/engines.json``: processor time of one thread for the 13 recordings of
drums alone in ``$SOFTLOC_DATA/drums-dev`` (least of several runs, in turn), the time until the
first answer in a process that has all libraries imported, and F1 where the numbers differ. All get
the same features. Of a model with several members the first is timed; first answer and F1 are of
all. *int8* is ONNX Runtime's static quantisation of the convolutions, calibrated on the four mixes;
*NumPy* computes the LSTM step by step with its matrix products. Transforms are those of all frames
of the recordings, in tiles (*softloc*: SciPy's code without importing SciPy);
imports are of whole processes, less Python's own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import files as files_of
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import scipy.fft
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from benchmarks.drums.render import data_folder
from benchmarks.speed import ROOT, chunks_of, machine, measure_processes, score, time_all
from softloc.audio import read_audio
from softloc.checkpoints import load_checkpoint
from softloc.engines import OnnxEngine
from softloc.engines.onnx_graphs import Weights, convolution_graph
from softloc.features import NumpyLogMel, compress_magnitudes
from softloc.features.transforms import real_transform
from softloc.model_files import ModelFile, read_model
from softloc.pipeline import Transcriber

RESULTS = Path(__file__).resolve().parent / "results" / "engines.json"
MODEL = "drums"
ROUNDS = 3
TILE_FRAMES = 64

Floats = NDArray[np.float32]


def main() -> None:
    """Measure and write the record."""
    torch.set_num_threads(1)
    folder = data_folder("drums-dev")
    files = sorted((folder / "drums").glob("*.flac"))
    file = read_model(MODEL)
    features = _features(file, files)
    engine = OnnxEngine(file, n_threads=1)
    with tempfile.TemporaryDirectory(prefix="softloc-engines-") as scratch:
        begin = time.process_time()
        OnnxEngine(file, n_threads=1)
        opened_s = time.process_time() - begin
        int8 = _quantised(file, sorted((folder / "mix").glob("*.flac")), Path(scratch))
    member = engine.members[0]
    encoded = [member.convolve(part) for part in features]
    compiled, compile_s = _compiled(features[0])
    network = load_checkpoint(MODEL).network
    tensors = [torch.from_numpy(part).unsqueeze(0) for part in features]
    recur = numpy_lstm(file)
    ways: dict[str, Callable[[], object]] = {
        "convolutions, onnx": lambda: [member.convolve(part) for part in features],
        "convolutions, onnx int8": lambda: [int8.members[0].convolve(part) for part in features],
        "convolutions, torch": torch.inference_mode()(
            lambda: [network.encode(part) for part in tensors]
        ),
        "convolutions, torch.compile": lambda: [compiled(part) for part in tensors],
        "LSTM and dense, onnx": lambda: [member.read(part, None) for part in encoded],
        "LSTM alone, NumPy": lambda: [recur(part[:, 0]) for part in encoded],
    }
    times = time_all(ways, ROUNDS)
    n_frames = sum(len(part) for part in features)
    transforms = time_all(_transforms(file.settings.features.fft_samples), 20 * ROUNDS)
    record = {
        "command": "python -m benchmarks.engines",
        "date": datetime.now(UTC).date().isoformat(),
        "method": __doc__,
        "machine": machine(),
        "cpu_s": times,
        "transforms_cpu_s": {
            name: round(seconds * n_frames / TILE_FRAMES, 3) for name, seconds in transforms.items()
        },
        "imports_cpu_s": import_costs(),
        "installed_mb": {name: installed_mb(name) for name in ("onnxruntime", "torch")},
        "until_first_answer_s": {"onnx": round(opened_s, 3), "torch.compile": round(compile_s, 2)},
        "f1": {
            "onnx": score(Transcriber(file.settings, engine), files),
            "onnx int8": score(Transcriber(file.settings, int8), files),
        },
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


def _transforms(size: int) -> dict[str, Callable[[], object]]:
    """Real transforms of a tile of frames by several libraries."""
    frames = np.random.default_rng(0).normal(size=(TILE_FRAMES, size)).astype(np.float32)
    tensor = torch.from_numpy(frames)
    transform, out = real_transform(), np.empty((TILE_FRAMES, size // 2 + 1), np.complex64)
    return {
        "softloc": lambda: transform(frames, out),
        "numpy": lambda: np.fft.rfft(frames),
        "scipy": lambda: scipy.fft.rfft(frames),
        "torch": lambda: torch.fft.rfft(tensor),
    }


def import_costs() -> dict[str, float]:
    """Processor time that imports take, in processes of their own."""
    names = ("numpy", "scipy.fft", "onnx", "onnxruntime", "torch")
    commands = {name: [sys.executable, "-c", f"import {name}"] for name in names}
    commands["python"] = [sys.executable, "-c", "pass"]
    cases = {name: (command, ROOT) for name, command in commands.items()}
    costs = measure_processes(cases, ROUNDS)
    own_s = costs.pop("python").cpu_s
    return {name: round(cost.cpu_s - own_s, 3) for name, cost in costs.items()}


def installed_mb(package: str) -> int:
    """Size of a package as it is installed."""
    paths = [Path(str(file.locate())) for file in files_of(package) or ()]
    return round(sum(path.stat().st_size for path in paths if path.is_file()) / 1e6)


def numpy_lstm(file: ModelFile) -> Callable[[Floats], Floats]:
    """LSTM of a model as plain NumPy: (n_frames, width) to (n_frames, units)."""
    weights = file.part("network")
    units = file.settings.network.lstm_units
    inputs, state = weights["lstm.weight_ih_l0"].T, weights["lstm.weight_hh_l0"].T.copy()
    bias = weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]

    def compute(encoded: Floats) -> Floats:
        gates = encoded @ inputs + bias
        hidden, cell = np.zeros(units, np.float32), np.zeros(units, np.float32)
        out = np.empty((len(encoded), units), np.float32)
        for frame, heard in enumerate(gates):
            row = heard + hidden @ state
            candidate = np.tanh(row[2 * units : 3 * units])
            gate = 1.0 / (1.0 + np.exp(-row))
            cell = gate[units : 2 * units] * cell + gate[:units] * candidate
            hidden = gate[3 * units :] * np.tanh(cell)
            out[frame] = hidden
        return out

    return compute


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, features: Sequence[Floats]) -> None:
        self._parts: Iterator[Mapping[str, Floats]] = ({"features": part} for part in features)

    def get_next(self) -> Mapping[str, Floats] | None:
        """Return what the network is shown next."""
        return next(self._parts, None)


def _quantised(file: ModelFile, calibration: Sequence[Path], scratch: Path) -> OnnxEngine:
    """Make an engine whose convolutions compute with integers."""
    source, target = scratch / "float.onnx", scratch / "int8.onnx"
    engine = OnnxEngine(file, n_threads=1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    features = _features(file, calibration)
    for member, part in zip(engine.members, file.members, strict=True):
        source.write_bytes(convolution_graph(file.settings.network, Weights(part)))
        quantize_static(
            source,
            target,
            _Calibration(features),
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            per_channel=True,
            op_types_to_quantize=["Conv"],
        )
        member.convolutions = onnxruntime.InferenceSession(
            target.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    return engine


def _compiled(features: Floats) -> tuple[Any, float]:
    """Compile the convolutions; say how long it took until they answered."""
    compiled = torch.compile(load_checkpoint(MODEL).network.encode, dynamic=True)

    def answer(part: torch.Tensor) -> Any:
        with torch.no_grad():
            return compiled(part)

    begin = time.process_time()
    answer(torch.from_numpy(features).unsqueeze(0))
    return answer, time.process_time() - begin


def _features(file: ModelFile, recordings: Sequence[Path]) -> list[Floats]:
    log_mel = NumpyLogMel(file.settings.features, file.tensors["log_mel.filterbank"])
    rate = file.settings.features.sample_rate_hz
    samples = [read_audio(path, rate).samples for path in recordings]
    chunks = chunks_of(OnnxEngine(file, n_threads=1), samples)
    return [compress_magnitudes(log_mel.band_magnitudes(chunk)) for chunk in chunks]


if __name__ == "__main__":
    main()
