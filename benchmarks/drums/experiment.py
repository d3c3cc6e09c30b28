"""Train on a rendered corpus with noisy labels: one run of an experiment.

The labels that choose the best weights carry the same noise as those that train. Each run is one
line of JSON in ``benchmarks/results/``: command, seed, settings, time and scores.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile as sf
import torch

from benchmarks.drums.scoring import CLASSES
from softloc.datasets import Dataset, build_dataset, choose_classes
from softloc.errors import SettingsError
from softloc.events import Corpus
from softloc.formats import read_corpus
from softloc.losses import LossSettings
from softloc.perturb import Noise, PerturbSettings, perturb
from softloc.training import fit
from softloc.training_observers import Observer
from softloc.training_settings import TrainingSettings
from softloc.training_validation import Validation

RESULTS = Path(__file__).resolve().parents[1] / "results"

#: Corpora without drums, beside those with them.
DRUMLESS = ("drumless", "guitars")


class _Printer(Observer):
    def on_validation(self, entry: Mapping[str, float]) -> None:
        print(json.dumps({key: round(value, 4) for key, value in entry.items()}), flush=True)


def recipe(
    size: str,
    steps: int,
    seed: int,
    *,
    loss: str = "softloc",
    softness_ms: float = 30.0,
    alpha: float | str = "piano",
    precision: str = "bfloat16",
) -> TrainingSettings:
    """Give the settings that all trainings here share."""
    return TrainingSettings(
        size=size,
        # The count term must not take over before hats are learnt.
        loss=LossSettings(name=loss, alpha=alpha),
        softness_ms=softness_ms,
        steps=steps,
        # Twice as many windows, half as long, learn in half the steps (`benchmarks/README.md`).
        batch_size=16,
        window_s=1.5,
        learning_rate=3e-3,
        max_validation_s=1_500.0,
        precision=precision,
        seed=seed,
    )


def noisy_corpus(folder: Path, noise_ms: float, seed: int) -> Corpus:
    """Read a rendered corpus and shift every label by normal noise of this standard deviation."""
    corpus = read_corpus(folder / "labels.csv")
    if noise_ms:
        settings = PerturbSettings(noise=Noise("normal", noise_ms), seed=seed)
        corpus, _ = perturb(corpus, settings)
    return corpus


def noisy_dataset(
    folder: Path,
    noise_ms: float,
    softness_ms: float,
    seed: int,
    classes: str = CLASSES,
    *,
    backgrounds: Sequence[Path] = (),
    minutes: int | None = None,
) -> Dataset:
    """Join the labels of `noisy_corpus` with their audio, and with recordings without labels.

    Of the corpus itself only the first so many minutes are taken, if that is given.
    """
    corpus = noisy_corpus(folder, noise_ms, seed)
    if minutes is not None:
        corpus = first_minutes(corpus, minutes)
    if backgrounds:
        corpus = _side_by_side(corpus, *(noisy_corpus(path, 0.0, seed) for path in backgrounds))
    # Rendered here, so trusted: joined labels name recordings in folders beside their own.
    return build_dataset(corpus, choose_classes(classes, corpus), None, softness_ms, outside=True)


def first_minutes(corpus: Corpus, minutes: int) -> Corpus:
    """Take as much of a rendered corpus as one of so many minutes would hold.

    Raises
    ------
    SettingsError
        If there is less.
    """
    kept, left_s = {}, 60.0 * minutes
    for name, onsets in sorted(corpus.recordings.items()):
        if left_s <= 0.0:
            break
        kept[name] = onsets
        left_s -= sf.info(corpus.root / name).duration
    if left_s > 0.0:
        raise SettingsError(f"{corpus.root} holds {left_s / 60.0:.1f} minutes less than {minutes}")
    return replace(corpus, recordings=kept)


def _side_by_side(*corpora: Corpus) -> Corpus:
    """Make one corpus of several whose folders stand side by side."""
    recordings = {
        f"{corpus.root.name}/{name}": onsets
        for corpus in corpora
        for name, onsets in corpus.recordings.items()
    }
    return replace(corpora[0], root=corpora[0].root.parent, recordings=recordings)


def train_once(
    corpus: Path,
    model: Path,
    noise_ms: float,
    settings: TrainingSettings,
    *,
    classes: str = CLASSES,
    minutes: int | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train on ``corpus/train``, choosing weights by ``corpus/valid``, both equally noisy.

    With `minutes` on the first so many of ``train``.

    Where there are `DRUMLESS` folders, their recordings are trained on as recordings without
    events, and mixed under the others.
    """
    torch.set_num_threads(1)
    drumless = [corpus / name for name in DRUMLESS if (corpus / name).is_dir()]
    backgrounds = drumless if classes == CLASSES else []
    shared = (noise_ms, settings.softness_ms, settings.seed, classes)
    train = noisy_dataset(corpus / "train", *shared, backgrounds=backgrounds, minutes=minutes)
    valid = noisy_dataset(corpus / "valid", *shared)
    with tempfile.TemporaryDirectory() as work:
        return fit(
            train,
            Validation(valid.shorten(settings.max_validation_s, settings.seed), clean=not noise_ms),
            settings,
            model,
            Path(work),
            resume=resume,
            observer=_Printer(),
        )


def append_result(name: str, result: Mapping[str, Any]) -> None:
    """Add one line to ``benchmarks/results/<name>.jsonl``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"command": command(), **result}) + "\n")


def command() -> str:
    """Tell the command that is running, its module named instead of its file."""
    main = sys.modules["__main__"].__spec__
    return shlex.join(["python", "-m", main.name if main else "benchmarks.drums", *sys.argv[1:]])


def run_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the parts of a training's record that a line of results needs.

    The record inside a model file is without its curve.
    """
    kept = {
        key: record[key] for key in ("settings", "steps", "seconds", "best", "versions", "threads")
    }
    if "curve" in record:
        curve = [[row["step"], round(row["valid_loss"], 4)] for row in record["curve"]]
        kept["validation_curve"] = curve
    return kept
