"""Which class was taken for which.

Conventions
-----------
- Hits of the classes are on the diagonal. Off it are pairs of a missed event and a spurious one of
  another class within the first tolerance: a maximum matching of what the classes left over
  (`softloc.evaluation.recordings.match_leftovers`). What then remains is missed or spurious.
- So a row sums to the reference events of its class, a column to the estimated ones. Events whose
  label has no class (`OT`) have no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.evaluation.recordings import ClassPairs, EventArrays, match_leftovers


@dataclass(frozen=True, slots=True)
class Confusion:
    """Reference classes by estimated classes.

    Attributes
    ----------
    labels : tuple of str
        The classes, in the order of the table.
    counts : tuple of tuple of int
        One row for each class and a last one of spurious estimates; one column for each class and a
        last one of missed references. The last of the last is 0.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def mistaken(self) -> list[tuple[str, str, int]]:
        """List reference class, estimated class and number of confusions, most frequent first."""
        found = [
            (reference, estimate, count)
            for reference, row in zip(self.labels, self.counts, strict=False)
            for estimate, count in zip(self.labels, row, strict=False)
            if reference != estimate and count
        ]
        return sorted(found, key=lambda item: -item[2])


def count_confusions(
    reference: EventArrays,
    estimate: EventArrays,
    matched: Sequence[ClassPairs],
    window_s: float,
) -> NDArray[np.int64]:
    """Count who was taken for whom in a recording.

    Parameters
    ----------
    reference, estimate : EventArrays
        Both sides.
    matched : sequence of ClassPairs
        Matches of each class.
    window_s : float
        The first tolerance, seconds.

    Returns
    -------
    ndarray of int64, shape (n_classes + 1, n_classes + 1)
        As `Confusion.counts`.
    """
    n_classes = len(matched)
    counts = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    counts[range(n_classes), range(n_classes)] = [len(own.pairs) for own in matched]
    confused, misses, false_alarms = match_leftovers(reference, estimate, matched, window_s)
    pairs = (reference.classes[confused[:, 0]], estimate.classes[confused[:, 1]])
    np.add.at(counts, pairs, 1)
    counts[:-1, -1] = np.bincount(reference.classes[misses], minlength=n_classes)
    counts[-1, :-1] = np.bincount(estimate.classes[false_alarms], minlength=n_classes)
    counts[:-1, -1] -= np.bincount(pairs[0], minlength=n_classes)
    counts[-1, :-1] -= np.bincount(pairs[1], minlength=n_classes)
    return counts
