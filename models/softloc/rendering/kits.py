"""Drum kits: a manifest of one-shots, read into drums that can be struck.

Conventions
-----------
- A *drum* is one instrument of one kit with its samples ordered from soft to loud; a *kit* is all
  drums of one maker's set; a *family* is the kits that share recordings. Splits go by family.
- Every sample is a mono file at 44.1 kHz; its onset is the first sample at -30 dB re its peak.
- Licence tiers: ``A`` may be shipped as audio, ``B`` (share alike) and ``P`` (no licence file) not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from softloc.errors import AnnotationError, AudioError, SettingsError
from softloc.rendering.manifests import ManifestRow, read_manifest

SAMPLE_RATE_HZ = 44_100

#: An onset is the first sample at this level re the peak of its hit.
ONSET_THRESHOLD_DB = -30.0

#: What a manifest must have.
COLUMNS = (
    "path", "kit", "family", "split", "class", "articulation", "layer", "n_layers", "velocity_lo",
    "velocity_hi", "source_peak_db", "licence", "tier", "author", "source", "type", "attack_ms",
)  # fmt: skip

#: Trailing take number of a file that is one take of several ("open2", "bass22-01", "pp-rr1").
_TAKE = re.compile(r"(?<![\dk])[-_]?(?:rr)?0?(?<!\d\d)\d$")


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded hit, as its manifest row describes it.

    Attributes
    ----------
    path : Path
        The audio file.
    name : str
        Its path relative to the pack, with forward slashes.
    kit, family, split, drum_class, articulation, drum : str
        Where it belongs; `drum` tells the instruments of one articulation apart.
    velocity_lo, velocity_hi : int
        MIDI velocities it stands for, inclusive.
    source_peak_db : float
        Peak of the source recording, dBFS: carries the dynamics that the file has lost.
    licence, tier, author, source : str
        Provenance.
    is_electronic : bool
        A machine rather than a recorded drum.
    attack_ms : float
        From the onset to the first sample above -12 dB re the peak.
    """

    path: Path
    name: str
    kit: str
    family: str
    split: str
    drum_class: str
    articulation: str
    drum: str
    velocity_lo: int
    velocity_hi: int
    source_peak_db: float
    licence: str
    tier: str
    author: str
    source: str
    is_electronic: bool
    attack_ms: float


@dataclass(frozen=True, slots=True)
class Drum:
    """One instrument: its samples from soft to loud."""

    kit: str
    family: str
    split: str
    drum_class: str
    articulation: str
    name: str
    is_electronic: bool
    samples: tuple[Sample, ...]

    @property
    def loudest_db(self) -> float:
        """Source peak of the loudest sample, dBFS."""
        return max(sample.source_peak_db for sample in self.samples)

    @property
    def span_db(self) -> float:
        """Range of the source peaks, in dB."""
        return self.loudest_db - min(sample.source_peak_db for sample in self.samples)

    def candidates(self, velocity: float) -> tuple[int, ...]:
        """Find the samples that fit a velocity: its layer, or with a neighbour at least two.

        Parameters
        ----------
        velocity : float
            MIDI velocity, not necessarily whole.

        Returns
        -------
        tuple of int
            Indices into `samples`; two or more wherever the drum has two samples.
        """
        distances = [
            max(sample.velocity_lo - velocity, velocity - sample.velocity_hi, 0.0)
            for sample in self.samples
        ]
        inside = tuple(index for index, distance in enumerate(distances) if distance == 0.0)
        if len(inside) >= 2 or len(self.samples) == 1:
            return inside or (0,)
        nearest = sorted(range(len(distances)), key=distances.__getitem__)[:2]
        return tuple(sorted(nearest))


@dataclass(frozen=True, slots=True)
class KitPack:
    """All drums that a manifest offers."""

    drums: tuple[Drum, ...]

    def select(self, split: str, tiers: Iterable[str]) -> KitPack:
        """Keep the drums of a split whose samples are all of the given licence tiers."""
        allowed = frozenset(tiers)
        return KitPack(
            tuple(
                drum
                for drum in self.drums
                if drum.split == split and all(s.tier in allowed for s in drum.samples)
            )
        )

    def articulation(self, *names: str) -> tuple[Drum, ...]:
        """Drums of any of the given articulations."""
        return tuple(drum for drum in self.drums if drum.articulation in names)


def load_pack(folder: Path) -> KitPack:
    """Read the manifest of a kit pack.

    Parameters
    ----------
    folder : Path
        Folder that holds ``manifest.csv`` and the files it names.

    Returns
    -------
    KitPack
        Its drums, in the order of the manifest.

    Raises
    ------
    AnnotationError
        If the manifest is missing, lacks a column, or a row cannot be used; names file and line.
    """
    samples = [_read_row(row) for row in read_manifest(Path(folder), COLUMNS)]
    return KitPack(_drums_of(samples))


def merge_packs(packs: Sequence[KitPack]) -> KitPack:
    """Put packs together.

    Parameters
    ----------
    packs : sequence of KitPack
        In the order in which their drums are listed.

    Returns
    -------
    KitPack
        All their drums.

    Raises
    ------
    SettingsError
        If two packs have a kit of the same name, whose samples would be confused.
    """
    seen: set[str] = set()
    for pack in packs:
        names = {drum.kit for drum in pack.drums}
        if twice := sorted(seen & names):
            raise SettingsError(f"two kit packs have a kit named {twice[0]}")
        seen |= names
    return KitPack(tuple(drum for pack in packs for drum in pack.drums))


def decode(sample: Sample) -> NDArray[np.float32]:
    """Read a sample from disk.

    Parameters
    ----------
    sample : Sample
        What to read.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Peak as in the file.

    Raises
    ------
    AudioError
        If the file cannot be read, is not mono at 44.1 kHz, or is silent.
    """
    try:
        audio, rate = sf.read(sample.path, dtype="float32")
    except (OSError, sf.LibsndfileError) as error:
        raise AudioError(f"cannot read {sample.path}: {error}") from error
    if audio.ndim != 1 or rate != SAMPLE_RATE_HZ:
        channels = 1 if audio.ndim == 1 else audio.shape[1]
        raise AudioError(
            f"{sample.path} has {channels} channels at {rate} Hz, not one at {SAMPLE_RATE_HZ}"
        )
    if not np.any(audio):
        raise AudioError(f"{sample.path} is silent")
    return np.asarray(audio, dtype=np.float32)


def find_onset(audio: NDArray[np.float32]) -> int:
    """Index of the first sample at or above -30 dB re the peak of one hit."""
    magnitude = np.abs(audio)
    threshold = float(magnitude.max()) * 10 ** (ONSET_THRESHOLD_DB / 20)
    return int(np.argmax(magnitude >= threshold))


def _read_row(row: ManifestRow) -> Sample:
    text, path, where = row.text, row.path, row.where
    low, high = (int(_number(text[name], name, where)) for name in ("velocity_lo", "velocity_hi"))
    if not 0 <= low <= high <= 127:
        raise AnnotationError(f"{where}: velocities must rise within 0-127, not {low} to {high}")
    return Sample(
        path=path,
        name=text["path"],
        kit=text["kit"],
        family=text["family"],
        split=text["split"],
        drum_class=text["class"],
        articulation=text["articulation"],
        drum=_drum_name(path.stem, text["articulation"]),
        velocity_lo=low,
        velocity_hi=high,
        source_peak_db=_number(text["source_peak_db"], "source_peak_db", where),
        licence=text["licence"],
        tier=text["tier"],
        author=text["author"],
        source=text["source"],
        is_electronic=text["type"] == "electronic",
        attack_ms=_number(text["attack_ms"], "attack_ms", where),
    )


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise AnnotationError(f"{where}: {name} is not a number: {text!r}") from error
    if not np.isfinite(value):
        raise AnnotationError(f"{where}: {name} must be finite, not {text}")
    return value


def _drum_name(stem: str, articulation: str) -> str:
    # "<articulation>_<drum>_l<layer>of<n>[_r<repeat>]"
    name = stem.removeprefix(articulation + "_")
    return re.sub(r"_l\d+of\d+(_r\d+)?(-\d+)?$", "", name)


def _drums_of(samples: list[Sample]) -> tuple[Drum, ...]:
    def key(sample: Sample) -> tuple[str, str, str]:
        return sample.kit, sample.articulation, sample.drum

    ordered = sorted(samples, key=key)
    groups = [list(group) for _, group in groupby(ordered, key)]
    singles = [group[0] for group in groups if len(group) == 1]
    several = [group for group in groups if len(group) > 1]
    return tuple(_make_drum(group) for group in [*several, *_merge_takes(singles)])


def _merge_takes(singles: list[Sample]) -> list[list[Sample]]:
    """Join takes of one acoustic drum that a kit lists as drums of their own."""

    def key(sample: Sample) -> tuple[str, str, str]:
        # Numbers tell the sounds of a machine apart, but the takes of an acoustic drum.
        drum = sample.drum if sample.is_electronic else _TAKE.sub("", sample.drum)
        return sample.kit, sample.articulation, drum

    merged = []
    for (_, _, drum), group in groupby(sorted(singles, key=key), key):
        takes = sorted(group, key=lambda sample: sample.source_peak_db)
        if len(takes) == 1:
            merged.append(takes)
            continue
        edges = np.linspace(0, 127, len(takes) + 1).astype(int)
        merged.append(
            [
                replace(take, drum=drum, velocity_lo=int(low) + 1, velocity_hi=int(high))
                for take, low, high in zip(takes, edges[:-1], edges[1:], strict=True)
            ]
        )
    return merged


def _make_drum(samples: list[Sample]) -> Drum:
    first = samples[0]
    ranked = sorted(samples, key=lambda s: (s.velocity_lo, s.source_peak_db, s.name))
    return Drum(
        kit=first.kit,
        family=first.family,
        split=first.split,
        drum_class=first.drum_class,
        articulation=first.articulation,
        name=first.drum,
        is_electronic=first.is_electronic,
        samples=tuple(ranked),
    )
