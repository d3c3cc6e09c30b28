"""What worker processes do in tests: they must be able to import it."""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from softloc.errors import AudioError, SettingsError
from softloc.files import atomic_path, unfinished_as
from softloc_cli.cluster import Run, transcribe_one
from softloc_cli.outputs import Job
from softloc_cli.recordings import Outcome, Recipe


def square() -> Callable[[int], int]:
    """Square numbers; 13 kills its process."""

    def answer(number: int) -> int:
        if number == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    return answer


def process_and_threads() -> Callable[[int], tuple[int, str | None]]:
    """Say who answers, and what limits its threads."""
    return lambda _: (os.getpid(), os.environ.get("OMP_NUM_THREADS"))


def refuse() -> Callable[[int], int]:
    raise SettingsError("no such model")


def fail_to_open() -> Callable[[int], int]:
    raise AudioError("out of luck")


def die_when_opened() -> Callable[[int], int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return abs


def slow_to_leave() -> Callable[[Path], None]:
    """Touch a file, and leave the process as slowly as a large library that tidies up."""

    def leave(path: Path) -> None:
        path.touch()
        time.sleep(60)

    return lambda path: atexit.register(leave, path) and None


def write_slowly() -> Callable[[Path], None]:
    """Begin to write a file and never come to its end."""

    def answer(path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            (path.parent / "begun").touch()
            time.sleep(60)

    return answer


def die_writing() -> Callable[[Path], None]:
    def answer(path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    return answer


def die_writing_once(_run: Run, _recipe: Recipe, job: Job, owner: str) -> Outcome:
    """Write a result; the first time of each recording named "once" kills half-way.

    Those named "always" kill every time.
    """
    (target,) = job.targets
    attempts = job.source.with_suffix(".attempts")
    with attempts.open("a") as file:
        file.write("x")
    with unfinished_as(owner), atomic_path(target.path) as temporary:
        temporary.write_text("half")
        is_first = attempts.read_text() == "x"
        if job.source.stem == "always" or (job.source.stem == "once" and is_first):
            os.kill(os.getpid(), signal.SIGKILL)
        temporary.write_text("whole")
    return Outcome(n_events=1)


def refuse_recipe(_run: Run, _recipe: Recipe, _job: Job, _owner: str) -> Outcome:
    raise SettingsError("no such model")


def fail_unforeseen(_run: Run, _recipe: Recipe, _job: Job, _owner: str) -> Outcome:
    raise ModuleNotFoundError("No module named 'softloc'")


def old_worker(run: Run, recipe: Recipe, job: Job, owner: str) -> Outcome:
    """Work as `transcribe_one` on a machine that was not updated."""
    return transcribe_one(replace(run, version="99.0"), recipe, job, owner)


def worker_with_another_model(run: Run, recipe: Recipe, job: Job, owner: str) -> Outcome:
    """Work as `transcribe_one` on a machine where the model's name means another file."""
    return transcribe_one(replace(run, model_sha256="0" * 64), recipe, job, owner)
