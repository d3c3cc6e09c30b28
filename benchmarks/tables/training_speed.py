"""Processor time of a training step, and where it goes."""

from __future__ import annotations

from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json


def training_speed_table() -> str:
    """List the processor time of a step of each size, against the first version."""
    header = ("size", "first version, processor ms a step", "now", "now, bfloat16", "steps timed")
    rows = []
    for size, result in read_json("training_speed.json")["results"].items():
        steps = result["steps"]
        median_ms = steps["processor"]["median_ms"]
        cells = [f"{median_ms[way]:.0f}" for way in ("first", "now", "now, bfloat16")]
        rows.append((f"`{size}`", *cells, str(steps["steps_each"])))
    return table(header, rows)


def training_parts_table() -> str:
    """Where the processor time of a step goes."""
    results = read_json("training_speed.json")["results"]
    names = list(next(iter(results.values()))["parts"]["median_ms"])
    header = ("part, processor ms", *(f"`{size}`" for size in results))
    rows = [
        (name, *(f"{result['parts']['median_ms'][name]:.1f}" for result in results.values()))
        for name in names
    ]
    for title, key in (
        ("share of the loss", "loss_share"),
        ("drawing over all the rest", "drawing_over_computing"),
    ):
        rows.append((title, *(f"{result['parts'][key]:.1%}" for result in results.values())))
    return table(header, rows)
