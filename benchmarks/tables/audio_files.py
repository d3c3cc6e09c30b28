"""Reading audio files: how late a click comes back, and what reading costs."""

from __future__ import annotations

from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json


def shifts_table() -> str:
    """List how late every wrapping comes back, before and after correction, and how much of it."""
    header = ("recording", "decoder", "before, ms", "after, ms", "the file tells", "read before",
              "read after")  # fmt: skip
    rows = [
        (
            name,
            case["decoder"].split()[0],
            f"{case['before_ms']:.2f}",
            f"{case['after_ms']:.2f}",
            "no" if case["assumed"] else "yes",
            f"{case['read_before']:.0%}",
            f"{case['read_after']:.0%}",
        )
        for name, case in read_json("decoders.json")["shifts"].items()
    ]
    return table(header, rows)


def reading_table() -> str:
    """Compare the time of reading with soundfile alone."""
    speed = read_json("decoders.json")["speed"]
    header = (f"{speed['duration_s'] / 60:g} minutes of stereo", "soundfile, s", "softloc, s")
    rows = [
        (form, f"{times['soundfile_s']:.2f}", f"{times['softloc_s']:.2f}")
        for form, times in speed["median"].items()
    ]
    return table(header, rows)
