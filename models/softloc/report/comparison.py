"""Each event of a recording with the verdict on it: what a report lists.

Conventions
-----------
- The verdicts are those that the scores count (`softloc.evaluation.match_recordings`), combined
  references and left out ends included, so that a page and the printed table say the same.
- A pair is one item at the time of its reference; its error is estimate minus reference, positive
  is late. Items are sorted by time, then by class.
- Times are whole microseconds, as in the scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from softloc.evaluation import (
    ClassMatches,
    Counts,
    EvaluationSettings,
    RecordingMatches,
    match_recordings,
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


def sum_summaries(summaries: Sequence[ClassSummary]) -> ClassSummary:
    """Count the items of several recordings together, as if they were one.

    Parameters
    ----------
    summaries : sequence of ClassSummary
        Of each.

    Returns
    -------
    ClassSummary
        Summed counts; bias and spread of all their hits.
    """
    counts = sum((summary.counts for summary in summaries), Counts())
    timed = [summary for summary in summaries if summary.counts.tp]
    if not timed:
        return ClassSummary(counts, None, None)
    n_hits = [summary.counts.tp for summary in timed]
    biases_ms = np.array([summary.bias_ms for summary in timed], dtype=np.float64)
    sigmas_ms = np.array([summary.sigma_ms for summary in timed], dtype=np.float64)
    bias_ms = float(np.average(biases_ms, weights=n_hits))
    variance = np.average(sigmas_ms**2 + (biases_ms - bias_ms) ** 2, weights=n_hits)
    return ClassSummary(counts, bias_ms, float(np.sqrt(variance)))


def list_matches(matches: RecordingMatches, tolerance_s: float) -> Comparison:
    """List the verdicts on one recording.

    Parameters
    ----------
    matches : RecordingMatches
        Its hits, misses and false alarms (`softloc.evaluation.match_recording`).
    tolerance_s : float
        Within which an estimate is a hit, seconds.

    Returns
    -------
    Comparison
        They as items. Classes that neither side has are left out.
    """
    items = [
        item for label, own in matches.by_class.items() for item in _items_of_class(label, own)
    ]
    present = {item.label for item in items}
    unscored = Counter(
        onset.label for onset in (*matches.unscored_reference, *matches.unscored_estimate)
    )
    return Comparison(
        classes=tuple(label for label in matches.by_class if label in present),
        items=_sorted(items),
        tolerance_s=tolerance_s,
        unscored=dict(sorted(unscored.items())),
    )


def compare_recordings(
    references: Mapping[str, Sequence[Onset]],
    estimates: Mapping[str, Sequence[Onset]],
    settings: EvaluationSettings,
    durations_s: Mapping[str, float] | None = None,
) -> Iterator[tuple[str, Comparison]]:
    """Say what became of every event, recording by recording, as the scores count them.

    Parameters
    ----------
    references, estimates : Mapping[str, sequence of Onset]
        Events by recording, as `softloc.evaluation.evaluate` takes them.
    settings : EvaluationSettings
        How they are scored; the first tolerance decides what is a hit.
    durations_s : mapping, optional
        As for `softloc.evaluation.evaluate`: later events of both sides are left out.

    Yields
    ------
    str
        Name of the recording.
    Comparison
        Its items.

    Raises
    ------
    AnnotationError, SettingsError
        As from `softloc.evaluation.evaluate`.
    """
    for name, matches in match_recordings(references, estimates, settings, durations_s):
        yield name, list_matches(matches, settings.windows_s[0])


def list_events(onsets: Iterable[Onset]) -> Comparison:
    """List the events of a transcription, which nothing is compared with."""
    items = [
        Item(onset.label, Verdict.EVENT, estimate_us=_time_us(onset), estimate=onset)
        for onset in onsets
    ]
    labels = sorted({item.label for item in items}, key=label_order)
    return Comparison(tuple(labels), _sorted(items))


def _items_of_class(label: str, matches: ClassMatches) -> Iterator[Item]:
    for reference, estimate in matches.hits:
        yield Item(label, Verdict.HIT, _time_us(reference), _time_us(estimate), estimate)
    for reference in matches.misses:
        yield Item(label, Verdict.MISS, _time_us(reference))
    for estimate in matches.false_alarms:
        yield Item(label, Verdict.FALSE_ALARM, None, _time_us(estimate), estimate)


def _sorted(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: (item.time_us, item.label)))


def _time_us(onset: Onset) -> int:
    return int(seconds_to_microseconds(onset.time_s))
