"""Which hop? ``python -m benchmarks.drums.hop --corpus DIR``: 5 ms against 10 ms, equal time.

Trains the ``small`` network at either hop for the same number of minutes on the same noisy labels
(σ = 30 ms) and scores exact labels of the validation kits. One line a run in
``benchmarks/results/hop.jsonl``.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import cast

from benchmarks.drums.experiment import append_result, run_record, train_once
from benchmarks.drums.scoring import answer, by_mass
from softloc.losses import LossSettings
from softloc.presets import SIZES, Size
from softloc.training_settings import TrainingSettings

NOISE_MS = 30.0
HOPS_SAMPLES = {"5 ms": 220, "10 ms": 441}


def main() -> None:
    """Run every hop with every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder with train/ and valid/")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    for seed in options.seeds:
        for name, hop_samples in HOPS_SAMPLES.items():
            _run(options.corpus, name, hop_samples, options.minutes, seed)


def _run(corpus: Path, name: str, hop_samples: int, minutes: float, seed: int) -> None:
    small = SIZES["small"]
    features = dataclasses.replace(small.features, hop_samples=hop_samples)
    sizes = cast("MutableMapping[str, Size]", SIZES)
    sizes[f"small, {name}"] = dataclasses.replace(small, features=features)
    settings = TrainingSettings(
        size=f"small, {name}",
        loss=LossSettings(alpha="piano"),
        softness_ms=NOISE_MS,
        minutes=minutes,
        batch_size=8,
        window_s=3.0,
        learning_rate=3e-3,
        seed=seed,
        validations=3,
        max_validation_s=300.0,
    )
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        record = train_once(corpus, model, NOISE_MS, settings)
        scores = by_mass(answer(model, corpus / "valid" / "labels.csv"))
    result = {"hop": name, "noise_ms": NOISE_MS, "seed": seed, "valid_kits": scores}
    append_result("hop", {**result, **run_record(record)})
    print(name, seed, scores, flush=True)


if __name__ == "__main__":
    main()
