"""Which estimate belongs to which reference.

Conventions
-----------
- Times are whole microseconds, so a distance of exactly the tolerance always counts.
- The matching is one of maximum size; every event is used at most once. Among those it is the one
  of least total distance, and it never crosses: an earlier reference has the earlier estimate.
  Timing errors are therefore those of the closest events and owe nothing to the order of a search.

`mir_eval.util.match_events` finds a maximum matching too, but takes any of them, and many seconds
where thousands of events lie together. So the tests compare the counts with its own, and what
follows from the counts (F) is computed by mir_eval.

How it is found: events that cannot reach each other fall apart into groups, most of them single
pairs. Inside a group, row ``i`` of a table holds the best value of the first ``i`` references with
the first ``j`` estimates, where a pair is worth more than any sum of distances. Only cells that a
maximum matching can pass are computed: within the tolerance, and no further off the diagonal than
there are events without partner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from softloc.timebase import seconds_to_microseconds

MATCHER = "closest maximum matching on whole microseconds, equal in counts to mir_eval 0.8"

Microseconds = NDArray[np.int64]
Pair = tuple[int, int]

_PAIR, _SKIP_REFERENCE, _SKIP_ESTIMATE = 0, 1, 2
_IMPOSSIBLE = -(2**62)


def match_times(
    reference_us: Microseconds, estimate_us: Microseconds, window_s: float
) -> NDArray[np.int64]:
    """Pair events whose distance is at most a tolerance.

    Parameters
    ----------
    reference_us : ndarray of int64, shape (n,)
        Reference times in microseconds, in any order.
    estimate_us : ndarray of int64, shape (m,)
        Estimated times in microseconds, in any order.
    window_s : float
        Tolerance to either side, seconds, inclusive.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Indices of reference and estimate of each pair, by time.
    """
    return match_sweep(reference_us, estimate_us, (window_s,))[0]


def match_sweep(
    reference_us: Microseconds, estimate_us: Microseconds, windows_s: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair events within the first of several tolerances, and count the pairs within each.

    Parameters
    ----------
    reference_us : ndarray of int64, shape (n,)
        Reference times in microseconds, in any order.
    estimate_us : ndarray of int64, shape (m,)
        Estimated times in microseconds, in any order.
    windows_s : sequence of float
        Tolerances to either side, seconds, inclusive.

    Returns
    -------
    pairs : ndarray of int64, shape (k, 2)
        Indices of reference and estimate of each pair within the first tolerance, by time.
    sizes : ndarray of int64, shape (len(windows_s),)
        Size of a maximum matching within each tolerance.
    """
    windows_us = seconds_to_microseconds(windows_s)
    if not (reference_us.size and estimate_us.size):
        return np.zeros((0, 2), dtype=np.int64), np.zeros(len(windows_us), dtype=np.int64)
    reference_order = np.argsort(reference_us, kind="stable")
    estimate_order = np.argsort(estimate_us, kind="stable")
    reference, estimate = reference_us[reference_order], estimate_us[estimate_order]
    lone = _lone_pairs(reference, estimate, int(windows_us.max()))
    distance_us = np.abs(reference[lone[:, 0]] - estimate[lone[:, 1]])
    sizes = (distance_us[None, :] <= windows_us[:, None]).sum(axis=1)
    pairs = lone[distance_us <= windows_us[0]]
    crowded = (_others(lone[:, 0], len(reference)), _others(lone[:, 1], len(estimate)))
    if crowded[0].size and crowded[1].size:
        own, other = reference[crowded[0]], estimate[crowded[1]]
        found = _match_crowd(own, other, int(windows_us[0]))
        listed = own.tolist(), other.tolist()
        sizes += [_maximum_size(*listed, window_us) for window_us in windows_us.tolist()]
        found = np.stack([crowded[0][found[:, 0]], crowded[1][found[:, 1]]], axis=1)
        pairs = np.concatenate([pairs, found])
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return np.stack([reference_order[pairs[:, 0]], estimate_order[pairs[:, 1]]], axis=1), sizes


def _lone_pairs(
    reference: Microseconds, estimate: Microseconds, window_us: int
) -> NDArray[np.int64]:
    """Pairs of sorted events that reach each other and nothing else: most, in music."""
    first = np.searchsorted(estimate, reference - window_us, side="left")
    last = np.searchsorted(estimate, reference + window_us, side="right")
    rows = np.flatnonzero(last - first == 1)
    columns = first[rows]
    back = np.searchsorted(reference, estimate[columns] - window_us, side="left")
    beyond = np.searchsorted(reference, estimate[columns] + window_us, side="right")
    alone = beyond - back == 1
    return np.stack([rows[alone], columns[alone]], axis=1)


def _others(indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    chosen = np.ones(length, dtype=bool)
    chosen[indices] = False
    return np.flatnonzero(chosen)


def _match_crowd(
    reference: Microseconds, estimate: Microseconds, window_us: int
) -> NDArray[np.int64]:
    """Match sorted events of which several reach each other."""
    pairs: list[Pair] = []
    for own, other in _groups(reference, estimate, window_us):
        if own.stop - own.start == other.stop - other.start == 1:
            pairs.append((own.start, other.start))
            continue
        found = _match_group(reference[own], estimate[other], window_us)
        pairs.extend((own.start + i, other.start + j) for i, j in found)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _groups(
    reference: Microseconds, estimate: Microseconds, window_us: int
) -> Iterator[tuple[slice, slice]]:
    """Split sorted events into runs that reach each other, at least one on either side."""
    first = np.searchsorted(estimate, reference - window_us, side="left").tolist()
    last = np.searchsorted(estimate, reference + window_us, side="right").tolist()
    start = 0
    for i in range(1, len(first) + 1):
        if i == len(first) or last[i - 1] <= first[i]:
            if last[i - 1] > first[start]:
                yield slice(start, i), slice(first[start], last[i - 1])
            start = i


def _match_group(reference: Microseconds, estimate: Microseconds, window_us: int) -> list[Pair]:
    n, m = len(reference), len(estimate)
    if n == 1 or m == 1:
        return [_closest_pair(reference, estimate)]
    n_pairs = _maximum_size(reference.tolist(), estimate.tolist(), window_us)
    if n_pairs == n == m:
        return [(i, i) for i in range(n)]
    rows = np.arange(n + 1)
    # Row i holds the estimates that reference i - 1 reaches; row 0 only the empty start.
    lowest = np.searchsorted(estimate, reference - window_us, side="left")
    highest = np.searchsorted(estimate, reference + window_us, side="right")
    lowest = np.maximum(np.concatenate([[0], lowest]), rows - (n - n_pairs))
    highest = np.minimum(np.concatenate([[m], highest]), rows + (m - n_pairs))
    moves = _fill(reference, estimate, lowest.tolist(), highest.tolist(), window_us)
    return _trace(moves, lowest.tolist(), highest.tolist())


def _closest_pair(reference: Microseconds, estimate: Microseconds) -> Pair:
    """Match a group with one event on either side, which all others reach.

    Of two at the same distance it takes the one that the table would: the earlier reference, or
    the later estimate.
    """
    distance_us = np.abs(reference - estimate)
    if len(estimate) == 1:
        return int(distance_us.argmin()), 0
    return 0, len(estimate) - 1 - int(distance_us[::-1].argmin())


def _maximum_size(reference: Sequence[int], estimate: Sequence[int], window_us: int) -> int:
    """Size of a maximum matching: with equal tolerances, first come, first served is one."""
    i = j = size = 0
    while i < len(reference) and j < len(estimate):
        if abs(reference[i] - estimate[j]) <= window_us:
            i, j, size = i + 1, j + 1, size + 1
        elif reference[i] < estimate[j]:
            i += 1
        else:
            j += 1
    return size


def _fill(
    reference: Microseconds,
    estimate: Microseconds,
    lowest: Sequence[int],
    highest: Sequence[int],
    window_us: int,
) -> list[NDArray[np.int8]]:
    """Last move to each cell; row i covers ``lowest[i]`` to ``highest[i]``, both included."""
    worth = (window_us + 1) * (min(len(reference), len(estimate)) + 1)
    moves = [np.full(highest[0] - lowest[0] + 1, _SKIP_ESTIMATE, dtype=np.int8)]
    values = np.zeros(len(moves[0]), dtype=np.int64)
    for i, time_us in enumerate(reference.tolist(), start=1):
        low, high = lowest[i], highest[i]
        before = _reach(values, lowest[i - 1], low - 1, high)
        distance_us = np.abs(estimate[max(low - 1, 0) : high] - time_us)
        gain = np.where(distance_us <= window_us, worth - distance_us, _IMPOSSIBLE // 2)
        if low == 0:
            gain = np.concatenate([[_IMPOSSIBLE // 2], gain])
        paired, skipped = before[:-1] + gain, before[1:]
        stepped = np.maximum(paired, skipped)
        values = np.maximum.accumulate(stepped)
        move = np.where(paired > skipped, _PAIR, _SKIP_REFERENCE)
        moves.append(np.where(values > stepped, _SKIP_ESTIMATE, move).astype(np.int8))
    return moves


def _reach(values: NDArray[np.int64], lowest: int, start: int, stop: int) -> NDArray[np.int64]:
    """Values of a row for the columns start to stop; beyond its end estimates are skipped."""
    columns = np.arange(start, stop + 1) - lowest
    return np.where(columns < 0, _IMPOSSIBLE // 2, values[np.clip(columns, 0, len(values) - 1)])


def _trace(
    moves: Sequence[NDArray[np.int8]], lowest: Sequence[int], highest: Sequence[int]
) -> list[Pair]:
    pairs: list[Pair] = []
    i, j = len(moves) - 1, highest[-1]
    while i > 0:
        j = min(j, highest[i])
        move = moves[i][j - lowest[i]]
        if move == _SKIP_ESTIMATE:
            j -= 1
            continue
        i -= 1
        if move == _PAIR:
            j -= 1
            pairs.append((i, j))
    return pairs[::-1]


def merge_times(times_us: Microseconds, window_s: float) -> Microseconds:
    """Merge events that are close together to their mean.

    Parameters
    ----------
    times_us : ndarray of int64, shape (n,)
        Times in microseconds, in any order.
    window_s : float
        A group reaches so far from its first event, inclusive; the next event starts another.

    Returns
    -------
    ndarray of int64, shape (m,)
        Mean time of each group, in order.
    """
    times_us = np.sort(times_us)
    if not times_us.size:
        return times_us
    starts = np.array([group.start for group in group_times(times_us, window_s)])
    sizes = np.diff(starts, append=len(times_us))
    return np.rint(np.add.reduceat(times_us, starts) / sizes).astype(np.int64)


def group_times(times_us: Microseconds, window_s: float) -> list[slice]:
    """Group events that are close together.

    Parameters
    ----------
    times_us : ndarray of int64, shape (n,)
        Sorted times in microseconds.
    window_s : float
        A group reaches so far from its first event, inclusive; the next event starts another.

    Returns
    -------
    list of slice
        Where each group is.
    """
    window_us = int(seconds_to_microseconds(window_s))
    stops = np.searchsorted(times_us, times_us + window_us, side="right").tolist()
    groups = []
    start = 0
    while start < len(stops):
        groups.append(slice(start, stops[start]))
        start = stops[start]
    return groups
