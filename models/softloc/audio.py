"""Recordings in: files, streams and arrays become blocks of mono samples at one sample rate.

Conventions
-----------
- Mono is the mean of the channels. Samples are float32; values beyond ±1 are kept.
- Resampling is soxr "HQ", pinned: another resampler would move and change events.
- Audio is read in blocks of fixed length, so memory does not grow with the recording.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from softloc.errors import AudioError

#: Suffixes that are taken for recordings when a folder is searched.
AUDIO_SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".rf64",
    ".w64",
)

RESAMPLER = "HQ"
BLOCK_S = 10.0
MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64

#: Beyond it a sample is no sound but damage, and would overflow in the spectrum.
MAX_ABSOLUTE_SAMPLE = 1e6

AudioSource = Path | BinaryIO


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
    array = _to_floating(array)
    if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise AudioError(_bad_rate("the array", sample_rate_hz))
    mono = _to_mono(array, first_sample=0, name="the array")
    if not len(mono):
        raise AudioError("the array holds no samples")
    return Waveform(mono, sample_rate_hz)


def read_audio(source: AudioSource, sample_rate_hz: int) -> Waveform:
    """Read a whole recording as mono at the given rate.

    Parameters
    ----------
    source : Path or binary file
        WAV, FLAC, OGG, MP3, AIFF or another format that libsndfile knows.
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
        raise AudioError(f"{_name(source)}: too short, nothing is left at {sample_rate_hz} Hz")
    return Waveform(samples, sample_rate_hz)


def audio_duration_s(path: Path) -> float:
    """Length of a recording in seconds, from its header.

    Raises
    ------
    AudioError
        If it is missing, not audio, or empty.
    """
    with _open(path) as file:
        return float(file.frames) / float(file.samplerate)


def read_blocks(source: AudioSource, block_s: float = BLOCK_S) -> Iterator[Waveform]:
    """Yield a recording block by block, mono, at its own sample rate.

    Raises
    ------
    AudioError
        As `read_audio`.
    """
    name = _name(source)
    with _open(source) as file:
        rate = int(file.samplerate)
        block_samples = max(1, round(block_s * rate))
        position = 0
        while True:
            try:
                block = file.read(block_samples, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{name}: damaged at {position / rate:.1f} s ({_reason(error)})"
                ) from error
            if not len(block):
                break
            yield Waveform(_to_mono(block, position, name), rate)
            position += len(block)
        if not position:
            raise AudioError(f"{name}: the header promises audio, but no sample can be decoded")


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
    resampler: Any = None
    for block in blocks:
        if block.sample_rate_hz == sample_rate_hz:
            yield block.samples
            continue
        if resampler is None:
            resampler = soxr.ResampleStream(
                block.sample_rate_hz, sample_rate_hz, 1, dtype="float32", quality=RESAMPLER
            )
        yield resampler.resample_chunk(block.samples)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def _open(source: AudioSource) -> soundfile.SoundFile:
    name = _name(source)
    seekable = _seekable(source)
    try:
        file = soundfile.SoundFile(seekable)
    except soundfile.SoundFileError as error:
        hint = f", e.g. `ffmpeg -i {name} out.flac`" if isinstance(source, Path) else ""
        raise AudioError(
            f"{name}: not audio that can be read ({_reason(error)}); WAV, FLAC, OGG, MP3 and AIFF "
            f"can be, convert others first{hint}"
        ) from error
    if not file.frames:
        file.close()
        raise AudioError(f"{name}: the recording is empty (0 samples)")
    if not MIN_SAMPLE_RATE_HZ <= file.samplerate <= MAX_SAMPLE_RATE_HZ:
        file.close()
        raise AudioError(_bad_rate(name, file.samplerate))
    return file


def _seekable(source: AudioSource) -> AudioSource:
    """Give what libsndfile can jump about in: the file itself, or all that a pipe holds."""
    if isinstance(source, Path):
        if _check_file(source):
            return source
        data = source.read_bytes()
    elif source.seekable():
        return source
    else:
        data = source.read()
    if not data:
        raise AudioError(f"{_name(source)}: is empty (0 bytes)")
    return io.BytesIO(data)


def _check_file(path: Path) -> bool:
    """Refuse what is no recording; say whether it is a regular file, not a pipe."""
    if path.is_dir():
        raise AudioError(f"{path}: is a folder, not a recording")
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror})") from error
    is_regular = stat.S_ISREG(status.st_mode)
    if is_regular and not status.st_size:
        raise AudioError(f"{path}: is empty (0 bytes)")
    return is_regular


def _to_floating(array: NDArray[Any]) -> NDArray[np.float32]:
    if np.issubdtype(array.dtype, np.integer):
        range_ = np.iinfo(array.dtype)
        middle = (int(range_.max) + int(range_.min) + 1) // 2  # 0 for signed integers
        return ((array - float(middle)) / (float(range_.max) - middle + 1)).astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise AudioError(f"audio needs floating-point numbers or integers, not {array.dtype}")
    return array.astype(np.float32)


def _to_mono(block: NDArray[np.float32], first_sample: int, name: str) -> NDArray[np.float32]:
    mono = block if block.ndim == 1 else block.mean(axis=1, dtype=np.float32)
    usable = np.abs(mono) <= MAX_ABSOLUTE_SAMPLE  # False for NaN, too
    if not usable.all():
        first = int(np.flatnonzero(~usable)[0])
        raise AudioError(
            f"{name}: sample {first_sample + first} is {mono[first]}, no sound; export it again"
        )
    return np.ascontiguousarray(mono)


def _name(source: AudioSource) -> str:
    return str(source) if isinstance(source, Path) else "<standard input>"


def _reason(error: soundfile.SoundFileError) -> str:
    text = getattr(error, "error_string", "") or str(error)
    return text.strip().rstrip(".")


def _bad_rate(name: str, sample_rate_hz: int) -> str:
    return (
        f"{name}: a sample rate of {sample_rate_hz} Hz lies outside "
        f"{MIN_SAMPLE_RATE_HZ}-{MAX_SAMPLE_RATE_HZ} Hz; is the header damaged?"
    )
