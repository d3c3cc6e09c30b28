"""Tables of the ECG and video experiments from made-up lines: what is averaged, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.paper import ecg_report, video_report
from benchmarks.paper.report import NOT_RUN
from benchmarks.paper.runs import Line
from benchmarks.paper.video_data import SETS


def ecg_line(
    method: str, level: float, f1: float, *, seed: int = 0, noise: str = "normal", **changes: Any
) -> Line:
    decodings = {"paper": f1 - 0.2, "threshold": f1 - 0.3, "peaks": f1, "mass": f1 - 0.1}
    return {
        "seed": seed,
        "converged": True,
        "settings": {
            "data": "ludb",
            "target": "QRS",
            "method": method,
            "noise": noise,
            "level": level,
            "steps": 9,
        },
        "result": {
            "f1": {how: [value - 0.01, value + 0.01] for how, value in decodings.items()},
            "labels_f1": 0.25,
            "estimated_noise": {"mean_steps": [0.1, 0.3], "deviation_steps": [2.0, 2.0]},
        },
        **changes,
    }


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


ECG_LINES = [
    ecg_line("softloc", 2.0, 0.8),
    ecg_line("softloc", 2.0, 0.6, seed=1),
    ecg_line("cross-entropy", 2.0, 0.5),
    ecg_line("cross-entropy", 2.0, 0.1, seed=1, converged=False),
    ecg_line("lr-m", 2.0, 0.9),
    ecg_line("softloc", 1.0, 0.7, noise="skew"),
]


def test_ecg_f1_over_folds_and_repetitions() -> None:
    table = ecg_report.TABLES["ecg-qrs"](ECG_LINES)
    assert "SoftLoc (tuned peaks)" in table
    normal, skew = rows_of(table)
    assert normal == [
        "normal, rounded",
        "2",
        "25.0",
        "90.0 ± 1.4 (2)",
        "50.0 ± 1.4 (2); 1 not converged",
        "70.0 ± 11.6 (4)",
        "65.9 / 36.0 / 87.8",
    ]
    assert skew[1:] == ["1", "25.0", "–", "–", "70.0 ± 1.4 (2)", "–"]
    assert ecg_report.TABLES["ecg-t"](ECG_LINES) == NOT_RUN


def test_ecg_differences_pair_folds_of_the_same_repetition() -> None:
    normal, skew = rows_of(ecg_report.TABLES["ecg-differences"](ECG_LINES))
    # Repetition 1 of cross-entropy does not count, LR-M has none.
    assert normal[3:] == ["-10.0 ± 0.0 (2)", "30.0 ± 0.0 (2)"]
    assert skew[3:] == ["–", "–"]


def test_ecg_decodings_and_noise() -> None:
    rows = rows_of(ecg_report.TABLES["ecg-decodings"](ECG_LINES))
    assert rows[0] == ["QRS", "LR-M", "70.0", "60.0", "90.0", "80.0", "–", "–", "–", "–"]
    (noise,) = rows_of(ecg_report.TABLES["ecg-noise"](ECG_LINES))
    assert noise[3:] == ["0.20 ± 0.14 (2)", "2.00 ± 0.00 (2)"]


def video_line(
    split: int,
    loss: str,
    shift: int,
    f1: float,
    *,
    seed: int = 0,
    name: str = "gtea",
    **changes: Any,
) -> Line:
    settings: dict[str, Any] = {
        "set": name,
        "split": split,
        "loss": loss,
        "shift_steps": shift,
        "steps": 9,
    }
    if loss != "cross-entropy":
        settings["softness_steps"] = changes.pop("softness", 4.2)
    return {
        "seed": seed,
        "converged": True,
        "settings": settings,
        "result": {"f1_10": f1, "f1_50": f1 / 2, "labels": {"f1_10": 1.0, "f1_50": 0.5}},
        **changes,
    }


VIDEO_LINES = [
    *(video_line(split, "cross-entropy", 0, 0.6 + 0.1 * split) for split in range(1, 5)),
    # Split 4 is missing of the second seed, split 2 of the third has not converged.
    *(video_line(split, "cross-entropy", 0, 0.5, seed=1) for split in range(1, 4)),
    *(
        video_line(split, "cross-entropy", 0, 0.1, seed=2, converged=split != 2)
        for split in range(1, 5)
    ),
    *(video_line(split, "softloc", 0, 0.7 + 0.1 * split) for split in range(1, 5)),
    video_line(1, "softloc", 0, 0.0, softness=8.4),
]


def test_references_are_compared_on_their_own_splits() -> None:
    rows = {
        (row[0], row[2]): row
        for row in rows_of(video_report.TABLES["video-reference"](VIDEO_LINES))
    }
    # Seeds 0 and 1 have splits 1 to 3: 80 and 50 per cent.
    assert rows["GTEA", "10"][1:] == ["1, 2, 3", "10", "73.2", "65.0 ± 21.2 (2)", "-8.2"]
    assert rows["50 Salads, mid", "10"][3:] == ["68.0", "–", "–"]


def test_only_seeds_with_all_splits_make_a_mean() -> None:
    labels, cross_entropy, sll, softloc, *paper = rows_of(
        video_report.TABLES["video-gtea-10"](VIDEO_LINES)
    )
    assert labels == ["the labels of training", "100.0"]
    assert cross_entropy == ["cross-entropy", "85.0 (1); 1 not converged"]
    assert sll == ["L_SLL", "–"]
    # The run of the softness sweep is in another table.
    assert softloc == ["SoftLoc", "95.0 (1)"]
    assert [row[1] for row in paper] == ["74.7", "74.1", "73.4"]


def test_a_sweep_that_was_stopped_tells_the_splits_it_has() -> None:
    lines = [line for line in VIDEO_LINES if line["settings"]["split"] in (1, 3)]
    table = rows_of(video_report.TABLES["video-gtea-10"](lines))
    # Seeds 0 (70 and 90), 1 (50 and 50) and 2 (10 and 10).
    assert table[1] == ["cross-entropy", "46.7 (of 4 splits only 1, 3)"]


def test_all_splits_of_different_seeds_are_told_apart() -> None:
    lines = [line for line in VIDEO_LINES if line["seed"] in (1, 2)]
    table = rows_of(video_report.TABLES["video-gtea-10"](lines))
    assert table[1] == [
        "cross-entropy",
        "30.0 (all splits, but of no one seed); 1 not converged",
    ]


def test_video_differences_pair_splits() -> None:
    rows = rows_of(video_report.TABLES["video-differences"](VIDEO_LINES))
    (row,) = [r for r in rows if r[:3] == ["GTEA", "10", "SoftLoc"]]
    assert row[3:] == ["0 steps", "10.0 ± 0.0 (4)"]


def test_softness_is_relative_to_cross_entropy_of_the_same_seed() -> None:
    lines = [
        video_line(1, "cross-entropy", 6, 0.4, name="50salads_mid"),
        video_line(1, "cross-entropy", 6, 0.2, name="50salads_mid", seed=1),
        video_line(1, "softloc", 6, 0.5, name="50salads_mid"),
        video_line(1, "softloc", 6, 0.6, name="50salads_mid", softness=8.4),
        video_line(1, "softloc", 6, 0.4, name="50salads_mid", softness=8.4, seed=1),
    ]
    assert video_report.relative_f1(lines, 8.4, 6) == pytest.approx([1.5, 2.0])
    assert rows_of(video_report.TABLES["video-softness"](lines)) == [
        ["7 s", "1.25 (1)"],
        ["14 s", "1.75 ± 0.35 (2)"],
    ]
    # Without the sweep there is nothing to tell.
    assert video_report.TABLES["video-softness"](lines[:3]) == NOT_RUN


def test_shifts_are_the_papers_in_seconds_and_in_steps() -> None:
    assert SETS["50salads_mid"].step_s == pytest.approx(5 / 3)
    lines = [video_line(1, "sll", shift, 0.5, name="50salads_mid") for shift in (0, 3, 6, 12)]
    header = video_report.TABLES["video-50salads-50"](lines).splitlines()[0]
    assert [cell.strip() for cell in header.split("|")[2:6]] == ["0 s", "5 s", "10 s", "20 s"]
    paper = rows_of(video_report.TABLES["video-50salads-50"](lines))[-1]
    assert paper == ["SoftLoc, the paper", "49.8", "39.5", "23.4", "7.5"]


def test_figures_are_drawn_from_lines_that_count() -> None:
    figure = ecg_report.FIGURES["ecg-f1"](ECG_LINES)
    assert figure is not None
    drawn = figure.axes[0].containers[0].lines[0]  # type: ignore[union-attr]  # LR-M, normal noise
    assert drawn.get_xydata().tolist() == [[2.0, pytest.approx(90.0)]]
    assert ecg_report.FIGURES["ecg-f1"]([ecg_line("lr-m", 1.0, 0.5, converged=False)]) is None
    assert video_report.FIGURES["video-softness"](VIDEO_LINES[:3]) is None
