"""How sets, classes and figures are written, the same in every table."""

from __future__ import annotations

CLASSES = ("KD", "SD", "HH", "TT", "CY")
SET_NAMES = {
    "dev_drums": "drums alone, 13 recordings",
    "dev_mixes": "full mixes, 4 recordings",
    "valid_kits": "validation kits, rendered",
    "test_kits": "test kits, rendered",
}


def f1_cell(value: float | None) -> str:
    """Write an F1 to three places, without the zero before the point."""
    return "–" if value is None else f"{value:.3f}".lstrip("0")


def signed_cell(value: float) -> str:
    """Write a bias or an error with its sign, to one place."""
    return f"{round(value, 1) + 0.0:+.1f}"  # adding 0 turns -0.0 into 0.0
