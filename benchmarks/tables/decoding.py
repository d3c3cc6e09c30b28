"""How events are read off the probabilities: what the settings of that matter."""

from __future__ import annotations

from benchmarks.tables.cells import SET_NAMES, f1_cell
from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_lines, shipped_run


def decoding_table() -> str:
    """How much the seed, and how much the threshold matters: the shipped model, each set."""
    header = ("decoding", *SET_NAMES.values())
    scores = shipped_run("drums")["scores"]
    rows = []
    for way, title in (
        ("mass_by_seed", "mass, seed ×"),
        ("peaks_by_threshold", "peaks, tuned ×"),
    ):
        for factor in scores["dev_drums"][way]:
            cells = [
                " / ".join(
                    f1_cell(scores[name][way][factor][f"{w}_mean"]) for w in ("50ms", "20ms")
                )
                for name in SET_NAMES
            ]
            rows.append((f"{title} {factor}", *cells))
    return table(header, rows)


def softness_table() -> str:
    """Decode with the softness of the training, and with less."""
    runs = read_lines("decoding.jsonl")
    shares = [row["share"] for row in runs[0]["scores"]["valid_kits"][:-1]] if runs else []
    header = ("model, its softness", "set", *(f"× {share:g}" for share in shares), "what is used")
    rows = [
        (
            f"{run['model']}, {run['softness_ms']:g} ms",
            SET_NAMES[name],
            *(" / ".join(f1_cell(row[window]) for window in ("50ms", "20ms")) for row in scores),
        )
        for run in runs
        for name, scores in run["scores"].items()
    ]
    return table(header, rows)
