"""One recording: its events as arrays, and which of them are hits, misses and false alarms.

Conventions
-----------
- Matching is within each class. What it leaves over on both sides is then matched regardless of
  class: a missed event and a spurious one of another class that are within the tolerance of each
  other are a confusion. (Two of the same class never are: they would be a hit.) Both matchings are
  of maximum size, and the closest ones; ties go by the order of the classes.
- A confusion is also a miss and a false alarm.
- Combining (`EvaluationSettings.combine_s`) is for the reference alone, class by class, as in
  madmom: some annotators write a flam as two events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softloc.errors import AnnotationError, SettingsError
from softloc.evaluation.classes import Classes, choose_classes
from softloc.evaluation.matching import Microseconds, group_times, match_sweep, match_times
from softloc.evaluation.settings import EvaluationSettings
from softloc.events import Onset
from softloc.timebase import MICROSECONDS_PER_SECOND, seconds_to_microseconds

Events = Mapping[str, Sequence[Onset]]

Indices = NDArray[np.int64]


class Hit(NamedTuple):
    """A reference event and the estimate that it was matched with.

    Attributes
    ----------
    reference, estimate : Onset
        The two; under ``combine_s`` the reference may be several at their mean.
    """

    reference: Onset
    estimate: Onset

    @property
    def error_ms(self) -> float:
        """Estimate minus reference, on whole microseconds, in ms: positive is late."""
        times_us = seconds_to_microseconds([self.reference.time_s, self.estimate.time_s])
        return float(times_us[1] - times_us[0]) / 1000


@dataclass(frozen=True, slots=True)
class ClassMatches:
    """Events of one class in one recording, each list by time.

    Attributes
    ----------
    hits : tuple of Hit
        Matched pairs.
    misses : tuple of Onset
        Reference events that nothing was matched with.
    false_alarms : tuple of Onset
        Estimated events that nothing was matched with.
    """

    hits: tuple[Hit, ...]
    misses: tuple[Onset, ...]
    false_alarms: tuple[Onset, ...]


@dataclass(frozen=True, slots=True)
class RecordingMatches:
    """What became of every event of a recording.

    Attributes
    ----------
    by_class : Mapping[str, ClassMatches]
        By class of the vocabulary, in its order; classes without events too.
    confused : tuple of Hit
        A miss and a false alarm of another class, within the tolerance; both are in `by_class` too.
    unscored_reference, unscored_estimate : tuple of Onset
        Events whose label has no class, `OT` among them.
    """

    by_class: Mapping[str, ClassMatches]
    confused: tuple[Hit, ...]
    unscored_reference: tuple[Onset, ...]
    unscored_estimate: tuple[Onset, ...]


@dataclass(frozen=True, slots=True)
class EventArrays:
    """Events of one side of a recording, sorted by class, then by time.

    Attributes
    ----------
    times_us : ndarray of int64, shape (n,)
        Whole microseconds.
    classes : ndarray of int64, shape (n,)
        Index of the class; -1 where the label has none, so these come first.
    starts : ndarray of int64, shape (n_classes + 1,)
        Where each class starts in the others; the last is n.
    order : ndarray of int64, shape (n,)
        Place of each event in the sequence that the arrays were made from.
    """

    times_us: Microseconds
    classes: Indices
    starts: Indices
    order: Indices

    def own(self, index: int) -> slice:
        """Where the events of a class are."""
        return slice(int(self.starts[index]), int(self.starts[index + 1]))


class ClassPairs(NamedTuple):
    """Matches of a class within a recording.

    Attributes
    ----------
    pairs : ndarray of int64, shape (k, 2)
        Places in the arrays of reference and estimate, of each pair within the first tolerance.
    sizes : ndarray of int64, shape (n_windows,)
        Pairs within each tolerance.
    """

    pairs: Indices
    sizes: Indices


def to_arrays(onsets: Sequence[Onset], classes: Classes) -> EventArrays:
    """Sort events by class and time.

    Parameters
    ----------
    onsets : sequence of Onset
        Events of one side of a recording, in any order.
    classes : Classes
        Classes to fold labels into.

    Returns
    -------
    EventArrays
        Their times and classes.
    """
    index = {label: position for position, label in enumerate(classes.labels)}
    of_label: dict[str, int] = {}
    for label in {onset.label for onset in onsets}:
        folded = classes.fold(label)
        of_label[label] = -1 if folded is None else index[folded]
    times_us = seconds_to_microseconds([onset.time_s for onset in onsets])
    kinds = np.array([of_label[onset.label] for onset in onsets], dtype=np.int64)
    order = np.lexsort((times_us, kinds))
    starts = np.searchsorted(kinds[order], np.arange(len(classes.labels) + 1))
    return EventArrays(times_us[order], kinds[order], starts, order)


def combine_onsets(onsets: Sequence[Onset], classes: Classes, combine_s: float) -> list[Onset]:
    """Make one of the events of a class that are close together.

    Parameters
    ----------
    onsets : sequence of Onset
        Events of the reference, in any order.
    classes : Classes
        Classes to fold labels into; events without a class stay.
    combine_s : float
        A group reaches so far from its first event, seconds, inclusive.

    Returns
    -------
    list of Onset
        The first event of each group, at the group's mean time and of its highest velocity.
    """
    arrays = to_arrays(onsets, classes)
    combined = [onsets[i] for i in arrays.order[: arrays.starts[0]]]
    for index in range(len(classes.labels)):
        own = [onsets[i] for i in arrays.order[arrays.own(index)]]
        for group in group_times(arrays.times_us[arrays.own(index)], combine_s):
            members = own[group]
            mean_us = round(sum(arrays.times_us[arrays.own(index)][group].tolist()) / len(members))
            loudest = max((onset.velocity or 0 for onset in members), default=0) or None
            time_s = mean_us / MICROSECONDS_PER_SECOND
            combined.append(replace(members[0], time_s=time_s, velocity=loudest))
    return combined


def match_classes(
    reference: EventArrays, estimate: EventArrays, windows_s: Sequence[float]
) -> list[ClassPairs]:
    """Match the events of each class.

    Parameters
    ----------
    reference, estimate : EventArrays
        Both sides of a recording, in the same classes.
    windows_s : sequence of float
        Tolerances, seconds, inclusive.

    Returns
    -------
    list of ClassPairs
        By class.
    """
    matched = []
    for index in range(len(reference.starts) - 1):
        own, other = reference.own(index), estimate.own(index)
        pairs, sizes = match_sweep(reference.times_us[own], estimate.times_us[other], windows_s)
        matched.append(ClassPairs(pairs + np.array([own.start, other.start]), sizes))
    return matched


def match_leftovers(
    reference: EventArrays,
    estimate: EventArrays,
    matched: Sequence[ClassPairs],
    window_s: float,
) -> tuple[Indices, Indices, Indices]:
    """Match what the classes left over, regardless of class: confusions.

    Parameters
    ----------
    reference, estimate : EventArrays
        Both sides of a recording.
    matched : sequence of ClassPairs
        As from `match_classes`.
    window_s : float
        Its first tolerance, seconds.

    Returns
    -------
    confused : ndarray of int64, shape (k, 2)
        Places of the pairs in the arrays, by time.
    misses, false_alarms : ndarray of int64
        Places of all events that their class left over, confused ones included.
    """
    pairs = np.concatenate([np.zeros((0, 2), dtype=np.int64), *(own.pairs for own in matched)])
    misses = _without(reference, pairs[:, 0])
    false_alarms = _without(estimate, pairs[:, 1])
    found = match_times(reference.times_us[misses], estimate.times_us[false_alarms], window_s)
    confused = np.stack([misses[found[:, 0]], false_alarms[found[:, 1]]], axis=1)
    return confused, misses, false_alarms


def _without(events: EventArrays, places: Indices) -> Indices:
    left = events.classes >= 0
    left[places] = False
    return np.flatnonzero(left)


def match_recording(
    reference: Sequence[Onset],
    estimate: Sequence[Onset],
    classes: Classes,
    settings: EvaluationSettings | None = None,
) -> RecordingMatches:
    """Say what became of every event of a recording, at the first tolerance.

    Parameters
    ----------
    reference, estimate : sequence of Onset
        Events of the recording, in any order.
    classes : Classes
        As from `choose_classes`.
    settings : EvaluationSettings, optional
        How to score.

    Returns
    -------
    RecordingMatches
        The same hits, misses, false alarms and confusions that `softloc.evaluation.evaluate`
        counts.
    """
    settings = settings or EvaluationSettings()
    window_s = settings.windows_s[0]
    if settings.combine_s:
        reference = combine_onsets(reference, classes, settings.combine_s)
    ours, theirs = to_arrays(reference, classes), to_arrays(estimate, classes)
    matched = match_classes(ours, theirs, (window_s,))
    confused, misses, false_alarms = match_leftovers(ours, theirs, matched, window_s)

    def hits(pairs: Indices) -> tuple[Hit, ...]:
        return tuple(Hit(reference[ours.order[i]], estimate[theirs.order[j]]) for i, j in pairs)

    by_class = {
        label: ClassMatches(
            hits(matched[index].pairs),
            tuple(reference[i] for i in ours.order[misses[ours.classes[misses] == index]]),
            tuple(
                estimate[j]
                for j in theirs.order[false_alarms[theirs.classes[false_alarms] == index]]
            ),
        )
        for index, label in enumerate(classes.labels)
    }
    return RecordingMatches(
        by_class,
        hits(confused),
        tuple(reference[i] for i in ours.order[: ours.starts[0]]),
        tuple(estimate[j] for j in theirs.order[: theirs.starts[0]]),
    )


def match_recordings(
    references: Events,
    estimates: Events,
    settings: EvaluationSettings | None = None,
    durations_s: Mapping[str, float] | None = None,
) -> Iterator[tuple[str, RecordingMatches]]:
    """Say what became of every event, recording by recording.

    Parameters
    ----------
    references, estimates, settings, durations_s
        As for `softloc.evaluation.evaluate`.

    Yields
    ------
    str
        Name of the recording.
    RecordingMatches
        Its hits, misses, false alarms and confusions.

    Raises
    ------
    AnnotationError, SettingsError
        As from `softloc.evaluation.evaluate`.
    """
    settings = settings or EvaluationSettings()
    check_names(references, estimates)
    classes = choose_classes(settings.classes, labels_of(references), labels_of(estimates))
    for name, reference, estimate in pairs_of_sides(references, estimates, durations_s):
        yield name, match_recording(reference, estimate, classes, settings)


def check_names(references: Events, estimates: Events) -> None:
    """Refuse estimates without a reference and reference events before the start.

    Parameters
    ----------
    references, estimates : Mapping[str, sequence of Onset]
        Events by recording.

    Raises
    ------
    AnnotationError
        If a reference time is negative.
    SettingsError
        If an estimate has no reference.
    """
    strangers = [name for name in estimates if name not in references]
    if strangers:
        raise SettingsError(f"no reference for the estimate of {', '.join(strangers)}")
    for name, onsets in references.items():
        for onset in onsets:
            if onset.time_s < 0:
                raise AnnotationError(
                    f"{name}: the reference has a {onset.label} at {onset.time_s:.6f} s, before "
                    "the start; were these labels perturbed without bounds?"
                )


def labels_of(events: Events) -> set[str]:
    """All labels of one side."""
    return {onset.label for onsets in events.values() for onset in onsets}


def pairs_of_sides(
    references: Events, estimates: Events, durations_s: Mapping[str, float] | None
) -> Iterator[tuple[str, Sequence[Onset], Sequence[Onset]]]:
    """Both sides of each recording, without what lies beyond their common duration.

    Parameters
    ----------
    references, estimates, durations_s
        As for `softloc.evaluation.evaluate`.

    Yields
    ------
    str
        Name of the recording.
    sequence of Onset
        Its reference events.
    sequence of Onset
        Its estimated events; none where the estimate is missing.
    """
    for name, reference in references.items():
        estimate = estimates.get(name, ())
        if durations_s is not None and name in durations_s:
            end_s = durations_s[name]
            yield name, _before(reference, end_s), _before(estimate, end_s)
        else:
            yield name, reference, estimate


def _before(onsets: Sequence[Onset], end_s: float) -> list[Onset]:
    return [onset for onset in onsets if onset.time_s <= end_s]
