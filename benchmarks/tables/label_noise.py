"""Drum models trained on noisy labels: SoftLoc beside other losses."""

from __future__ import annotations

from benchmarks.drums import noise_report
from benchmarks.tables.cells import CLASSES, SET_NAMES, f1_cell, signed_cell
from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json, read_lines

#: Runs on labels shifted by 30 ms, with either loss.
NOISY_RUNS = "drums-noise30.jsonl"


def noise_table() -> str:
    """SoftLoc beside cross-entropy on every set, each by mass and by peaks, every seed."""
    header = ("loss", "seed", "read off by", *(SET_NAMES[name] for name in SET_NAMES))
    rows = []
    for run in read_lines(NOISY_RUNS):
        for way in ("mass", "peaks"):
            cells = [
                " / ".join(f1_cell(run["scores"][name][way][w]["mean"]) for w in ("50ms", "20ms"))
                for name in SET_NAMES
            ]
            rows.append((run["loss"], str(run["seed"]), way, *cells))
    return table(header, rows)


def noise_sweep_table() -> str:
    """Losses on labels of growing noise, by mass and by peaks."""
    return table(*noise_report.rows(noise_report.read_runs()))


def scatter_table() -> str:
    """Noise that labels have, and what is found of it through each shipped model."""
    rows = []
    results = read_json("label_scatter.json")["results"]
    noises = [f"{found['noise_ms']:g}" for found in next(iter(results.values()))]
    for model, every in results.items():
        shares = [found["stray_share"] for found in every]
        rows.append(
            (
                f"`{model}`",
                *(f"{found['sigma_ms']:.1f}" for found in every),
                f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %",
            )
        )
    return table(("heard by", *noises, "taken for strays"), rows)


def classes_table() -> str:
    """List every run's F1 per class on real drums, by mass and by peaks."""
    header = ("loss", "seed", "read off by", *CLASSES, "mean of KD SD HH", "`any`", "bias, ms")
    rows = []
    for run in read_lines(NOISY_RUNS):
        for way in ("mass", "peaks"):
            scores = run["scores"]["dev_drums"][way]
            cells = [
                " / ".join(f1_cell(scores[window][key]) for window in ("50ms", "20ms"))
                for key in (*CLASSES, "mean_kd_sd_hh", "any")
            ]
            rows.append(
                (run["loss"], str(run["seed"]), way, *cells, signed_cell(scores["bias_ms"]))
            )
    return table(header, rows)
