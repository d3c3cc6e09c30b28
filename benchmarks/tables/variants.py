"""Drum models with something changed: one thing at a time, other hops, several members."""

from __future__ import annotations

from benchmarks.tables.cells import SET_NAMES, f1_cell, signed_cell
from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json, read_lines


def ablation_table() -> str:
    """One change at a time, equal steps."""
    sets = ("valid_kits", "dev_drums", "dev_mixes")
    header = ("", "seed", "corpus", "steps", "windows", *(SET_NAMES[name] for name in sets))
    rows = []
    for run in read_lines("ablation.jsonl"):
        cells = [
            " / ".join(f1_cell(run["scores"][name][w]["mean_kd_sd_hh"]) for w in ("50ms", "20ms"))
            for name in sets
        ]
        corpus = f"renderer {run['corpus']['renderer_version']}"
        settings = run["settings"]
        windows = f"{settings['batch_size']} × {settings['window_s']:g} s"
        rows.append((run["title"], str(run["seed"]), corpus, str(run["steps"]), windows, *cells))
    return table(header, rows)


def members_table() -> str:
    """Score members of a model alone and together, with and without other tunings."""
    results = read_json("members.json")["results"]
    rows = []
    for way, scores in results.items():
        cells = [
            " / ".join(f1_cell(scores[name][w]["mean_kd_sd_hh"]) for w in ("50ms", "20ms"))
            for name in SET_NAMES
        ]
        rows.append((way, *cells))
    return table(("probabilities of", *SET_NAMES.values()), rows)


def hop_table() -> str:
    """Hops compared at equal time."""
    header = ("hop", "seed", "steps", "mean F1 ±50 ms", "±20 ms", "bias, ms")
    rows = [
        (
            run["hop"],
            str(run["seed"]),
            str(run["steps"]),
            f1_cell(run["valid_kits"]["50ms"]["mean"]),
            f1_cell(run["valid_kits"]["20ms"]["mean"]),
            signed_cell(run["valid_kits"]["bias_ms"]),
        )
        for run in read_lines("hop.jsonl")
    ]
    return table(header, rows)
