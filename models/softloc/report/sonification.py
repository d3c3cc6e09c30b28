"""Clicks beside the recording: a file to check a transcription by ear.

Conventions
-----------
- Left: the recording, mixed to mono. Right: a click for each event, a pitch for each class.
- A click's first sample is the event's: ``round(time_s × sample_rate_hz)``. Events outside the
  recording have no click.
- Both sides stay within full scale: each is turned down if its peak would pass it, never up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from softloc.decoders import AudioSource
from softloc.errors import OutputError, SettingsError
from softloc.events import Onset
from softloc.files import atomic_path
from softloc.report.clicks import click_pitches, render_click
from softloc.report.recordings import measure_recording
from softloc.vocabulary import label_order

#: Suffixes that a sonification may have, and how its samples are stored.
SONIFICATION_FORMATS = {".wav": ("WAV", "PCM_24"), ".flac": ("FLAC", "PCM_24")}

CLICK_LEVEL = 0.5
#: Peak of either side that is let through, so that rounding cannot pass full scale.
CEILING = 0.999

#: The track is rendered in pieces of so many samples while its peak is looked for.
_PEAK_SAMPLES = 65_536


def write_sonification(
    path: Path, recording: AudioSource, onsets: Sequence[Onset], *, warn: bool = True
) -> int:
    """Write a recording with clicks at its events.

    Parameters
    ----------
    path : Path
        WAV or FLAC to write, by its suffix; all or nothing.
    recording : Path or binary file
        What the events belong to; read block by block, twice.
    onsets : sequence of Onset
        Events, in any order.
    warn : bool
        Log what is wrong with the recording, once.

    Returns
    -------
    int
        Events outside the recording, which have no click.

    Raises
    ------
    SettingsError
        If the suffix is neither ``.wav`` nor ``.flac``.
    AudioError
        If the recording cannot be read.
    OutputError
        If the file cannot be written.
    """
    container, subtype = sonification_format(path)
    measured = measure_recording(recording, warn=warn)
    track = ClickTrack(onsets, measured.sample_rate_hz, measured.n_samples)
    left_gain = min(1.0, CEILING / max(measured.peak, CEILING))
    right_gain = min(CLICK_LEVEL, CEILING / max(track.peak(), CEILING))
    clicks = ClickReader(track)
    with atomic_path(path) as temporary:
        try:
            with soundfile.SoundFile(
                temporary, "w", measured.sample_rate_hz, 2, subtype, format=container
            ) as file:
                for block in measured.read():
                    right = right_gain * clicks.read(len(block.samples))
                    file.write(np.stack([left_gain * block.samples, right], axis=1))
        except soundfile.SoundFileError as error:
            raise OutputError(f"cannot write {path}: {error}") from error
    return track.n_outside


def sonification_format(path: Path) -> tuple[str, str]:
    """Container and type of samples that a suffix stands for.

    Raises
    ------
    SettingsError
        If it stands for neither WAV nor FLAC.
    """
    known = SONIFICATION_FORMATS.get(path.suffix.lower())
    if known is None:
        raise SettingsError(f"a sonification is a .wav or a .flac file, not {path.name!r}")
    return known


class ClickTrack:
    """Where the clicks of a recording are and how they sound.

    Parameters
    ----------
    onsets : sequence of Onset
        Events, in any order.
    sample_rate_hz : int
        Samples per second.
    n_samples : int
        Length of the recording.
    """

    def __init__(self, onsets: Sequence[Onset], sample_rate_hz: int, n_samples: int) -> None:
        labels = sorted({onset.label for onset in onsets}, key=label_order)
        pitches = click_pitches(labels)
        self.click_of = {
            label: render_click(pitch, sample_rate_hz)
            for label, pitch in zip(labels, pitches, strict=True)
        }
        placed = sorted((round(onset.time_s * sample_rate_hz), onset.label) for onset in onsets)
        self.placed = [item for item in placed if 0 <= item[0] < n_samples]
        self.n_outside = len(placed) - len(self.placed)
        self.n_samples = n_samples

    def peak(self) -> float:
        """Largest absolute sample, where every click has unit level."""
        reader = ClickReader(self)
        lengths = (
            min(_PEAK_SAMPLES, self.n_samples - start)
            for start in range(0, self.n_samples, _PEAK_SAMPLES)
        )
        return max((float(np.abs(reader.read(length)).max()) for length in lengths), default=0.0)


class ClickReader:
    """Renders a track of clicks from its start, as many samples at a time as are asked for."""

    def __init__(self, track: ClickTrack) -> None:
        self._track = track
        self._start = self._index = 0
        self._tail = np.zeros(0, dtype=np.float32)
        self._longest = max((len(click) for click in track.click_of.values()), default=0)

    def read(self, n_samples: int) -> NDArray[np.float32]:
        """Give the next samples, every click at unit level."""
        # Room for clicks that begin here and end in a later block, however short blocks are.
        mixed = np.zeros(max(n_samples + self._longest, len(self._tail)), dtype=np.float32)
        mixed[: len(self._tail)] = self._tail
        placed, stop = self._track.placed, self._start + n_samples
        while self._index < len(placed) and placed[self._index][0] < stop:
            position, label = placed[self._index]
            click = self._track.click_of[label]
            mixed[position - self._start : position - self._start + len(click)] += click
            self._index += 1
        self._start, self._tail = stop, mixed[n_samples:]
        return mixed[:n_samples]
