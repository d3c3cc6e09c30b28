"""What was measured, read from ``benchmarks/results``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PRETRAINED = ROOT / "pretrained"

Run = Mapping[str, Any]


def read_json(name: str) -> Run:
    """Read the one document of a file."""
    document: Run = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document


def read_lines(name: str) -> list[Run]:
    """Read the runs of a file, a line each; none where nothing was run yet."""
    path = RESULTS / name
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def shipped_run(model: str) -> Run:
    """Find the run that made the shipped weights: of many of one model, that with their hash."""
    index = json.loads((PRETRAINED / "index.json").read_text(encoding="utf-8"))
    sha256 = index[model]["sha256"]
    return next(run for run in read_lines("drums.jsonl") if run["sha256"] == sha256)
