"""Stored results: a difference is a change that the changelog must mention."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    files: dict[str, bytes] = runpy.run_path(str(GOLDEN / "regenerate.py"))["golden_files"]()
    return files


@pytest.mark.parametrize(
    "name",
    [
        "events.csv", "events.tsv.txt", "events.audacity.txt", "events.mid", "events.json",
        "events.jams", "events.svl", "labels.csv",
        "perturbed-normal.csv", "perturbed-rounded.csv", "perturbed-uniform.csv",
        "perturbed-shift.csv", "perturbed-skew.csv", "perturbed-laplace.csv", "scores.json",
        "scores.tex",
    ],
)  # fmt: skip
def test_result_equals_the_stored_one(name: str, made: dict[str, bytes]) -> None:
    assert made[name] == (GOLDEN / name).read_bytes()


def test_no_golden_file_is_forgotten(made: dict[str, bytes]) -> None:
    assert len(made) == 16


def test_page_on_formats_has_the_table_of_the_registry() -> None:
    regenerate = runpy.run_path(str(GOLDEN / "regenerate.py"))
    assert regenerate["FORMATS_PAGE"].read_text(encoding="utf-8") == regenerate["formats_page"]()
