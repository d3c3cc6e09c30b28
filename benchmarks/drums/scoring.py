"""Scores of a model on labelled recordings, by mass and by peak picking.

Probabilities are computed once per recording; every way of decoding reads the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peak_picking import PeakSettings, pick_peaks, tune_peaks
from softloc.audio import read_audio
from softloc.checkpoints import Checkpoint, load_checkpoint
from softloc.decoding import SEED, decode_points, decoding_softness_ms
from softloc.engines import TorchEngine
from softloc.evaluation import EvaluationSettings, evaluate
from softloc.events import Onset, sort_onsets
from softloc.formats import read_corpus
from softloc.inference import compute_probabilities

CLASSES = "5"
WINDOWS_S = (0.050, 0.020)
SEED_FACTORS = (0.5, 0.8, 1.0, 1.2, 1.5)

Scores = dict[str, Any]
Decoder = Callable[[NDArray[np.float32]], list[Onset]]


@dataclass(frozen=True)
class Answers:
    """What a model says to labelled recordings.

    Attributes
    ----------
    model : Checkpoint
        The model.
    references : Mapping[str, list of Onset]
        Labels by recording.
    probabilities : Mapping[str, ndarray of shape (n_classes, n_frames)]
        Its output by recording.
    """

    model: Checkpoint
    references: Mapping[str, list[Onset]]
    probabilities: Mapping[str, NDArray[np.float32]]

    def score(self, decode: Decoder) -> Scores:
        """Decode all recordings and score them."""
        estimates = {name: decode(rows) for name, rows in self.probabilities.items()}
        return summarise(self.references, estimates)


def answer(model: Path | str, labels: Path, only: str = "") -> Answers:
    """Run a model over the recordings of a corpus whose names begin with `only`."""
    corpus = read_corpus(labels)
    checkpoint = load_checkpoint(model)
    engine = TorchEngine(checkpoint.log_mel, checkpoint.networks)
    rate = checkpoint.settings.features.sample_rate_hz
    references = {name: rows for name, rows in corpus.recordings.items() if name.startswith(only)}
    probabilities = {
        name: compute_probabilities(engine, [read_audio(corpus.root / name, rate).samples])
        for name in references
    }
    return Answers(checkpoint, references, probabilities)


def by_mass(answers: Answers, seed_factor: float = 1.0, softness_ms: float | None = None) -> Scores:
    """Decode by mass, with the seed that is fixed or a multiple of it.

    With the softness that fits the model's, unless another is given.
    """
    settings = answers.model.settings
    grid = settings.features.grid
    if softness_ms is None:
        softness_ms = decoding_softness_ms(settings.softness_ms)
    softness_frames = grid.ms_to_frames(softness_ms)

    def decode(probabilities: NDArray[np.float32]) -> list[Onset]:
        onsets = []
        for label, row in zip(settings.classes, probabilities, strict=True):
            points = decode_points(row, softness_frames, settings.event_mass, seed_factor * SEED)
            onsets += [Onset(t, label) for t in grid.frames_to_seconds(points.frames).tolist()]
        return sort_onsets(onsets)

    return answers.score(decode)


def by_peaks(answers: Answers, peaks: PeakSettings) -> Scores:
    """Decode by peak picking."""
    settings = answers.model.settings
    return answers.score(lambda p: pick_peaks(p, settings.classes, settings.features.grid, peaks))


def tune(valid: Answers) -> PeakSettings:
    """Choose smoothing and threshold of the peaks for the best mean F1 at ±50 ms."""
    return tune_peaks(lambda peaks: float(by_peaks(valid, peaks)["50ms"]["mean"]))


def compare_decodings(test: Answers, tuned: PeakSettings) -> Scores:
    """By mass, also with other seeds; by peaks, also with half and double the threshold."""
    scaled = {
        factor: replace(tuned, threshold=min(factor * tuned.threshold, 1.0))
        for factor in (0.5, 1.0, 2.0)
    }
    return {
        "mass": by_mass(test),
        "mass_by_seed": {f"{factor:g}": _brief(by_mass(test, factor)) for factor in SEED_FACTORS},
        "peak_settings": asdict(tuned),
        "peaks": by_peaks(test, tuned),
        "peaks_by_threshold": {
            f"{factor:g}": _brief(by_peaks(test, peaks)) for factor, peaks in scaled.items()
        },
    }


def summarise(
    references: Mapping[str, list[Onset]], estimates: Mapping[str, list[Onset]]
) -> Scores:
    """F1 of each class, their mean and that of KD SD HH, at ±50 and ±20 ms; ``any``; bias.

    Counts are summed over recordings; means are over classes that occur.
    """
    result = evaluate(references, estimates, EvaluationSettings(CLASSES, WINDOWS_S))
    scores: Scores = {}
    for window_s in WINDOWS_S:
        ratios = {label: row.counts[window_s].ratios for label, row in result.per_class.items()}
        f1 = {label: ratio.f_measure for label, ratio in ratios.items() if ratio is not None}
        three = [f1[label] for label in ("KD", "SD", "HH") if label in f1]
        regardless = result.any.counts[window_s].ratios
        scores[f"{1000 * window_s:g}ms"] = {
            **{label: round(value, 4) for label, value in f1.items()},
            "mean": round(float(np.mean(list(f1.values()))), 4),
            "mean_kd_sd_hh": round(float(np.mean(three)), 4),
            "any": round(regardless.f_measure, 4) if regardless else None,
        }
    timing = result.total.timing
    scores["bias_ms"] = round(timing.bias_ms, 2) if timing else None
    scores["sigma_ms"] = round(timing.sigma_ms, 2) if timing else None
    scores["bias_by_class_ms"] = {
        label: round(row.timing.bias_ms, 2)
        for label, row in result.per_class.items()
        if row.timing is not None
    }
    return scores


def _brief(scores: Scores) -> dict[str, float]:
    return {
        f"{window}_{name}": scores[window][name]
        for window in ("50ms", "20ms")
        for name in ("mean", "mean_kd_sd_hh")
    }
