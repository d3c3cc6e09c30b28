"""Segments of a sequence of classes, and the segmental F1 of Lea et al. (CVPR 2017).

A segment is a longest run of steps of one class. A predicted segment is a hit if, among the true
segments of its class, the one that it overlaps best (intersection over union) reaches the
threshold and was not taken by an earlier prediction. Segments of background are removed from both
sides before anything is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Class of steps in which nothing happens.
BACKGROUND = 0

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segments:
    """Segments in order of time, as arrays of shape (n_segments,).

    Attributes
    ----------
    starts, ends : ndarray of int
        First step of each, and the step after its last.
    classes : ndarray of int
        Class of each.
    """

    starts: Classes
    ends: Classes
    classes: Classes

    def without(self, label: int) -> Segments:
        """Leave out the segments of one class."""
        keep = self.classes != label
        return Segments(self.starts[keep], self.ends[keep], self.classes[keep])


def segments_of(classes: Classes) -> Segments:
    """Cut a sequence of classes, shape (n_steps,), into its segments."""
    changes = np.flatnonzero(np.diff(classes)) + 1
    starts = np.concatenate(([0], changes)) if len(classes) else changes
    ends = np.append(starts[1:], len(classes)) if len(classes) else changes
    return Segments(starts, ends, classes[starts])


def segmental_f1(truth: Classes, predicted: Classes, overlap: float) -> float:
    """Score one sequence.

    Parameters
    ----------
    truth, predicted : ndarray of int, shape (n_steps,)
        Class of each step.
    overlap : float
        Intersection over union that a hit needs, 0 to 1; 0.1 gives F1@10.

    Returns
    -------
    float
        0 to 1. Without any segment on either side 1.

    Raises
    ------
    ValueError
        If the sequences differ in length.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"{len(truth)} true steps, but {len(predicted)} predicted ones")
    true = segments_of(truth).without(BACKGROUND)
    found = segments_of(predicted).without(BACKGROUND)
    n_segments = len(true.classes) + len(found.classes)
    if not n_segments:
        return 1.0
    return 2 * _hits(true, found, overlap) / n_segments


def mean_f1(pairs: Iterable[tuple[Classes, Classes]], overlap: float) -> float:
    """Average the F1 of several (truth, predicted) sequences, each counting the same."""
    return float(np.mean([segmental_f1(truth, predicted, overlap) for truth, predicted in pairs]))


def step_accuracy(pairs: Iterable[tuple[Classes, Classes]]) -> float:
    """Share of steps with the right class, background counted, averaged over sequences."""
    return float(np.mean([np.mean(truth == predicted) for truth, predicted in pairs]))


def _hits(true: Segments, found: Segments, overlap: float) -> int:
    """Count the hits, predictions in order of time."""
    if not len(true.classes):
        return 0
    taken = np.zeros(len(true.classes), dtype=bool)
    for start, end, label in zip(found.starts, found.ends, found.classes, strict=True):
        shared = np.minimum(end, true.ends) - np.maximum(start, true.starts)
        either = np.maximum(end, true.ends) - np.minimum(start, true.starts)
        # Where two segments do not touch the ratio is negative, and `either` no union: no hit.
        ratio = np.where(true.classes == label, shared / either, 0.0)
        best = int(ratio.argmax())
        if ratio[best] >= overlap and not taken[best]:
            taken[best] = True
    return int(taken.sum())
