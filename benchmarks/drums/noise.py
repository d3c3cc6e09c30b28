"""What label noise costs: ``python -m benchmarks.drums.noise --corpus DIR -o DIR``.

Trains the ``small`` network with several losses on labels of a rendered corpus that normal noise
of σ = 0, 20, 50, 100 ms has shifted; every loss gets the same steps, audio and labels. Whatever
selects (the best weights, the threshold of peaks) sees labels with the same noise; scores are
against exact labels of validation kits and against real recordings. One line per run in
``benchmarks/results/noise.jsonl``; a run that is there already is not run again, so a sweep that
was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.drums.experiment import (
    RESULTS,
    append_result,
    noisy_corpus,
    recipe,
    run_record,
    train_once,
)
from benchmarks.drums.render import data_folder
from benchmarks.drums.scoring import Answers, answer, by_mass, by_peaks, tune
from softloc.training_files import record_path
from softloc.training_settings import TrainingSettings

SEEDS: Mapping[int, tuple[int, ...]] = {0: (0, 1, 2), 20: (0, 1), 50: (0, 1), 100: (0, 1, 2)}
FEWER_SEEDS: Mapping[int, tuple[int, ...]] = {0: (0, 1), 100: (0, 1)}
LOSSES = {
    "softloc": SEEDS,
    "cross-entropy": SEEDS,
    "label-smoothing": FEWER_SEEDS,
    "shift-tolerant": FEWER_SEEDS,
}
#: A softness below this only makes training harder, however exact the labels are.
MIN_SOFTNESS_MS = 30.0


@dataclass(frozen=True)
class Run:
    """One training of the sweep."""

    loss: str
    noise_ms: int
    seed: int

    @property
    def name(self) -> str:
        """Name of its model file, without suffix."""
        return f"{self.loss}-{self.noise_ms}ms-{self.seed}"

    def settings(self, steps: int) -> TrainingSettings:
        """Give the settings of its training."""
        softness_ms = max(MIN_SOFTNESS_MS, float(self.noise_ms))
        return recipe("small", steps, self.seed, loss=self.loss, softness_ms=softness_ms)


def main() -> None:
    """Run whatever of the sweep is not done yet."""
    options = _parse()
    for run in missing_runs(options.steps):
        model = options.output / f"{run.name}.safetensors"
        if not model.exists():
            resume = model.with_suffix(".state").exists()
            train_once(
                options.corpus, model, run.noise_ms, run.settings(options.steps), resume=resume
            )
        record = json.loads(record_path(model).read_text(encoding="utf-8"))
        append_result("noise", {**score(run, model, options.corpus), **run_record(record)})


def missing_runs(steps: int) -> Iterator[Run]:
    """Yield the runs that have no line of results yet, seed by seed."""
    path = RESULTS / "noise.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done = {(r["loss"], r["noise_ms"], r["seed"], r["steps"]) for r in map(json.loads, lines)}
    for seed in range(3):
        for loss, seeds in LOSSES.items():
            for noise_ms, wanted in seeds.items():
                if seed in wanted and (loss, noise_ms, seed, steps) not in done:
                    yield Run(loss, noise_ms, seed)


def score(run: Run, model: Path, corpus: Path) -> dict[str, Any]:
    """Score a model by mass and by peaks, the latter tuned on labels as noisy as in training."""
    valid = answer(model, corpus / "valid" / "labels.csv")
    dev = answer(model, data_folder("drums-dev") / "labels.csv", "drums/")
    noisy = noisy_corpus(corpus / "valid", run.noise_ms, run.seed)
    peaks = tune(replace(valid, references=noisy.recordings))

    def both(answers: Answers) -> dict[str, Any]:
        return {"mass": by_mass(answers), "peaks": by_peaks(answers, peaks)}

    return {
        "loss": run.loss,
        "noise_ms": run.noise_ms,
        "seed": run.seed,
        "scores": {"valid_kits": both(valid), "dev_drums": both(dev)},
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--corpus", type=Path, required=True, help="holds train/ and valid/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for models")
    parser.add_argument("--steps", type=int, default=4_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
