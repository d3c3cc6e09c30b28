"""The audio inside a page: independent parts that a browser decodes as it plays.

Conventions
-----------
- Part ``i`` starts at sample ``i * part_samples`` of the recording and is a complete file, so that
  a browser holds a few seconds of samples, never an hour, and every part starts on its sample: a
  page can set clicks to the sample, which one long stream and its seeking do not allow.
- FLAC where it fits, bit for bit (16 bit); else Ogg Vorbis, whose decoders give back exactly the
  samples that went in, none before and none lost; MP3 does not keep that promise. A Vorbis part
  carries ``lead_samples`` more to either side, which are not played, so that no seam is heard.
- Mono, at the recording's sample rate where browsers can play that (8 to 48 kHz).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from softloc.audio import resample_blocks
from softloc.report.recordings import MeasuredRecording
from softloc.report.settings import ReportSettings

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
#: What a recording slower than any browser plays is brought to.
_SLOW_RATE_HZ = 16_000

#: A codec is given up when this share of a recording foretells so many times the space.
_JUDGED_AFTER, _HOPELESS = 0.1, 1.5

#: libsndfile overflows its stack where a long Vorbis stream is written in one go.
_WRITE_SAMPLES = 8_192


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to encode parts.

    Attributes
    ----------
    name : str
        What to call it.
    container, subtype : str
        As soundfile calls them.
    compression_level : float
        0 is the best quality, 1 the smallest file.
    lead_s : float
        What a part carries more to either side, seconds.
    max_rate_hz : int
        Faster recordings are resampled to it.
    """

    name: str
    container: str
    subtype: str
    compression_level: float
    lead_s: float = 0.0
    max_rate_hz: int = MAX_RATE_HZ


#: Tried in this order until one fits.
CODECS = (
    Codec("FLAC", "FLAC", "PCM_16", 0.6),
    Codec("Ogg Vorbis", "OGG", "VORBIS", 0.3, lead_s=0.1),
    Codec("Ogg Vorbis", "OGG", "VORBIS", 0.7, lead_s=0.1),
    Codec("Ogg Vorbis", "OGG", "VORBIS", 1.0, lead_s=0.1),
    Codec("Ogg Vorbis", "OGG", "VORBIS", 1.0, lead_s=0.1, max_rate_hz=24_000),
)


@dataclass(frozen=True, slots=True)
class EmbeddedAudio:
    """A recording as encoded parts.

    Attributes
    ----------
    codec : str
        What it is encoded in.
    sample_rate_hz : int
        Of the parts.
    n_samples : int
        Length at that rate.
    part_samples : int
        From the start of one part to that of the next.
    lead_samples : int
        What a part carries before its start (the first one nothing) and after its end.
    parts : tuple of bytes
        The files.
    """

    codec: str
    sample_rate_hz: int
    n_samples: int
    part_samples: int
    lead_samples: int
    parts: tuple[bytes, ...]


def embed_audio(recording: MeasuredRecording, settings: ReportSettings) -> EmbeddedAudio | None:
    """Encode a recording as well as the space allows.

    Parameters
    ----------
    recording : MeasuredRecording
        What to encode; turned down if it would clip.
    settings : ReportSettings
        Space and length of parts.

    Returns
    -------
    EmbeddedAudio or None
        None where the coarsest codec still takes more than ``settings.max_audio_bytes``.
    """
    for codec in CODECS:
        embedded = _encode(recording, codec, settings)
        if embedded is not None:
            return embedded
    return None


def _encode(
    recording: MeasuredRecording, codec: Codec, settings: ReportSettings
) -> EmbeddedAudio | None:
    rate = _playable_rate(recording.sample_rate_hz, codec.max_rate_hz)
    part_samples = round(settings.part_s * rate)
    lead_samples = round(codec.lead_s * rate)
    parts: list[bytes] = []
    n_bytes = n_samples = 0
    blocks = resample_blocks(recording.read(), rate)
    for samples, n_own in cut_parts(blocks, part_samples, lead_samples):
        parts.append(_encode_part(recording.gain * samples, rate, codec))
        n_bytes += len(parts[-1])
        n_samples += n_own
        if n_bytes > settings.max_audio_bytes or _is_hopeless(
            n_bytes, n_samples / rate / recording.duration_s, settings
        ):
            return None
    return EmbeddedAudio(codec.name, rate, n_samples, part_samples, lead_samples, tuple(parts))


def _is_hopeless(n_bytes: int, share_done: float, settings: ReportSettings) -> bool:
    """Whether a codec takes so much for the beginning that the rest need not be tried."""
    most = settings.max_audio_bytes * _HOPELESS
    return share_done >= _JUDGED_AFTER and n_bytes / share_done > most


def cut_parts(
    blocks: Iterable[NDArray[np.float32]], part_samples: int, lead_samples: int
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Cut successive blocks into parts that overlap by a lead.

    Parameters
    ----------
    blocks : iterable of ndarray of float32
        A recording.
    part_samples, lead_samples : int
        Length of a part, and what it carries more to either side.

    Yields
    ------
    ndarray of float32
        Samples of a part, leads included as far as the recording reaches.
    int
        How many of them are its own.
    """
    held = np.zeros(0, dtype=np.float32)
    first = True
    for block in blocks:
        held = np.concatenate([held, block])
        while True:
            before = 0 if first else lead_samples
            if len(held) <= before + part_samples + lead_samples:
                break
            yield held[: before + part_samples + lead_samples], part_samples
            held = held[before + part_samples - lead_samples :]
            first = False
    before = 0 if first else lead_samples
    while len(held) > before:
        yield held[: before + part_samples + lead_samples], min(part_samples, len(held) - before)
        held = held[before + part_samples - lead_samples :]
        before = lead_samples


def _encode_part(samples: NDArray[np.float32], rate: int, codec: Codec) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        rate,
        1,
        codec.subtype,
        format=codec.container,
        compression_level=codec.compression_level,
    ) as encoder:
        for start in range(0, len(samples), _WRITE_SAMPLES):
            encoder.write(samples[start : start + _WRITE_SAMPLES])
    return file.getvalue()


def _playable_rate(rate: int, max_rate_hz: int) -> int:
    if rate < MIN_RATE_HZ:
        return _SLOW_RATE_HZ
    return min(rate, max_rate_hz)
