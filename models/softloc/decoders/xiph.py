"""FLAC and Ogg (Vorbis, Opus): what their headers and their last page tell about the length."""

from __future__ import annotations

from typing import BinaryIO

from softloc.decoders.container import MAX_LEFTOVER_BYTES, Container, file_size, read_at
from softloc.decoders.segments import Piece

OPUS_RATE_HZ = 48_000

_TAIL_BYTES = 1 << 17  # a page has at most 65,307
_END_OF_STREAM = 4
_MAX_BLOCKS = 10_000
_FLAC_TOTAL = slice(18, 26)  # rate, channels and bits stand in the upper 28 bits
_TOTAL_MASK = (1 << 36) - 1
#: FLAC never takes much more than the samples as they are; more means that the header is wrong.
_FLAC_OVERHEAD = 1.1


def inspect_flac(file: BinaryIO, start: int = 0) -> Container:
    """Read the header of a FLAC file; it starts behind ID3v2 tags, if there are any."""
    head = read_at(file, start, 42)
    numbers = int.from_bytes(head[_FLAC_TOTAL], "big")
    total = numbers & _TOTAL_MASK
    rate_hz = numbers >> 44
    n_channels, n_bits = (numbers >> 41 & 7) + 1, (numbers >> 36 & 31) + 1
    size = file_size(file)
    sound_bytes = size - start - _metadata_bytes(file, start)
    tags: dict[str, str | int] = {"samples_stated": total}
    if total == 0 or not rate_hz:
        remark = "its header does not state a length, as of a writer that streamed"
        return Container("FLAC", tags=tags, remarks=(remark,))
    header_s = total / rate_hz
    raw_bytes = total * n_channels * n_bits / 8
    if sound_bytes <= raw_bytes * _FLAC_OVERHEAD + MAX_LEFTOVER_BYTES:
        return Container("FLAC", header_s=header_s, n_samples=total, tags=tags)
    unknown = bytearray(head)
    unknown[_FLAC_TOTAL] = (numbers & ~_TOTAL_MASK).to_bytes(8, "big")
    warning = (
        f"its header is wrong: it states {header_s:.3f} s, but more sound than that follows, and "
        f"all is read"
    )
    pieces = (Piece.of(bytes(unknown)), Piece(start + len(unknown), size))
    return Container("FLAC", header_s=header_s, tags=tags, pieces=pieces, warnings=(warning,))


def inspect_ogg(file: BinaryIO, start: int = 0) -> Container:
    """Read the first and the last page of an Ogg file."""
    size = file_size(file)
    first = read_at(file, start, 128)
    content = first[27 + first[26] :] if len(first) > 27 else b""
    tags: dict[str, str | int] = {}
    codec, shift, rate_hz, warnings, remarks = "", 0, 0, [], []
    header_s = None
    if content.startswith(b"OpusHead"):
        codec, rate_hz = "Opus", OPUS_RATE_HZ
        tags["pre_skip_samples"] = shift = int.from_bytes(content[10:12], "little")
    elif content.startswith(b"\x01vorbis"):
        codec, rate_hz = "Vorbis", int.from_bytes(content[12:16], "little")
    tail_start = max(start, size - _TAIL_BYTES)
    tail = read_at(file, tail_start, size - tail_start)
    last = tail[max(tail.rfind(b"OggS"), 0) :]
    if len(last) >= 27 and last.startswith(b"OggS"):
        tags["last_granule"] = granule = int.from_bytes(last[6:14], "little", signed=True)
        header_s = (granule - shift) / rate_hz if rate_hz else None
        if not last[5] & _END_OF_STREAM:
            warnings.append("cut off: no page ends its stream; what is there is read")
        if last[14:18] != first[14:18]:
            warnings.append(
                "several streams stand one after the other or beside each other (chained Ogg); "
                "only the first is read"
            )
    if start:
        remarks.append(f"{start} bytes of ID3 tags before the first page are left out")
    pieces = (Piece(start, size),) if start else ()
    return Container(
        "Ogg", codec, header_s, tags=tags, shift_samples=shift,
        pieces=pieces, warnings=tuple(warnings), remarks=tuple(remarks),
    )  # fmt: skip


def _metadata_bytes(file: BinaryIO, start: int) -> int:
    """Length of the blocks before the sound; pictures may take megabytes."""
    offset, size = start + 4, file_size(file)
    for _ in range(_MAX_BLOCKS):
        if offset + 4 > size:
            break
        head = read_at(file, offset, 4)
        offset += 4 + int.from_bytes(head[1:4], "big")
        if head[0] & 0x80:
            break
    return min(offset, size) - start
