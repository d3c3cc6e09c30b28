"""Noise on labels that are whole steps, drawn by `softloc.perturb`, and F1 at zero tolerance.

One step is called a millisecond there; nothing else is converted. The draws of a recording depend
on the seed and its name alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softloc.errors import SettingsError
from softloc.events import Corpus, Onset
from softloc.perturb import Noise, NoiseKind, PerturbSettings, perturb

StepNoiseKind = Literal["normal", "shift", "skew", "skew-biased"]
Steps = NDArray[np.int64]

#: Shape of the skew normal distribution in the published code; its tail is on the early side.
SKEW_SHAPE = -2.0

_KINDS: dict[StepNoiseKind, NoiseKind] = {
    "normal": "rounded",
    "shift": "shift",
    "skew": "skew",
    "skew-biased": "skew",
}


@dataclass(frozen=True)
class StepNoise:
    """Noise of labels, in steps.

    Parameters
    ----------
    kind : {"normal", "shift", "skew", "skew-biased"}
        ``normal``: rounded, the level is the standard deviation before. ``shift``: by the level,
        early or late with equal probability. ``skew``: rounded skew normal of mean 0, the level is
        its standard deviation. ``skew-biased``: the published code's, the level is the scale of a
        skew normal at location 0, whose mean is -0.71 levels.
    level : float
        0 leaves labels as they are.
    per_recording : bool
        Whether all labels of a recording are shifted by the same draw.

    Raises
    ------
    SettingsError
        If the kind is unknown or the level negative.
    """

    kind: StepNoiseKind
    level: float
    per_recording: bool = False

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise SettingsError(f"noise of steps cannot be {self.kind!r}: {', '.join(_KINDS)}")
        if not (math.isfinite(self.level) and self.level >= 0):
            raise SettingsError(f"noise cannot have a level of {self.level} steps")

    def settings(self, seed: int) -> PerturbSettings:
        """Say the same to `softloc.perturb`, with a step of 1 ms."""
        spread, offset = self.level, 0.0
        if self.kind == "skew-biased":
            delta = SKEW_SHAPE / math.hypot(1.0, SKEW_SHAPE)
            mean = delta * math.sqrt(2 / math.pi)
            spread, offset = self.level * math.sqrt(1 - mean**2), self.level * mean
        return PerturbSettings(
            noise=Noise(_KINDS[self.kind], spread),
            shape=SKEW_SHAPE,
            step_ms=1.0,
            offset_ms=offset,
            per="file" if self.per_recording else "label",
            # Beyond the ends they are moved to them, by whoever knows the length.
            bounds="keep",
            seed=seed,
        )


def shift_steps(steps: Sequence[int] | Steps, noise: StepNoise, seed: int, name: str) -> Steps:
    """Draw the labels of a recording anew; they may lie before 0 or beyond its end.

    Parameters
    ----------
    steps : ndarray of int, shape (n_labels,)
        Where the labels are, ascending.
    noise : StepNoise
    seed : int
    name : str
        Of the recording.

    Returns
    -------
    ndarray of int, shape (n_labels,)
        Ascending; several may be equal.
    """
    onsets = [Onset(step / 1000, "event") for step in np.asarray(steps).tolist()]
    corpus = Corpus(Path(name), "file", Path(), {name: onsets})
    noisy, _ = perturb(corpus, noise.settings(seed))
    times_s = np.array([onset.time_s for onset in noisy.recordings[name]], dtype=np.float64)
    return np.rint(1000 * times_s).astype(np.int64)


def noisy_labels(
    steps: Sequence[int] | Steps, n_steps: int, noise: StepNoise, seed: int, name: str
) -> Steps:
    """Shift labels as `shift_steps` does; those that leave the recording go to its nearest end."""
    return np.clip(shift_steps(steps, noise, seed, name), 0, n_steps - 1)


@dataclass(frozen=True)
class StepCounts:
    """Hits, false alarms and misses at zero tolerance; they add up over recordings."""

    hits: int = 0
    invented: int = 0
    missed: int = 0

    def __add__(self, other: StepCounts) -> StepCounts:
        return StepCounts(
            self.hits + other.hits, self.invented + other.invented, self.missed + other.missed
        )

    @property
    def f1(self) -> float:
        """F-measure, 0 to 1; without events on either side 1."""
        events = 2 * self.hits + self.invented + self.missed
        return 2 * self.hits / events if events else 1.0


def count_hits(truth: Sequence[int] | Steps, found: Sequence[int] | Steps) -> StepCounts:
    """Compare events that must lie in the very same step, each matched at most once.

    Parameters
    ----------
    truth, found : sequence of int
        Steps of the events, in any order.
    """
    everything = np.concatenate([np.asarray(truth), np.asarray(found)]).astype(np.int64)
    if not everything.size:
        return StepCounts()
    first, n_bins = everything.min(), int(np.ptp(everything)) + 1
    in_truth = np.bincount(np.asarray(truth, dtype=np.int64) - first, minlength=n_bins)
    in_found = np.bincount(np.asarray(found, dtype=np.int64) - first, minlength=n_bins)
    hits = int(np.minimum(in_truth, in_found).sum())
    return StepCounts(hits, int(in_found.sum()) - hits, int(in_truth.sum()) - hits)
