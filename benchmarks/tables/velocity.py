"""Velocities of drums: ways to estimate them."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tables.cells import CLASSES, SET_NAMES
from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json


def velocity_table() -> str:
    """Ways to estimate velocities, means over classes, on kits never heard in training."""
    names = {"mae": "error", "mae_affine": "after a line", "r": "correlation", "gain": "at -12 dB"}
    sets = read_json("velocity.json")["sets"]
    titles = [SET_NAMES[name].split(",")[0] for name in sets]
    header = ("way", *(f"{title}: {column}" for title in titles for column in names.values()))
    rows = [
        (
            way,
            *(
                _velocity_cell(scores[way]["mean"], key)
                for scores in sets.values()
                for key in names
            ),
        )
        for way in sets["test_kits"]
    ]
    return table(header, rows)


def velocity_classes_table() -> str:
    """Velocities of every class on the test kits, beside its mean velocity."""
    scores = read_json("velocity.json")["sets"]["test_kits"]
    header = ("class", "events", "error", "after a line", "correlation", "error of the mean")
    rows = []
    for label in CLASSES:
        row = scores["softloc"][label]
        cells = [_velocity_cell(row, key) for key in ("mae", "mae_affine", "r")]
        constant = _velocity_cell(scores["constant"][label], "mae")
        rows.append((label, str(row["events"]), *cells, constant))
    return table(header, rows)


def _velocity_cell(row: Mapping[str, float], key: str) -> str:
    return f"{row[key]:.2f}" if key == "r" else f"{row[key]:.1f}"
