"""Score what other programs answered for the same recordings, and ours against them in pairs.

``python -m benchmarks.drums.peers`` reads ``$SOFTLOC_DATA/drums-dev/estimates/<program>/`` and
writes ``benchmarks/results/peers.json``: every program's scores, and how much better the shipped
models are, with 95 % intervals over recordings (both on the same resamples).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.drums.experiment import RESULTS
from benchmarks.drums.render import data_folder
from benchmarks.drums.scoring import WINDOWS_S, Scores, summarise
from softloc.evaluation import (
    BootstrapSettings,
    EvaluationSettings,
    bootstrap,
    evaluate,
    pair_recordings,
)
from softloc.events import Onset
from softloc.files import write_text_atomic
from softloc.formats import read_corpus
from softloc.model_files import pretrained_index
from softloc.pipeline import load

SETS = {"dev_drums": "drums/*", "dev_mixes": "mix/*"}
MODELS = ("drums", "drums-small")
RESAMPLING = BootstrapSettings(n_resamples=10_000, seed=0)

Events = Mapping[str, list[Onset]]


def main() -> None:
    """Score every program that has a folder of estimates."""
    folder = data_folder("drums-dev")
    reference = read_corpus(folder / "labels.csv")
    ours = {
        model: transcribe(model, folder, sorted(reference.recordings))
        for model in MODELS
        if model in pretrained_index()
    }
    results: dict[str, dict[str, Scores]] = {}
    paired: dict[str, dict[str, Any]] = {}
    for program in sorted((folder / "estimates").iterdir()):
        estimate = read_corpus(program)
        results[program.name] = {}
        for name, pattern in SETS.items():
            pairing = pair_recordings(reference, estimate, (pattern,))
            results[program.name][name] = summarise(pairing.references, pairing.estimates)
            for model, events in ours.items():
                found = compare(pairing.references, pairing.estimates, events)
                paired.setdefault(f"{model} - {program.name}", {})[name] = found
    document = {
        "command": "python -m benchmarks.drums.peers",
        "results": results,
        "n_resamples": RESAMPLING.n_resamples,
        "seed": RESAMPLING.seed,
        "paired": paired,
    }
    write_text_atomic(RESULTS / "peers.json", json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))


def transcribe(model: str, folder: Path, names: list[str]) -> dict[str, list[Onset]]:
    """Answers of a shipped model."""
    transcriber = load(model)
    return {name: transcriber.transcribe(folder / name) for name in names}


def compare(references: Events, theirs: Events, ours: Events) -> dict[str, Any]:
    """F1 of ours less theirs, and its interval: mean of KD SD HH, and `any`, by tolerance."""
    settings = EvaluationSettings("3", WINDOWS_S)
    mine = {name: ours[name] for name in references}
    evaluations = [evaluate(references, events, settings) for events in (theirs, mine)]
    _, uncertainty = bootstrap(evaluations, RESAMPLING)
    scores: dict[str, Any] = {}
    for row, differences in zip(evaluations[1].table(), uncertainty.differences or (), strict=True):
        key = {"mean over classes": "mean_kd_sd_hh", "any": "any"}.get(row.name)
        for window_s, difference in differences.items():
            if key is None or difference is None or difference.interval is None:
                continue
            scores.setdefault(f"{1000 * window_s:g}ms", {})[key] = [
                round(value, 4) for value in (difference.f_measure, *difference.interval)
            ]
    return scores


if __name__ == "__main__":
    main()
