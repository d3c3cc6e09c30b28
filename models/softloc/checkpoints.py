"""Model files: one ``.safetensors`` with everything that is needed to use the model.

Conventions
-----------
- The header's metadata holds one JSON object under ``softloc``: format version, settings of
  features and network, classes, and the record of the training. Loading runs no code.
- A model is given by name (shipped, listed in ``index.json``, SHA-256 checked at every load) or by
  path.
- Whether a model estimates velocities, its tensors say: those under ``velocity.`` are optional.
- Training states are separate files (`save_training_state`), read with ``weights_only=True``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from softloc.errors import CheckpointError, SettingsError
from softloc.features import FeatureSettings, LogMel
from softloc.files import file_sha256, write_bytes_atomic
from softloc.network import ConvStage, NetworkSettings, OnsetNetwork, count_weights
from softloc.velocity import VelocityReadOut
from softloc.vocabulary import nearest_hint, note_of_label

FORMAT_VERSION = 1
MODEL_SUFFIX = ".safetensors"
_METADATA_KEY = "softloc"
_VELOCITY = "velocity"
_PRETRAINED = "softloc.pretrained"

#: Smallest and largest value of settings that decide how much memory and time a model takes: far
#: beyond all that makes sense, near enough that a damaged file cannot stop a machine.
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "sample_rate_hz": (1, 768_000),
    "hop_samples": (1, 1 << 16),
    "window_samples": (1, 1 << 14),
    "fft_samples": (2, 1 << 14),
    "n_bands": (1, 1 << 12),
    "min_hz": (0.0, math.inf),
    "max_hz": (0.0, math.inf),
    "n_classes": (1, 1 << 12),
    "channels": (1, 1 << 12),
    "bands": (1, 1 << 12),
    "stride": (1, 1 << 12),
    "pool": (1, 1 << 12),
    "lstm_units": (1, 1 << 14),
    "dense_units": (1, 1 << 14),
    "dropout": (0.0, 1.0),
    "lstm_delay_frames": (0, 10_000),
    "softness_ms": (0.0, math.inf),
    "event_mass": (0.5, 1e5),
}
_MAX_FRAMES_PER_SECOND = 2_000
_MAX_STAGES = 64
_MAX_VALUES_PER_FRAME = 1 << 16


_Settings = TypeVar("_Settings", ConvStage, FeatureSettings, NetworkSettings)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """All that defines a model apart from its weights.

    Attributes
    ----------
    features : FeatureSettings
        What the network sees.
    network : NetworkSettings
        Its shape.
    classes : tuple of str
        Label of each output.
    midi_notes : tuple of (int or None)
        Note that each class is written as; None for classes without one.
    softness_ms : float
        Softness that it was trained with; events are read off with the same (`softloc.decoding`).
    event_mass : float
        Probability mass that stands for one event.
    """

    features: FeatureSettings
    network: NetworkSettings
    classes: tuple[str, ...]
    midi_notes: tuple[int | None, ...]
    softness_ms: float
    event_mass: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.classes) == len(self.midi_notes) == self.network.n_classes:
            raise SettingsError(
                f"{len(self.classes)} classes and {len(self.midi_notes)} MIDI notes for a network "
                f"with {self.network.n_classes} outputs"
            )
        if self.features.n_bands != self.network.n_bands:
            raise SettingsError(
                f"the network expects {self.network.n_bands} bands, "
                f"the features have {self.features.n_bands}"
            )


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


def default_notes(classes: tuple[str, ...]) -> tuple[int | None, ...]:
    """MIDI note of each class by its name; None where the name says none."""
    return tuple(note_of_label(label) for label in classes)


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
    metadata = {_METADATA_KEY: json.dumps(header)}
    # Through memory: on a full disk the libraries' own writers raise what tells nobody why.
    write_bytes_atomic(path, save_tensors(_tensors(checkpoint), metadata=metadata))


def load_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Load a model by the name of a shipped one or by the path of a file.

    Parameters
    ----------
    name_or_path : str or Path
        ``"drums"``, or a ``.safetensors`` file that `softloc train` wrote.

    Raises
    ------
    SettingsError
        If there is no such model.
    CheckpointError
        If the file is damaged, not ours, or of a newer format.
    """
    with verified_path(name_or_path) as path:
        return _load_file(path)


@contextlib.contextmanager
def verified_path(name_or_path: str | Path) -> Iterator[Path]:
    """Find the file of a model; that of a shipped one has the hash that the index says.

    Parameters
    ----------
    name_or_path : str or Path
        As for `load_checkpoint`.

    Yields
    ------
    Path
        The file; inside the block it exists.

    Raises
    ------
    SettingsError
        If there is no such model.
    CheckpointError
        If the file of a shipped model is not the one that was shipped.
    """
    text = str(name_or_path)
    index = pretrained_index()
    if text in index:
        entry = index[text]
        with as_file(files(_PRETRAINED) / entry["file"]) as path:
            _verify(path, entry["sha256"])
            yield path
        return
    path = Path(name_or_path)
    if not path.is_file():
        raise SettingsError(
            f"{text}: neither a model file nor a shipped model{nearest_hint(text, index)}"
        )
    yield path


def pretrained_card(name: str) -> str | None:
    """Card of a shipped model as Markdown: its data, scores, limits and licences."""
    file = Path(pretrained_index()[name]["file"])
    card = files(_PRETRAINED) / file.with_suffix(".md").name
    return card.read_text(encoding="utf-8") if card.is_file() else None


def pretrained_index() -> Mapping[str, Mapping[str, str]]:
    """Shipped models: name to file, sha256, format and licence."""
    index: dict[str, dict[str, str]] = json.loads(
        (files(_PRETRAINED) / "index.json").read_text(encoding="utf-8")
    )
    return index


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
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no training state here, nothing to resume") from error
    except Exception as error:
        raise CheckpointError(
            f"{path}: the training state is damaged ({_reason(error)})"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not the state of a training")
    return state


def _refuse_compressed(path: Path) -> None:
    """Refuse an archive that is larger inside than it is on disk: ours are never compressed."""
    with zipfile.ZipFile(path) as archive:
        inside = sum(member.file_size for member in archive.infolist())
    if inside > path.stat().st_size:
        raise ValueError(f"{inside} bytes are claimed to be in it")


def _reason(error: Exception) -> str:
    """Words of an error of another library in one line, without most of a long story."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"


def _tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    parts = {
        "log_mel": checkpoint.log_mel,
        "network": checkpoint.network,
        _VELOCITY: checkpoint.velocity,
    }
    return {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, module in parts.items()
        if module is not None
        for name, tensor in module.state_dict().items()
    }


def _verify(path: Path, sha256: str) -> None:
    found = file_sha256(path)
    if found != sha256:
        raise CheckpointError(
            f"{path}: SHA-256 is {found}, the index says {sha256}; the installation is damaged, "
            f"install softloc again"
        )


def _load_file(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a model file, or damaged ({_reason(error)})") from error
    if _METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not one that softloc wrote")
    return _rebuild(path, metadata[_METADATA_KEY], tensors)


def _rebuild(path: Path, header_text: str, tensors: Mapping[str, Tensor]) -> Checkpoint:
    try:
        header = json.loads(header_text)
        version = _format_version(header)
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: format {version} is newer than this softloc knows ({FORMAT_VERSION}); "
                f"upgrade softloc"
            )
        settings = _parse_settings(header)
        record = dict(header.get("record", {}))
        _require_size(settings, tensors)
        broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
        if broken:
            raise CheckpointError(f"{path}: weights are not finite ({broken[0]})")
        parts = _parts(settings, tensors)
        for part, module in parts.items():
            module.load_state_dict(_tensors_of(part, tensors))
        checkpoint = Checkpoint(settings, **parts, record=record)
        _try(checkpoint)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
            SettingsError) as error:  # fmt: skip
        raise CheckpointError(f"{path}: the model file is damaged ({_reason(error)})") from error
    return checkpoint


def _format_version(header: Mapping[str, Any]) -> int:
    version = header["softloc_format"]
    if type(version) is not int or version < 1:
        raise ValueError(f"softloc_format is {version!r}")
    return version


def _parts(settings: ModelSettings, tensors: Iterable[str]) -> dict[str, Any]:
    """Untrained modules of a model, by what their tensors' names begin with."""
    parts: dict[str, Any] = {
        "log_mel": LogMel(settings.features).eval(),
        "network": OnsetNetwork(settings.network).eval(),
    }
    if any(name.startswith(f"{_VELOCITY}.") for name in tensors):
        parts[_VELOCITY] = VelocityReadOut(len(settings.classes), settings.features.n_bands)
    return parts


def _tensors_of(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _require_size(settings: ModelSettings, tensors: Mapping[str, Tensor]) -> None:
    """Refuse settings that ask for more numbers than the file holds, before they get memory."""
    features, n_classes = settings.features, len(settings.classes)
    wanted = {
        "log_mel": (features.fft_samples // 2 + 1) * features.n_bands,
        "network": count_weights(settings.network),
        _VELOCITY: n_classes * (features.n_bands + 2),
    }
    for part, n_wanted in wanted.items():
        found = [tensor.numel() for tensor in _tensors_of(part, tensors).values()]
        if (found or part != _VELOCITY) and n_wanted > sum(found):
            raise ValueError(f"{part} holds {sum(found)} numbers, its settings ask for {n_wanted}")


@torch.inference_mode()
def _try(checkpoint: Checkpoint) -> None:
    """Hear one frame of silence, so that shapes that do not fit together are found now."""
    settings = checkpoint.settings
    n_frames = settings.network.look_back_frames + 1 + settings.network.look_ahead_frames
    n_samples = settings.features.n_samples_for(n_frames)
    checkpoint.network(checkpoint.log_mel(torch.zeros(1, n_samples)))


def _parse_settings(header: Mapping[str, Any]) -> ModelSettings:
    network = dict(header["network"])
    stages = network["stages"] = tuple(_checked(ConvStage, each) for each in network["stages"])
    features = _checked(FeatureSettings, header["features"])
    settings = ModelSettings(
        features=features,
        network=_checked(NetworkSettings, network),
        classes=tuple(header["classes"]),
        midi_notes=tuple(header["midi_notes"]),
        softness_ms=_in_bounds("softness_ms", header["softness_ms"]),
        event_mass=_in_bounds("event_mass", header["event_mass"]),
    )
    most = max((stage.channels * features.n_bands for stage in stages), default=0)
    if len(stages) > _MAX_STAGES or most > _MAX_VALUES_PER_FRAME:
        raise ValueError(f"{len(stages)} stages of up to {most} values a frame are too many")
    if not features.grid.frame_rate <= _MAX_FRAMES_PER_SECOND:
        raise ValueError(f"{features.hop_samples} samples are too short a hop")
    for label, note in zip(settings.classes, settings.midi_notes, strict=True):
        _require_class(label, note)
    return settings


def _require_class(label: Any, note: Any) -> None:
    if not isinstance(label, str) or not label.encode():  # half a surrogate pair fails here, too
        raise ValueError(f"{label!r} is no name of a class")
    if note is not None and (type(note) is not int or not 0 <= note <= 127):
        raise ValueError(f"the MIDI note of {label} is {note!r}")


def _checked(kind: type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Make settings from values of the right types and sizes."""
    types = {each.name: each.type for each in dataclasses.fields(kind)}
    for name, value in values.items():
        if types.get(name) == "bool" and type(value) is not bool:
            raise ValueError(f"{name} is {value!r}, not true or false")
        if types.get(name) == "int" and type(value) is not int:
            raise ValueError(f"{name} is {value!r}, not a whole number")
        if name in _BOUNDS:
            _in_bounds(name, value)
    return kind(**values)


def _in_bounds(name: str, value: Any) -> float:
    smallest, largest = _BOUNDS[name]
    if type(value) not in (int, float) or not smallest <= value <= largest:
        raise ValueError(f"{name} is {value!r}, not {smallest:g} to {largest:g}")
    number: float = value
    return number
