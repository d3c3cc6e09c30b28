"""Who watches a training: is told how far it is, and shows or collects that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Observer:
    """What a training tells while it runs; the base class says nothing."""

    def on_audio(self, seconds: float) -> None:
        """So many more seconds of audio are decoded."""

    def on_plan(self, steps: int, first_step: int) -> None:
        """Training starts, or goes on after `first_step` of `steps`."""

    def on_step(self, loss: float) -> None:
        """One step is done."""

    def on_validation(self, entry: Mapping[str, float]) -> None:
        """Tell of a validation; `entry` is a row of the curve."""


class Observers(Observer):
    """Several that are told the same."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def on_audio(self, seconds: float) -> None:
        """So many more seconds of audio are decoded."""
        for observer in self._observers:
            observer.on_audio(seconds)

    def on_plan(self, steps: int, first_step: int) -> None:
        """Training starts, or goes on after `first_step` of `steps`."""
        for observer in self._observers:
            observer.on_plan(steps, first_step)

    def on_step(self, loss: float) -> None:
        """One step is done."""
        for observer in self._observers:
            observer.on_step(loss)

    def on_validation(self, entry: Mapping[str, float]) -> None:
        """Tell of a validation; `entry` is a row of the curve."""
        for observer in self._observers:
            observer.on_validation(entry)
