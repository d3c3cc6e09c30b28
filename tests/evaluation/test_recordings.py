"""What became of each event: hits, misses, false alarms, confusions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import SettingsError
from softloc.evaluation import (
    ClassMatches,
    EvaluationSettings,
    Hit,
    choose_classes,
    evaluate,
    match_recording,
    match_recordings,
)
from softloc.events import Onset

LABELS = ("KD", "SD", "HH", "OT", "39", "46")
CLASSES = choose_classes("5", LABELS, LABELS)

EVENTS = st.lists(
    st.builds(
        lambda step, label: Onset(step / 100, label),
        st.integers(0, 60),
        st.sampled_from(LABELS),
    ),
    max_size=25,
)


def onsets(label: str, *times_s: float) -> list[Onset]:
    return [Onset(time_s, label) for time_s in times_s]


def confusions(
    reference: list[Onset], estimate: list[Onset], **settings: object
) -> dict[tuple[str, str], int]:
    """Every non-zero cell off the diagonal, by the names of its row and column."""
    confusion = evaluate(
        {"a": reference}, {"a": estimate}, EvaluationSettings(**settings)  # type: ignore[arg-type]
    ).confusion  # fmt: skip
    rows, columns = (*confusion.labels, "spurious"), (*confusion.labels, "missed")
    return {
        (row, column): confusion.counts[i][j]
        for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns))
        if i != j and confusion.counts[i][j]
    }


def test_every_event_has_its_place() -> None:
    kick, ghost, snare, hat = Onset(1.0, "KD"), Onset(2.0, "KD"), Onset(3.0, "SD"), Onset(9.0, "HH")
    late, as_tom, clap = Onset(1.012, "KD"), Onset(3.01, "TT"), Onset(4.0, "OT")
    matches = match_recording([snare, ghost, kick, clap], [as_tom, hat, late, clap], CLASSES)
    assert matches.by_class == {
        "KD": ClassMatches((Hit(kick, late),), (ghost,), ()),
        "SD": ClassMatches((), (snare,), ()),
        "HH": ClassMatches((), (), (hat,)),
        "TT": ClassMatches((), (), (as_tom,)),
        "CY": ClassMatches((), (), ()),
    }
    assert matches.by_class["KD"].hits[0].error_ms == 12.0
    assert matches.confused == (Hit(snare, as_tom),)
    assert matches.unscored_reference == matches.unscored_estimate == (clap,)


@given(EVENTS, EVENTS, st.sampled_from([0.0, 0.02]))
def test_matches_are_what_evaluate_counts(
    reference: list[Onset], estimate: list[Onset], combine_s: float
) -> None:
    settings = EvaluationSettings(classes="5", combine_s=combine_s)
    scores = evaluate({"a": reference}, {"a": estimate}, settings)
    ((name, matches),) = match_recordings({"a": reference}, {"a": estimate}, settings)
    assert name == "a"
    for label, own in matches.by_class.items():
        counts = scores.per_class[label].counts[0.05]
        assert (len(own.hits), len(own.misses), len(own.false_alarms)) == (
            counts.tp, counts.fn, counts.fp,
        )  # fmt: skip
        assert all(abs(hit.error_ms) <= 50 for hit in own.hits)
    assert len(matches.unscored_reference) == sum(scores.unscored_reference.values())
    assert len(matches.unscored_estimate) == sum(scores.unscored_estimate.values())
    assert len(matches.confused) == sum(count for _, _, count in scores.confusion.mistaken())


@given(EVENTS, EVENTS)
def test_confusion_accounts_for_every_event(reference: list[Onset], estimate: list[Onset]) -> None:
    scores = evaluate({"a": reference}, {"a": estimate}, EvaluationSettings(classes="5"))
    rows, columns = scores.confusion.counts, list(zip(*scores.confusion.counts, strict=True))
    for index, row in enumerate(scores.per_class.values()):
        assert rows[index][index] == row.counts[0.05].tp
        assert sum(rows[index]) == row.counts[0.05].n_reference
        assert sum(columns[index]) == row.counts[0.05].n_estimate
    assert rows[-1][-1] == 0


def test_events_that_another_class_answers_are_confused() -> None:
    assert confusions(onsets("KD", 1.0, 2.0), onsets("SD", 1.02, 7.0)) == {
        ("KD", "SD"): 1,
        ("KD", "missed"): 1,
        ("spurious", "SD"): 1,
    }


def test_hits_of_their_own_class_are_not_confused() -> None:
    reference = [*onsets("KD", 1.0), *onsets("HH", 1.0)]
    assert confusions(reference, reference) == {}
    # The hat is a hit, although the missed kick is nearer to it.
    assert confusions([*onsets("KD", 1.0), *onsets("HH", 1.04)], onsets("HH", 1.0)) == {
        ("KD", "missed"): 1
    }


def test_as_many_events_as_possible_are_confused() -> None:
    # Nearest first would take SD 1.05 for the kick and leave the hat without partner.
    reference = [*onsets("KD", 1.04), *onsets("HH", 1.09)]
    estimate = [*onsets("CY", 1.0), *onsets("SD", 1.05)]
    assert confusions(reference, estimate) == {("KD", "CY"): 1, ("HH", "SD"): 1}


def test_confusion_reaches_exactly_the_first_tolerance() -> None:
    for estimate_s, found in ((1.02, {("KD", "SD"): 1}), (0.98, {("KD", "SD"): 1})):
        windows_s = (0.02, 0.05)
        assert confusions(onsets("KD", 1.0), onsets("SD", estimate_s), windows_s=windows_s) == found
        beyond_s = estimate_s + (1e-6 if estimate_s > 1 else -1e-6)
        assert ("KD", "SD") not in confusions(
            onsets("KD", 1.0), onsets("SD", beyond_s), windows_s=windows_s
        )


def test_ties_go_by_the_order_of_the_classes() -> None:
    reference = [*onsets("SD", 1.0), *onsets("KD", 1.0)]
    for events in (reference, reference[::-1]):
        assert confusions(events, onsets("HH", 1.0)) == {("KD", "HH"): 1, ("SD", "missed"): 1}


def test_folded_labels_and_other_percussion_are_no_confusion() -> None:
    assert confusions(onsets("OH", 1.0), onsets("42", 1.0)) == {}
    assert confusions([*onsets("OT", 1.0), *onsets("KD", 5.0)], onsets("HH", 1.0)) == {
        ("KD", "missed"): 1,
        ("spurious", "HH"): 1,
    }


def test_reference_events_of_a_class_are_combined_on_request() -> None:
    flam = [Onset(1.0, "SD", velocity=40), Onset(1.02, "SD", velocity=90), Onset(1.0, "KD")]
    references, estimates = {"a": flam}, {"a": [*onsets("SD", 1.0, 1.02), *onsets("KD", 1.0)]}
    assert evaluate(references, estimates).total.counts[0.05].tp == 3
    combined = EvaluationSettings(combine_s=0.02)
    counts = evaluate(references, estimates, combined).per_class["SD"].counts[0.05]
    assert (counts.tp, counts.fp, counts.fn) == (1, 1, 0)  # the estimate is left as it is
    ((_, matches),) = match_recordings(references, estimates, combined)
    assert matches.by_class["SD"].hits[0].reference == Onset(1.01, "SD", velocity=90)
    below = EvaluationSettings(combine_s=0.019999)
    assert evaluate(references, estimates, below).total.counts[0.05].tp == 3


def test_matches_end_with_the_common_duration() -> None:
    events = {"a": onsets("KD", 1.0, 9.0)}
    ((_, matches),) = match_recordings(events, events, durations_s={"a": 5.0})
    assert matches.by_class["KD"] == ClassMatches((Hit(events["a"][0], events["a"][0]),), (), ())


@pytest.mark.parametrize("settings", [{"combine_s": -0.01}, {"combine_s": float("nan")}])
def test_bad_combinations_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="cannot be combined"):
        EvaluationSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"both_empty": "nan"}, {"align_offset": "mean"}])
def test_unknown_choices_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"unknown choice '(nan|mean)': use"):
        EvaluationSettings(**settings)  # type: ignore[arg-type]
