"""How fast a training goes, where its time goes, and against the first version.

``python -m benchmarks.training_speed`` writes ``benchmarks/results/training_speed.json``.

*Steps*: `softloc.training.fit` on the example recording, in a process of its own, on one thread;
the time from step to step, median over steps and turns: elapsed, and of the processor. The versions
of softloc take turns, so that they meet the same machine; the load average says how busy it was
with other work, which elapsed times depend on. The first version is that of the commit named, as
`git archive` gives it.

*Parts*: processor time of the parts of a step one after another, medians; the loss is its forward
and backward pass down to the logits. What draws a batch runs beside the rest where a second core
is free.

*Operators*: what PyTorch's profiler counts in a step, the largest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

from softloc.audio_store import AudioStore
from softloc.datasets import Dataset, build_dataset, choose_classes
from softloc.formats import read_corpus

# From where `fit` stands: the first version has no other home for them, and one of this version's
# homes, were it found beside the first version's code, would mix the two.
from softloc.training import (  # type: ignore[attr-defined]
    Observer,
    TrainingSettings,
    Validation,
    fit,
)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "training_speed.json"
FIRST_VERSION = "a22e314"
SIZES = ("large", "small", "paper")
WARM_UP_STEPS = 1
STEPS = {"large": 5, "small": 8, "paper": 3}
TURNS = 1
PART_REPEATS = 3
OPERATORS_SHOWN = 12

Result = TypeVar("Result")


class _EnoughError(Exception):
    """Ends a training whose steps are timed."""


class _Clock(Observer):
    """Notes when steps end, by the wall and by the processor."""

    def __init__(self, n_steps: int) -> None:
        self._times_s: list[tuple[float, float]] = []
        self._n_steps = n_steps

    def on_step(self, loss: float) -> None:  # noqa: ARG002
        self._times_s.append((time.perf_counter(), time.process_time()))
        if len(self._times_s) > self._n_steps:
            raise _EnoughError

    def steps_ms(self) -> dict[str, list[float]]:
        """How long each step took after the first ones."""
        columns = zip(*self._times_s[WARM_UP_STEPS:], strict=True)
        return {
            kind: [1000 * (after - before) for before, after in itertools.pairwise(column)]
            for kind, column in zip(("elapsed", "processor"), columns, strict=True)
        }


def example_dataset() -> Dataset:
    """Labels and audio of the example."""
    corpus = read_corpus(ROOT / "examples")
    return build_dataset(corpus, choose_classes("auto", corpus), None, softness_ms=30.0)


def settings_of(size: str, seed: int = 0) -> TrainingSettings:
    """Take the defaults, of this size; windows are those of the first version's."""
    return TrainingSettings(
        size=size, steps=1_000, batch_size=16, window_s=3.0, validations=1, seed=seed
    )


def time_steps(size: str, precision: str) -> dict[str, list[float]]:
    """Milliseconds from step to step; also runs with the first version's code."""
    dataset = example_dataset()
    clock = _Clock(WARM_UP_STEPS + STEPS[size])
    settings = settings_of(size)
    if precision != "float32":  # the first version has no choice
        settings = replace(settings, precision=precision)
    with tempfile.TemporaryDirectory() as name, suppress(_EnoughError):
        folder = Path(name)
        validation = Validation(dataset, clean=True)
        output = folder / "model.safetensors"
        fit(dataset, validation, settings, output, folder, observer=clock)
    return clock.steps_ms()


def time_steps_apart(models: Path, size: str, precision: str) -> dict[str, list[float]]:
    """Run `time_steps` in a fresh process with the library that lies in this folder."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(models), str(ROOT))),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks.training_speed", "--worker", size, precision],
        env=environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    times_ms: dict[str, list[float]] = json.loads(done.stdout)
    return times_ms


@contextmanager
def first_version() -> Iterator[Path]:
    """Give the folder of the first version's library."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(  # noqa: S603
            ["git", "archive", FIRST_VERSION, "models"],  # noqa: S607
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        subprocess.run(  # noqa: S603
            ["tar", "x", "-C", folder],  # noqa: S607
            input=archive.stdout,
            check=True,
        )
        yield Path(folder) / "models"


def compare_versions(size: str) -> dict[str, Any]:
    """Median step of the first version, of this one, and of this one in bfloat16."""
    with first_version() as old:
        ways = {"first": (old, "float32"), "now": (ROOT / "models", "float32")}
        ways["now, bfloat16"] = (ROOT / "models", "bfloat16")
        runs: dict[str, list[dict[str, list[float]]]] = {name: [] for name in ways}
        for _ in range(TURNS):
            for name, (models, precision) in ways.items():
                runs[name].append(time_steps_apart(models, size, precision))
    result: dict[str, Any] = {"steps_each": TURNS * STEPS[size]}
    for kind in ("elapsed", "processor"):
        medians_ms = {
            name: statistics.median(itertools.chain(*(turn[kind] for turn in turns)))
            for name, turns in runs.items()
        }
        result[kind] = {
            "median_ms": {name: round(value, 1) for name, value in medians_ms.items()},
            "times_the_first": {
                name: round(medians_ms["first"] / value, 2) for name, value in medians_ms.items()
            },
        }
    return result | {"load_average": round(os.getloadavg()[0], 2)}


def part_times(size: str) -> dict[str, Any]:
    """Median time of each part of a step, and the largest operators of whole steps."""
    # What a step is made of has no public names.
    from softloc.training import _Data, _Run  # noqa: PLC0415
    from softloc.training_model import make_model  # noqa: PLC0415
    from softloc.training_settings import Execution  # noqa: PLC0415

    dataset = example_dataset()
    settings = settings_of(size)
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(dataset, settings, None)
        rate_hz = model.settings.features.sample_rate_hz
        audio = [recording.audio for recording in dataset.recordings]
        store = AudioStore(audio, rate_hz, Path(folder) / "samples.pcm")
        data = _Data(dataset, Validation(dataset, clean=True), store, store)
        run = _Run(model, data, settings=settings, execution=Execution())
        run.begin(None, keep_statistics=False)
        run._train_step(run._draw(0))  # pays for memory and filterbanks
        rounds = [_parts_of_a_step(run) for _ in range(PART_REPEATS)]
        operators = _largest_operators(lambda: run._train_step(run._draw(run.state.step)))
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    compute_ms = sum(ms for name, ms in medians.items() if not name.startswith("drawing"))
    return {
        "median_ms": {name: round(value, 2) for name, value in medians.items()},
        "loss_share": round(medians["loss"] / (compute_ms + medians["drawing"]), 4),
        "drawing_over_computing": round(medians["drawing"] / compute_ms, 3),
        "operators": operators,
    }


def _parts_of_a_step(run: Any) -> dict[str, float]:
    times: dict[str, float] = {}
    sampler = run.sampler
    magnitudes_ms: list[float] = []

    def timed_magnitudes(window: Any, compute: Callable[[Any], Any] = sampler._magnitudes) -> Any:
        return _timed(magnitudes_ms, lambda: compute(window))

    sampler._magnitudes = timed_magnitudes
    whole_ms: list[float] = []
    batch = _timed(whole_ms, lambda: run._draw(run.state.step))
    del sampler._magnitudes
    times["drawing"] = whole_ms[0]
    run.state.network.train()
    steps: list[float] = []
    logits, _ = _timed(steps, lambda: run.state.network(batch.features))
    times["network, forward"] = steps.pop()
    scored = logits[:, :, logits.shape[2] - batch.targets.shape[2] :]
    leaf = scored.detach().requires_grad_()

    def loss_gradient() -> Any:
        value = run.loss(leaf, batch.targets, batch.softness_frames, 0.5, batch.mask)
        return torch.autograd.grad(value, leaf)[0]

    gradient = _timed(steps, loss_gradient)
    times["loss"] = steps.pop()
    run.state.optimizer.zero_grad(set_to_none=True)
    _timed(steps, lambda: scored.backward(gradient))
    times["network, backward"] = steps.pop()
    parameters = run.state.network.parameters()
    _timed(steps, lambda: torch.nn.utils.clip_grad_norm_(parameters, 10.0))
    _timed(steps, run.state.optimizer.step)
    _timed(steps, run.state.update_average)
    times["clipping, optimiser, average"] = sum(steps)
    run.state.step += 1
    times["drawing: features"] = sum(magnitudes_ms)
    times["drawing: the rest"] = times["drawing"] - times["drawing: features"]
    return times


def _timed(times_ms: list[float], work: Callable[[], Result]) -> Result:
    began = time.thread_time()
    result = work()
    times_ms.append(1000 * (time.thread_time() - began))
    return result


def _largest_operators(work: Callable[[], object], repeats: int = 1) -> dict[str, float]:
    """Share of the time that each operator has to itself, the largest first."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(repeats):
            work()
    averages: Sequence[Any] = profile.key_averages()
    total = sum(average.self_cpu_time_total for average in averages)
    largest = sorted(averages, key=lambda average: -average.self_cpu_time_total)
    return {
        average.key: round(average.self_cpu_time_total / total, 4)
        for average in largest[:OPERATORS_SHOWN]
    }


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worker", nargs=2, metavar=("SIZE", "PRECISION"))
    worker = parser.parse_args().worker
    torch.set_num_threads(1)
    if worker:
        print(json.dumps(time_steps(*worker)))
        return
    results = {}
    for size in SIZES:
        results[size] = {"steps": compare_versions(size), "parts": part_times(size)}
        print(size, results[size]["steps"], results[size]["parts"]["median_ms"], flush=True)
    settings = settings_of(SIZES[0])
    record = {
        "command": "python -m benchmarks.training_speed",
        "date": datetime.now(UTC).date().isoformat(),
        "first_version": FIRST_VERSION,
        "settings": {
            "batch_size": settings.batch_size,
            "window_s": settings.window_s,
            "seed": settings.seed,
            "threads": 1,
            "turns": TURNS,
        },
        "method": __doc__,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "processor": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "features": torch.backends.cpu.get_cpu_capability(),
        },
        "results": results,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS.name}")


if __name__ == "__main__":
    main()
