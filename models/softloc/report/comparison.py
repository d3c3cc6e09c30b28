"""Each event of a recording with the verdict on it: what a report lists.

Conventions
-----------
- Estimates are matched to references class by class, with the matcher and the tolerance of the
  scores (`softloc.evaluation`), so that a page and the printed table count the same.
- A pair is one item at the time of its reference; its error is estimate minus reference, positive
  is late. Items are sorted by time, then by class.
- Times are whole microseconds, as in the scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from softloc.evaluation import (
    Classes,
    Counts,
    EvaluationSettings,
    choose_classes,
    match_times,
)
from softloc.events import Onset
from softloc.timebase import seconds_to_microseconds
from softloc.vocabulary import label_order


class Verdict(StrEnum):
    """What an item is."""

    HIT = "hit"
    MISS = "miss"
    FALSE_ALARM = "false alarm"
    EVENT = "event"  # no reference to compare with


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a report.

    Attributes
    ----------
    label : str
        Class.
    verdict : Verdict
        What became of it.
    reference_us, estimate_us : int or None
        Times in microseconds; None on the side that has no such event.
    estimate : Onset or None
        The estimated event, for its confidence and velocity.
    """

    label: str
    verdict: Verdict
    reference_us: int | None = None
    estimate_us: int | None = None
    estimate: Onset | None = None

    @property
    def time_us(self) -> int:
        """Where it is shown: the time of the reference, else that of the estimate."""
        time_us = self.estimate_us if self.reference_us is None else self.reference_us
        assert time_us is not None  # noqa: S101 - an item has at least one side
        return time_us

    @property
    def error_us(self) -> int | None:
        """Estimate minus reference of a hit, positive is late."""
        if self.reference_us is None or self.estimate_us is None:
            return None
        return self.estimate_us - self.reference_us


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """Counts of one class, or of all together.

    Attributes
    ----------
    counts : Counts
        Hits, false alarms, misses.
    bias_ms, sigma_ms : float or None
        Mean and standard deviation of the hits' errors; None without hits.
    """

    counts: Counts
    bias_ms: float | None
    sigma_ms: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All events of a recording.

    Attributes
    ----------
    classes : tuple of str
        Classes, in the order of their lanes.
    items : tuple of Item
        Sorted by time.
    tolerance_s : float or None
        Within which an estimate is a hit; None where there is no reference.
    unscored : Mapping[str, int]
        Events left out because their label has no class, by label.
    """

    classes: tuple[str, ...]
    items: tuple[Item, ...]
    tolerance_s: float | None = None
    unscored: Mapping[str, int] | None = None

    @property
    def has_reference(self) -> bool:
        """Whether there is something to compare with."""
        return self.tolerance_s is not None

    def summarise(self, label: str | None = None) -> ClassSummary:
        """Count the items of a class, or of all classes."""
        own = [item for item in self.items if label in (None, item.label)]
        verdicts = [item.verdict for item in own]
        errors_ms = np.array([item.error_us for item in own if item.error_us is not None]) / 1000
        return ClassSummary(
            Counts(
                tp=verdicts.count(Verdict.HIT),
                fp=verdicts.count(Verdict.FALSE_ALARM),
                fn=verdicts.count(Verdict.MISS),
            ),
            bias_ms=float(errors_ms.mean()) if errors_ms.size else None,
            sigma_ms=float(errors_ms.std()) if errors_ms.size else None,
        )


def compare_events(
    reference: Sequence[Onset], estimate: Sequence[Onset], classes: Classes, tolerance_s: float
) -> Comparison:
    """Pair the events of one recording.

    Parameters
    ----------
    reference, estimate : sequence of Onset
        Events of both sides.
    classes : Classes
        What is scored (`softloc.evaluation.choose_classes`).
    tolerance_s : float
        To either side, seconds, inclusive.

    Returns
    -------
    Comparison
        Hits, misses and false alarms. Classes that neither side has are left out.
    """
    references, estimates = _by_class(reference, classes), _by_class(estimate, classes)
    items: list[Item] = []
    for label in classes.labels:
        items.extend(_pair(label, references[label], estimates[label], tolerance_s))
    present = {item.label for item in items}
    unscored: dict[str, int] = {}
    for onset in (*reference, *estimate):
        if classes.fold(onset.label) is None:
            unscored[onset.label] = unscored.get(onset.label, 0) + 1
    return Comparison(
        classes=tuple(label for label in classes.labels if label in present),
        items=_sorted(items),
        tolerance_s=tolerance_s,
        unscored=dict(sorted(unscored.items())),
    )


def compare_recordings(
    references: Mapping[str, Sequence[Onset]],
    estimates: Mapping[str, Sequence[Onset]],
    settings: EvaluationSettings,
) -> Iterator[tuple[str, Comparison]]:
    """Pair the events of each recording, in the classes and the tolerance of the scores.

    Parameters
    ----------
    references, estimates : Mapping[str, sequence of Onset]
        Events by recording, as `softloc.evaluation.evaluate` takes them.
    settings : EvaluationSettings
        How they are scored; the first tolerance decides what is a hit.

    Yields
    ------
    str
        Name of the recording.
    Comparison
        Its items.

    Raises
    ------
    SettingsError
        If the vocabulary does not know a label.
    """
    labels = [
        {onset.label for onsets in side.values() for onset in onsets}
        for side in (references, estimates)
    ]
    classes = choose_classes(settings.classes, *labels)
    for name, reference in references.items():
        estimate = estimates.get(name, ())
        yield name, compare_events(reference, estimate, classes, settings.windows_s[0])


def list_events(onsets: Iterable[Onset]) -> Comparison:
    """List the events of a transcription, which nothing is compared with."""
    items = [
        Item(onset.label, Verdict.EVENT, estimate_us=_time_us(onset), estimate=onset)
        for onset in onsets
    ]
    labels = sorted({item.label for item in items}, key=label_order)
    return Comparison(tuple(labels), _sorted(items))


def _by_class(onsets: Iterable[Onset], classes: Classes) -> dict[str, list[Onset]]:
    members: dict[str, list[Onset]] = {label: [] for label in classes.labels}
    for onset in onsets:
        label = classes.fold(onset.label)
        if label is not None:
            members[label].append(onset)
    return members


def _pair(
    label: str, reference: Sequence[Onset], estimate: Sequence[Onset], tolerance_s: float
) -> Iterator[Item]:
    reference_us = seconds_to_microseconds([onset.time_s for onset in reference])
    estimate_us = seconds_to_microseconds([onset.time_s for onset in estimate])
    partner = dict(match_times(reference_us, estimate_us, tolerance_s).tolist())
    for i, time_us in enumerate(reference_us.tolist()):
        if i in partner:
            j = partner[i]
            yield Item(label, Verdict.HIT, time_us, int(estimate_us[j]), estimate[j])
        else:
            yield Item(label, Verdict.MISS, time_us)
    matched = set(partner.values())
    for j, onset in enumerate(estimate):
        if j not in matched:
            yield Item(label, Verdict.FALSE_ALARM, None, int(estimate_us[j]), onset)


def _sorted(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: (item.time_us, item.label)))


def _time_us(onset: Onset) -> int:
    return int(seconds_to_microseconds(onset.time_s))
