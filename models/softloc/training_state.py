"""The state of a training: all that changes while it runs, to be saved and gone on from.

Conventions
-----------
- A run that was killed goes on from its last saved state to bit-identical weights (same machine,
  same number of threads), and with another number of processes to weights that differ by rounding
  only.
- A state goes on only with the settings, model and data it was saved with; its identity tells.
- What is validated and written is a running average of the weights.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softloc.checkpoints import Checkpoint, load_training_state, save_training_state
from softloc.datasets import Dataset
from softloc.errors import CheckpointError
from softloc.model_files import ModelSettings
from softloc.training_settings import Execution, TrainingSettings
from softloc.velocity import VelocityReadOut

_LOG = logging.getLogger(__name__)

#: What states did not tell before there was a choice.
_ONCE = {"processes": "1", "accumulate": "1"}


class TrainingState:
    """Everything that changes while a training runs.

    Parameters
    ----------
    model : Checkpoint
        What the training starts from; its features and network move to the device.
    settings : TrainingSettings
        How it is trained.
    device : str
        A torch device.

    Attributes
    ----------
    network, average : OnsetNetwork
        The one that learns, and the running average of its weights.
    optimizer : torch.optim.AdamW
        Of the former.
    velocity : VelocityReadOut or None
        What the training started from knows of velocities.
    steps, step : int
        How many there will be, and how many are done.
    seconds : float
        What these took.
    losses : list of float
        Those of the steps since the last validation.
    curve : list of dict
        A row for each validation.
    best, best_row : dict
        Average weights of the best validation, and its row; empty before the first one.
    """

    def __init__(self, model: Checkpoint, settings: TrainingSettings, device: str) -> None:
        self._average_steps = settings.average_steps
        self._log_mel = model.log_mel
        self.network = model.network.to(device)
        self._log_mel.to(device)
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.velocity = model.velocity
        self.steps = settings.steps
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_row: dict[str, float] = {}

    def update_average(self) -> None:
        """Let the average follow the weights by a step."""
        # Early on the average would be mostly the random start: it begins short and grows.
        keep = min(1.0 - 1.0 / self._average_steps, self.step / (self.step + 9.0))
        current = self.network.state_dict()
        for name, tensor in self.average.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(current[name], 1.0 - keep)
            else:
                tensor.copy_(current[name])

    def add_validation(
        self, scores: Mapping[str, float], quality: Callable[[Mapping[str, float]], float]
    ) -> None:
        """Add a row to the curve, and keep the average weights if they are the best so far.

        Parameters
        ----------
        scores : Mapping
            What the validation found.
        quality : callable
            How good a row is.
        """
        row = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "train_loss": float(np.mean(self.losses)),
            **scores,
        }
        self.curve.append(row)
        self.losses.clear()
        if not self.best_row or quality(row) > quality(self.best_row):
            self.best_row = row
            self.best = copy.deepcopy(self.average.state_dict())

    def save(self, path: Path, identity: Mapping[str, str]) -> None:
        """Write all of it, all or nothing.

        Parameters
        ----------
        path : Path
            File to replace.
        identity : Mapping
            What a run that goes on from it must agree with (`identity_of`).

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        content = {
            "identity": dict(identity),
            "steps": self.steps,
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "filterbank": self._log_mel.filterbank,
            "best": self.best,
            "best_row": self.best_row,
            "losses": self.losses,
            "curve": self.curve,
            "velocity": _velocity_tensors(self.velocity),
        }
        save_training_state(path, content)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `load_state` gave.

        Raises
        ------
        CheckpointError
            If it is damaged.
        """
        try:
            self._restore_progress(saved)
            self._restore_weights(saved)
            self._restore_course(saved)
            self._restore_velocity(saved)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"the saved training is damaged ({reason})") from error

    def _restore_progress(self, saved: Mapping[str, Any]) -> None:
        self.steps, self.step = operator.index(saved["steps"]), operator.index(saved["step"])
        self.seconds = float(saved["seconds"])
        if not 0 <= self.step <= self.steps:
            raise ValueError(f"step {self.step} of {self.steps}")

    def _restore_weights(self, saved: Mapping[str, Any]) -> None:
        if saved["best"]:  # none before the first validation; loaded only to see that it fits
            self.average.load_state_dict(saved["best"])
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self._restore_optimizer(saved["optimizer"])
        filterbank = self._log_mel.filterbank
        if saved["filterbank"].shape != filterbank.shape:  # a smaller one would be repeated
            raise ValueError(f"a filterbank of shape {tuple(saved['filterbank'].shape)}")
        filterbank.copy_(saved["filterbank"])

    def _restore_optimizer(self, saved: Mapping[str, Any]) -> None:
        """Restore it, and check what it would only stumble over in its next step."""
        (own,) = self.optimizer.param_groups
        kinds = {name: type(value) for name, value in own.items()}
        self.optimizer.load_state_dict(dict(saved))
        (loaded,) = self.optimizer.param_groups
        # Another PyTorch may have more of them, or fewer.
        if any(type(loaded[name]) is not kinds[name] for name in kinds.keys() & loaded.keys()):
            raise ValueError("other settings of the optimiser")
        for weights, moments in self.optimizer.state.items():
            if any(moments[name].shape != weights.shape for name in ("exp_avg", "exp_avg_sq")):
                raise ValueError("moments of the optimiser of another shape")

    def _restore_course(self, saved: Mapping[str, Any]) -> None:
        self.best, self.best_row = dict(saved["best"]), _as_row(saved["best_row"])
        self.losses = [float(loss) for loss in saved["losses"]]
        self.curve = [_as_row(row) for row in saved["curve"]]

    def _restore_velocity(self, saved: Mapping[str, Any]) -> None:
        if saved.get("velocity"):  # older states have none
            arrays = {name: tensor.numpy() for name, tensor in saved["velocity"].items()}
            self.velocity = VelocityReadOut(**arrays)


def _velocity_tensors(velocity: VelocityReadOut | None) -> dict[str, Tensor] | None:
    if velocity is None:
        return None
    return {name: torch.from_numpy(array) for name, array in velocity.arrays().items()}


def _as_row(row: Mapping[str, Any]) -> dict[str, float]:
    """Check a row of the curve that a state brings."""
    if not all(isinstance(value, int | float) for value in row.values()):
        raise ValueError("a row of the curve that is not of numbers")
    return dict(row)


def identity_of(
    model: ModelSettings,
    dataset: Dataset,
    held_back: Dataset,
    settings: TrainingSettings,
    execution: Execution,
) -> dict[str, str]:
    """Describe what must agree between a run that saved a state and one that goes on from it.

    Parameters
    ----------
    model : ModelSettings
        Of what is trained.
    dataset, held_back : Dataset
        What is learnt from, and what is validated with.
    settings, execution
        How, and where.
    """
    values = dataclasses.asdict(settings)
    del values["state_interval_s"]
    shape = dataclasses.asdict(model)
    del shape["n_members"]  # one is trained; states of earlier versions do not name it
    return {
        "settings": json.dumps(values, sort_keys=True),
        "model": json.dumps(shape, sort_keys=True),
        "data": dataset.sha256(),
        "validation": held_back.sha256(),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "processes": str(execution.team.size),
        "accumulate": str(execution.accumulate),
    }


def load_state(path: Path, identity: Mapping[str, str]) -> dict[str, Any]:
    """Read a state and check that it belongs to this training.

    What changes a training by rounding only is told as a warning.

    Parameters
    ----------
    path : Path
        File that `TrainingState.save` wrote.
    identity : Mapping
        That of this training (`identity_of`).

    Raises
    ------
    CheckpointError
        If it is missing or damaged, or belongs to other settings or data.
    """
    state = load_training_state(path)
    saved = state.get("identity")
    if not isinstance(saved, dict):
        raise CheckpointError(f"{path}: not the state of a training")
    for name in ("settings", "model", "data", "validation"):
        if saved.get(name) != identity[name]:
            raise CheckpointError(
                f"{path}: the saved training has other {name}: resume with the options and labels "
                f"it was started with, or give --overwrite to start afresh"
            )
    for name in ("threads", "torch", *_ONCE):
        before = saved.get(name, _ONCE.get(name))
        if before != identity[name]:
            _LOG.warning(
                "%s: %s was %s and is %s now: the training goes on, but not bit for bit",
                path,
                name,
                before,
                identity[name],
            )
    return state
