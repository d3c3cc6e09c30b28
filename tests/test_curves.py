"""The course of a training: what is written can be read, and is what is drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from softloc.curves import plot_curve, read_curve, write_curve
from softloc.errors import SettingsError

ROWS = [
    {"step": 10, "train_loss": 3.0, "valid_loss": 4.0, "f1_50ms": 0.2, "f1_20ms": math.nan},
    {"step": 20, "train_loss": 2.0, "valid_loss": 3.5, "f1_50ms": 0.6, "f1_20ms": 0.4},
    {"step": 30, "train_loss": 1.5, "valid_loss": 3.0, "f1_50ms": 0.7, "f1_20ms": 0.5},
]


def picture(folder: Path, rows: list[dict[str, float]]) -> np.ndarray:
    write_curve(folder / "c.jsonl", rows)
    plot_curve(folder / "c.jsonl", folder / "c.png")
    pixels: np.ndarray = image.imread(folder / "c.png")
    return pixels


def test_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    write_curve(path, ROWS)
    first, *others = read_curve(path)
    assert others == ROWS[1:]
    assert first == ROWS[0] | {"f1_20ms": None}
    assert "NaN" not in path.read_text()
    write_curve(path, [])
    assert path.read_text() == ""
    assert read_curve(path) == []


@pytest.mark.parametrize("line", ["no json", "[1]", '{"train_loss": 1.0}', '{"step": "ten"}'])
def test_what_is_no_curve_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(ROWS[1]) + f"\n{line}\n")
    with pytest.raises(SettingsError, match=r"c\.jsonl, line 2: no validation of a training"):
        plot_curve(path, tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_the_picture_shows_losses_above_and_scores_below(tmp_path: Path) -> None:
    before = picture(tmp_path, ROWS)
    height, width = before.shape[:2]
    assert (width, height) == (840, 720)
    same = picture(tmp_path, ROWS)
    np.testing.assert_array_equal(before, same)
    for column, is_above in (("train_loss", True), ("valid_loss", True), ("f1_50ms", False)):
        changed = [ROWS[0], ROWS[1] | {column: ROWS[1][column] * 0.9}, ROWS[2]]
        rows = np.flatnonzero((picture(tmp_path, changed) != before).any(axis=(1, 2)))
        assert len(rows)
        assert bool((rows < height / 2).all()) == is_above
        assert bool((rows > height / 2).all()) != is_above


def test_one_validation_and_none_can_be_drawn(tmp_path: Path) -> None:
    for rows in (ROWS[:1], []):
        assert picture(tmp_path, rows).shape[:2] == (720, 840)
