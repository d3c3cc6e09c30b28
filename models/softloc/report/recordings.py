"""A recording that is read several times: measured first, then drawn, encoded or mixed.

Reading again costs less than holding an hour in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softloc.audio import Waveform, read_blocks
from softloc.decoders import AudioSource


@dataclass(frozen=True, slots=True)
class MeasuredRecording:
    """A recording whose length and level are known.

    Attributes
    ----------
    source : Path or binary file
        The recording.
    sample_rate_hz : int
        Samples per second.
    n_samples : int
        Length, counted, not taken from the header.
    peak : float
        Largest absolute sample of the mono mix; a float recording may pass 1.
    """

    source: AudioSource
    sample_rate_hz: int
    n_samples: int
    peak: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz

    @property
    def gain(self) -> float:
        """Factor that keeps it within ±1; 1 where it is."""
        return 1.0 / max(1.0, self.peak)

    def read(self) -> Iterator[Waveform]:
        """Yield it block by block, mono, from its start."""
        return _read(self.source, warn=False)


def measure_recording(source: AudioSource, *, warn: bool = True) -> MeasuredRecording:
    """Read a recording once for its length and level.

    Parameters
    ----------
    source : Path or binary file
        The recording; a file must be seekable, since it is read again.
    warn : bool
        Log what is wrong with it, as `softloc.audio.read_blocks` does.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    n_samples, peak, sample_rate_hz = 0, 0.0, 0
    for block in _read(source, warn=warn):
        n_samples += len(block.samples)
        peak = max(peak, float(np.abs(block.samples).max()))
        sample_rate_hz = block.sample_rate_hz
    return MeasuredRecording(source, sample_rate_hz, n_samples, peak)


def _read(source: AudioSource, *, warn: bool) -> Iterator[Waveform]:
    if not isinstance(source, Path):
        source.seek(0)
    return read_blocks(source, warn=warn)
