"""Shipped models: how well they transcribe, beside other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from benchmarks.tables.cells import CLASSES, SET_NAMES, f1_cell, signed_cell
from benchmarks.tables.markdown import table
from benchmarks.tables.results import Run, read_json, read_lines, shipped_run

#: Where a label stands: no other drum within 30 ms, or one.
_PLACES = ("alone", "together")


def scores_table() -> str:
    """Real recordings of drums alone: ours and a peer."""
    return _scores_of("dev_drums")


def mixes_table() -> str:
    """Real full mixes: ours and a peer."""
    return _scores_of("dev_mixes")


def _scores_of(name: str) -> str:
    header = ("", *CLASSES, "mean of KD SD HH", "the same at ±20 ms", "`any`", "bias, ms")
    rows = [
        (f"softloc `{model}`{_seeds(runs)}", *_cells([r["scores"][name]["mass"] for r in runs]))
        for model in ("drums", "drums-small")
        if (runs := [run for run in read_lines("drums.jsonl") if run["name"] == model])
    ]
    peers = read_json("peers.json")["results"]
    rows += [
        (f"{program} (own training data)", *_cells([scores[name]]))
        for program, scores in peers.items()
    ]
    return table(header, rows)


def _cells(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Means over runs: classes, mean of three, the same at ±20 ms, any, bias."""
    wide = [score["50ms"] for score in scores]
    narrow = [score["20ms"] for score in scores]
    cells = [f1_cell(mean(score[label] for score in wide)) for label in CLASSES]
    cells += [_spread([score["mean_kd_sd_hh"] for score in part]) for part in (wide, narrow)]
    cells.append(_spread([score["any"] for score in wide]))
    return [*cells, signed_cell(mean(score["bias_ms"] for score in scores))]


def _spread(values: Sequence[float]) -> str:
    """Mean, with the range where there is more than one seed."""
    if len(values) == 1:
        return f1_cell(values[0])
    return f"{f1_cell(mean(values))} ({f1_cell(min(values))}–{f1_cell(max(values))})"


def _seeds(runs: Sequence[Run]) -> str:
    return f" ({len(runs)} seeds)" if len(runs) > 1 else " (1 seed)"


def paired_table() -> str:
    """Shipped models less each peer, with intervals over recordings."""
    titles = {"mean_kd_sd_hh": "mean of KD SD HH", "any": "`any`"}
    windows = ("50ms", "20ms")
    header = ("difference of F1", "set", *(f"{t}, ±{w}" for t in titles.values() for w in windows))
    rows = []
    for pair, sets in read_json("peers.json")["paired"].items():
        for name, scores in sets.items():
            cells = [_difference(scores[window].get(key)) for key in titles for window in windows]
            rows.append((pair, SET_NAMES[name], *cells))
    return table(header, rows)


def _difference(values: Sequence[float] | None) -> str:
    """Difference with the ends of its interval."""
    if values is None:
        return "–"
    f1, low, high = values
    return f"{f1:+.3f} ({low:+.3f} … {high:+.3f})"


def sets_table(model: str) -> str:
    """Score a shipped model on every set, F1 at ±50 / ±20 ms."""
    header = ("set", *CLASSES, "mean", "mean of KD SD HH", "`any`", "bias, ms")
    rows = []
    for name, title in SET_NAMES.items():
        scores = shipped_run(model)["scores"][name]["mass"]
        wide, narrow = scores["50ms"], scores["20ms"]
        keys = (*CLASSES, "mean", "mean_kd_sd_hh", "any")
        cells = [f"{f1_cell(wide.get(key))} / {f1_cell(narrow.get(key))}" for key in keys]
        rows.append((title, *cells, signed_cell(scores["bias_ms"])))
    return table(header, rows)


def timing_table(model: str) -> str:
    """Single hits at known times on kits never heard: how many are found, and how late."""
    rows = [
        (
            label,
            f"{row['found']} of {row['labels']}",
            *(signed_cell(row[key]) for key in ("mean_ms", "median_ms")),
            f"{row['sigma_ms']:.1f}",
        )
        for label, row in read_json("timing.json")["results"][model].items()
    ]
    return table(("class", "found", "mean error, ms", "median, ms", "σ, ms"), rows)


def coincidence_table() -> str:
    """Labels found, alone and together with other drums."""
    names = {"first": "first weights", "drums": "softloc `drums`", "adtof": "adtof"}
    results = read_json("coincidence.json")["results"]
    classes = ("SD", "HH", "CY")
    header = ("found of all labels", *(f"{c} {place}" for c in classes for place in _PLACES))
    rows = []
    for key, title in names.items():
        cells = [
            "{} of {}".format(*results[key][label][place]) for label in classes for place in _PLACES
        ]
        rows.append((title, *cells))
    return table(header, rows)


def onsets_table() -> str:
    """Onsets of any instrument: real drums, and a piano in two rooms."""
    names = {
        "dev_drums": SET_NAMES["dev_drums"],
        "piano_close": "piano, close",
        "piano_ambient": "piano, ambient",
    }
    rows = []
    for run in read_lines("onsets.jsonl"):
        for name, title in names.items():
            scores = run["scores"][name]
            rows.append(
                (
                    title,
                    str(run["seed"]),
                    f1_cell(scores["50ms"]),
                    f1_cell(scores["20ms"]),
                    f1_cell(scores["precision"]),
                    f1_cell(scores["recall"]),
                    signed_cell(scores["bias_ms"]),
                )
            )
    header = ("set", "seed", "F1 ±50 ms", "±20 ms", "precision", "recall", "bias, ms")
    return table(header, rows)
