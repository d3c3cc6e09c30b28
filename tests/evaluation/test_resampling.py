"""Intervals and paired differences: a slow literal version, limits, coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from softloc.errors import SettingsError
from softloc.evaluation import (
    BootstrapSettings,
    Counts,
    Evaluation,
    EvaluationSettings,
    bootstrap,
    evaluate,
    resample_f,
)
from softloc.evaluation.counts import count_ratios
from softloc.evaluation.settings import BothEmpty
from softloc.events import Onset

CLASSES = ("KD", "SD", "HH")
EVERYTHING = EvaluationSettings(classes="KD,SD,HH", windows_s=(0.05, 0.01))


def recordings(rng: np.random.Generator, n_files: int, spread_s: float) -> tuple[
    dict[str, list[Onset]], dict[str, list[Onset]]
]:  # fmt: skip
    """Reference and estimate: jittered, some missed, some spurious; hats in one recording only."""
    references, estimates = {}, {}
    for number in range(n_files):
        labels = CLASSES if number == 2 else CLASSES[:2]
        events = [
            Onset(0.5 * step + 1, labels[int(rng.integers(len(labels)))])
            for step in range(int(rng.integers(3, 30)))
        ]
        heard = [
            Onset(event.time_s + rng.normal(0, spread_s), event.label)
            for event in events
            if rng.random() < 0.8
        ]
        references[str(number)] = events
        estimates[str(number)] = [*heard, Onset(99.0, "SD")] if number % 2 else heard
    return references, estimates


def literal_f(evaluation: Evaluation, drawn: Sequence[int], window: int) -> list[float]:
    """F of every row, from recordings drawn one by one."""
    counts = [
        [Counts(*row[window].tolist()) for row in evaluation.file_counts[number]]
        for number in drawn
    ]

    def f_measure(own: Counts) -> float:
        ratios = own.ratios_where(evaluation.settings.both_empty)
        return np.nan if ratios is None else ratios.f_measure

    rows = [sum(column, Counts()) for column in zip(*counts, strict=True)]
    classes = [f_measure(row) for row in rows[:-1]]
    files = [f_measure(sum(row[:-1], Counts())) for row in counts]
    return [
        *classes,
        f_measure(sum(rows[:-1], Counts())),
        f_measure(rows[-1]),
        float(np.mean([f for f in classes if not np.isnan(f)] or [np.nan])),
        float(np.mean([f for f in files if not np.isnan(f)] or [np.nan])),
    ]


@pytest.mark.parametrize("both_empty", ["skip", "zero", "one"])
def test_resamples_equal_the_slow_literal_version(
    both_empty: BothEmpty, rng: np.random.Generator
) -> None:
    references, estimates = recordings(rng, 7, 0.015)
    references["silent"] = []
    settings = EvaluationSettings("KD,SD,HH", (0.05, 0.01), both_empty=both_empty)
    evaluation = evaluate(references, estimates, settings)
    draws = BootstrapSettings(n_resamples=40, seed=3)
    samples = resample_f(evaluation.file_counts, draws, both_empty)
    weights = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=40)
    for sample, weight in zip(samples, weights, strict=True):
        drawn = [number for number, times in enumerate(weight) for _ in range(times)]
        for window in (0, 1):
            expected = literal_f(evaluation, drawn, window)
            np.testing.assert_allclose(sample[:, window], expected, rtol=1e-12)
    assert np.isnan(samples).any() == (both_empty == "skip")


def test_all_recordings_once_give_the_scores(rng: np.random.Generator) -> None:
    evaluation = evaluate(*recordings(rng, 6, 0.015), EVERYTHING)
    for window, window_s in enumerate(EVERYTHING.windows_s):
        shown = [row.ratios[window_s] for row in evaluation.table()]
        expected = literal_f(evaluation, range(6), window)
        assert [ratios.f_measure for ratios in shown if ratios] == pytest.approx(expected)


def test_intervals_are_percentiles_of_what_is_defined(rng: np.random.Generator) -> None:
    references, estimates = recordings(rng, 6, 0.015)
    references["4"].append(Onset(98.0, "HH"))
    evaluation = evaluate(references, estimates, EVERYTHING)
    settings = BootstrapSettings(n_resamples=300, seed=1, level=0.9)
    samples = resample_f(evaluation.file_counts, settings)
    (found,) = bootstrap([evaluation], settings)
    assert found.differences is None
    assert np.isnan(samples[:, 2]).any()  # the two recordings with hats are not always drawn
    for row, intervals in enumerate(found.intervals):
        for window, window_s in enumerate(EVERYTHING.windows_s):
            ends = np.nanquantile(samples[:, row, window], [0.05, 0.95])
            assert intervals[window_s] == pytest.approx(tuple(ends))


def test_the_seed_decides(rng: np.random.Generator) -> None:
    evaluation = evaluate(*recordings(rng, 6, 0.015), EVERYTHING)
    runs = [bootstrap([evaluation], BootstrapSettings(100, seed)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_drawing_in_portions_changes_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = evaluate(*recordings(rng, 6, 0.015), EVERYTHING).file_counts
    whole = resample_f(counts, BootstrapSettings(50))
    monkeypatch.setattr("softloc.evaluation.resampling._DRAWN_AT_ONCE", 6 * 7)
    np.testing.assert_array_equal(resample_f(counts, BootstrapSettings(50)), whole)


def test_alike_recordings_leave_no_doubt_and_single_ones_no_interval() -> None:
    events = {name: [Onset(1.0, "KD"), Onset(2.0, "SD")] for name in "abc"}
    heard = {name: [Onset(1.0, "KD")] for name in "abc"}
    (found,) = bootstrap([evaluate(events, heard, EVERYTHING)])
    kick, snare, hats, total, *_ = (row[0.05] for row in found.intervals)
    assert (kick, snare, hats, total) == ((1, 1), (0, 0), None, pytest.approx((2 / 3, 2 / 3)))
    (alone,) = bootstrap([evaluate({"a": events["a"]}, {"a": heard["a"]}, EVERYTHING)])
    assert {interval for row in alone.intervals for interval in row.values()} == {None}
    (nothing,) = bootstrap([evaluate({}, {}, EVERYTHING)])
    assert {interval for row in nothing.intervals for interval in row.values()} == {None}


def test_rows_of_a_single_recording_have_no_interval() -> None:
    events = {name: [Onset(1.0, "KD"), Onset(2.0, "KD")] for name in "abc"}
    events["a"] += [Onset(3.0, "HH"), Onset(4.0, "HH")]
    heard = {"a": [Onset(1.0, "KD"), Onset(3.0, "HH")], "b": events["b"]}
    (found,) = bootstrap([evaluate(events, heard, EVERYTHING)])
    kick, snare, hats, *others = (row[0.05] for row in found.intervals)
    assert (snare, hats) == (None, None)
    assert all(
        interval is not None and interval.low < interval.high for interval in (kick, *others)
    )
    # Spurious events elsewhere make it more than one.
    heard["c"] = [Onset(9.0, "HH")]
    (found,) = bootstrap([evaluate(events, heard, EVERYTHING)])
    assert found.intervals[2][0.05] is not None


@pytest.mark.parametrize("both_empty", ["skip", "zero", "one"])
def test_empty_recordings_are_drawn_where_they_count(both_empty: BothEmpty) -> None:
    settings = EvaluationSettings("KD", (0.05,), both_empty=both_empty)
    events: dict[str, list[Onset]] = {"a": [Onset(1.0, "KD"), Onset(2.0, "KD")], "b": [], "c": []}
    (found,) = bootstrap([evaluate(events, {"a": events["a"][:1]}, settings)])
    *rows, files = (row[0.05] for row in found.intervals)
    assert set(rows) == {None}
    assert (files is None) == (both_empty == "skip")


def test_no_resamples_no_intervals(rng: np.random.Generator) -> None:
    evaluation = evaluate(*recordings(rng, 6, 0.015), EVERYTHING)
    found = bootstrap([evaluation, evaluation], BootstrapSettings(n_resamples=0))
    assert all(interval is None for row in found[0].intervals for interval in row.values())
    assert found[1].differences is not None
    assert found[1].differences[0][0.05] == (0.0, None)
    assert bootstrap([]) == []


def test_an_estimate_differs_from_itself_by_exactly_nothing(rng: np.random.Generator) -> None:
    evaluation = evaluate(*recordings(rng, 6, 0.015), EVERYTHING)
    _, again = bootstrap([evaluation, evaluation])
    assert again.differences is not None
    _, _, hats, *_ = again.differences  # in a single recording
    for row in again.differences:
        interval = None if row is hats else (0.0, 0.0)
        assert all(difference == (0.0, interval) for difference in row.values())


def test_a_class_that_only_one_estimate_has_met(rng: np.random.Generator) -> None:
    events = {name: [Onset(1.0, "one")] for name in "ab"}
    more = {name: [*events[name], Onset(2.0, "two")] for name in "ab"}
    for both_empty, expected in (
        ("skip", None),
        ("zero", (0.0, (0, 0))),
        ("one", (-1.0, (-1, -1))),
    ):
        settings = EvaluationSettings("as-written", (0.05,), both_empty=both_empty)  # type: ignore[arg-type]
        plain, richer = (evaluate(events, heard, settings) for heard in (events, more))
        differences = bootstrap([plain, richer])[1].differences
        assert differences is not None
        one, two, *_ = (row[0.05] for row in differences)
        assert (one, two) == ((0.0, (0, 0)), expected)
        backwards = bootstrap([richer, plain])[1].differences
        assert backwards is not None
        assert backwards[0][0.05] == (0.0, (0, 0))


def test_what_cannot_be_compared_is_refused() -> None:
    drums, names = {"a": [Onset(1.0, "KD")]}, {"a": [Onset(1.0, "kick")]}
    first = evaluate(drums, drums)
    with pytest.raises(SettingsError, match="vocabularies, 5 and as-written: choose one with --cl"):
        bootstrap([first, evaluate(drums, names)])
    with pytest.raises(SettingsError, match="other recordings"):
        bootstrap([first, evaluate({"b": drums["a"]}, {})])
    with pytest.raises(SettingsError, match="other ways"):
        bootstrap([first, evaluate(drums, drums, EvaluationSettings(windows_s=(0.05,)))])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_resamples": -1}, "cannot be -1 resamples"),
        ({"seed": -1}, "a seed is 0 or more, not -1"),
        ({"level": 1.0}, "between 0 and 1, not 1.0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BootstrapSettings(**settings)  # type: ignore[arg-type]


N_EVENTS = 20


def draw_counts(rng: np.random.Generator, n_files: int, gain: float) -> NDArray[np.int32]:
    """Counts of one class, of two estimates, the second better by `gain`; (2, n_files, 2, 1, 3).

    Recordings differ much in difficulty, which both estimates share.
    """
    share = rng.beta(4, 2, size=n_files) * (1 - gain)
    tp = np.stack([rng.binomial(N_EVENTS, share), rng.binomial(N_EVENTS, share + gain)])
    counts = np.stack([tp, N_EVENTS - tp, N_EVENTS - tp], axis=-1)
    return np.repeat(counts[:, :, None, None], 2, axis=2).astype(np.int32)


def test_intervals_hold_the_truth_as_often_as_they_say(rng: np.random.Generator) -> None:
    # F is TP / 20 here, so its truth is the share of hits, and that of the difference the gain.
    gain, truth = 0.05, 4 / 6 * 0.95
    covered = np.zeros(2)
    widths = []
    for trial in range(400):
        first, other = draw_counts(rng, 40, gain)
        settings = BootstrapSettings(n_resamples=400, seed=trial)
        samples = [resample_f(own, settings)[:, 0, 0] for own in (first, other)]
        unpaired = samples[1] - np.roll(samples[0], 1)
        ends = np.quantile([samples[0], samples[1] - samples[0], unpaired], [0.025, 0.975], axis=1)
        truths = [truth, gain]
        covered += (ends[0, :2] <= truths) & (truths <= ends[1, :2])
        widths.append(ends[1] - ends[0])
    # 95 % of 400, give or take three standard deviations, and a bit less for 40 recordings.
    assert np.all(covered / 400 > 0.90)
    assert np.all(covered / 400 < 0.985)
    # What both estimates find hard drops out of their difference.
    _, paired, unpaired = np.mean(widths, axis=0)
    assert paired < 0.6 * unpaired


def test_ratios_of_arrays_equal_those_of_counts(rng: np.random.Generator) -> None:
    counts = rng.integers(0, 4, size=(200, 3))
    for both_empty in ("skip", "zero", "one"):
        found = count_ratios(counts, both_empty)  # type: ignore[arg-type]
        for row, own in zip(counts, found, strict=True):
            ratios = Counts(*row.tolist()).ratios_where(both_empty)  # type: ignore[arg-type]
            expected = (
                (np.nan,) * 3 if ratios is None
                else (ratios.precision, ratios.recall, ratios.f_measure)
            )  # fmt: skip
            np.testing.assert_allclose(own, expected)
