"""How far labels lie from what a model hears: an estimate of their noise that needs no truth.

Past the paper, which takes the noise as known. A label is drawn around one of the events of its
class in its recording, which one is not asked, or anywhere in it: a mixture of normals of one
standard deviation and one offset, and of a uniform whose share each class of a recording has for
itself. Its maximum likelihood is found by expectation maximisation (Dempster, Laird, Rubin 1977):
labels are not paired, nothing is cut off at a tolerance, and a class that the model does not hear
has no part. Where it misses single events the estimate is off: too large if their labels are
within the noise of a neighbour's, too small if they fill the gaps of a steady rhythm.

What is found is the noise of the labels and the model's own errors in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.events import Onset

#: Events farther away have no part in a label.
REACH_S = 1.0
#: Where the search begins: from wide alone, noise narrower than events are apart is not found.
_STARTS_S = (0.005, 0.020, 0.080)
_STEPS = 200
_SETTLED_S = 1e-5
#: Narrower than this the likelihood of labels that lie exactly on events would have no bound.
_LEAST_SIGMA_S = 1e-4
_FIRST_STRAY_SHARE = 0.1
_LEAST_LABELS = 10
#: Labels that have nothing to do with the events give any standard deviation.
_MOST_STRAYS = 0.9


@dataclass(frozen=True)
class LabelScatter:
    """Where labels lie around events.

    Attributes
    ----------
    sigma_s : float
        Standard deviation, seconds.
    offset_s : float
        How much later than events labels are on average, seconds.
    stray_share : float
        Share of labels that belong to no event, 0 to 1.
    n_labels : int
        Labels looked at.
    """

    sigma_s: float
    offset_s: float
    stray_share: float
    n_labels: int


@dataclass(frozen=True)
class _Pairs:
    """Every label with every event in its reach; a label may have none.

    ``label`` numbers the labels of all recordings; of each there are the ``stray_density`` and the
    ``group``, the class of a recording that it is of.
    """

    label: NDArray[np.intp]
    distance_s: NDArray[np.float64]
    event_weight: NDArray[np.float64]
    stray_density: NDArray[np.float64]
    group: NDArray[np.intp]


def estimate_scatter(
    labels: Mapping[str, Sequence[Onset]],
    events: Mapping[str, Sequence[Onset]],
    lengths_s: Mapping[str, float],
) -> LabelScatter | None:
    """Estimate how far labels lie from events of the same class.

    Parameters
    ----------
    labels : mapping of str to sequence of Onset
        Labels by recording.
    events : mapping of str to sequence of Onset
        What a model hears, by the same names; none where one is missing.
    lengths_s : mapping of str to float
        Lengths of the recordings, seconds.

    Returns
    -------
    LabelScatter or None
        None if there are fewer than ten labels with an event in reach, or nine of ten labels
        belong to no event.
    """
    pairs = _pair(labels, events, lengths_s)
    if len(np.unique(pairs.label)) < _LEAST_LABELS:
        return None
    found = (_maximise(pairs, start_s) for start_s in _STARTS_S)
    best = max(found, key=lambda pair: pair[0])[1]
    return best if best.stray_share < _MOST_STRAYS else None


def _pair(
    labels: Mapping[str, Sequence[Onset]],
    events: Mapping[str, Sequence[Onset]],
    lengths_s: Mapping[str, float],
) -> _Pairs:
    index: list[NDArray[np.intp]] = []
    group: list[NDArray[np.intp]] = []
    distance_s, weight, stray = [], [], []
    n_labels = 0
    for name, onsets in labels.items():
        heard = dict(_times_by_class(events.get(name, ())))
        for label, times_s in _times_by_class(onsets):
            theirs_s = heard.get(label, np.empty(0))
            first = np.searchsorted(theirs_s, times_s - REACH_S)
            n_near = np.searchsorted(theirs_s, times_s + REACH_S, side="right") - first
            ours = np.repeat(np.arange(len(times_s)), n_near)
            begun = np.repeat(np.cumsum(n_near) - n_near, n_near)
            near = theirs_s[np.repeat(first, n_near) + np.arange(len(ours)) - begun]
            index.append(n_labels + ours)
            distance_s.append(times_s[ours] - near)
            weight.append(np.full(len(ours), 1.0 / max(1, len(theirs_s))))
            stray.append(np.full(len(times_s), 1.0 / max(lengths_s[name], 2 * REACH_S)))
            group.append(np.full(len(times_s), len(group)))
            n_labels += len(times_s)
    return _Pairs(
        np.concatenate([np.empty(0, np.intp), *index]),
        np.concatenate([np.empty(0), *distance_s]),
        np.concatenate([np.empty(0), *weight]),
        np.concatenate([np.empty(0), *stray]),
        np.concatenate([np.empty(0, np.intp), *group]),
    )


def _times_by_class(onsets: Sequence[Onset]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for label in sorted({onset.label for onset in onsets}):
        yield label, np.sort([onset.time_s for onset in onsets if onset.label == label])


def _maximise(pairs: _Pairs, start_s: float) -> tuple[float, LabelScatter]:
    """Climb from this standard deviation; give the log-likelihood and what belongs to it."""
    n_labels = len(pairs.group)
    n_of_group = np.bincount(pairs.group)
    sigma_s, offset_s = start_s, 0.0
    stray = np.full(n_labels, _FIRST_STRAY_SHARE)
    log_likelihood = -np.inf
    for _ in range(_STEPS):
        off = pairs.distance_s - offset_s
        peak = pairs.event_weight / (sigma_s * np.sqrt(2 * np.pi))
        joint = (1 - stray[pairs.label]) * peak * np.exp(-0.5 * (off / sigma_s) ** 2)
        density = np.bincount(pairs.label, joint, n_labels) + stray * pairs.stray_density
        log_likelihood = float(np.log(density).sum())
        share = joint / density[pairs.label]
        total = share.sum()
        if total <= 0:
            break
        before_s = sigma_s
        offset_s = float((share * pairs.distance_s).sum() / total)
        variance = (share * (pairs.distance_s - offset_s) ** 2).sum() / total
        sigma_s = max(_LEAST_SIGMA_S, float(np.sqrt(variance)))
        explained = np.bincount(pairs.group[pairs.label], share, len(n_of_group))
        # Never quite none: a single label far from everything would have no likelihood.
        stray = ((n_of_group - explained + 0.1) / (n_of_group + 0.2))[pairs.group]
        if abs(sigma_s - before_s) < _SETTLED_S:
            break
    return log_likelihood, LabelScatter(sigma_s, offset_s, 1 - float(total) / n_labels, n_labels)
