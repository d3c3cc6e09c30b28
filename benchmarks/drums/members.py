"""What joining gains: ``python -m benchmarks.drums.members --corpus DIR``.

Scores the members of the shipped `drums` alone and together, and, in the same way, one network that
hears each recording several times, tuned otherwise: its filters moved up or down in frequency (the
paper's authors average over resampled variants). Means are those of probabilities, read off by
mass. Writes ``benchmarks/results/members.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.drums.experiment import RESULTS, command
from benchmarks.drums.render import data_folder
from benchmarks.drums.scoring import Answers, by_mass
from softloc.audio import read_audio
from softloc.checkpoints import Checkpoint, load_checkpoint
from softloc.engines import TorchEngine
from softloc.features import LogMel, mel_filterbank
from softloc.files import write_text_atomic
from softloc.formats import read_corpus
from softloc.inference import compute_probabilities

MODEL = "drums"
TUNINGS = (0.94, 1.0, 1.06)

#: A member (from 0) and its tuning.
Voice = tuple[int, float]
#: What is averaged, by the name that the table gives it.
WAYS: Mapping[str, tuple[Voice, ...]] = {
    "first member": ((0, 1.0),),
    "second member": ((1, 1.0),),
    "both": ((0, 1.0), (1, 1.0)),
    "first, two tunings": ((0, 1.0), (0, 1.06)),
    "first, three tunings": ((0, 0.94), (0, 1.0), (0, 1.06)),
    "both, two tunings": ((0, 1.0), (1, 1.0), (0, 1.06), (1, 1.06)),
    "both, three tunings": tuple((member, tuning) for member in (0, 1) for tuning in TUNINGS),
}


def main() -> None:
    """Score every way on every set, and record."""
    options = _parse()
    torch.set_num_threads(1)
    model = load_checkpoint(MODEL)
    dev = data_folder("drums-dev") / "labels.csv"
    sets = {
        "valid_kits": (options.corpus / "valid" / "labels.csv", ""),
        "test_kits": (options.corpus / "test" / "labels.csv", ""),
        "dev_drums": (dev, "drums/"),
        "dev_mixes": (dev, "mix/"),
    }
    scores: dict[str, dict[str, object]] = {way: {} for way in WAYS}
    for name, (labels, only) in sets.items():
        answers = hear(model, labels, only)
        for way, voices in WAYS.items():
            scores[way][name] = by_mass(mean_of([answers[voice] for voice in voices]))
    document = {"command": command(), "model": MODEL, "results": scores}
    write_text_atomic(RESULTS / "members.json", json.dumps(document, indent=1) + "\n")


def hear(model: Checkpoint, labels: Path, only: str) -> dict[Voice, Answers]:
    """Run every member in every tuning over the recordings whose names begin with `only`."""
    corpus = read_corpus(labels)
    references = {name: rows for name, rows in corpus.recordings.items() if name.startswith(only)}
    rate = model.settings.features.sample_rate_hz
    found: dict[Voice, dict[str, NDArray[np.float32]]] = {}
    for name in references:
        samples = read_audio(corpus.root / name, rate).samples
        for tuning in TUNINGS:
            log_mel = tuned(model, tuning)
            for member, network in enumerate(model.networks):
                engine = TorchEngine(log_mel, [network])
                rows = compute_probabilities(engine, [samples])
                found.setdefault((member, tuning), {})[name] = rows
    return {voice: Answers(model, references, rows) for voice, rows in found.items()}


def tuned(model: Checkpoint, tuning: float) -> LogMel:
    """Features in which every sound is so much lower: as if the sample rate were multiplied."""
    features = model.settings.features
    return LogMel(features, torch.from_numpy(mel_filterbank(features, tuning))).eval()


def mean_of(answers: Sequence[Answers]) -> Answers:
    """Mean of probabilities, recording by recording."""
    probabilities: dict[str, NDArray[np.float32]] = {
        name: np.stack([each.probabilities[name] for each in answers]).mean(axis=0)
        for name in answers[0].probabilities
    }
    return replace(answers[0], probabilities=probabilities)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--corpus", type=Path, required=True, help="holds valid/ and test/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
