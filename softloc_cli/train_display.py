"""What a training shows while it runs: a bar with ETA on a terminal, else a line a validation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from softloc.training_observers import Observer
from softloc_cli.console import report


class TrainingDisplay(Observer):
    """Shows a training on stderr; to be used as a context.

    Parameters
    ----------
    audio_s : float
        Seconds of audio that will be decoded first.
    quiet : bool
        Show nothing.
    """

    def __init__(self, audio_s: float, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task: TaskID = self._bar.add_task("decoding (s)", total=audio_s, note="")

    def __enter__(self) -> TrainingDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def on_audio(self, seconds: float) -> None:
        """Move the bar of the decoding."""
        self._bar.advance(self._task, seconds)

    def on_plan(self, steps: int, first_step: int) -> None:
        """Change over to the bar of the steps."""
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task("training", total=steps, completed=first_step, note="")
        if not self._quiet:
            report(f"{steps} steps" + (f", going on after {first_step}" if first_step else ""))

    def on_step(self, loss: float) -> None:
        """Move the bar of the steps."""
        self._bar.update(self._task, advance=1, note=f"loss {loss:.3f}")

    def on_validation(self, entry: Mapping[str, float]) -> None:
        """Print a row of the curve."""
        if self._quiet:
            return
        scores = ", ".join(
            f"F1 ±{name.removeprefix('f1_').removesuffix('ms')} ms {value:.3f}"
            for name, value in entry.items()
            if name.startswith("f1_")
        )
        line = (
            f"step {entry['step']}: loss {entry['train_loss']:.4f}, "
            f"validation {entry['valid_loss']:.4f}, {scores}"
        )
        if self._bar.disable:
            report(line)
        else:
            self._bar.console.print(line)
