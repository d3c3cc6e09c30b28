"""How good a model is while it trains: its loss and its F1 on recordings that are held back.

Conventions
-----------
- Where validation labels are exact, the best weights are those with the highest F1, averaged over
  classes and tolerances; where they are as noisy as the training labels, those with the lowest
  validation loss, and F1 is counted at a wide tolerance and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from softloc.audio_store import AudioStore
from softloc.batches import label_targets, window_frames
from softloc.checkpoints import Checkpoint
from softloc.datasets import Dataset, Recording
from softloc.decoding import decode_onsets
from softloc.engines import TorchEngine
from softloc.evaluation import AS_WRITTEN, EvaluationSettings, evaluate
from softloc.events import Onset
from softloc.features import FeatureSettings
from softloc.inference import compute_logits, edge_frames, fold_edges
from softloc.label_scatter import estimate_scatter
from softloc.training_settings import TrainingSettings
from softloc.velocity_fitting import match_window_s

#: Tolerances of F1 where the validation labels are exact.
CLEAN_TOLERANCES_S = (0.050, 0.020)


@dataclass(frozen=True)
class Validation:
    """Recordings that say how good a model is.

    Attributes
    ----------
    dataset : Dataset
        Never trained on.
    clean : bool
        Whether its labels are exact; otherwise they are as noisy as those of the training.
    """

    dataset: Dataset
    clean: bool

    def tolerances_s(self, softness_ms: float) -> tuple[float, ...]:
        """Tolerances of F1: exact labels allow fine ones, noisy ones only a wide one."""
        if self.clean:
            return CLEAN_TOLERANCES_S
        return (match_window_s(softness_ms),)

    def quality(self, entry: Mapping[str, float]) -> float:
        """How good a row of the curve is: mean F1 by exact labels, else minus the loss."""
        if not self.clean:
            return -entry["valid_loss"]
        scores = [value for name, value in entry.items() if name.startswith("f1_")]
        return float(np.mean(scores)) if np.isfinite(scores).all() else -math.inf


def validate(
    model: Checkpoint,
    validation: Validation,
    store: AudioStore,
    loss: nn.Module,
    settings: TrainingSettings,
) -> dict[str, float]:
    """Find how good a model is.

    Parameters
    ----------
    model : Checkpoint
        In evaluation mode.
    validation : Validation
        Recordings and labels.
    store : AudioStore
        Audio of the same recordings.
    loss : nn.Module
        What is minimised (`softloc.losses.make_loss`).
    settings : TrainingSettings
        Those of the training.

    Returns
    -------
    dict
        Columns of a row of the curve: ``valid_loss``, ``concentration`` (1 where all mass sits in
        single frames, 1/n where each event is spread over n), for each tolerance ``f1_…ms``, and
        ``label_sigma_ms``, how far the labels lie from what the model hears (NaN if it hears
        nothing near them).
    """
    losses = []
    mass = mass_squared = 0.0
    references: dict[str, list[Onset]] = {}
    estimates: dict[str, list[Onset]] = {}
    lengths_s: dict[str, float] = {}
    shape = model.settings
    edge = edge_frames(shape.features)
    engine = TorchEngine(model.log_mel, model.networks)
    for index, recording in enumerate(validation.dataset.recordings):
        logits = compute_logits(engine, store.blocks(index))
        scored = logits[:, edge:-edge]
        losses.append(_mean_loss(loss, recording, scored, shape.features, settings.window_s))
        probabilities = fold_edges(logits, edge)
        mass += float(probabilities.sum())
        mass_squared += float(np.square(probabilities).sum())
        lengths_s[recording.name] = probabilities.shape[1] / float(shape.features.grid.frame_rate)
        references[recording.name] = _labelled_onsets(recording, shape.classes)
        estimates[recording.name] = decode_onsets(
            probabilities,
            shape.classes,
            shape.features.grid,
            softness_ms=shape.softness_ms,
            event_mass=shape.event_mass,
        )
    scatter = estimate_scatter(references, estimates, lengths_s)
    return {
        "valid_loss": float(np.mean(losses)),
        "concentration": mass_squared / mass if mass else 0.0,
        **_mean_f1(references, estimates, validation.tolerances_s(settings.softness_ms)),
        "label_sigma_ms": 1000 * scatter.sigma_s if scatter else math.nan,
    }


def _labelled_onsets(recording: Recording, classes: tuple[str, ...]) -> list[Onset]:
    sequence = recording.sequences[0]
    return [
        Onset(time_s, classes[i])
        for time_s, i in zip(sequence.times_s, sequence.classes, strict=True)
    ]


def _mean_f1(
    references: Mapping[str, list[Onset]],
    estimates: Mapping[str, list[Onset]],
    tolerances_s: tuple[float, ...],
) -> dict[str, float]:
    """F1 of each tolerance, averaged over the classes."""
    rules = EvaluationSettings(classes=AS_WRITTEN, windows_s=tolerances_s)
    return {
        f"f1_{1000 * tolerance_s:g}ms": ratios.f_measure if ratios else math.nan
        for tolerance_s, ratios in evaluate(references, estimates, rules).class_means.items()
    }


def _mean_loss(
    loss: nn.Module,
    recording: Recording,
    logits: NDArray[np.float32],
    features: FeatureSettings,
    window_s: float,
) -> float:
    """Mean loss of a recording's windows, with the weights that the loss ends with.

    The last window overlaps the one before it, so that none holds a few frames only.
    """
    n_classes, n_frames = logits.shape
    targets, softness_frames = label_targets(recording, n_classes, n_frames, features)
    size = min(window_frames(window_s, features), n_frames)
    starts = [*range(0, n_frames - size, size), n_frames - size]

    def cut(rows: Tensor) -> Tensor:  # (classes, frames) to (windows, classes, size)
        return torch.stack([rows[:, start : start + size] for start in starts])

    mean: Tensor = loss(
        cut(torch.from_numpy(logits)),
        cut(targets),
        softness_frames.expand(len(starts), -1),
        1.0,
    )
    return float(mean)
