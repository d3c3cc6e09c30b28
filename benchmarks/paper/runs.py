"""Runs: what is trained, that nothing is trained twice, and the lines of JSON that come out.

An experiment is a module of this package, named in `EXPERIMENTS`, with

``runs(*, quick) -> Sequence[Run]``
    All its runs, the most needed first; with `quick` a handful of tiny ones, on data that is made
    on the fly.
``train(run, context) -> Outcome``
    Train and score one of them. Everything that decides the result is in ``run.settings`` (values
    that JSON has) and ``run.seed``; files go below ``context.folder`` (kept: corpora, features) and
    to ``context.state`` (of this run alone; deleted when its line is written). If
    ``context.state`` is there, the run was killed: go on from it. ``context.on_step()`` is called
    after every step of the optimiser.
``check(lines) -> None``
    Called after ``--quick`` with the lines of all its runs; raises AssertionError.

What it makes of the lines is in the module ``<experiment>_report`` (see `benchmarks.paper.report`),
so that training needs no matplotlib. Lines stand in ``benchmarks/results/paper-<experiment>.jsonl``
(``--quick``: below the output folder), one per finished run, see `line_of`.

A run that has its line is not run again: `Run.key` tells them apart, so changed settings make
another run, and lines of settings that are no longer listed are in no table (`current_lines`).
A run whose loss is no longer finite gets a line too, with the error as its result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import itertools
import json
import math
import os
import platform
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import torch

from softloc.errors import SoftLocError, TrainingError

RESULTS = Path(__file__).resolve().parents[1] / "results"
EXPERIMENTS = ("drums", "piano", "ecg", "video")

#: A run has converged if its validation loss fell by less than this share of itself ...
SMALL_IMPROVEMENT = 0.01
#: ... over this share of the steps, the last ones.
LAST_SHARE = 0.2

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes
    ----------
    experiment : str
        One of `EXPERIMENTS`.
    name : str
        What it is, for people and for ``--only``; runs that differ in the seed alone share it.
    settings : Mapping
        All that decides its result besides the seed. ``steps`` is the number of steps.
    seed : int
        Of all randomness.
    cost : str
        Runs of the same cost take equally long a step; for estimates, no part of the key.
    """

    experiment: str
    name: str
    settings: Mapping[str, Any]
    seed: int = 0
    cost: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Name it uniquely and for ever: the same run has the same key on every machine."""
        text = json.dumps(dict(self.settings), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{self.name}-{self.seed}-{digest}"


@dataclass(frozen=True)
class Outcome:
    """What a training leaves.

    Attributes
    ----------
    steps : int
        Steps done.
    seconds : float
        Processor time of training, validation and scoring, summed over all resumptions.
    curve : sequence of (step, validation loss)
        Oldest first.
    result : Mapping
        Scores and whatever tables and figures are made from; JSON values.
    """

    steps: int
    seconds: float
    curve: Sequence[tuple[int, float]]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What a run may use.

    Attributes
    ----------
    folder : Path
        Of the experiment; kept from run to run.
    state : Path
        File for the state of this run, so that it can be resumed.
    quick : bool
        Whether this is ``--quick``.
    on_step : callable
        To be called after each step.
    """

    folder: Path
    state: Path
    quick: bool = False
    on_step: Callable[[], None] = lambda: None


class Experiment(Protocol):
    """What a module of an experiment offers; modules are checked against it."""

    def runs(self, *, quick: bool) -> Sequence[Run]:
        """List all runs."""

    def train(self, run: Run, context: Context) -> Outcome:
        """Train and score one."""

    def check(self, lines: Sequence[Line]) -> None:
        """Raise AssertionError if lines of ``--quick`` are not what they must be."""


def results_path(experiment: str, folder: Path = RESULTS) -> Path:
    """Where the lines of an experiment stand."""
    return folder / f"paper-{experiment}.jsonl"


def read_lines(experiment: str, folder: Path = RESULTS) -> list[Line]:
    """Read the lines of an experiment, oldest first; none if nothing was run yet.

    Raises
    ------
    SoftLocError
        If a line is no JSON.
    """
    path = results_path(experiment, folder)
    if not path.exists():
        return []
    return [
        _parse_line(text, path, number)
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    ]


def _parse_line(text: str, path: Path, number: int) -> Line:
    try:
        line: Line = json.loads(text)
    except ValueError as error:
        raise SoftLocError(
            f"{path}, line {number}: not a line of results (edited, or the disk was full?); "
            "remove it, and its run is done again"
        ) from error
    return line


def load_experiment(name: str) -> Experiment:
    """Import the module of an experiment."""
    module: Experiment = importlib.import_module(f"benchmarks.paper.{name}")
    return module


def current_lines(name: str, folder: Path = RESULTS) -> list[Line]:
    """Read the lines of an experiment whose runs are still listed, as full or as quick ones.

    Others were made with earlier settings: they must not be averaged with those of today.
    """
    experiment = load_experiment(name)
    listed = {run.key for quick in (False, True) for run in experiment.runs(quick=quick)}
    return [line for line in read_lines(name, folder) if line["key"] in listed]


def missing(runs: Sequence[Run], lines: Sequence[Line]) -> list[Run]:
    """List the runs that have no line yet; raise ValueError if two runs are the same."""
    if len({run.key for run in runs}) != len(runs):
        raise ValueError("two runs of an experiment have the same name, seed and settings")
    done = {line["key"] for line in lines}
    return [run for run in runs if run.key not in done]


def run_all(
    experiment: Experiment,
    runs: Sequence[Run],
    folder: Path,
    *,
    results: Path = RESULTS,
    quick: bool = False,
    command: str = "",
    on_step: Callable[[], None] = lambda: None,
    on_line: Callable[[Line], None] = lambda _: None,
) -> None:
    """Do the runs that have no line yet, one after the other, and append the line of each.

    Parameters
    ----------
    experiment : Experiment
        Trains them.
    runs : sequence of Run
        Of one experiment.
    folder : Path
        For corpora and states.
    results : Path
        Folder of the lines.
    quick : bool
        Passed on to the runs.
    command : str
        For the lines, see `command_of`.
    on_step, on_line : callable
        Called after each step of the optimiser, and with each line that was written.
    """
    for run in runs:
        # Read again each time: another process may have done it meanwhile.
        if not missing([run], read_lines(run.experiment, results)):
            continue
        state = folder / "states" / f"{run.key}.state"
        state.parent.mkdir(parents=True, exist_ok=True)
        outcome = _train(experiment, run, Context(folder, state, quick, on_step))
        line = line_of(run, outcome, command)
        append_line(line, results)
        state.unlink(missing_ok=True)
        on_line(line)


def _train(experiment: Experiment, run: Run, context: Context) -> Outcome:
    try:
        return experiment.train(run, context)
    except TrainingError as error:
        # It would fail again: without a line the sweep would never get past it.
        return Outcome(0, 0.0, (), {"error": str(error)})


def line_of(run: Run, outcome: Outcome, command: str = "") -> dict[str, Any]:
    """Make the line of a finished run."""
    return {
        "command": command,
        "experiment": run.experiment,
        "name": run.name,
        "key": run.key,
        "seed": run.seed,
        "cost": run.cost,
        "settings": dict(run.settings),
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "converged": has_converged(outcome.curve),
        "validation_curve": [[step, round(loss, 5)] for step, loss in outcome.curve],
        "machine": machine(),
        "result": dict(outcome.result),
    }


def append_line(line: Line, folder: Path = RESULTS) -> None:
    """Add a line to the file of its experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    # Unbuffered: lines of processes side by side do not mix, and none is half written.
    with results_path(line["experiment"], folder).open("ab", buffering=0) as file:
        file.write((json.dumps(line) + "\n").encode())


def has_converged(curve: Sequence[tuple[int, float]]) -> bool:
    """Tell whether the best validation loss improved by less than 1 % over the last fifth.

    A curve without a point on either side of the last fifth's beginning tells nothing: False.
    """
    if not curve:
        return False
    begin = (1.0 - LAST_SHARE) * curve[-1][0]
    before = min((loss for step, loss in curve if step <= begin), default=math.nan)
    after = min((loss for step, loss in curve if step > begin), default=math.nan)
    return before - after < SMALL_IMPROVEMENT * abs(before)


def command_of(arguments: Sequence[str]) -> str:
    """Write the command with these arguments, without folders of this machine."""
    shown: list[str] = []
    for argument in arguments:
        is_folder = bool(shown) and shown[-1] in {"-o", "--output", "--results"}
        shown.append("DIR" if is_folder else argument)
    return shlex.join(["python", "-m", "benchmarks.paper", *shown])


def machine() -> dict[str, Any]:
    """Describe what a run ran on."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("softloc", "torch", "numpy")},
    }


class _EnoughStepsError(Exception):
    pass


def time_step(experiment: Experiment, run: Run, folder: Path, n_steps: int = 12) -> float:
    """Measure the processor's seconds for one step: train a few, drop the first ones, and stop.

    The median, so that a validation in between does not count; of a processor that other programs
    leave alone, so that it holds for an idle machine. Nothing is written but what the experiment
    keeps in `folder` anyway.
    """
    ends: list[float] = []

    def on_step() -> None:
        ends.append(time.process_time())
        if len(ends) == n_steps:
            raise _EnoughStepsError

    state = folder / "states" / f"timing-{run.key}.state"
    state.parent.mkdir(parents=True, exist_ok=True)
    try:
        experiment.train(run, Context(folder, state, on_step=on_step))
    except _EnoughStepsError:
        pass
    finally:
        state.unlink(missing_ok=True)
    gaps = sorted(after - before for before, after in itertools.pairwise(ends[2:]))
    return gaps[len(gaps) // 2] if gaps else math.nan


def with_settings(run: Run, **settings: Any) -> Run:
    """Copy a run with some settings changed or added."""
    return dataclasses.replace(run, settings={**run.settings, **settings})
