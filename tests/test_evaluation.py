"""Scores: the matcher against brute force, the exact edge, pairing of files, the golden case."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mir_eval.util import match_events
from scipy.optimize import linear_sum_assignment

from softloc.errors import AnnotationError, SettingsError
from softloc.evaluation import (
    EvaluationSettings,
    choose_classes,
    evaluate,
    match_times,
    merge_times,
    pair_recordings,
    refuse_several_annotators,
    select_annotator,
    to_json,
    to_rows,
)
from softloc.events import Corpus, Onset
from softloc.formats import read_corpus
from softloc.timebase import seconds_to_microseconds


def onsets(label: str, *times_s: float) -> list[Onset]:
    return [Onset(time_s, label) for time_s in times_s]


def largest_matching(reference: Sequence[int], estimate: Sequence[int], window: int) -> int:
    """Size of the largest matching, by trying all."""
    if len(reference) > len(estimate):
        reference, estimate = estimate, reference
    return max(
        sum(abs(a - b) <= window for a, b in zip(reference, chosen, strict=True))
        for chosen in itertools.permutations(estimate, len(reference))
    )


SMALL = st.lists(st.integers(0, 12).map(lambda n: n * 10_000), max_size=5)


@given(SMALL, SMALL)
def test_matching_is_as_large_as_brute_force_finds(
    reference: list[int], estimate: list[int]
) -> None:
    pairs = match_times(np.array(reference, int), np.array(estimate, int), 0.020)
    assert len(pairs) == largest_matching(reference, estimate, 20_000)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    for i, j in pairs:
        assert abs(reference[i] - estimate[j]) <= 20_000


# Steps of 10 ms put many distances on the edge; the odd microseconds put others beside it.
NEAR_EDGE = st.lists(
    st.builds(
        lambda step, odd: step * 10_000 + odd,
        st.integers(0, 40),
        st.sampled_from([-1, 0, 0, 1, 3000]),
    ),
    min_size=1,
    max_size=25,
)


@given(NEAR_EDGE, NEAR_EDGE, st.sampled_from([0.005, 0.01, 0.03, 0.05]))
def test_matching_counts_as_mir_eval_does(
    reference: list[int], estimate: list[int], window_s: float
) -> None:
    pairs = match_times(np.array(reference), np.array(estimate), window_s)
    window_us = int(seconds_to_microseconds(window_s))
    theirs = match_events(np.sort(reference), np.sort(estimate), window_us)
    assert len(pairs) == len(theirs)


@given(NEAR_EDGE, NEAR_EDGE)
def test_matching_is_the_closest_of_the_largest_and_does_not_cross(
    reference: list[int], estimate: list[int]
) -> None:
    times, others = np.array(reference), np.array(estimate)
    pairs = match_times(times, others, 0.05)
    assert np.all(np.diff(times[pairs[:, 0]]) >= 0)
    assert np.all(np.diff(others[pairs[:, 1]]) >= 0)
    distance = np.abs(times[:, None] - others[None, :])
    cost = np.where(distance <= 50_000, distance - 10**8, 0)
    assert (distance[pairs[:, 0], pairs[:, 1]] - 10**8).sum() == (
        cost[linear_sum_assignment(cost)].sum()
    )


def test_spurious_neighbour_does_not_bend_the_timing() -> None:
    result = evaluate({"a": onsets("KD", 1.0, 1.1)}, {"a": onsets("KD", 0.96, 1.0, 1.1)})
    assert result.per_class["KD"].timing is not None
    assert result.per_class["KD"].timing.sigma_ms == 0.0


@pytest.mark.parametrize(
    ("reference", "estimate"),
    [
        (np.zeros(3000, dtype=np.int64), np.zeros(3000, dtype=np.int64)),
        (np.zeros(3000, dtype=np.int64), np.arange(2000)),
        (np.arange(20_000) * 20_000, np.arange(20_000) * 20_000 + 7000),
        (np.arange(20_000) * 20_000, np.arange(16_000) * 25_000),
    ],
    ids=["one time", "one time, fewer", "a chain", "a chain, fewer"],
)
def test_dense_events_take_no_time(
    reference: np.ndarray[tuple[int], np.dtype[np.int64]],
    estimate: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    start = time.process_time()
    assert len(match_times(reference, estimate, 0.05)) == min(len(reference), len(estimate))
    assert time.process_time() - start < 2.0


@given(st.integers(0, 100_000).map(lambda n: n * 0.01), st.sampled_from([-1, 1]))
def test_exactly_the_tolerance_counts_and_more_does_not(time_s: float, side: int) -> None:
    for window_s in EvaluationSettings().windows_s:
        reference = seconds_to_microseconds([1.0 + time_s])
        on_edge = seconds_to_microseconds([1.0 + time_s + side * window_s])
        beyond = seconds_to_microseconds([1.0 + time_s + side * (window_s + 1e-6)])
        assert len(match_times(reference, on_edge, window_s)) == 1
        assert len(match_times(reference, beyond, window_s)) == 0


@pytest.mark.parametrize(("estimate_s", "tp"), [(0.35, 1), (0.350001, 0), (0.25, 1), (0.249999, 0)])
def test_edge_through_evaluate(estimate_s: float, tp: int) -> None:
    result = evaluate({"a": onsets("KD", 0.3)}, {"a": onsets("KD", estimate_s)})
    assert result.per_class["KD"].counts[0.05].tp == tp


TIMES = st.lists(st.integers(0, 2000), unique=True, min_size=1, max_size=40)


@given(TIMES, TIMES)
def test_agrees_with_mir_eval_off_the_edge(reference: list[int], estimate: list[int]) -> None:
    # References on a grid of 10 ms, estimates 3 ms beside it: no distance is exactly 50 ms.
    reference_s = np.sort(np.array(reference)) / 100
    estimate_s = np.sort(np.array(estimate)) / 100 + 0.003
    f, p, r = mir_eval.onset.f_measure(reference_s, estimate_s, window=0.05)
    ours = evaluate({"a": onsets("x", *reference_s)}, {"a": onsets("x", *estimate_s)})
    ratios = ours.per_class["x"].counts[0.05].ratios
    assert ratios is not None
    assert (ratios.f_measure, ratios.precision, ratios.recall) == pytest.approx((f, p, r))


@given(
    st.lists(st.builds(Onset, st.floats(0, 100), st.sampled_from(["KD", "HH", "OT"])), min_size=1)
)
def test_reference_against_itself_is_perfect(events: list[Onset]) -> None:
    result = evaluate({"a": events}, {"a": events})
    assert result.any.counts[0.005].ratios is not None
    assert result.any.counts[0.005].fp == result.any.counts[0.005].fn == 0
    assert all(row.counts[0.005].fp == 0 for row in result.per_class.values())
    if result.total.timing:
        assert result.total.timing.bias_ms == result.total.timing.sigma_ms == 0.0


def test_order_of_events_does_not_matter() -> None:
    reference, estimate = onsets("KD", 0.1, 0.5, 0.9), onsets("KD", 0.52, 0.92, 0.13)
    forward = evaluate({"a": reference}, {"a": estimate})
    assert evaluate({"a": reference[::-1]}, {"a": estimate[::-1]}) == forward
    assert forward.total.timing is not None
    assert forward.total.timing.bias_ms == pytest.approx(70 / 3)


def test_onsets_at_zero_count() -> None:
    result = evaluate({"a": onsets("KD", 0.0)}, {"a": onsets("KD", -0.01)})
    assert result.total.counts[0.05].tp == 1
    assert result.total.timing is not None
    assert result.total.timing.bias_ms == pytest.approx(-10.0)


def test_rows_and_means_by_hand() -> None:
    references = {"a": onsets("KD", 1, 2, 3) + onsets("SD", 1.5), "b": onsets("SD", 1), "c": []}
    estimates = {"a": onsets("KD", 1.01, 2.02), "b": onsets("SD", 1.0, 5.0)}
    result = evaluate(references, estimates)
    kick, snare = (result.per_class[label].counts[0.05] for label in ("KD", "SD"))
    assert (kick.tp, kick.fp, kick.fn) == (2, 0, 1)
    assert (snare.tp, snare.fp, snare.fn) == (1, 1, 1)
    assert kick.ratios is not None
    assert (kick.ratios.precision, kick.ratios.recall) == (1.0, pytest.approx(2 / 3))
    assert result.per_class["HH"].counts[0.05].ratios is None
    assert result.total.counts[0.05].ratios.f_measure == pytest.approx(6 / 9)  # type: ignore[union-attr]
    # KD 4/5 and SD 1/2; file a 4/6 and file b 2/3; the silent file c is undefined.
    assert result.class_means[0.05].f_measure == pytest.approx((0.8 + 0.5) / 2)  # type: ignore[union-attr]
    assert result.file_means[0.05].f_measure == pytest.approx((4 / 6 + 2 / 3) / 2)  # type: ignore[union-attr]
    assert result.total.counts[0.01].tp == 2
    timing = result.per_class["KD"].timing
    assert timing is not None
    assert (timing.n_pairs, timing.bias_ms, timing.median_ms) == (2, 15.0, 15.0)
    assert (timing.sigma_ms, timing.mad_ms, timing.p05_ms, timing.p95_ms) == (5, 5, 10.5, 19.5)


def test_missing_estimates_are_missed_and_spurious_ones_count() -> None:
    missed = evaluate({"a": onsets("KD", 1.0)}, {})
    assert missed.total.counts[0.05].ratios.f_measure == 0.0  # type: ignore[union-attr]
    spurious = evaluate({"a": []}, {"a": onsets("KD", 1.0)})
    assert spurious.total.counts[0.05].fp == 1
    nothing = evaluate({"a": []}, {"a": []})
    assert nothing.class_means[0.05] is nothing.file_means[0.05] is None


def test_any_merges_and_ignores_labels() -> None:
    reference = [*onsets("KD", 1.0), *onsets("HH", 1.02), *onsets("OT", 2.0)]
    estimate = [*onsets("SD", 1.01), *onsets("CY", 2.0)]
    result = evaluate({"a": reference}, {"a": estimate})
    assert result.any.counts[0.005].tp == 2
    assert result.any.counts[0.005].fn == 0
    assert result.unscored_reference == {"OT": 1}


def test_groups_reach_30_ms_from_their_first_event() -> None:
    times = seconds_to_microseconds([0.06, 0.0, 0.02, 0.03, 0.0601, 0.2])
    merged = merge_times(times, 0.030)
    assert merged.tolist() == [16_667, 60_050, 200_000]
    assert merge_times(times[:0], 0.030).size == 0


def test_negative_references_and_strangers_are_refused() -> None:
    with pytest.raises(AnnotationError, match=r"a: the reference has a KD at -0.001000 s"):
        evaluate({"a": onsets("KD", -0.001)}, {})
    with pytest.raises(SettingsError, match="no reference for the estimate of b"):
        evaluate({"a": []}, {"b": []})


def test_common_duration_trims_both_sides() -> None:
    events = {"a": onsets("KD", 1.0, 9.0)}
    assert evaluate(events, events, durations_s={"a": 5.0}).total.counts[0.05].tp == 1


@pytest.mark.parametrize(
    ("choice", "reference", "estimate", "name", "labels"),
    [
        ("auto", {"KD", "OT"}, {"SD"}, "5", ("KD", "SD", "HH", "TT", "CY")),
        ("auto", {"KD"}, {"38"}, "5", ("KD", "SD", "HH", "TT", "CY")),
        ("auto", {"60", "9"}, {"61"}, "as-written", ("9", "60", "61")),
        ("auto", {"verse", "KD", "OT"}, set(), "as-written", ("KD", "verse")),
        ("3", {"TT"}, set(), "3", ("KD", "SD", "HH")),
        ("KD,HH", {"KD", "OH"}, set(), "list", ("KD", "HH")),
    ],
)
def test_choice_of_classes(
    choice: str, reference: set[str], estimate: set[str], name: str, labels: tuple[str, ...]
) -> None:
    classes = choose_classes(choice, reference, estimate)
    assert (classes.name, classes.labels) == (name, labels)
    assert classes.fold("OT") is None


def test_listed_classes_fold_only_what_is_not_listed() -> None:
    fold = choose_classes("HH,CY", {"KD"}, set()).fold
    assert [fold(label) for label in ("HH", "OH", "BE", "46", "KD")] == [
        "HH",
        "HH",
        "CY",
        "HH",
        None,
    ]
    assert choose_classes("HH,OH", {"KD"}, set()).fold("OH") == "OH"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("5", "unknown drum class 'kick'"),
        ("kik", "no label belongs to the class 'kik': did you mean 'kick'"),
        (",", "no classes are listed"),
        ("kick,OT", "OT .* is never a class"),
        ("kick,kick", "the class kick is listed twice"),
    ],
)
def test_bad_choices_are_refused(choice: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        choose_classes(choice, {"kick"}, set())


@pytest.mark.parametrize("windows_s", [(), (0.05, 0.0), (float("nan"),)])
def test_bad_tolerances_are_refused(windows_s: tuple[float, ...]) -> None:
    for odd in ({"windows_s": (float("inf"),)}, {"merge_s": float("inf")}, {"combine_s": 1e18}):
        with pytest.raises(SettingsError):
            EvaluationSettings(**odd)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="tolerances must be positive"):
        EvaluationSettings(windows_s=windows_s)


TWO_PEOPLE = {
    "a": [Onset(1.0, "KD", annotator="ann"), Onset(1.01, "KD", annotator="bob")],
    "b": [Onset(1.0, "KD", annotator="bob")],
    "silent": [],
}


def test_one_annotator_is_chosen() -> None:
    several = Corpus(Path("corpus"), "table", Path(), TWO_PEOPLE)
    assert select_annotator(several, "ann").recordings == {
        "a": TWO_PEOPLE["a"][:1], "silent": [],
    }  # fmt: skip
    with pytest.raises(SettingsError, match="no annotator 'Bob': did you mean 'bob'"):
        select_annotator(several, "Bob")


def test_several_annotators_of_a_recording_are_refused() -> None:
    message = r"a: the reference has labels of 2 annotators, ann, bob: .*--annotator"
    with pytest.raises(SettingsError, match=message):
        refuse_several_annotators(TWO_PEOPLE)
    refuse_several_annotators({"b": TWO_PEOPLE["b"], "other": TWO_PEOPLE["a"][:1]})


def corpus(*names: str, kind: str = "folder") -> Corpus:
    recordings = {name: onsets("KD", 1.0 + index) for index, name in enumerate(names)}
    return Corpus(Path("corpus"), kind, Path(), recordings)  # type: ignore[arg-type]


def partners(reference: Corpus, estimate: Corpus, *only: str) -> dict[str, str]:
    """Names of the estimates that were chosen, told by their times."""
    pairing = pair_recordings(reference, estimate, only)
    name_of = {events[0].time_s: name for name, events in estimate.recordings.items()}
    return {name: name_of[events[0].time_s] for name, events in pairing.estimates.items()}


def test_pairs_by_stem() -> None:
    reference = corpus("x/a.wav", "b.flac", "lost.wav", kind="table")
    estimate = corpus("a.softloc.csv", "sub/b.mid", "more.csv")
    assert partners(reference, estimate) == {"x/a.wav": "a.softloc.csv", "b.flac": "sub/b.mid"}
    pairing = pair_recordings(reference, estimate)
    assert (pairing.missing, pairing.extra) == (("lost.wav",), ("more.csv",))


def test_folders_decide_where_stems_collide() -> None:
    reference = corpus("drums/a.wav", "mix/a.wav", "b.wav", kind="table")
    estimate = corpus("mix/a.csv", "drums/a.csv", "b.csv")
    assert partners(reference, estimate) == {
        "drums/a.wav": "drums/a.csv", "mix/a.wav": "mix/a.csv", "b.wav": "b.csv",
    }  # fmt: skip
    one_only = corpus("drums/a.csv", "b.csv")
    assert partners(reference, one_only) == {"drums/a.wav": "drums/a.csv", "b.wav": "b.csv"}


def test_the_same_name_decides_where_stems_collide() -> None:
    reference = corpus("song.wav", "b.wav", kind="table")
    estimate = corpus("song.flac", "song.wav", "b.flac", kind="table")
    assert partners(reference, estimate) == {"song.wav": "song.wav", "b.wav": "b.flac"}
    assert partners(estimate, estimate) == {name: name for name in estimate.recordings}
    with pytest.raises(AnnotationError, match=r"several .* song\.mp3: song\.flac, song\.wav"):
        pair_recordings(corpus("song.mp3", kind="table"), estimate)


def test_most_exact_format_is_taken() -> None:
    assert partners(corpus("a.wav"), corpus("a.mid", "a.softloc.csv", "a.softloc.txt")) == {
        "a.wav": "a.softloc.csv"
    }


def test_folder_against_itself_takes_the_same_format() -> None:
    both = corpus("a.mid", "a.csv")
    assert partners(both, both) == {"a.csv": "a.csv"}


def test_single_files_belong_together() -> None:
    reference, estimate = corpus("truth.txt", kind="file"), corpus("song.mid", kind="file")
    assert partners(reference, estimate) == {"truth.txt": "song.mid"}


def test_only_restricts_the_reference() -> None:
    reference = corpus("drums/a.wav", "mix/a.wav", "mix/b.wav", kind="table")
    estimate = corpus("a.csv", "b.csv")
    assert partners(reference, estimate, "drums/*") == {"drums/a.wav": "a.csv"}
    assert pair_recordings(reference, estimate, ["drums/*"]).extra == ()


@pytest.mark.parametrize(
    ("reference", "estimate", "only", "message"),
    [
        (corpus("drums/a.wav", "mix/a.wav"), corpus("a.csv"), (), "could belong to .* --only"),
        (corpus("a.wav"), corpus("x/a.csv", "y/a.csv"), (), "several estimates in corpus"),
        (corpus("a.wav"), corpus("b.csv"), (), "no estimate in corpus has the name .*'a'"),
        (corpus("a.wav"), corpus("a.csv"), ("mix/*",), r"no recording that matches mix/\*"),
    ],
)
def test_ambiguity_is_an_error(
    reference: Corpus, estimate: Corpus, only: tuple[str, ...], message: str
) -> None:
    with pytest.raises(AnnotationError, match=message):
        pair_recordings(reference, estimate, only)


def test_json_and_rows_hold_the_scores() -> None:
    result = evaluate({"a": onsets("KD", 1.0)}, {"a": onsets("KD", 1.02)})
    document = json.loads(json.dumps(to_json(result, {"reference": "0" * 64})))
    assert document["vocabulary"] == "5"
    assert document["windows_ms"] == [50, 30, 25, 20, 10, 5]
    assert "equal in counts to mir_eval" in document["matcher"]
    assert document["inputs_sha256"] == {"reference": "0" * 64}
    assert document["versions"]["mir_eval"] == mir_eval.__version__
    assert document["per_class"]["KD"]["windows"][3]["tp"] == 1
    assert document["per_class"]["HH"]["windows"][0]["f_measure"] is None
    rows = to_rows(result)
    assert len(rows) == (5 + 2 + 2) * 6
    assert rows[0]["row"] == "KD"
    assert rows[0]["bias_ms"] == 20.0
    assert "bias_ms" not in rows[1]


@pytest.mark.data
def test_golden_case_of_a_peer() -> None:
    data = os.environ.get("SOFTLOC_DATA")
    if not data:
        pytest.skip("SOFTLOC_DATA does not say where the corpora are")
    folder = Path(data) / "drums-dev"
    reference = read_corpus(folder / "labels.csv")
    estimate = read_corpus(folder / "estimates" / "adtof")
    pairing = pair_recordings(reference, estimate, ["drums/*"])
    assert (len(pairing.references), pairing.missing, pairing.extra) == (13, (), ())
    result = evaluate(pairing.references, pairing.estimates, EvaluationSettings(classes="3"))
    f_measures = {
        label: round(row.counts[0.05].ratios.f_measure, 3)  # type: ignore[union-attr]
        for label, row in result.per_class.items()
    }
    assert f_measures == {"KD": 0.989, "SD": 0.930, "HH": 0.932}
    assert result.class_means[0.02].f_measure == pytest.approx(0.915, abs=5e-4)  # type: ignore[union-attr]
    assert result.any.counts[0.05].ratios.f_measure == pytest.approx(0.976, abs=5e-4)  # type: ignore[union-attr]
    assert result.total.timing.bias_ms == pytest.approx(-6.5, abs=0.05)  # type: ignore[union-attr]


@pytest.mark.parametrize(("both_empty", "expected"), [("skip", None), ("zero", 0.0), ("one", 1.0)])
def test_what_neither_side_has(both_empty: str, expected: float | None) -> None:
    references = {"a": onsets("KD", 1.0), "silent": []}
    settings = EvaluationSettings(classes="3", both_empty=both_empty)  # type: ignore[arg-type]
    result = evaluate(references, {"a": onsets("KD", 1.0)}, settings)
    ratios = {row.name: row.ratios[0.05] for row in result.table()}
    hats = ratios["HH"]
    assert (hats.f_measure if hats else None) == expected
    # One of three classes and one of two recordings have events.
    means = (1.0, 1.0) if expected is None else ((1 + 2 * expected) / 3, (1 + expected) / 2)
    assert ratios["mean over classes"].precision == pytest.approx(means[0])  # type: ignore[union-attr]
    assert ratios["mean over files"].f_measure == pytest.approx(means[1])  # type: ignore[union-attr]
    assert ratios["sum"].f_measure == 1.0  # type: ignore[union-attr]


def test_classes_of_one_side_count_whatever_is_said_of_empty_ones() -> None:
    for both_empty in ("skip", "zero", "one"):
        settings = EvaluationSettings(both_empty=both_empty)  # type: ignore[arg-type]
        result = evaluate({"a": []}, {"a": onsets("KD", 1.0)}, settings)
        ratios = result.table()[0].ratios[0.05]
        assert ratios is not None
        assert (ratios.precision, ratios.recall, ratios.f_measure) == (0.0, 0.0, 0.0)


def test_constant_offset_is_taken_off_beside_the_raw_scores() -> None:
    reference = {"a": onsets("KD", 1.0, 2.0, 3.0), "b": onsets("SD", 0.01)}
    estimate = {"a": onsets("KD", 1.02, 2.02, 3.03), "b": onsets("SD", 0.04)}
    raw = evaluate(reference, estimate)
    both = evaluate(reference, estimate, EvaluationSettings(align_offset="median"))
    assert (raw.aligned, raw.offset_ms, both.offset_ms) == (None, 0.0, 25.0)
    calls: list[None] = []
    evaluate(reference, estimate, both.settings, None, lambda: calls.append(None))
    assert len(calls) == 4  # two recordings, each scored twice
    assert (both.per_class, both.total, both.any) == (raw.per_class, raw.total, raw.any)
    assert both.total.counts[0.005].tp == 0
    assert both.aligned is not None
    assert both.aligned.total.counts[0.005].tp == both.aligned.any.counts[0.005].tp == 4
    assert both.aligned.total.timing is not None
    assert both.aligned.total.timing.median_ms == 0.0


def test_offset_of_nothing_that_matched() -> None:
    settings = EvaluationSettings(align_offset="median")
    assert evaluate({"a": onsets("KD", 1.0)}, {"a": []}, settings).aligned is None


SWEEP = (0.05, 0.03, 0.025, 0.02, 0.01, 0.005)


@given(NEAR_EDGE, NEAR_EDGE, st.permutations(SWEEP))
def test_sweep_matches_as_each_tolerance_alone(
    reference: list[int], estimate: list[int], windows_s: list[float]
) -> None:
    events = [{"a": onsets("x", *(1 + np.array(us) / 1e6))} for us in (reference, estimate)]
    result = evaluate(*events, EvaluationSettings(windows_s=tuple(windows_s)))
    for window_s in windows_s:
        pairs = match_times(np.array(reference), np.array(estimate), window_s)
        assert result.per_class["x"].counts[window_s].tp == len(pairs)
    timing = result.per_class["x"].timing
    assert (timing.n_pairs if timing else 0) == result.per_class["x"].counts[windows_s[0]].tp


def test_default_sweep_is_the_specified_one() -> None:
    assert EvaluationSettings().windows_s == SWEEP
