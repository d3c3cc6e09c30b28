"""Models as PyTorch modules, and the states of trainings.

A model file is read by `softloc.model_files`. Training states are separate files
(`save_training_state`), read with ``weights_only=True``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from softloc.errors import CheckpointError
from softloc.features import LogMel
from softloc.files import atomic_path
from softloc.model_files import (
    FORMAT_VERSION,
    METADATA_KEY,
    ModelFile,
    ModelSettings,
    read_model,
)
from softloc.network import OnsetNetwork
from softloc.velocity import VelocityReadOut


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model, ready to be used.

    Attributes
    ----------
    settings : ModelSettings
        Its definition.
    log_mel : LogMel
        Features, with the filterbank the model was trained with.
    network : OnsetNetwork
        The network.
    record : Mapping
        How it came to be: settings of the training, data, versions, scores, licences.
    velocity : VelocityReadOut or None
        Estimates velocities; None for a model whose labels carried none.
    """

    settings: ModelSettings
    log_mel: LogMel
    network: OnsetNetwork
    record: Mapping[str, Any] = field(default_factory=dict)
    velocity: VelocityReadOut | None = None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model file, all or nothing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    header = {
        "softloc_format": FORMAT_VERSION,
        **dataclasses.asdict(checkpoint.settings),
        "record": dict(checkpoint.record),
    }
    with atomic_path(path) as temporary:
        save_file(tensors_of(checkpoint), temporary, metadata={METADATA_KEY: json.dumps(header)})


def load_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Load a model by the name of a shipped one or by the path of a file.

    Parameters
    ----------
    name_or_path : str or Path
        As for `softloc.model_files.read_model`.

    Raises
    ------
    SettingsError
        If there is no such model.
    CheckpointError
        If the file is damaged, not ours, or of a newer format.
    """
    model = read_model(name_or_path)
    try:
        return make_checkpoint(model)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{name_or_path}: the model file is damaged ({error})") from error


def make_checkpoint(model: ModelFile) -> Checkpoint:
    """Make modules, in evaluation mode, of what a model file holds.

    Raises
    ------
    KeyError, RuntimeError
        If its weights do not fit its settings.
    """
    log_mel = LogMel(model.settings.features)
    network = OnsetNetwork(model.settings.network)
    for part, module in (("log_mel", log_mel), ("network", network)):
        module.load_state_dict({k: torch.from_numpy(v) for k, v in model.part(part).items()})
    return Checkpoint(model.settings, log_mel.eval(), network.eval(), model.record, model.velocity)


def tensors_of(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """Return all weights by the names that they have in a model file."""
    modules = {"log_mel": checkpoint.log_mel, "network": checkpoint.network}
    tensors: dict[str, NDArray[Any]] = {
        f"{part}.{name}": tensor.detach().cpu().contiguous().numpy()
        for part, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    if checkpoint.velocity is not None:
        for name, array in checkpoint.velocity.arrays().items():
            tensors[f"velocity.{name}"] = np.ascontiguousarray(array)
    return tensors


def save_training_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write what a training needs to go on exactly, all or nothing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_path(path) as temporary:
        torch.save(dict(state), temporary)


def load_training_state(path: Path) -> dict[str, Any]:
    """Read a training state; runs no code.

    Raises
    ------
    CheckpointError
        If it is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no training state here, nothing to resume") from error
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: the training state is damaged ({reason})") from error
    return state
