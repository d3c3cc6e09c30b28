"""An evaluation as JSON and as rows: everything that was scored, and how."""

from __future__ import annotations

import json

import pytest

from softloc.evaluation import (
    BootstrapSettings,
    Evaluation,
    EvaluationSettings,
    bootstrap,
    evaluate,
    to_json,
    to_rows,
)
from softloc.events import Onset

REFERENCES = {
    "a": [Onset(1.0, "KD", velocity=40), Onset(2.0, "KD", velocity=80), Onset(3.0, "SD")],
    "b": [Onset(1.0, "KD", velocity=90)],
}
ESTIMATES = {
    "a": [Onset(1.01, "KD", velocity=60), Onset(2.01, "KD", velocity=100), Onset(3.02, "HH")],
    "b": [],
}
DRAWS = BootstrapSettings(n_resamples=200, seed=7)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    settings = EvaluationSettings(
        classes="3", windows_s=(0.05, 0.005), align_offset="median", combine_s=0.002
    )
    return evaluate(REFERENCES, ESTIMATES, settings)


def test_json_says_how_it_was_made(evaluation: Evaluation) -> None:
    document = json.loads(json.dumps(to_json(evaluation, {"reference": "0" * 64})))
    for key, value in {
        "inputs_sha256": {"reference": "0" * 64},
        "vocabulary": "3",
        "classes": ["KD", "SD", "HH"],
        "windows_ms": [50.0, 5.0],
        "merge_any_ms": 30.0,
        "combine_reference_ms": 2.0,
        "both_empty": "skip",
        "align_offset": "median",
        "n_files": 2,
        "bootstrap": None,
    }.items():
        assert document[key] == value
    assert "exactly the tolerance is a hit" in document["tolerance"]
    assert set(document["averaging"]) == {
        "per_class", "sum", "any", "mean_over_classes", "mean_over_files",
    }  # fmt: skip


def test_json_holds_confusions_velocities_and_offset(evaluation: Evaluation) -> None:
    document = json.loads(json.dumps(to_json(evaluation)))
    assert document["confusion"] == {
        "rows": ["KD", "SD", "HH", "spurious"],
        "columns": ["KD", "SD", "HH", "missed"],
        "counts": [[2, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    }
    velocity = document["velocity"]
    assert velocity["per_class"]["KD"]["error"]["bias"] == 20.0
    assert velocity["per_class"]["SD"]["error"] is None
    assert (velocity["sum"]["tp"], velocity["sum"]["fp"], velocity["sum"]["fn"]) == (2, 1, 2)
    assert (velocity["slope"], velocity["tolerance_of_range"]) == (pytest.approx(1.0), 0.1)
    assert document["aligned"]["offset_ms"] == 10.0
    moved, raw = (item["sum"]["windows"][1] for item in (document["aligned"], document))
    assert (raw["window_ms"], raw["tp"], moved["tp"]) == (5.0, 0, 2)


def test_what_was_not_scored_is_null() -> None:
    document = to_json(evaluate({"a": [Onset(1.0, "KD")]}, {"a": []}))
    assert document["velocity"] is document["aligned"] is document["bootstrap"] is None


def test_json_holds_intervals_and_differences(evaluation: Evaluation) -> None:
    perfect = evaluate(REFERENCES, REFERENCES, evaluation.settings)
    first, other = bootstrap([perfect, evaluation], DRAWS)
    document = to_json(evaluation, uncertainty=other, resampling=DRAWS)
    assert document["bootstrap"]["n_resamples"] == 200
    assert document["bootstrap"]["seed"] == 7
    for place, row in enumerate(evaluation.table()):
        content = {
            "class": lambda name=row.name: document["per_class"][name]["windows"],
            "micro": lambda: document["sum"]["windows"],
            "labels ignored": lambda: document["any"]["windows"],
            "macro": lambda: document["mean_over_classes"],
            "files": lambda: document["mean_over_files"],
        }[row.averaging]()
        for window, (window_s, ratios) in zip(content, row.ratios.items(), strict=True):
            interval = other.intervals[place][window_s]
            assert (window["f_low"], window["f_high"]) == (interval or (None, None))
            assert window["f_measure"] == (ratios.f_measure if ratios else None)
            assert other.differences is not None
            difference = other.differences[place][window_s]
            if difference is None:
                assert window["difference"] is None
            else:
                assert window["difference"]["f_measure"] == difference.f_measure
                ends = (window["difference"]["low"], window["difference"]["high"])
                assert ends == (difference.interval or (None, None))
    assert "difference" not in to_json(perfect, uncertainty=first)["sum"]["windows"][0]


def test_rows_hold_the_same_as_json(evaluation: Evaluation) -> None:
    perfect = evaluate(REFERENCES, REFERENCES, evaluation.settings)
    _, uncertainty = bootstrap([perfect, evaluation], DRAWS)
    rows = to_rows(evaluation, uncertainty)
    document = to_json(evaluation, uncertainty=uncertainty)
    assert [(row["row"], row["window_ms"]) for row in rows] == [
        (name, window_ms)
        for name in ("KD", "SD", "HH", "sum", "any", "mean over classes", "mean over files")
        for window_ms in (50.0, 5.0)
    ]
    kick = document["per_class"]["KD"]["windows"][0]
    assert rows[0]["f_aligned"] == document["aligned"]["per_class"]["KD"]["windows"][0]["f_measure"]
    assert rows[0]["f_difference"] == kick["difference"]["f_measure"]
    assert (rows[0]["f_difference_low"], rows[0]["f_difference_high"]) == (
        kick["difference"]["low"], kick["difference"]["high"],
    )  # fmt: skip
    for column in ("tp", "fp", "fn", "n_ref", "n_est", "precision", "recall", "f_low", "f_high"):
        assert rows[0][column] == kick[column]
    assert rows[0]["bias_ms"] == 10.0
    assert "bias_ms" not in rows[1]


def test_a_class_called_sum_is_not_the_sum() -> None:
    events = {"a": [Onset(1.0, "sum"), Onset(2.0, "any"), Onset(3.0, "x")]}
    rows = to_rows(evaluate(events, {"a": events["a"][:1]}))
    named = {(row["row"], row["averaging"]): row["n_ref"] for row in rows if "n_ref" in row}
    assert named == {
        ("any", "class"): 1, ("sum", "class"): 1, ("x", "class"): 1, ("sum", "micro"): 3,
        ("any", "labels ignored"): 3,
    }  # fmt: skip
