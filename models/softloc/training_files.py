"""Where the files of a training stand: beside the model file that it writes."""

from __future__ import annotations

from pathlib import Path


def state_path(output: Path) -> Path:
    """Where the state of a training stands."""
    return output.with_suffix(".state")


def record_path(output: Path) -> Path:
    """Where the record of a training stands."""
    return output.with_suffix(".run.json")


def curve_path(output: Path) -> Path:
    """Where the course of a training stands."""
    return output.with_suffix(".curve.jsonl")


def picture_path(output: Path) -> Path:
    """Where the picture of it stands."""
    return output.with_suffix(".curve.png")
