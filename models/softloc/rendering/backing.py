"""Backing packs: a manifest of single pitched notes, read into instruments that can be played.

Conventions
-----------
- A *family* is the instruments that share recordings. Splits go by family.
- Every sample is a mono file at 44.1 kHz whose note starts at `NOTE_START_S`, at -30 dB re its
  peak; what stands before is cut off, so that a note starts at its first sample.
- Pitches are MIDI notes, 60 = C4 = 261.6 Hz, and need not be whole.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile as sf

from softloc.errors import AnnotationError, AudioError
from softloc.rendering.filters import Audio
from softloc.rendering.kits import SAMPLE_RATE_HZ
from softloc.rendering.manifests import ManifestRow, read_manifest
from softloc.rendering.mixing import shift_pitch

#: Where the note starts in every file.
NOTE_START_S = 0.002

#: Decoded samples that are kept in memory; one takes at most half a megabyte.
_DECODED_SAMPLES = 96

#: Columns that a manifest must have.
COLUMNS = (
    "path", "instrument", "family", "split", "midi_note", "layer", "licence", "author", "source",
    "tuning_cents",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PitchedSample:
    """One recorded note, as its manifest row describes it.

    Attributes
    ----------
    path : Path
        The audio file.
    name : str
        Its path relative to the pack, with forward slashes.
    instrument, family, split : str
        Where it belongs.
    pitch : float
        Sounding pitch, the measured tuning included.
    layer : int
        1 is the softest.
    licence, author, source : str
        Provenance.
    """

    path: Path
    name: str
    instrument: str
    family: str
    split: str
    pitch: float
    layer: int
    licence: str
    author: str
    source: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """One recorded instrument: its samples by layer, then pitch."""

    name: str
    family: str
    split: str
    samples: tuple[PitchedSample, ...]

    @property
    def lowest(self) -> float:
        """Lowest recorded pitch."""
        return min(sample.pitch for sample in self.samples)

    @property
    def highest(self) -> float:
        """Highest recorded pitch."""
        return max(sample.pitch for sample in self.samples)

    def choose(self, pitch: float, velocity: int) -> PitchedSample:
        """Choose the sample that is nearest in pitch within the layer of a velocity.

        Parameters
        ----------
        pitch : float
            What is to be played.
        velocity : int
            1-127.

        Returns
        -------
        PitchedSample
            From the nearest layer that the recording has; layers need not be complete.
        """
        layers = sorted({sample.layer for sample in self.samples})
        wanted = layers[min(len(layers) - 1, velocity * len(layers) // 128)]
        # A layer weighs as much as half an octave of stretching.
        return min(
            self.samples,
            key=lambda s: (abs(s.pitch - pitch) + 6.0 * abs(s.layer - wanted), s.name),
        )


@dataclass(frozen=True, slots=True)
class BackingPack:
    """All instruments that a manifest offers."""

    instruments: tuple[Instrument, ...]

    def select(self, split: str) -> BackingPack:
        """Keep the instruments of a split."""
        return BackingPack(tuple(i for i in self.instruments if i.split == split))


def merge_backing(packs: Iterable[BackingPack]) -> BackingPack:
    """Join packs into one.

    Raises
    ------
    AnnotationError
        If two of them have an instrument of the same name.
    """
    instruments = tuple(instrument for pack in packs for instrument in pack.instruments)
    names = [instrument.name for instrument in instruments]
    for name in names:
        if names.count(name) > 1:
            raise AnnotationError(f"two backing packs have an instrument {name}")
    return BackingPack(instruments)


def load_backing(folder: Path) -> BackingPack:
    """Read the manifest of a backing pack.

    Parameters
    ----------
    folder : Path
        Folder that holds ``manifest.csv`` and the files it names.

    Returns
    -------
    BackingPack
        Its instruments, by name.

    Raises
    ------
    AnnotationError
        If the manifest is missing, lacks a column, or a row cannot be used; names file and line.
    """
    samples = [_read_row(row) for row in read_manifest(Path(folder), COLUMNS)]
    samples.sort(key=lambda s: (s.instrument, s.layer, s.pitch, s.name))
    groups = [list(group) for _, group in groupby(samples, lambda s: s.instrument)]
    for group in groups:
        if len({(sample.family, sample.split) for sample in group}) > 1:
            raise AnnotationError(
                f"{folder}: {group[0].instrument} stands in several families or splits"
            )
    return BackingPack(
        tuple(Instrument(g[0].instrument, g[0].family, g[0].split, tuple(g)) for g in groups)
    )


def play_sample(sample: PitchedSample, pitch: float) -> Audio:
    """Play a recorded note at a pitch.

    Parameters
    ----------
    sample : PitchedSample
        What was recorded.
    pitch : float
        What is to sound.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        The note, from its first sample on; its peak is that of the file.

    Raises
    ------
    AudioError
        If the file cannot be read, is not mono at 44.1 kHz, or has no note.
    """
    return shift_pitch(_decode(sample.path), 2 ** ((pitch - sample.pitch) / 12), 0)


@functools.lru_cache(maxsize=_DECODED_SAMPLES)
def _decode(path: Path) -> Audio:
    try:
        audio, rate = sf.read(path, dtype="float32")
    except (OSError, sf.LibsndfileError) as error:
        raise AudioError(f"cannot read {path}: {error}") from error
    if audio.ndim != 1 or rate != SAMPLE_RATE_HZ:
        channels = 1 if audio.ndim == 1 else audio.shape[1]
        raise AudioError(f"{path} has {channels} channels at {rate} Hz, not one at 44100")
    note = np.asarray(audio[round(NOTE_START_S * SAMPLE_RATE_HZ) :], dtype=np.float32)
    if not np.any(note):
        raise AudioError(f"{path} is silent after {1000 * NOTE_START_S:g} ms")
    return note


def _read_row(row: ManifestRow) -> PitchedSample:
    text, path, where = row.text, row.path, row.where
    try:
        # Not measurable for the lowest and highest notes: taken as in tune.
        cents = float(text["tuning_cents"] or 0.0)
        pitch, layer = int(text["midi_note"]) + cents / 100, int(text["layer"])
    except ValueError as error:
        raise AnnotationError(f"{where}: a number cannot be read: {error}") from error
    if not 0 <= pitch <= 127:
        raise AnnotationError(f"{where}: {pitch:g} is no MIDI note from 0 to 127")
    return PitchedSample(
        path=path,
        name=text["path"],
        instrument=text["instrument"],
        family=text["family"],
        split=text["split"],
        pitch=pitch,
        layer=layer,
        licence=text["licence"],
        author=text["author"],
        source=text["source"],
    )
