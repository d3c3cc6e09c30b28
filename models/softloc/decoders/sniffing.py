"""Which wrapping a file has, by its first bytes; its name does not matter."""

from __future__ import annotations

from typing import BinaryIO

from softloc.decoders.chunks import inspect_au, inspect_chunks
from softloc.decoders.container import Container, read_at
from softloc.decoders.mpeg import inspect_mpeg
from softloc.decoders.xiph import inspect_flac, inspect_ogg

#: What libsndfile cannot read and FFmpeg can.
FOR_FFMPEG = ("MP4", "Matroska/WebM", "AAC", "ASF/WMA")

_CHUNKED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")
_EBML = b"\x1a\x45\xdf\xa3"
_ASF = b"\x30\x26\xb2\x75"
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof")
_MAX_ID3_TAGS = 8


def inspect_container(file: BinaryIO) -> Container:
    """Read what a file says about its sound; never fails on what it holds.

    Parameters
    ----------
    file : binary file
        Seekable; left at an arbitrary position.

    Returns
    -------
    Container
        Named ``"unknown"`` where nothing is recognised: the decoder has the last word.
    """
    start = _end_of_id3(file)
    head = read_at(file, start, 12)
    if head[:4] in _CHUNKED and not start:
        return inspect_chunks(file) or Container("unknown")
    if head[:4] == b"fLaC":
        return inspect_flac(file, start)
    if head[:4] == b"OggS":
        return inspect_ogg(file, start)
    if head[:4] == b".snd":
        return inspect_au(file)
    other = _other_name(head)
    return Container(other) if other else inspect_mpeg(file, start) or Container("unknown")


def _other_name(head: bytes) -> str | None:
    if head[4:8] in _MP4_BOXES:
        return "MP4"
    if head[:4] == _EBML:
        return "Matroska/WebM"
    if head[:4] == _ASF:
        return "ASF/WMA"
    if head[:4] == b"caff":
        return "CAF"
    # The bits where MPEG audio has its layer are 0 in AAC's headers.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC"
    return None


def _end_of_id3(file: BinaryIO) -> int:
    offset = 0
    for _ in range(_MAX_ID3_TAGS):
        head = read_at(file, offset, 10)
        if len(head) < 10 or head[:3] != b"ID3":
            break
        # Seven bits a byte; pictures are inside, and a footer may follow.
        n_bytes = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[:5:-1]))
        offset += 10 + n_bytes + (10 if head[5] & 0x10 else 0)
    return offset if read_at(file, offset, 1) else 0
