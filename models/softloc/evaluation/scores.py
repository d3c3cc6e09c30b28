"""Scores of estimated events against reference events.

Conventions
-----------
- Reference before estimate. Times in seconds; timing errors in ms, estimate minus reference, so
  positive is late.
- Times are rounded to whole microseconds, so a distance of exactly the tolerance is a hit and one
  of a microsecond more is not.
- A class that neither side has is undefined and excluded from means
  (`EvaluationSettings.both_empty`); where only one side has it, the undefined one of precision and
  recall counts as 0, as in mir_eval.
- ``total`` sums the counts of all classes and recordings (micro); ``class_means`` averages
  precision, recall and F over classes (macro); ``file_means`` averages those of each recording's
  summed counts.
- The row ``any`` ignores labels, `OT` included; events within 30 ms are merged to their mean first,
  on both sides.
- Timing errors are conditional on matching: of the pairs within the first window, 50 ms. Where
  several maximum matchings exist (flams), it is the one of least total distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softloc.evaluation.classes import Classes, choose_classes
from softloc.evaluation.confusion import Confusion, count_confusions
from softloc.evaluation.counts import Counts, Ratios, count_ratios
from softloc.evaluation.matching import match_sweep, merge_times
from softloc.evaluation.recordings import (
    ClassPairs,
    EventArrays,
    Events,
    check_names,
    combine_onsets,
    labels_of,
    match_classes,
    pairs_of_sides,
    to_arrays,
)
from softloc.evaluation.settings import BothEmpty, EvaluationSettings
from softloc.evaluation.timing import TimingError, timing_error
from softloc.evaluation.velocity import VelocityScore, pair_velocities, score_velocities
from softloc.events import Onset

#: How the counts behind a row of the table were averaged.
Averaging = Literal["class", "micro", "labels ignored", "macro", "files"]


@dataclass(frozen=True, slots=True)
class RowScore:
    """A row of counts: a class, the sum of all, or ``any``.

    Attributes
    ----------
    counts : Mapping[float, Counts]
        By tolerance in seconds.
    timing : TimingError or None
        At the first tolerance; None without pairs.
    """

    counts: Mapping[float, Counts]
    timing: TimingError | None


class TableRow(NamedTuple):
    """A row of the table of scores.

    Attributes
    ----------
    name : str
        What to call it.
    averaging : str
        ``class``, ``micro`` (counts summed over classes and recordings), ``labels ignored``,
        ``macro`` (mean over classes) or ``files`` (mean over recordings).
    ratios : Mapping[float, Ratios or None]
        By tolerance in seconds.
    score : RowScore or None
        Its counts; None for a mean.
    """

    name: str
    averaging: Averaging
    ratios: Mapping[float, Ratios | None]
    score: RowScore | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a set of recordings.

    Attributes
    ----------
    settings : EvaluationSettings
        How they were made.
    vocabulary : str
        Name of the vocabulary that was settled on.
    recordings : tuple of str
        Names of the recordings of the reference.
    per_class : Mapping[str, RowScore]
        By class, in the order of the vocabulary.
    any : RowScore
        Labels ignored.
    total : RowScore
        All classes and recordings summed (micro).
    class_means, file_means : Mapping[float, Ratios or None]
        Means over classes (macro) and over recordings, by tolerance; None where all is undefined.
    confusion : Confusion
        Which class was taken for which.
    velocity : VelocityScore or None
        Errors of velocities; None where no matched pair has them on both sides.
    unscored_reference, unscored_estimate : Mapping[str, int]
        Events left out because their label has no class, by label.
    aligned : Evaluation or None
        The same after the estimates were moved by `offset_ms`; only on request.
    offset_ms : float
        What was taken off the times of the estimates.
    file_counts : ndarray of int32, shape (n_files, n_classes + 1, n_windows, 3)
        TP, FP, FN of each recording by class, and of ``any`` last.
    """

    settings: EvaluationSettings
    vocabulary: str
    recordings: tuple[str, ...]
    per_class: Mapping[str, RowScore]
    any: RowScore
    total: RowScore
    class_means: Mapping[float, Ratios | None]
    file_means: Mapping[float, Ratios | None]
    confusion: Confusion
    velocity: VelocityScore | None
    unscored_reference: Mapping[str, int]
    unscored_estimate: Mapping[str, int]
    aligned: Evaluation | None
    offset_ms: float
    file_counts: NDArray[np.int32] = field(compare=False, repr=False)

    @property
    def n_files(self) -> int:
        """Recordings of the reference."""
        return len(self.recordings)

    @property
    def headline_s(self) -> float:
        """First tolerance, seconds."""
        return self.settings.windows_s[0]

    def table(self) -> list[TableRow]:
        """List the rows: the classes, their sum, ``any``, and both means."""
        named: list[tuple[str, Averaging, RowScore]] = [
            *((label, "class", row) for label, row in self.per_class.items()),
            ("sum", "micro", self.total),
            ("any", "labels ignored", self.any),
        ]
        both_empty = self.settings.both_empty
        rows = [
            TableRow(name, averaging, _ratios_by_window(row, both_empty), row)
            for name, averaging, row in named
        ]
        return [
            *rows,
            TableRow("mean over classes", "macro", self.class_means, None),
            TableRow("mean over files", "files", self.file_means, None),
        ]


def evaluate(
    references: Events,
    estimates: Events,
    settings: EvaluationSettings | None = None,
    durations_s: Mapping[str, float] | None = None,
    on_recording: Callable[[], None] | None = None,
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
    on_recording : callable, optional
        Called after each recording, and again when it is scored without the offset.

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
    check_names(references, estimates)
    classes = choose_classes(settings.classes, labels_of(references), labels_of(estimates))
    sides = partial(pairs_of_sides, references, estimates, durations_s)
    tally = partial(_Tally, settings, classes, tuple(references), on_recording)
    raw = tally(0).score(sides())
    if settings.align_offset == "none" or raw.total.timing is None:
        return raw
    offset_us = round(raw.total.timing.median_ms * 1000)
    return replace(raw, aligned=tally(offset_us).score(sides()), offset_ms=offset_us / 1000)


class _Tally:
    """Running counts and errors; what it keeps of a recording is its counts and its pairs."""

    def __init__(
        self,
        settings: EvaluationSettings,
        classes: Classes,
        names: tuple[str, ...],
        on_recording: Callable[[], None] | None,
        offset_us: int,
    ) -> None:
        n_classes = len(classes.labels)
        self.settings, self.classes, self.offset_us = settings, classes, offset_us
        self.names, self.on_recording = names, on_recording
        self.n_done = 0
        self.file_counts = np.zeros(
            (len(names), n_classes + 1, len(settings.windows_s), 3), dtype=np.int32
        )
        self.errors_us: list[list[NDArray[np.int64]]] = [[] for _ in range(n_classes + 1)]
        self.velocities: list[list[NDArray[np.int64]]] = [[] for _ in range(n_classes)]
        self.reference_range: list[int] = []
        self.confusions = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
        self.unscored: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def score(self, sides: Iterable[tuple[str, Sequence[Onset], Sequence[Onset]]]) -> Evaluation:
        for _, reference, estimate in sides:
            self._add(reference, estimate)
            if self.on_recording is not None:
                self.on_recording()
        return self._finish()

    def _add(self, reference: Sequence[Onset], estimate: Sequence[Onset]) -> None:
        settings, classes = self.settings, self.classes
        if settings.combine_s:
            reference = combine_onsets(reference, classes, settings.combine_s)
        ours, theirs = to_arrays(reference, classes), to_arrays(estimate, classes)
        theirs = replace(theirs, times_us=theirs.times_us - self.offset_us)
        matched = match_classes(ours, theirs, settings.windows_s)
        for index, own in enumerate(matched):
            sizes = (ours.own(index), theirs.own(index))
            self._count(index, own.sizes, *(own.stop - own.start for own in sizes))
            self._keep_errors(index, ours.times_us, theirs.times_us, own.pairs)
        self._add_any(ours.times_us, theirs.times_us)
        self.confusions += count_confusions(ours, theirs, matched, settings.windows_s[0])
        self._keep_velocities((reference, ours), (estimate, theirs), matched)
        for counts, onsets, side in zip(
            self.unscored, (reference, estimate), (ours, theirs), strict=True
        ):
            for place in side.order[: side.starts[0]]:
                label = onsets[place].label
                counts[label] = counts.get(label, 0) + 1
        self.n_done += 1

    def _add_any(self, reference_us: NDArray[np.int64], estimate_us: NDArray[np.int64]) -> None:
        own = merge_times(reference_us, self.settings.merge_s)
        other = merge_times(estimate_us, self.settings.merge_s)
        pairs, found = match_sweep(own, other, self.settings.windows_s)
        self._count(-1, found, len(own), len(other))
        self._keep_errors(-1, own, other, pairs)

    def _count(
        self, index: int, found: NDArray[np.int64], n_reference: int, n_estimate: int
    ) -> None:
        columns = (found, n_estimate - found, n_reference - found)
        self.file_counts[self.n_done, index] = np.stack(columns, axis=-1)

    def _keep_errors(
        self,
        index: int,
        reference_us: NDArray[np.int64],
        estimate_us: NDArray[np.int64],
        pairs: NDArray[np.int64],
    ) -> None:
        self.errors_us[index].append(estimate_us[pairs[:, 1]] - reference_us[pairs[:, 0]])

    def _keep_velocities(
        self,
        reference: tuple[Sequence[Onset], EventArrays],
        estimate: tuple[Sequence[Onset], EventArrays],
        matched: Sequence[ClassPairs],
    ) -> None:
        onsets, arrays = reference
        scored = arrays.order[arrays.starts[0] :].tolist()
        known = [onsets[place].velocity for place in scored]
        heard = [velocity for velocity in known if velocity is not None]
        if not heard:
            return
        self.reference_range = [
            min(heard + self.reference_range), max(heard + self.reference_range)
        ]  # fmt: skip
        for kept, own in zip(self.velocities, matched, strict=True):
            ours, theirs = (
                [side[place].velocity or 0 for place in places.order[column].tolist()]
                for (side, places), column in zip((reference, estimate), own.pairs.T, strict=True)
            )
            kept.append(pair_velocities(ours, theirs))

    def _finish(self) -> Evaluation:
        settings, labels = self.settings, self.classes.labels
        summed = self.file_counts.sum(axis=0, dtype=np.int64)
        # By tolerance: of each class and of each recording, precision, recall, F.
        of_classes = count_ratios(summed[:-1], settings.both_empty)
        of_files = count_ratios(
            self.file_counts[:, :-1].sum(axis=1, dtype=np.int64), settings.both_empty
        )
        errors = [np.concatenate([np.zeros(0, np.int64), *own]) for own in self.errors_us]
        rows = [self._row(counts, own) for counts, own in zip(summed, errors, strict=True)]
        per_class = dict(zip(labels, rows, strict=False))
        return Evaluation(
            settings=settings,
            vocabulary=self.classes.name,
            recordings=self.names,
            per_class=per_class,
            any=rows[-1],
            total=self._row(
                summed[:-1].sum(axis=0), np.concatenate([errors[-1][:0], *errors[:-1]])
            ),
            class_means=self._means(of_classes),
            file_means=self._means(of_files),
            confusion=Confusion(labels, tuple(map(tuple, self.confusions.tolist()))),
            velocity=self._velocity(per_class),
            unscored_reference=dict(sorted(self.unscored[0].items())),
            unscored_estimate=dict(sorted(self.unscored[1].items())),
            aligned=None,
            offset_ms=self.offset_us / 1000,
            file_counts=self.file_counts,
        )

    def _row(self, counts: NDArray[np.int64], errors_us: NDArray[np.int64]) -> RowScore:
        by_window = zip(self.settings.windows_s, counts.tolist(), strict=True)
        return RowScore({w: Counts(*own) for w, own in by_window}, timing_error(errors_us))

    def _means(self, ratios: NDArray[np.float64]) -> dict[float, Ratios | None]:
        """Means over the first axis, by tolerance (the second), of what is defined."""
        means: dict[float, Ratios | None] = {}
        for window_s, own in zip(self.settings.windows_s, np.moveaxis(ratios, 1, 0), strict=True):
            defined = own[~np.isnan(own[:, 2])]
            means[window_s] = Ratios(*defined.mean(axis=0).tolist()) if len(defined) else None
        return means

    def _velocity(self, per_class: Mapping[str, RowScore]) -> VelocityScore | None:
        if not self.reference_range:
            return None
        headline_s = self.settings.windows_s[0]
        pairs = {
            label: np.concatenate([np.zeros((0, 2), np.int64), *kept])
            for label, kept in zip(per_class, self.velocities, strict=True)
        }
        found = {label: row.counts[headline_s] for label, row in per_class.items()}
        low, high = self.reference_range
        return score_velocities(pairs, found, (low, high))


def _ratios_by_window(row: RowScore, both_empty: BothEmpty) -> dict[float, Ratios | None]:
    return {window_s: counts.ratios_where(both_empty) for window_s, counts in row.counts.items()}
