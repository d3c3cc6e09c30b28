"""What the reports of drums and piano share: a line's scores, by name."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.paper.runs import Line

Value = Callable[[Line], float | None]

DECODINGS = {
    "mass": "by mass",
    "peaks": "by peaks",
    "peaks_half": "half the threshold",
    "peaks_double": "double the threshold",
}


def f1(test: str, decoding: str = "mass", key: str = "F1", window: str = "50ms") -> Value:
    """Take a score of a line: of a test set, by mass or by peaks (see `DECODINGS`)."""
    return lambda line: _entry(line, test, decoding, window).get(key)


def better_f1(test: str, window: str = "50ms") -> Value:
    """Take the better of F1 by mass and by tuned peaks."""
    return lambda line: max(
        _entry(line, test, decoding, window).get("F1") or 0.0 for decoding in ("mass", "peaks")
    )


def timing(test: str, key: str) -> Value:
    """Take bias or spread (ms) of the times decoded by mass."""
    return lambda line: line["result"]["scores"].get(test, {}).get("mass", {}).get(key)


def look(test: str, key: str) -> Value:
    """Take an entry of `benchmarks.paper.shapes.describe_predictions`."""
    return lambda line: line["result"]["predictions"].get(test, {}).get(key)


def _entry(line: Line, test: str, decoding: str, window: str) -> dict[str, float]:
    scores = line["result"]["scores"].get(test, {}).get(decoding, {})
    entry: dict[str, float] = scores.get(window, {})
    return entry
