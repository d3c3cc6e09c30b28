"""The run record: how a trained model came to be. It stands in the model file and beside it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from softloc.checkpoints import Checkpoint
from softloc.datasets import Dataset
from softloc.training_settings import Execution, TrainingSettings
from softloc.training_state import TrainingState
from softloc.training_validation import Validation
from softloc.velocity import VelocityReadOut
from softloc.versions import installed_versions

#: What the numbers depend on.
_PACKAGES = ("softloc", "torch", "numpy", "librosa", "soxr", "soundfile")


def describe_run(
    model: Checkpoint,
    state: TrainingState,
    *,
    dataset: Dataset,
    validation: Validation,
    settings: TrainingSettings,
    execution: Execution,
) -> dict[str, Any]:
    """Describe a training that is done.

    Parameters
    ----------
    model : Checkpoint
        As it is written, velocities included.
    state : TrainingState
        At the end.
    dataset, validation
        What was learnt from and judged by.
    settings, execution
        How, and where.

    Returns
    -------
    dict
        Entries of the run record, all but the curve.
    """
    return {
        "settings": dataclasses.asdict(settings),
        "steps": state.steps,
        "seconds": round(state.seconds, 1),
        "best": state.best_row,
        "data": _describe_data(dataset),
        "validation": {
            **_describe_data(validation.dataset),
            "labels": "exact" if validation.clean else "as noisy as the training labels",
        },
        "versions": installed_versions(_PACKAGES),
        "threads": torch.get_num_threads(),
        "device": execution.device,
        "accumulate": execution.accumulate,
        "processes": execution.team.size,
        "velocity": _describe_velocity(model.velocity, model.settings.classes),
    }


def _describe_data(dataset: Dataset) -> dict[str, Any]:
    return {
        "recordings": len(dataset.recordings),
        "minutes": round(dataset.duration_s / 60.0, 2),
        "labels": dataset.count_labels(),
        "sha256": dataset.sha256(),
    }


def _describe_velocity(
    velocity: VelocityReadOut | None, classes: tuple[str, ...]
) -> dict[str, float]:
    """Mean velocity of the labels of each class that it is known for."""
    if velocity is None:
        return {}
    rows = zip(classes, velocity.mean.tolist(), velocity.known.tolist(), strict=True)
    return {label: round(mean, 1) for label, mean, is_known in rows if is_known}
