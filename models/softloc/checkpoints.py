"""Models as PyTorch modules, and the states of trainings.

A model file is read by `softloc.model_files`. Training states are separate files
(`save_training_state`), read with ``weights_only=True``.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from softloc.errors import CheckpointError
from softloc.features import LogMel
from softloc.files import write_bytes_atomic
from softloc.model_files import (
    DAMAGE,
    ModelFile,
    ModelSettings,
    damaged,
    read_model,
    reason,
    write_model,
)
from softloc.model_weights import member_parts
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
        The network; the first one of several members.
    record : Mapping
        How it came to be: settings of the training, data, versions, scores, licences.
    velocity : VelocityReadOut or None
        Estimates velocities; None for a model whose labels carried none.
    others : tuple of OnsetNetwork
        Further members.

    Raises
    ------
    ValueError
        If there are more or less networks than the settings say.
    """

    settings: ModelSettings
    log_mel: LogMel
    network: OnsetNetwork
    record: Mapping[str, Any] = field(default_factory=dict)
    velocity: VelocityReadOut | None = None
    others: tuple[OnsetNetwork, ...] = ()

    def __post_init__(self) -> None:
        if len(self.networks) != self.settings.n_members:
            raise ValueError(f"{len(self.networks)} networks for {self.settings.n_members} members")

    @property
    def networks(self) -> tuple[OnsetNetwork, ...]:
        """All members."""
        return (self.network, *self.others)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model file, all or nothing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_model(path, ModelFile(checkpoint.settings, tensors_of(checkpoint), checkpoint.record))


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
    networks = [OnsetNetwork(model.settings.network) for _ in range(model.settings.n_members)]
    weights = [model.part("log_mel"), *model.members]
    for module, tensors in zip((log_mel, *networks), weights, strict=True):
        module.load_state_dict({name: torch.from_numpy(t) for name, t in tensors.items()})
        module.eval()
    first, *others = networks
    return Checkpoint(model.settings, log_mel, first, model.record, model.velocity, tuple(others))


def tensors_of(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """Return all weights by the names that they have in a model file."""
    parts = member_parts(len(checkpoint.networks))
    modules = {"log_mel": checkpoint.log_mel, **dict(zip(parts, checkpoint.networks, strict=True))}
    tensors: dict[str, NDArray[Any]] = {
        f"{part}.{name}": tensor.detach().cpu().contiguous().numpy()
        for part, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    if checkpoint.velocity is not None:
        for name, array in checkpoint.velocity.arrays().items():
            tensors[f"velocity.{name}"] = array
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
    if path.exists() and not path.is_file():  # a pipe or a device, which may have no end
        raise CheckpointError(f"{path}: is no file, so not the state of a training")
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
    features = checkpoint.log_mel(torch.zeros(1, n_samples))
    for network in checkpoint.networks:
        network(features)
