"""From probabilities of steps to events, in four ways, scored at zero tolerance.

``paper``
    Every step above a fixed threshold is an event.
``threshold``
    The same with the threshold that is best on validation recordings, whose labels are noisy.
``peaks``
    Steps that reach such a threshold and are no lower than both neighbours and higher than one.
``mass``
    `softloc.decoding`, rounded to whole steps; nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.paper.step_noise import StepCounts, Steps, count_hits
from softloc.decoding import decode_points

DECODINGS = ("paper", "threshold", "peaks", "mass")
THRESHOLDS = (0.01, 0.02, 0.05, *(round(0.1 * tenth, 1) for tenth in range(1, 10)), 0.95)

Probabilities = NDArray[np.float64]
#: From features (n_steps, n_features) to probabilities (n_steps,).
Answer = Callable[[NDArray[np.float32]], Probabilities]
#: Labels and probabilities of one recording.
Answered = tuple[Steps, Probabilities]
Decoder = Callable[[Probabilities], Steps]


@dataclass(frozen=True)
class Scored:
    """F1 of one way of decoding, and the threshold that was chosen for it, if any."""

    f1: float
    threshold: float | None = None


def above(probabilities: Probabilities, threshold: float) -> Steps:
    """Take the steps whose probability is higher than the threshold."""
    return np.flatnonzero(probabilities > threshold)


def peaks(probabilities: Probabilities, threshold: float) -> Steps:
    """Take the local maxima higher than the threshold; of equal neighbours the first."""
    before = np.concatenate(([-np.inf], probabilities[:-1]))
    after = np.concatenate((probabilities[1:], [-np.inf]))
    highest = (probabilities > before) & (probabilities >= after)
    return np.flatnonzero(highest & (probabilities > threshold))


def by_mass(probabilities: Probabilities, softness_steps: float) -> Steps:
    """Take the events by mass, at the nearest steps."""
    points = decode_points(probabilities, softness_steps)
    return np.rint(points.frames).astype(np.int64)


def decode_and_score(
    valid: Sequence[Answered],
    test: Sequence[Answered],
    paper_threshold: float,
    softness_steps: float,
) -> Mapping[str, Scored]:
    """Decode test recordings in every way.

    Parameters
    ----------
    valid : sequence of (labels, probabilities)
        Recordings with noisy labels, to choose thresholds with.
    test : sequence of (labels, probabilities)
        Recordings with exact labels.
    paper_threshold : float
        For ``paper``.
    softness_steps : float
        For ``mass``.

    Returns
    -------
    Mapping of str to Scored
        By the names in `DECODINGS`.
    """
    height = best_threshold(valid, above)
    peak_height = best_threshold(valid, peaks)
    return {
        "paper": Scored(f1(test, lambda p: above(p, paper_threshold))),
        "threshold": Scored(f1(test, lambda p: above(p, height)), height),
        "peaks": Scored(f1(test, lambda p: peaks(p, peak_height)), peak_height),
        "mass": Scored(f1(test, lambda p: by_mass(p, softness_steps))),
    }


def best_threshold(
    answered: Sequence[Answered], decode: Callable[[Probabilities, float], Steps]
) -> float:
    """Choose the threshold of the highest F1; of equal ones the lowest."""
    scores = [
        f1(answered, lambda p, threshold=threshold: decode(p, threshold))  # type: ignore[misc]
        for threshold in THRESHOLDS
    ]
    return THRESHOLDS[int(np.argmax(scores))]


def f1(answered: Sequence[Answered], decode: Decoder) -> float:
    """Pool hits, false alarms and misses over recordings."""
    counts = StepCounts()
    for labels, probabilities in answered:
        counts += count_hits(labels, decode(probabilities))
    return counts.f1
