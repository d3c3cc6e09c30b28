"""Recordings in: files, streams and arrays become blocks of mono samples at one sample rate.

Conventions
-----------
- Mono is the mean of the channels. Samples are float32; values beyond ±1 are kept.
- Resampling is soxr "HQ", pinned: another resampler would move and change events.
- Audio is read in blocks of fixed length, so memory does not grow with the recording.
- Silence that an encoder or a decoder puts before the sound is removed: time 0 is the first sample
  that was encoded. Wrong headers are put right or refused (`softloc.decoders`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

from softloc.decoders import AudioSource, AudioStream, open_stream, source_name
from softloc.errors import AnnotationError, AudioError
from softloc.events import recording_stem

#: Suffixes that are taken for recordings when a folder is searched. Videos are read, too, but only
#: where they are named: a folder may hold one beside each recording.
AUDIO_SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".mp2",
    ".aif",
    ".aiff",
    ".aifc",
    ".rf64",
    ".w64",
    ".au",
    ".caf",
    ".m4a",
    ".m4b",
    ".aac",
    ".mka",
    ".weba",
    ".wma",
)

RESAMPLER = "HQ"
BLOCK_S = 10.0
MAX_BLOCK_VALUES = 1 << 23
MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64

#: Beyond it a sample is no sound but damage, and would overflow in the spectrum.
MAX_ABSOLUTE_SAMPLE = 1e6

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waveform:
    """Mono audio in memory.

    Attributes
    ----------
    samples : ndarray of float32, shape (n_samples,)
        The signal.
    sample_rate_hz : int
        Samples per second.
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate_hz


def make_waveform(samples: ArrayLike, sample_rate_hz: int) -> Waveform:
    """Check an array of samples and mix it to mono.

    Parameters
    ----------
    samples : array_like, shape (n_samples,) or (n_samples, n_channels)
        Floating-point samples, or integers, which are scaled by their type's full range.
    sample_rate_hz : int
        Samples per second.

    Raises
    ------
    AudioError
        If there is nothing in it, a sample is not finite, or shape or rate make no sense.
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > MAX_CHANNELS):
        hint = "; is it transposed?" if array.ndim == 2 else ""
        raise AudioError(
            f"audio needs shape (samples,) or (samples, channels), not {array.shape}{hint}"
        )
    if not array.size:
        raise AudioError("the array holds no samples")
    array = _to_floating(array)
    if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise AudioError(_bad_rate("the array", sample_rate_hz))
    return Waveform(mix_to_mono(array, 0, "the array", sample_rate_hz), sample_rate_hz)


def read_audio(source: AudioSource, sample_rate_hz: int) -> Waveform:
    """Read a whole recording as mono at the given rate.

    Parameters
    ----------
    source : Path or binary file
        WAV, FLAC, OGG, MP3, AIFF or another format that libsndfile knows; with the extra
        ``softloc[av]`` M4A, MP4, WebM and all that FFmpeg knows.
    sample_rate_hz : int
        Rate of the result.

    Raises
    ------
    AudioError
        If it is missing, not audio, empty, damaged, or holds samples that are not finite.
    """
    blocks = list(resample_blocks(read_blocks(source), sample_rate_hz))
    samples = np.concatenate(blocks)
    if not len(samples):
        raise AudioError(
            f"{source_name(source)}: too short, nothing is left at {sample_rate_hz} Hz"
        )
    return Waveform(samples, sample_rate_hz)


def audio_duration_s(path: Path) -> float:
    """Length of a recording in seconds, from its header; decoded where that does not tell.

    Raises
    ------
    AudioError
        If it is missing, not audio, or empty.
    """
    with open_recording(path) as stream:
        if stream.n_samples is None:
            while len(stream.read(block_length(stream))):
                pass
        n_samples = stream.position if stream.n_samples is None else stream.n_samples
        return n_samples / stream.sample_rate_hz


def read_blocks(
    source: AudioSource, block_s: float = BLOCK_S, *, warn: bool = True
) -> Iterator[Waveform]:
    """Yield a recording block by block, mono, at its own sample rate.

    What is wrong with its header but could be put right is logged, unless `warn` is false: a
    recording that is read again need not be complained about again.

    Raises
    ------
    AudioError
        As `read_audio`.
    """
    with open_recording(source) as stream:
        for warning in stream.container.warnings if warn else ():
            _LOG.warning("%s: %s", stream.name, warning)
        rate = stream.sample_rate_hz
        while len(block := stream.read(block_length(stream, block_s))):
            first = stream.position - len(block)
            yield Waveform(mix_to_mono(block, first, stream.name, rate), rate)
        stream.require_sound()
        if warn and (difference := stream.length_warning()):
            _LOG.warning("%s: %s", stream.name, difference)


def block_length(stream: AudioStream, block_s: float = BLOCK_S) -> int:
    """Choose how many samples to read at once: fewer of many channels, to bound the memory."""
    n_samples = round(block_s * stream.sample_rate_hz)
    return max(1, min(n_samples, MAX_BLOCK_VALUES // stream.n_channels))


def open_recording(source: AudioSource) -> AudioStream:
    """Open a recording, checked: not empty, a usable sample rate.

    Raises
    ------
    AudioError
        As `read_audio`.
    """
    stream = open_stream(source)
    problem = None
    if stream.n_samples is not None and stream.n_samples <= 0:
        problem = f"{stream.name}: the recording is empty (0 samples)"
    elif stream.n_channels > MAX_CHANNELS:
        problem = f"{stream.name}: {stream.n_channels} channels, more than {MAX_CHANNELS} can be"
    elif not MIN_SAMPLE_RATE_HZ <= stream.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        problem = _bad_rate(stream.name, stream.sample_rate_hz)
    if problem is not None:
        stream.close()
        raise AudioError(problem)
    return stream


def resample_blocks(
    blocks: Iterable[Waveform], sample_rate_hz: int
) -> Iterator[NDArray[np.float32]]:
    """Bring successive blocks of one recording to another rate; nothing is lost at the seams.

    Parameters
    ----------
    blocks : iterable of Waveform
        All of the same sample rate.
    sample_rate_hz : int
        Rate of the result.

    Yields
    ------
    ndarray of float32, shape (n,)
        Blocks of varying length.
    """
    resampler: Resampler | None = None
    for block in blocks:
        if resampler is None:
            resampler = Resampler(block.sample_rate_hz, sample_rate_hz)
        yield resampler.push(block.samples)
    if resampler is not None:
        yield resampler.flush()


class Resampler:
    """Brings one recording to another sample rate, block by block; equal rates cost nothing.

    Parameters
    ----------
    from_hz, to_hz : int
        Sample rates.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream: Any = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(
                from_hz, to_hz, 1, dtype="float32", quality=RESAMPLER
            )

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample the next samples, shape (n,); what comes out lags a little behind."""
        if self._stream is None:
            return samples
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples)
        return resampled

    def flush(self) -> NDArray[np.float32]:
        """Return what is left when no sample follows."""
        nothing = np.zeros(0, dtype=np.float32)
        if self._stream is None:
            return nothing
        resampled: NDArray[np.float32] = self._stream.resample_chunk(nothing, last=True)
        return resampled


def mix_to_mono(
    block: NDArray[np.float32], first_sample: int, name: str, sample_rate_hz: int
) -> NDArray[np.float32]:
    """Take the mean of the channels.

    Parameters
    ----------
    block : ndarray of float32, shape (n_samples,) or (n_samples, n_channels)
        Samples.
    first_sample : int
        Where in the recording the block starts; for messages.
    name : str
        Of the recording; for messages.
    sample_rate_hz : int
        Samples per second; for messages.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Contiguous.

    Raises
    ------
    AudioError
        If a sample is not finite, or beyond `MAX_ABSOLUTE_SAMPLE`.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # what is no sound is refused below
        mono = block if block.ndim == 1 else _mean_of_channels(block)
    # False for NaN, too, which is the least and the greatest of what it is among.
    in_range = mono.min(initial=0.0) >= -MAX_ABSOLUTE_SAMPLE
    if not (in_range and mono.max(initial=0.0) <= MAX_ABSOLUTE_SAMPLE):
        first = int(np.flatnonzero(~(np.abs(mono) <= MAX_ABSOLUTE_SAMPLE))[0])
        place = first_sample + first
        raise AudioError(
            f"{name}: sample {place} is {mono[first]}, no sound, at "
            f"{place / sample_rate_hz:.3f} s; export it again"
        )
    return np.ascontiguousarray(mono)


def _mean_of_channels(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Like ``block.mean(axis=1)``, which is slow along so short an axis."""
    if block.shape[1] == 1:
        return block[:, 0]
    mean = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mean += block[:, channel]
    mean /= np.float32(block.shape[1])
    return mean


def _to_floating(array: NDArray[Any]) -> NDArray[np.float32]:
    if np.issubdtype(array.dtype, np.integer):
        range_ = np.iinfo(array.dtype)
        middle = (int(range_.max) + int(range_.min) + 1) // 2  # 0 for signed integers
        return ((array - float(middle)) / (float(range_.max) - middle + 1)).astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise AudioError(f"audio needs floating-point numbers or integers, not {array.dtype}")
    return array.astype(np.float32)


def _bad_rate(name: str, sample_rate_hz: int) -> str:
    return (
        f"{name}: a sample rate of {sample_rate_hz} Hz lies outside "
        f"{MIN_SAMPLE_RATE_HZ}-{MAX_SAMPLE_RATE_HZ} Hz; is the header damaged?"
    )


def find_audio(root: Path, name: str, *, outside: bool = False) -> Path:
    """Find the recording of a name: the file itself, or one of the same stem with an audio suffix.

    Parameters
    ----------
    root : Path
        Folder of the recordings.
    name : str
        As the labels call it.
    outside : bool
        It may lie outside of that folder. Labels from elsewhere could name any file of the user's,
        which a page to be passed on would then hold.

    Raises
    ------
    AnnotationError
        If there is none, or several, or it leaves the folder.
    """
    path = root / name
    if not outside and (Path(name).anchor or ".." in Path(name).parts):
        raise AnnotationError(
            f"{name}: lies outside of the folder of the recordings, {root}; give --outside if the "
            "labels are to be trusted"
        )
    if path.suffix.lower() in AUDIO_SUFFIXES:
        if not path.is_file():
            raise AnnotationError(f"{name}: no such recording in {root}; is --audio right?")
        return path
    # A name without audio suffix is a stem as it stands ("take.1"), or that of a label file.
    stems = (path.name, recording_stem(name))
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    matches = sorted(
        candidate
        for candidate in siblings
        if candidate.suffix.lower() in AUDIO_SUFFIXES and candidate.stem in stems
    )
    if not matches:
        raise AnnotationError(f"{name}: no recording of this name in {root}; is --audio right?")
    if len(matches) > 1:
        found = ", ".join(match.name for match in matches)
        raise AnnotationError(f"{name}: several recordings fit ({found}); keep one")
    return matches[0]
