"""Counts of hits, and the ratios made of them.

Conventions
-----------
- Where only one side has events, the undefined one of precision and recall counts as 0, as in
  mir_eval. Where neither side has any, all ratios are undefined, unless the settings say to take
  them as 0 or 1 (`softloc.evaluation.settings.BothEmpty`).
- In arrays the last axis holds TP, FP, FN, or precision, recall, F; undefined is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.evaluation.settings import BothEmpty

#: What both sides empty count for.
EMPTY_VALUES: dict[BothEmpty, float] = {"skip": float("nan"), "zero": 0.0, "one": 1.0}


@dataclass(frozen=True, slots=True)
class Ratios:
    """Precision, recall and F-measure, each 0-1."""

    precision: float
    recall: float
    f_measure: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Hits, spurious and missed events."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def n_reference(self) -> int:
        """Events of the reference."""
        return self.tp + self.fn

    @property
    def n_estimate(self) -> int:
        """Events of the estimate."""
        return self.tp + self.fp

    @property
    def ratios(self) -> Ratios | None:
        """The ratios; None where neither side has an event."""
        if not (self.n_reference or self.n_estimate):
            return None
        # mir_eval takes most of a second to import, which perturb and --help must not pay.
        from mir_eval.util import f_measure  # noqa: PLC0415

        precision = self.tp / self.n_estimate if self.n_estimate else 0.0
        recall = self.tp / self.n_reference if self.n_reference else 0.0
        return Ratios(precision, recall, float(f_measure(precision, recall)))

    def ratios_where(self, both_empty: BothEmpty) -> Ratios | None:
        """Return the ratios, those of two empty sides as the settings say."""
        if both_empty == "skip" or self.n_reference or self.n_estimate:
            return self.ratios
        value = EMPTY_VALUES[both_empty]
        return Ratios(value, value, value)


def count_ratios(counts: NDArray[np.integer], both_empty: BothEmpty) -> NDArray[np.float64]:
    """Precision, recall and F of many counts at once.

    Parameters
    ----------
    counts : ndarray of int, shape (..., 3)
        TP, FP, FN.
    both_empty : {"skip", "zero", "one"}
        What two empty sides count for.

    Returns
    -------
    ndarray of float64, shape (..., 3)
        Precision, recall, F; NaN where undefined.
    """
    tp, fp, fn = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    f_measure = f_measures(tp, 2 * tp + fp + fn, both_empty)
    empty = tp + fp + fn == 0
    precision = np.where(empty, f_measure, tp / np.maximum(tp + fp, 1))
    recall = np.where(empty, f_measure, tp / np.maximum(tp + fn, 1))
    return np.stack([precision, recall, f_measure], axis=-1)


def f_measures(
    tp: NDArray[np.float64], n_both: NDArray[np.float64], both_empty: BothEmpty
) -> NDArray[np.float64]:
    """F of hits and events: ``2 TP / (n_ref + n_est)``.

    Parameters
    ----------
    tp : ndarray of float64
        Hits.
    n_both : ndarray of float64, same shape
        Events of reference and estimate together.
    both_empty : {"skip", "zero", "one"}
        What two empty sides count for.

    Returns
    -------
    ndarray of float64, same shape
        F; NaN where undefined.
    """
    return np.where(n_both > 0, 2 * tp / np.maximum(n_both, 1), EMPTY_VALUES[both_empty])
