"""Scores of estimated events against reference events.

Conventions
-----------
- Reference before estimate. Times in seconds; timing errors in ms, estimate minus reference, so
  positive is late.
- A class that neither side has is undefined and excluded from means; where only one side has it,
  the undefined one of precision and recall counts as 0, as in mir_eval.
- ``total`` sums the counts of all classes and recordings (micro); ``class_means`` averages
  precision, recall and F over classes (macro); ``file_means`` averages those of each recording's
  summed counts.
- The row ``any`` ignores labels, `OT` included; events within 30 ms are merged to their mean first,
  on both sides.
- Timing errors are conditional on matching: of the pairs within the first window, 50 ms. Where
  several maximum matchings exist (flams), it is the one of least total distance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from softloc.errors import AnnotationError, SettingsError
from softloc.evaluation.classes import Classes, choose_classes
from softloc.evaluation.matching import Microseconds, match_times, merge_times
from softloc.events import Onset
from softloc.timebase import seconds_to_microseconds

Events = Mapping[str, Sequence[Onset]]


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How to score.

    Attributes
    ----------
    classes : str
        ``auto``, ``3``, ``5``, ``8``, ``9`` or names separated by commas.
    windows_s : tuple of float
        Tolerances to either side, seconds. The first is the headline, which timing errors and
        means refer to.
    merge_s : float
        Events this close are one in the row ``any``, seconds.

    Raises
    ------
    SettingsError
        If a tolerance is not positive.
    """

    classes: str = "auto"
    windows_s: tuple[float, ...] = (0.050, 0.030, 0.025, 0.020, 0.010, 0.005)
    merge_s: float = 0.030

    def __post_init__(self) -> None:
        if not self.windows_s or not all(window_s > 0 for window_s in self.windows_s):
            raise SettingsError(f"tolerances must be positive, not {self.windows_s}")
        if not self.merge_s >= 0:
            raise SettingsError(f"events cannot be merged within {self.merge_s} s")


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


@dataclass(frozen=True, slots=True)
class TimingError:
    """Signed error of matched pairs in ms, positive = late.

    Attributes
    ----------
    n_pairs : int
        Pairs it is taken from.
    bias_ms, median_ms, sigma_ms, mad_ms : float
        Mean, median, standard deviation, and median distance from the median.
    p05_ms, p95_ms : float
        5 % and 95 % quantiles.
    """

    n_pairs: int
    bias_ms: float
    median_ms: float
    sigma_ms: float
    mad_ms: float
    p05_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class RowScore:
    """A row of the table: a class, the sum of all, or ``any``.

    Attributes
    ----------
    counts : Mapping[float, Counts]
        By tolerance in seconds.
    timing : TimingError or None
        At the first tolerance; None without pairs.
    """

    counts: Mapping[float, Counts]
    timing: TimingError | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a set of recordings.

    Attributes
    ----------
    settings : EvaluationSettings
        How they were made.
    vocabulary : str
        Name of the vocabulary that was settled on.
    n_files : int
        Recordings of the reference.
    per_class : Mapping[str, RowScore]
        By class, in the order of the vocabulary.
    any : RowScore
        Labels ignored.
    total : RowScore
        All classes and recordings summed (micro).
    class_means, file_means : Mapping[float, Ratios or None]
        Means over classes (macro) and over recordings, by tolerance; None where all is undefined.
    unscored_reference, unscored_estimate : Mapping[str, int]
        Events left out because their label has no class, by label.
    """

    settings: EvaluationSettings
    vocabulary: str
    n_files: int
    per_class: Mapping[str, RowScore]
    any: RowScore
    total: RowScore
    class_means: Mapping[float, Ratios | None]
    file_means: Mapping[float, Ratios | None]
    unscored_reference: Mapping[str, int]
    unscored_estimate: Mapping[str, int]

    @property
    def headline_s(self) -> float:
        """First tolerance, seconds."""
        return self.settings.windows_s[0]


@dataclass(slots=True)
class _Tally:
    """Running counts and errors of one row."""

    counts: dict[float, Counts]
    errors_us: list[NDArray[np.int64]] = field(default_factory=list)

    @classmethod
    def empty(cls, windows_s: Iterable[float]) -> _Tally:
        return cls({window_s: Counts() for window_s in windows_s})

    def add(self, other: _Tally) -> None:
        for window_s, counts in other.counts.items():
            self.counts[window_s] += counts
        self.errors_us.extend(other.errors_us)

    def finish(self) -> RowScore:
        errors = np.concatenate([np.zeros(0, dtype=np.int64), *self.errors_us])
        return RowScore(self.counts, _timing_error(errors))


def evaluate(
    references: Events,
    estimates: Events,
    settings: EvaluationSettings | None = None,
    durations_s: Mapping[str, float] | None = None,
) -> Evaluation:
    """Score estimated events against reference events.

    Parameters
    ----------
    references : Mapping[str, sequence of Onset]
        Reference events by recording, of one annotator
        (`softloc.evaluation.select_annotator`): every event counts.
    estimates : Mapping[str, sequence of Onset]
        Estimated events under the same names; a recording that is missing counts as all missed.
    settings : EvaluationSettings, optional
        How to score.
    durations_s : mapping, optional
        Common length of reference and estimate in seconds, by recording: later events of both
        sides are left out. Without it nothing is.

    Returns
    -------
    Evaluation
        Counts, ratios and timing errors.

    Raises
    ------
    AnnotationError
        If a reference time is negative.
    SettingsError
        If an estimate has no reference, or the vocabulary does not know a label.
    """
    settings = settings or EvaluationSettings()
    _check_names(references, estimates)
    references = _trimmed(references, durations_s)
    estimates = _trimmed(estimates, durations_s)
    classes = choose_classes(settings.classes, _labels(references), _labels(estimates))
    rows = {label: _Tally.empty(settings.windows_s) for label in classes.labels}
    any_row = _Tally.empty(settings.windows_s)
    files = []
    for name, reference in references.items():
        estimate = estimates.get(name, ())
        file_row = _Tally.empty(settings.windows_s)
        for label, tally in _score_file(reference, estimate, classes, settings).items():
            rows[label].add(tally)
            file_row.add(tally)
        files.append(file_row)
        any_row.add(_score_any(reference, estimate, settings))
    return _summarise(references, estimates, settings, classes, (rows, files, any_row))


def _check_names(references: Events, estimates: Events) -> None:
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


def _trimmed(events: Events, durations_s: Mapping[str, float] | None) -> Events:
    if durations_s is None:
        return events
    return {
        name: [onset for onset in onsets if onset.time_s <= durations_s.get(name, np.inf)]
        for name, onsets in events.items()
    }


def _labels(events: Events) -> set[str]:
    return {onset.label for onsets in events.values() for onset in onsets}


def _times_us(onsets: Iterable[Onset]) -> Microseconds:
    return seconds_to_microseconds([onset.time_s for onset in onsets])


def _score_file(
    reference: Sequence[Onset],
    estimate: Sequence[Onset],
    classes: Classes,
    settings: EvaluationSettings,
) -> dict[str, _Tally]:
    reference_us = _times_by_class(reference, classes)
    estimate_us = _times_by_class(estimate, classes)
    return {
        label: _score_times(reference_us[label], estimate_us[label], settings.windows_s)
        for label in classes.labels
    }


def _times_by_class(onsets: Sequence[Onset], classes: Classes) -> dict[str, Microseconds]:
    class_of = {label: classes.fold(label) for label in {onset.label for onset in onsets}}
    members: dict[str, list[Onset]] = {label: [] for label in classes.labels}
    for onset in onsets:
        label = class_of[onset.label]
        if label is not None:
            members[label].append(onset)
    return {label: _times_us(own) for label, own in members.items()}


def _score_any(
    reference: Sequence[Onset], estimate: Sequence[Onset], settings: EvaluationSettings
) -> _Tally:
    return _score_times(
        merge_times(_times_us(reference), settings.merge_s),
        merge_times(_times_us(estimate), settings.merge_s),
        settings.windows_s,
    )


def _score_times(
    reference_us: Microseconds, estimate_us: Microseconds, windows_s: Sequence[float]
) -> _Tally:
    tally = _Tally({})
    for window_s in windows_s:
        pairs = match_times(reference_us, estimate_us, window_s)
        tp = len(pairs)
        tally.counts[window_s] = Counts(tp, len(estimate_us) - tp, len(reference_us) - tp)
        if window_s == windows_s[0]:
            tally.errors_us.append(estimate_us[pairs[:, 1]] - reference_us[pairs[:, 0]])
    return tally


def _timing_error(errors_us: NDArray[np.int64]) -> TimingError | None:
    if not errors_us.size:
        return None
    errors_ms = errors_us / 1000
    median_ms = float(np.median(errors_ms))
    p05_ms, p95_ms = np.percentile(errors_ms, [5, 95])
    return TimingError(
        n_pairs=int(errors_ms.size),
        bias_ms=float(errors_ms.mean()),
        median_ms=median_ms,
        sigma_ms=float(errors_ms.std()),
        mad_ms=float(np.median(np.abs(errors_ms - median_ms))),
        p05_ms=float(p05_ms),
        p95_ms=float(p95_ms),
    )


def _summarise(
    references: Events,
    estimates: Events,
    settings: EvaluationSettings,
    classes: Classes,
    tallies: tuple[Mapping[str, _Tally], Sequence[_Tally], _Tally],
) -> Evaluation:
    rows, files, any_row = tallies
    total = _Tally.empty(settings.windows_s)
    for row in rows.values():
        total.add(row)
    return Evaluation(
        settings=settings,
        vocabulary=classes.name,
        n_files=len(references),
        per_class={label: row.finish() for label, row in rows.items()},
        any=any_row.finish(),
        total=total.finish(),
        class_means=_means(list(rows.values()), settings.windows_s),
        file_means=_means(files, settings.windows_s),
        unscored_reference=_unscored(references, classes),
        unscored_estimate=_unscored(estimates, classes),
    )


def _means(tallies: Sequence[_Tally], windows_s: Sequence[float]) -> dict[float, Ratios | None]:
    means: dict[float, Ratios | None] = {}
    for window_s in windows_s:
        ratios = [tally.counts[window_s].ratios for tally in tallies]
        defined = [ratio for ratio in ratios if ratio is not None]
        means[window_s] = (
            Ratios(
                precision=float(np.mean([ratio.precision for ratio in defined])),
                recall=float(np.mean([ratio.recall for ratio in defined])),
                f_measure=float(np.mean([ratio.f_measure for ratio in defined])),
            )
            if defined
            else None
        )
    return means


def _unscored(events: Events, classes: Classes) -> dict[str, int]:
    counts: dict[str, int] = {}
    for onsets in events.values():
        for onset in onsets:
            if classes.fold(onset.label) is None:
                counts[onset.label] = counts.get(onset.label, 0) + 1
    return dict(sorted(counts.items()))
