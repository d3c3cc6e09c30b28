"""Verdicts on events: the same counts as the scores, and exact at the edge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.evaluation import EvaluationSettings, evaluate
from softloc.events import Onset
from softloc.report import (
    Comparison,
    Verdict,
    compare_recordings,
    list_events,
    sum_summaries,
)

SETTINGS = EvaluationSettings(classes="as-written")

events = st.lists(
    st.builds(
        Onset, st.integers(0, 2_000_000).map(lambda us: us / 1e6), st.sampled_from(["KD", "SD"])
    ),
    max_size=40,
)


def compare(reference: list[Onset], estimate: list[Onset], classes: str = "auto") -> Comparison:
    settings = EvaluationSettings(classes=classes)
    ((_, comparison),) = compare_recordings({"a": reference}, {"a": estimate}, settings)
    return comparison


@given(events, events)
def test_counts_are_those_of_the_scores(reference: list[Onset], estimate: list[Onset]) -> None:
    scores = evaluate({"a": reference}, {"a": estimate}, SETTINGS)
    comparison = compare(reference, estimate, "as-written")
    assert comparison.summarise().counts == scores.total.counts[0.050]
    for label in comparison.classes:
        summary = comparison.summarise(label)
        assert summary.counts == scores.per_class[label].counts[0.050]
        timing = scores.per_class[label].timing
        assert summary.bias_ms == (None if timing is None else pytest.approx(timing.bias_ms))
        assert summary.sigma_ms == (None if timing is None else pytest.approx(timing.sigma_ms))


@given(st.lists(st.tuples(events, events), max_size=4))
def test_sums_are_those_of_the_scores(sides: list[tuple[list[Onset], list[Onset]]]) -> None:
    references = {str(number): reference for number, (reference, _) in enumerate(sides)}
    estimates = {str(number): estimate for number, (_, estimate) in enumerate(sides)}
    total = evaluate(references, estimates, SETTINGS).total
    comparisons = compare_recordings(references, estimates, SETTINGS)
    found = sum_summaries([comparison.summarise() for _, comparison in comparisons])
    assert found.counts == total.counts[0.050]
    if total.timing is None:
        assert (found.bias_ms, found.sigma_ms) == (None, None)
    else:
        expected = (total.timing.bias_ms, total.timing.sigma_ms)
        assert (found.bias_ms, found.sigma_ms) == pytest.approx(expected, abs=1e-6)


@given(events, events)
def test_every_event_is_there_once(reference: list[Onset], estimate: list[Onset]) -> None:
    items = compare(reference, estimate, "as-written").items
    for events_of_side, times in (
        (reference, [item.reference_us for item in items]),
        (estimate, [item.estimate_us for item in items]),
    ):
        expected = sorted(round(onset.time_s * 1e6) for onset in events_of_side)
        assert sorted(time for time in times if time is not None) == expected
    assert [item.time_us for item in items] == sorted(item.time_us for item in items)


def test_the_edge_of_the_tolerance_is_a_hit() -> None:
    reference = [Onset(1.0, "KD"), Onset(2.0, "KD")]
    items = compare(reference, [Onset(1.05, "KD"), Onset(1.949999, "KD")]).items
    assert [(item.verdict, item.time_us, item.error_us) for item in items] == [
        (Verdict.HIT, 1_000_000, 50_000),
        (Verdict.FALSE_ALARM, 1_949_999, None),
        (Verdict.MISS, 2_000_000, None),
    ]


def test_classes_fold_and_what_is_not_scored_is_counted() -> None:
    comparison = compare([Onset(0.0, "OH"), Onset(1.0, "OT")], [Onset(0.01, "HH")])
    assert comparison.classes == ("HH",)
    assert [item.verdict for item in comparison.items] == [Verdict.HIT]
    assert comparison.unscored == {"OT": 1}


def test_a_recording_without_estimate_is_all_missed() -> None:
    ((_, comparison),) = compare_recordings({"a": [Onset(0.5, "KD")]}, {}, SETTINGS)
    assert [item.verdict for item in comparison.items] == [Verdict.MISS]


def test_a_transcription_has_no_verdict() -> None:
    comparison = list_events([Onset(0.5, "SD"), Onset(0.25, "KD"), Onset(0.5, "zap")])
    assert comparison.classes == ("KD", "SD", "zap")
    assert not comparison.has_reference
    assert [(item.verdict, item.time_us) for item in comparison.items] == [
        (Verdict.EVENT, 250_000),
        (Verdict.EVENT, 500_000),
        (Verdict.EVENT, 500_000),
    ]
