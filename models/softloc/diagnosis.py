"""What is to be known of a recording before trusting events found in it.

Conventions
-----------
- Levels are re full scale (dBFS): a sample of ±1 is 0 dBFS. Nothing at all is minus infinity, None.
- A warning names something that moves, loses or hides events; a remark what is odd but harmless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.audio import block_length, mix_to_mono, open_recording
from softloc.decoders import AudioSource, AudioStream

SILENT_DBFS = -80.0
DC_OFFSET = 0.01
#: The mean of the channels may be so much weaker than they are before it counts as cancelled.
CANCELLED_DB = -20.0
#: A sample this large with the same value as the one before is clipped.
FULL_SCALE = 0.9995
LOW_RATE_HZ = 32_000


@dataclass(frozen=True, slots=True)
class Level:
    """How loud a recording is.

    Attributes
    ----------
    peak_dbfs, rms_dbfs : float or None
        Over all channels; None for digital silence.
    dc : float
        Mean of the mono mix.
    clipped_samples : int
        Samples that stay at full scale, over all channels.
    mono_loss_db : float or None
        RMS of the mono mix re the channels; far below 0 where they cancel each other.
    """

    peak_dbfs: float | None
    rms_dbfs: float | None
    dc: float
    clipped_samples: int
    mono_loss_db: float | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that is known of a recording.

    Attributes
    ----------
    container, codec, decoder : str
        Wrapping, coding, and the program that decodes it.
    sample_rate_hz, n_channels : int
        Of the sound.
    header_s : float or None
        Length that the header states; None where it states none.
    decoded_s : float
        Length of what was decoded, after all corrections.
    tags : Mapping
        What was found that bears on time.
    shift_ms : float
        How much later all events would be without the correction.
    shift_assumed : bool
        The file does not tell the shift; it is the usual one of its codec.
    level : Level
        How loud it is.
    warnings, remarks : tuple of str
        A sentence each.
    """

    container: str
    codec: str
    decoder: str
    sample_rate_hz: int
    n_channels: int
    header_s: float | None
    decoded_s: float
    tags: Mapping[str, str | int]
    shift_ms: float
    shift_assumed: bool
    level: Level
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]


class _Meter:
    """Level of a recording, block by block."""

    def __init__(self, n_channels: int) -> None:
        self._n_channels = n_channels
        self._n_samples = 0
        self._peak = 0.0
        self._energy = self._mono_energy = self._sum = 0.0
        self._clipped = 0

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        magnitude = np.abs(block)
        self._n_samples += len(mono)
        self._peak = max(self._peak, float(magnitude.max(initial=0.0)))
        self._energy += float(np.square(block, dtype=np.float64).sum()) / self._n_channels
        self._mono_energy += float(np.square(mono, dtype=np.float64).sum())
        self._sum += float(mono.sum(dtype=np.float64))
        # What is louder than full scale was not cut off there: only floats hold it.
        is_full = np.abs(magnitude[1:] - 1) <= 1 - FULL_SCALE
        self._clipped += int(np.count_nonzero(is_full & (block[1:] == block[:-1])))

    def level(self) -> Level:
        rms, mono_rms = (
            math.sqrt(energy / self._n_samples) for energy in (self._energy, self._mono_energy)
        )
        return Level(
            peak_dbfs=_decibels(self._peak),
            rms_dbfs=_decibels(rms),
            dc=self._sum / self._n_samples,
            clipped_samples=self._clipped,
            mono_loss_db=_decibels(mono_rms / rms) if rms else None,
        )


def diagnose(source: AudioSource) -> Diagnosis:
    """Read a recording to its end and say all about it; memory does not grow with its length.

    Parameters
    ----------
    source : Path or binary file
        As for `softloc.audio.read_audio`.

    Raises
    ------
    AudioError
        As `softloc.audio.read_audio`.
    """
    with open_recording(source) as stream:
        rate = stream.sample_rate_hz
        meter = _Meter(stream.n_channels)
        while len(block := stream.read(block_length(stream))):
            first = stream.position - len(block)
            meter.add(block, mix_to_mono(block, first, stream.name, rate))
        stream.require_sound()
        level = meter.level()
        container = stream.container
        return Diagnosis(
            container=container.name,
            codec=stream.codec,
            decoder=stream.decoder,
            sample_rate_hz=rate,
            n_channels=stream.n_channels,
            header_s=container.header_s,
            decoded_s=stream.position / rate,
            tags=container.tags,
            shift_ms=container.shift_samples / rate * 1000,
            shift_assumed=container.shift_assumed,
            level=level,
            warnings=(*container.warnings, *_warnings(stream, level)),
            remarks=(*container.remarks, *_remarks(stream, level)),
        )


def _warnings(stream: AudioStream, level: Level) -> list[str]:
    found = []
    if difference := stream.length_warning():
        found.append(difference)
    if level.clipped_samples:
        found.append(f"{level.clipped_samples} samples are clipped at full scale")
    if level.peak_dbfs is None or level.peak_dbfs < SILENT_DBFS:
        found.append("it is silent: no event can be found")
    elif level.mono_loss_db is None or level.mono_loss_db < CANCELLED_DB:
        found.append(
            "the channels cancel each other in their mean; is one of them of inverted polarity?"
        )
    return found


def _remarks(stream: AudioStream, level: Level) -> list[str]:
    found = []
    if level.peak_dbfs is not None and level.peak_dbfs > 0:
        found.append(f"its peak is {level.peak_dbfs:.1f} dB beyond full scale, and is kept")
    if abs(level.dc) > DC_OFFSET:
        found.append(f"it has a DC offset of {level.dc:+.3f}")
    if stream.sample_rate_hz < LOW_RATE_HZ:
        found.append(
            f"at {stream.sample_rate_hz} Hz it holds nothing above "
            f"{stream.sample_rate_hz / 2000:g} kHz, where hi-hats and cymbals are told apart"
        )
    return found


def _decibels(ratio: float) -> float | None:
    return 20 * math.log10(ratio) if ratio > 0 else None
