"""Listening live: how late a hit is told, and what a frame costs."""

from __future__ import annotations

from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json


def latency_table() -> str:
    """From a hit to the moment it is told: by design, and measured."""
    header = ("model", "frames at once", "by design, ms (at most)", "median", "95 %", "longest",
              "of one core")  # fmt: skip
    rows = [
        (
            f"`{row['model']}`",
            f"{row['step_frames']}",
            f"{row['stated_ms']['typical']:.0f} ({row['stated_ms']['longest']:.0f})",
            *(f"{row['measured_ms'][key]:.0f}" for key in ("median", "95%", "longest")),
            f"{row['cpu_share']:.1%}",
        )
        for row in read_json("latency.json")["rows"]
    ]
    return table(header, rows)


def stream_ways_table() -> str:
    """Ways to compute a stream that were weighed."""
    record = read_json("stream_ways.json")
    rows: list[tuple[str, ...]] = [
        (f"transform of a frame, {way}", f"{cost:.1f}", "")
        for way, cost in record["transforms_us_per_frame"].items()
    ]
    by_step, by_call = record["convolutions_us_per_frame"], record["calls_us"]
    for step, ways in by_step["drums"].items():
        rows += [
            (
                f"convolutions of a frame, {step} at once, {way}",
                *(f"{by_step[model][step][way]:.1f}" for model in ("drums", "drums-small")),
            )
            for way in ways
        ]
    rows += [
        (
            f"a call of LSTM and dense layers, {way}",
            *(f"{by_call[model][way]:.1f}" for model in ("drums", "drums-small")),
        )
        for way in by_call["drums"]
    ]
    return table(("processor time, µs", "`drums`", "`drums-small`"), rows)
