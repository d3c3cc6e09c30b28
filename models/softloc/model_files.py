"""Model files as they are on disk: one ``.safetensors`` with everything to use the model.

Conventions
-----------
- The header's metadata holds one JSON object under ``softloc``: format version, settings of
  features and network, classes, and the record of the training. Loading runs no code.
- A model is given by name (shipped, listed in ``index.json``, SHA-256 checked at every load) or by
  path.
- Whether a model estimates velocities, its tensors say: those under ``velocity.`` are optional.
- A model may have several *members*, networks of one shape, under ``network.``, ``network2.``, ….
  Their probabilities are averaged; all else they share.
- A file names the lowest format that can hold it, so that earlier softlocs read what they can.
- Nothing here needs PyTorch; `softloc.checkpoints` makes modules of what is read here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from softloc.errors import CheckpointError, SettingsError
from softloc.features import FeatureSettings
from softloc.files import file_sha256, to_json, write_bytes_atomic
from softloc.model_weights import MAX_MEMBERS, check_tensors, member_parts
from softloc.network import ConvStage, NetworkSettings
from softloc.velocity import VelocityReadOut
from softloc.vocabulary import nearest_hint, note_of_label

#: 1: one network. 2: several members.
FORMAT_VERSION = 2
MODEL_SUFFIX = ".safetensors"
METADATA_KEY = "softloc"
_PRETRAINED = "softloc.pretrained"

#: Smallest and largest value of settings that decide how much memory and time a model takes: far
#: beyond all that makes sense, near enough that a damaged file cannot stop a machine.
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "sample_rate_hz": (1, 768_000),
    "hop_samples": (1, 1 << 16),
    "window_samples": (2, 1 << 14),
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
    "event_mass": (1.0, 1e5),
    "n_members": (1, MAX_MEMBERS),
}
#: Files larger than that are not read.
_MAX_BYTES = 1 << 29
#: Of the number that a safetensors file begins with: the length of its header.
_LENGTH_BYTES = 8
_FRAMES_PER_SECOND = (10, 2_000)
_MAX_STAGES = 64
_MAX_VALUES_PER_FRAME = 1 << 16

#: What nonsense in a model file leads to.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
          SettingsError)  # fmt: skip


_Settings = TypeVar("_Settings", ConvStage, FeatureSettings, NetworkSettings)

Array = NDArray[Any]


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
    n_members : int
        Networks of that shape, whose probabilities are averaged.
    """

    features: FeatureSettings
    network: NetworkSettings
    classes: tuple[str, ...]
    midi_notes: tuple[int | None, ...]
    softness_ms: float
    event_mass: float = 1.0
    n_members: int = 1

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
        if not 1 <= self.n_members <= MAX_MEMBERS:
            raise SettingsError(f"{self.n_members} members: a model has 1 to {MAX_MEMBERS}")

    @property
    def format_version(self) -> int:
        """Lowest format of files that can hold such a model."""
        return 1 if self.n_members == 1 else 2


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    settings : ModelSettings
        The model's definition.
    tensors : Mapping[str, ndarray]
        Weights by name: ``log_mel.…``, ``network.…`` and those of further members, and, if it
        estimates them, ``velocity.…``.
    record : Mapping
        How it came to be: settings of the training, data, versions, scores, licences.
    """

    settings: ModelSettings
    tensors: Mapping[str, Array]
    record: Mapping[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Array]:
        """Return the weights of one part, by their names without the part's."""
        return {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(f"{name}.")
        }

    @property
    def members(self) -> list[dict[str, Array]]:
        """Weights of each network."""
        return [self.part(name) for name in member_parts(self.settings.n_members)]

    @property
    def velocity(self) -> VelocityReadOut | None:
        """The part that estimates velocities; None without one."""
        arrays = self.part("velocity")
        return VelocityReadOut(**arrays) if arrays else None


def default_notes(classes: tuple[str, ...]) -> tuple[int | None, ...]:
    """MIDI note of each class by its name; None where the name says none."""
    return tuple(note_of_label(label) for label in classes)


def read_model(name_or_path: str | Path) -> ModelFile:
    """Read a model by the name of a shipped one or by the path of a file.

    Parameters
    ----------
    name_or_path : str or Path
        ``"drums"``, or a ``.safetensors`` file that `softloc train` or `softloc models join` wrote.

    Raises
    ------
    SettingsError
        If there is no such model.
    CheckpointError
        If the file is damaged, not ours, or of a newer format.
    """
    with verified_path(name_or_path) as path:
        return _read_file(path)


def write_model(path: Path, model: ModelFile) -> None:
    """Write a model file, all or nothing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    header = {**_header(model.settings), "record": dict(model.record)}
    metadata = {METADATA_KEY: to_json(header)}
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in model.tensors.items()}
    # Through memory: on a full disk the libraries' own writers raise what tells nobody why.
    write_bytes_atomic(path, save_tensors(tensors, metadata=metadata))


def require_readable(settings: ModelSettings) -> None:
    """Refuse settings of which a model file could be written, but not read again.

    Raises
    ------
    SettingsError
        If there are any.
    """
    try:
        _parse_settings(json.loads(to_json(_header(settings))))
    except ValueError as error:
        raise SettingsError(f"no model file could hold this: {error}") from error


def _header(settings: ModelSettings) -> dict[str, Any]:
    return {"softloc_format": settings.format_version, **dataclasses.asdict(settings)}


@contextlib.contextmanager
def verified_path(name_or_path: str | Path) -> Iterator[Path]:
    """Find the file of a model; that of a shipped one has the hash that the index says.

    Parameters
    ----------
    name_or_path : str or Path
        As for `read_model`.

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


def _verify(path: Path, sha256: str) -> None:
    found = file_sha256(path)
    if found != sha256:
        raise CheckpointError(
            f"{path}: SHA-256 is {found}, the index says {sha256}; the installation is damaged, "
            f"install softloc again"
        )


def _read_file(path: Path) -> ModelFile:
    try:
        # Not mapped into memory: reading what another process has cut off would end this one.
        content = _content(path)
        tensors = load_tensors(content)
        metadata = _metadata(content)
    except (SafetensorError, OSError, ValueError, TypeError, LookupError) as error:
        raise CheckpointError(f"{path}: not a model file, or damaged ({reason(error)})") from error
    if METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not one that softloc wrote")
    try:
        model = _parse(path, metadata[METADATA_KEY], tensors)
    except DAMAGE as error:
        raise damaged(path, error) from error
    return model


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes > _MAX_BYTES:
            raise ValueError(f"no model is larger than {_MAX_BYTES >> 20} MiB")
        return file.read(n_bytes)


def _metadata(content: bytes) -> Mapping[str, str]:
    """Metadata of a safetensors file, whose header has been found valid."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
    metadata: dict[str, str] = header.get("__metadata__") or {}
    return metadata


def damaged(path: str | Path, error: Exception) -> CheckpointError:
    """Make the error that says a model file is damaged, and how it showed."""
    return CheckpointError(f"{path}: the model file is damaged ({reason(error)})")


def reason(error: Exception) -> str:
    """Words of an error of another library in one line, without most of a long story."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"


def _parse(path: Path, header_text: str, tensors: Mapping[str, Array]) -> ModelFile:
    header = json.loads(header_text)
    version = _format_version(header)
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format {version} is newer than this softloc knows ({FORMAT_VERSION}); "
            f"upgrade softloc"
        )
    settings = _parse_settings(header)
    if version < settings.format_version:
        raise ValueError(f"format {version} holds no {settings.n_members} members")
    check_tensors(tensors, settings.features, settings.network, settings.n_members)
    return ModelFile(settings, tensors, dict(header.get("record", {})))


def _format_version(header: Mapping[str, Any]) -> int:
    version = header["softloc_format"]
    if type(version) is not int or version < 1:
        raise ValueError(f"softloc_format is {version!r}")
    return version


def _parse_settings(header: Mapping[str, Any]) -> ModelSettings:
    network = dict(header["network"])
    stages = network["stages"] = tuple(_checked(ConvStage, each) for each in network["stages"])
    features = _checked(FeatureSettings, header["features"])
    settings = ModelSettings(
        features=features,
        network=_checked(NetworkSettings, network),
        classes=tuple(header["classes"]),
        midi_notes=tuple(header["midi_notes"]),
        softness_ms=_softness_ms(header["softness_ms"]),
        event_mass=_in_bounds("event_mass", header["event_mass"]),
        n_members=_whole("n_members", header.get("n_members", 1)),
    )
    n_classes = len(settings.classes)
    most = max((stage.channels * features.n_bands for stage in stages), default=0)
    if len(stages) > _MAX_STAGES or most > _MAX_VALUES_PER_FRAME:
        raise ValueError(f"{len(stages)} stages of up to {most} values a frame are too many")
    slowest, fastest = _FRAMES_PER_SECOND
    if not slowest <= features.grid.frame_rate <= fastest:
        raise ValueError(f"{features.hop_samples} samples are no sensible hop")
    if not isinstance(header["classes"], list) or len(set(settings.classes)) < n_classes:
        raise ValueError("the classes are no list of different names")
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
        if types.get(name) == "int":
            _whole(name, value)
        elif name in _BOUNDS:
            _in_bounds(name, value)
    return kind(**values)


def _whole(name: str, value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{name} is {value!r}, not a whole number")
    _in_bounds(name, value)
    return value


def _softness_ms(value: Any) -> float:
    # JSON has no infinity; earlier versions wrote it all the same.
    return _in_bounds("softness_ms", math.inf if value == "inf" else value)


def _in_bounds(name: str, value: Any) -> float:
    smallest, largest = _BOUNDS[name]
    if type(value) not in (int, float) or not smallest <= value <= largest:
        raise ValueError(f"{name} is {value!r}, not {smallest:g} to {largest:g}")
    number: float = value
    return number
