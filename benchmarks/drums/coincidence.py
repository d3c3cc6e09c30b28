"""Hats and cymbals alone, and under other drums: ``python -m benchmarks.drums.coincidence``.

Counts on ``$SOFTLOC_DATA/drums-dev`` (drums alone) how many labels of each class are found within
50 ms: those with no other drum within 30 ms, and those that coincide with one. For the shipped
model, models given with ``--model``, and the programs whose answers the pack holds. Writes
``benchmarks/results/coincidence.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.drums.experiment import RESULTS, command
from benchmarks.drums.render import data_folder
from softloc.events import Onset
from softloc.files import write_text_atomic
from softloc.formats import read_corpus
from softloc.pipeline import load

CLASSES = ("KD", "SD", "HH", "TT", "CY")
FOUND_S, TOGETHER_S = 0.050, 0.030

Events = Mapping[str, list[Onset]]


def main() -> None:
    """Count for every program and model, and record."""
    options = _parse()
    folder = data_folder("drums-dev")
    labels = read_corpus(folder / "labels.csv").recordings
    reference = {name: rows for name, rows in labels.items() if name.startswith("drums/")}
    answers: dict[str, Events] = {}
    for program in sorted((folder / "estimates").iterdir()):
        found = {Path(name).stem: rows for name, rows in read_corpus(program).recordings.items()}
        answers[program.name] = {name: found[Path(name).stem] for name in reference}
    for name, model in (("drums", "drums"), *(pair.split("=", 1) for pair in options.model)):
        transcriber = load(model)
        answers[name] = {name: transcriber.transcribe(folder / name) for name in reference}
    results = {name: count(reference, events) for name, events in answers.items()}
    document = {"command": command(), "results": results}
    write_text_atomic(RESULTS / "coincidence.json", json.dumps(document, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def count(reference: Events, estimate: Events) -> dict[str, dict[str, list[int]]]:
    """Found and all labels of each class, alone and together with others."""
    counts = {label: {"alone": [0, 0], "together": [0, 0]} for label in CLASSES}
    for name, rows in reference.items():
        labelled, answered = _times_s(rows), _times_s(estimate[name])
        for label in CLASSES:
            others = np.concatenate([labelled[other] for other in CLASSES if other != label])
            for time_s in labelled[label]:
                place = "together" if _has_near(others, time_s, TOGETHER_S) else "alone"
                counts[label][place][0] += _has_near(answered[label], time_s, FOUND_S)
                counts[label][place][1] += 1
    return counts


def _times_s(onsets: list[Onset]) -> dict[str, NDArray[np.float64]]:
    return {
        label: np.array([onset.time_s for onset in onsets if onset.label == label])
        for label in CLASSES
    }


def _has_near(times_s: NDArray[np.float64], time_s: float, within_s: float) -> bool:
    return bool(np.any(np.abs(times_s - time_s) <= within_s))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME=PATH", help="another model"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
