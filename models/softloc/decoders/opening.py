"""From a file to an open decoder: libsndfile where it can, FFmpeg where it must."""

from __future__ import annotations

import io
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from softloc.decoders.container import Container, file_size
from softloc.decoders.ffmpeg import INSTALL_HINT, FfmpegStream, has_ffmpeg
from softloc.decoders.segments import Piece, SegmentedFile
from softloc.decoders.sndfile import SndfileStream
from softloc.decoders.sniffing import FOR_FFMPEG, inspect_container
from softloc.decoders.stream import AudioStream, reason_of
from softloc.errors import AudioError

AudioSource = Path | BinaryIO

_BUFFER_BYTES = 1 << 16


def open_stream(source: AudioSource) -> AudioStream:
    """Open a recording for decoding, with a wrong header put right.

    Parameters
    ----------
    source : Path or binary file
        Also a pipe, which is read whole.

    Raises
    ------
    AudioError
        If it is missing, empty, not audio, or needs a decoder that is not installed.
    """
    name = source_name(source)
    with ExitStack() as resources:
        seekable = _seekable(source)
        file = seekable if not isinstance(seekable, Path) else _open_file(seekable, resources)
        container = inspect_container(file)
        given: AudioSource = seekable
        by_name = isinstance(seekable, Path) and _is_unicode(seekable)
        if container.pieces or not by_name:
            segments = SegmentedFile(file, container.pieces or (Piece(0, file_size(file)),))
            given = cast("BinaryIO", io.BufferedReader(segments, _BUFFER_BYTES))
        stream = _decoder(given, container, name)
        stream.keep_until_closed(resources)
        return stream


def _is_unicode(path: Path) -> bool:
    """Whether decoders, which take names as Unicode, can open a file by its name."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def source_name(source: AudioSource) -> str:
    """Name of a source for messages."""
    return str(source) if isinstance(source, Path) else "<standard input>"


def _decoder(source: AudioSource, container: Container, name: str) -> AudioStream:
    if container.name in FOR_FFMPEG:
        if not has_ffmpeg():
            raise AudioError(
                f"{name}: {container.name} needs the optional decoder: {INSTALL_HINT}"
                f"{_convert_hint(source, ', or convert it')}"
            )
        return FfmpegStream(source, container, name)
    try:
        return SndfileStream(source, container, name)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: the suffix is .raw
        if has_ffmpeg():
            if not isinstance(source, Path):
                source.seek(0)
            return FfmpegStream(source, container, name)
        raise AudioError(
            f"{name}: not audio that can be read ({reason_of(error)}); WAV, FLAC, OGG, MP3 and "
            f"AIFF can be, more with {INSTALL_HINT}; convert others first"
            f"{_convert_hint(source, ', e.g.')}"
        ) from error


def _convert_hint(source: AudioSource, words: str) -> str:
    return f"{words} `ffmpeg -i {source} out.flac`" if isinstance(source, Path) else ""


def _open_file(path: Path, resources: ExitStack) -> BinaryIO:
    try:
        return resources.enter_context(path.open("rb"))
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror})") from error


def _seekable(source: AudioSource) -> AudioSource:
    """Give what decoders can jump about in: the file itself, or all that a pipe holds."""
    if isinstance(source, Path):
        if _check_file(source):
            return source
        data = source.read_bytes()
    elif source.seekable():
        return source
    else:
        data = source.read()
    if not data:
        raise AudioError(f"{source_name(source)}: is empty (0 bytes)")
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
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise AudioError(f"{path}: is a device, not a recording")
    is_regular = stat.S_ISREG(status.st_mode)
    if is_regular and not status.st_size:
        raise AudioError(f"{path}: is empty (0 bytes)")
    return is_regular
