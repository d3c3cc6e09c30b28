"""What label noise costs: ``python -m benchmarks.drums.noise --corpus DIR -o DIR``.

Trains the ``small`` network with several losses on labels of a rendered corpus that normal noise
of σ = 0, 20, 50, 100 ms has shifted; every loss gets the same steps, audio and labels. Whatever
selects (the best weights, the threshold of peaks) sees labels with the same noise; scores are
against exact labels of validation kits and against real recordings. One line per run in
``benchmarks/results/noise.jsonl``; a run that is there already is not run again, so a sweep that
was stopped goes on. ``--only`` names the runs to do, ``--alpha`` weighs the count term otherwise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
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
from benchmarks.drums.scoring import answer, by_mass, by_peaks, tune
from softloc.loss import ALPHA_SCHEDULES
from softloc.training_files import record_path, state_path
from softloc.training_settings import PRECISIONS, TrainingSettings

SEEDS: Mapping[int, tuple[int, ...]] = {0: (0, 1, 2), 20: (0, 1), 50: (0, 1), 100: (0, 1, 2)}
FEWER_SEEDS: Mapping[int, tuple[int, ...]] = {0: (0, 1), 100: (0, 1)}
LOSSES = {
    "softloc": SEEDS,
    "likelihood": SEEDS,
    "cross-entropy": SEEDS,
    "label-smoothing": FEWER_SEEDS,
    "shift-tolerant": FEWER_SEEDS,
}
#: A softness below this only makes training harder, however exact the labels are.
MIN_SOFTNESS_MS = 30.0
#: The same for the tolerance of shift-tolerant cross-entropy.
MIN_TOLERANCE_MS = 20.0
#: Weight of the count term, that of the shipped weights.
ALPHA = 0.2
#: How much of the corpus is trained on: a run hears some 1,600 minutes of windows.
MINUTES = 500


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

    def settings(self, steps: int, alpha: float | str, precision: str) -> TrainingSettings:
        """Give the settings of its training."""
        settings = recipe(
            "small",
            steps,
            self.seed,
            loss=self.loss,
            softness_ms=max(MIN_SOFTNESS_MS, float(self.noise_ms)),
            alpha=alpha,
            precision=precision,
        )
        tolerance_ms = max(MIN_TOLERANCE_MS, float(self.noise_ms))
        return replace(settings, loss=replace(settings.loss, tolerance_ms=tolerance_ms))


def main() -> None:
    """Run whatever of the sweep is not done yet."""
    options = _parse()
    for run in missing_runs(options.steps, options.alpha):
        if run.name in (options.only or [run.name]):
            model = options.output / f"alpha-{options.alpha}" / f"{run.name}.safetensors"
            settings = run.settings(options.steps, options.alpha, options.precision)
            append_result("noise", train_and_score(run, settings, model, options.corpus))


def missing_runs(steps: int, alpha: float | str) -> Iterator[Run]:
    """Yield the runs that have no line of results yet, seed by seed."""
    path = RESULTS / "noise.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done = {
        (r["loss"], r["noise_ms"], r["seed"])
        for r in map(json.loads, lines)
        if r["steps"] == steps and r["settings"]["loss"]["alpha"] == alpha
    }
    for seed in range(3):
        for loss, seeds in LOSSES.items():
            for noise_ms, wanted in seeds.items():
                if seed in wanted and (loss, noise_ms, seed) not in done:
                    yield Run(loss, noise_ms, seed)


def train_and_score(
    run: Run, settings: TrainingSettings, model: Path, corpus: Path
) -> dict[str, Any]:
    """Do one run, unless its model is there, and give its line of results."""
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        resume = state_path(model).exists()
        train_once(corpus, model, run.noise_ms, settings, minutes=MINUTES, resume=resume)
    record = json.loads(record_path(model).read_text(encoding="utf-8"))
    return {**score(run, model, corpus), "minutes": MINUTES, **run_record(record)}


def score(run: Run, model: Path, corpus: Path) -> dict[str, Any]:
    """Score a model by mass and by peaks, the latter tuned on labels as noisy as in training.

    ``valid_noisy`` are the scores against those labels: what may choose between settings.
    """
    valid = answer(model, corpus / "valid" / "labels.csv")
    noisy = replace(
        valid, references=noisy_corpus(corpus / "valid", run.noise_ms, run.seed).recordings
    )
    dev = data_folder("drums-dev") / "labels.csv"
    sets = {
        "valid_noisy": noisy,
        "valid_kits": valid,
        "dev_drums": answer(model, dev, "drums/"),
        "dev_mixes": answer(model, dev, "mix/"),
    }
    peaks = tune(noisy)
    return {
        "loss": run.loss,
        "noise_ms": run.noise_ms,
        "seed": run.seed,
        "peak_settings": asdict(peaks),
        "scores": {
            name: {"mass": by_mass(answers), "peaks": by_peaks(answers, peaks)}
            for name, answers in sets.items()
        },
    }


def _alpha(text: str) -> float | str:
    return text if text in ALPHA_SCHEDULES else float(text)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--corpus", type=Path, required=True, help="holds train/ and valid/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for models")
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--alpha", type=_alpha, default=ALPHA, help="weight of the count term")
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16")
    parser.add_argument("--only", action="append", metavar="RUN", help="like softloc-100ms-0")
    return parser.parse_args()


if __name__ == "__main__":
    main()
