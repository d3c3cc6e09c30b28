"""How well velocities were estimated.

Conventions
-----------
- Velocities are those of MIDI, 1-127. They are compared on pairs that match in class and time and
  have a velocity on both sides. Errors are estimate minus reference: positive is too loud.
- Estimates have a scale of their own, so beside the plain errors stand those after a straight line
  was fitted, reference over estimate, by least squares over all pairs of all recordings and
  classes. A pair counts as found if it is then less than a tenth of the reference's range off: the
  rule of `mir_eval.transcription_velocity`, which gives the same counts for a single recording.
- All events of the classes are searched for, so an event without velocity is never found.

References
----------
C. Hawthorne et al., *Onsets and Frames: Dual-Objective Piano Transcription*, ISMIR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.evaluation.counts import Counts

#: Largest error of a velocity that was found, as a share of the reference's range, exclusive.
VELOCITY_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class VelocityError:
    """Errors of matched velocities.

    Attributes
    ----------
    n_pairs : int
        Matched pairs with a velocity on both sides.
    bias, mean_absolute : float
        Mean of estimate minus reference, and of its absolute value.
    rescaled_mean_absolute : float
        The latter after the line was fitted.
    correlation : float or None
        Pearson's; None where one side is constant.
    """

    n_pairs: int
    bias: float
    mean_absolute: float
    rescaled_mean_absolute: float
    correlation: float | None


@dataclass(frozen=True, slots=True)
class VelocityRow:
    """A class, or the sum of all.

    Attributes
    ----------
    error : VelocityError or None
        None without pairs.
    counts : Counts
        With velocities that had to be found too.
    """

    error: VelocityError | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class VelocityScore:
    """Errors of velocities.

    Attributes
    ----------
    slope, intercept : float
        The line: reference is about ``slope * estimate + intercept``.
    per_class : Mapping[str, VelocityRow]
        By class.
    total : VelocityRow
        All classes.
    """

    slope: float
    intercept: float
    per_class: Mapping[str, VelocityRow]
    total: VelocityRow


def score_velocities(
    pairs: Mapping[str, NDArray[np.int64]],
    found: Mapping[str, Counts],
    reference_range: tuple[int, int],
) -> VelocityScore | None:
    """Compare velocities of matched pairs.

    Parameters
    ----------
    pairs : Mapping[str, ndarray of int64, shape (n, 2)]
        Velocities of reference and estimate, by class.
    found : Mapping[str, Counts]
        Counts in class and time, by class.
    reference_range : (int, int)
        Lowest and highest velocity of the reference, matched or not.

    Returns
    -------
    VelocityScore or None
        None where no pair has both velocities.
    """
    together = np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs.values()])
    if not len(together):
        return None
    reference, estimate = together[:, 0].astype(float), together[:, 1].astype(float)
    design = np.stack([estimate, np.ones(len(estimate))], axis=1)
    slope, intercept = np.linalg.lstsq(design, reference, rcond=None)[0].tolist()
    # mir_eval's smallest range is 1, against a division by 0.
    tolerance = VELOCITY_TOLERANCE * max(1, reference_range[1] - reference_range[0])

    def row(velocities: NDArray[np.int64], counts: Counts) -> VelocityRow:
        rescaled = np.abs(slope * velocities[:, 1] + intercept - velocities[:, 0])
        tp = int((rescaled < tolerance).sum())
        own = Counts(tp, counts.n_estimate - tp, counts.n_reference - tp)
        return VelocityRow(_error(velocities, rescaled), own)

    total = sum(found.values(), Counts())
    return VelocityScore(
        slope=slope,
        intercept=intercept,
        per_class={label: row(own, found[label]) for label, own in pairs.items()},
        total=row(together, total),
    )


def _error(velocities: NDArray[np.int64], rescaled: NDArray[np.float64]) -> VelocityError | None:
    if not len(velocities):
        return None
    estimate, reference = velocities[:, 1], velocities[:, 0]
    difference = estimate - reference
    varies = bool(np.ptp(estimate) > 0 and np.ptp(reference) > 0)
    return VelocityError(
        n_pairs=len(velocities),
        bias=float(difference.mean()),
        mean_absolute=float(np.abs(difference).mean()),
        rescaled_mean_absolute=float(rescaled.mean()),
        correlation=float(np.corrcoef(reference, estimate)[0, 1]) if varies else None,
    )


def pair_velocities(reference: Sequence[int], estimate: Sequence[int]) -> NDArray[np.int64]:
    """Velocities of pairs that have one on both sides.

    Parameters
    ----------
    reference, estimate : sequence of int
        Velocities of each pair, 0 where there is none.

    Returns
    -------
    ndarray of int64, shape (n, 2)
        Those of the pairs that have both.
    """
    both = np.array([reference, estimate], dtype=np.int64).T.reshape(-1, 2)
    return both[(both > 0).all(axis=1)]
