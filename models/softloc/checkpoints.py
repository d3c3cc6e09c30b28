"""Models as PyTorch modules, and the states of trainings.

A model file is read by `softloc.model_files`. Training states are separate files
(`save_training_state`), read with ``weights_only=True``.
"""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save as save_tensors

from softloc.errors import CheckpointError
from softloc.features import LogMel
from softloc.files import write_bytes_atomic
from softloc.model_files import (
    DAMAGE,
    FORMAT_VERSION,
    METADATA_KEY,
    ModelFile,
    ModelSettings,
    damaged,
    read_model,
    reason,
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
    metadata = {METADATA_KEY: json.dumps(header)}
    # Through memory: on a full disk the libraries' own writers raise what tells nobody why.
    write_bytes_atomic(path, save_tensors(tensors_of(checkpoint), metadata=metadata))


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
        checkpoint = make_checkpoint(model)
        _try(checkpoint)
    except DAMAGE as error:
        raise damaged(name_or_path, error) from error
    return checkpoint


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
    content = io.BytesIO()
    torch.save(dict(state), content)
    write_bytes_atomic(path, content.getvalue())


def load_training_state(path: Path) -> dict[str, Any]:
    """Read a training state; runs no code.

    Raises
    ------
    CheckpointError
        If it is missing or damaged.
    """
    try:
        _refuse_compressed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of odd pickles: the error says more
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no training state here, nothing to resume") from error
    except Exception as error:
        raise CheckpointError(f"{path}: the training state is damaged ({reason(error)})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not the state of a training")
    return state


def _refuse_compressed(path: Path) -> None:
    """Refuse an archive that is larger inside than it is on disk: ours are never compressed."""
    with zipfile.ZipFile(path) as archive:
        inside = sum(member.file_size for member in archive.infolist())
    if inside > path.stat().st_size:
        raise ValueError(f"{inside} bytes are claimed to be in it")


@torch.inference_mode()
def _try(checkpoint: Checkpoint) -> None:
    """Hear one frame of silence, so that shapes that do not fit together are found now."""
    settings = checkpoint.settings
    n_frames = settings.network.look_back_frames + 1 + settings.network.look_ahead_frames
    n_samples = settings.features.n_samples_for(n_frames)
    checkpoint.network(checkpoint.log_mel(torch.zeros(1, n_samples)))
