"""From a file to an open decoder: libsndfile where it can, FFmpeg where it must."""

from __future__ import annotations

import functools
import io
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from softloc.decoders.container import Container, file_size, read_at
from softloc.decoders.ffmpeg import INSTALL_HINT, FfmpegStream, has_ffmpeg
from softloc.decoders.pipes import hold
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
        Also a pipe, which is read to its end first (`softloc.decoders.pipes`).

    Raises
    ------
    AudioError
        If it is missing, empty, not audio, or needs a decoder that is not installed.
    OutputError
        If what a pipe holds cannot be kept.
    """
    name = source_name(source)
    with ExitStack() as resources:
        seekable = _seekable(source, resources)
        file = (
            resources.enter_context(_open_file(seekable))
            if isinstance(seekable, Path)
            else seekable
        )
        container = inspect_container(file)
        given: AudioSource = seekable
        by_name = isinstance(seekable, Path) and _is_unicode(seekable)
        if container.pieces or not by_name:
            given = _rewrapped(file, container)
        stream = _decoder(given, file, container, name)
        stream.keep_until_closed(resources)
        return stream


def _rewrapped(file: BinaryIO, container: Container) -> BinaryIO:
    """Give a decoder a file with its header put right, which it may close."""
    segments = SegmentedFile(file, container.pieces or (Piece(0, file_size(file)),))
    return cast("BinaryIO", io.BufferedReader(segments, _BUFFER_BYTES))


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


def _decoder(source: AudioSource, file: BinaryIO, container: Container, name: str) -> AudioStream:
    """Choose a decoder for a source, which `file` reads where that is a name."""
    if container.name in FOR_FFMPEG:
        if not has_ffmpeg():
            raise AudioError(
                f"{name}: {container.name} needs the optional decoder: {INSTALL_HINT}"
                f"{_convert_hint(source, ', or convert it')}"
            )
        return _ffmpeg_stream(source, file, container, name)
    try:
        return SndfileStream(source, container, name)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: the suffix is .raw
        if has_ffmpeg():
            return _ffmpeg_stream(source, file, container, name)
        raise AudioError(
            f"{name}: not audio that can be read ({reason_of(error)}); WAV, FLAC, OGG, MP3 and "
            f"AIFF can be, more with {INSTALL_HINT}; convert others first"
            f"{_convert_hint(source, ', e.g.')}"
        ) from error


def _ffmpeg_stream(
    source: AudioSource, file: BinaryIO, container: Container, name: str
) -> FfmpegStream:
    opened = file if isinstance(source, Path) else source
    opened.seek(0)
    return FfmpegStream(opened, container, name)


def _convert_hint(source: AudioSource, words: str) -> str:
    return f"{words} `ffmpeg -i {source} out.flac`" if isinstance(source, Path) else ""


def _open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror})") from error


def hold_pipe(source: AudioSource) -> BinaryIO:
    """Read a recording from a pipe into a temporary file, to be read more than once.

    Raises
    ------
    AudioError, OutputError
        As from `open_stream`.
    """
    with ExitStack() as resources:
        pipe = source
        if isinstance(pipe, Path):
            pipe = resources.enter_context(_open_file(pipe))
        name = source_name(source)
        return hold(pipe, name, functools.partial(_refuse_no_audio, name=name))


def _seekable(source: AudioSource, resources: ExitStack) -> AudioSource:
    """Give what decoders can jump about in: the file itself, or a copy of what a pipe holds."""
    if isinstance(source, Path):
        if _check_file(source):
            return source
    elif source.seekable():
        if not file_size(source):
            raise AudioError(f"{source_name(source)}: is empty (0 bytes)")
        return source
    return resources.enter_context(hold_pipe(source))


def _refuse_no_audio(head: BinaryIO, name: str) -> None:
    """Refuse a stream by its first megabytes, if no decoder knows what they are."""
    container = inspect_container(head)
    # Pictures in a tag may be larger than that.
    if container.name == "unknown" and read_at(head, 0, 3) != b"ID3":
        _decoder(_rewrapped(head, container), head, container, name).close()


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
