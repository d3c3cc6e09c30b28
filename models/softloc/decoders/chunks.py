"""WAV, RF64, AIFF and AU: headers whose sizes are wrong, found and put right.

Conventions
-----------
- Writers that stream leave 0 or the largest number where the length belongs; recorders that lost
  power leave the length of some moment before. The sound then goes to the end of the file, unless
  another chunk follows it.
- A file that ends before its header says is read as far as it goes, with a warning.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from softloc.decoders.container import (
    MAX_LEFTOVER_BYTES,
    PLACEHOLDER_SIZE,
    Container,
    file_size,
    is_chunk_name,
    read_at,
)
from softloc.decoders.segments import Piece

_FORMS = {
    (b"RIFF", b"WAVE"): "WAV",
    (b"RIFX", b"WAVE"): "WAV",
    (b"RF64", b"WAVE"): "RF64",
    (b"BW64", b"WAVE"): "RF64",
    (b"FORM", b"AIFF"): "AIFF",
    (b"FORM", b"AIFC"): "AIFF",
}
_MAX_CHUNKS = 10_000
_AIFF_COMMON_BYTES = 18
_AU_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}


class _Sound(NamedTuple):
    """Where the sound is said to be.

    Attributes
    ----------
    start : int
        Its first byte.
    n_bytes : int
        Its length, as stated.
    size_offset : int
        Where that is stated.
    size_bytes : int
        In how many bytes.
    bytes_per_s : int
        Of the sound; 0 if unknown.
    """

    start: int
    n_bytes: int
    size_offset: int
    size_bytes: int
    bytes_per_s: int


def inspect_chunks(file: BinaryIO) -> Container | None:
    """Read the chunks of a WAV, RF64 or AIFF file; None if it is none or has no sound chunk.

    Returns
    -------
    Container or None
        With a replacement of the header where its size is wrong.
    """
    head = read_at(file, 0, 12)
    name = _FORMS.get((head[:4], head[8:12]))
    if name is None:
        return None
    order = "big" if head[:4] in (b"RIFX", b"FORM") else "little"
    sound = _find_sound(file, name, order)
    if sound is None:
        return None
    return _judge(file, name, sound, order)


def inspect_au(file: BinaryIO) -> Container:
    """Read the header of an AU file."""
    head = read_at(file, 0, 24)
    _, start, n_bytes, encoding, rate_hz, n_channels = struct.unpack(">6I", head.ljust(24, b"\0"))
    bytes_per_s = rate_hz * n_channels * _AU_SAMPLE_BYTES.get(encoding, 0)
    return _judge(file, "AU", _Sound(start, n_bytes, 8, 4, bytes_per_s), "big")


def _find_sound(file: BinaryIO, name: str, order: str) -> _Sound | None:
    offset, bytes_per_s = 12, 0
    long_size: tuple[int, int] | None = None
    for _ in range(_MAX_CHUNKS):
        head = read_at(file, offset, 8)
        if len(head) < 8:
            return None
        n_bytes = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
        match head[:4]:
            case b"fmt ":
                bytes_per_s = int.from_bytes(read_at(file, offset + 16, 4), order)  # type: ignore[arg-type]
            case b"COMM" if n_bytes == _AIFF_COMMON_BYTES:  # AIFC's is longer
                bytes_per_s = _aiff_bytes_per_s(read_at(file, offset + 8, n_bytes))
            case b"ds64":
                long_size = (offset + 16, int.from_bytes(read_at(file, offset + 16, 8), "little"))
            case b"data" if name == "RF64" and long_size:
                return _Sound(offset + 8, long_size[1], long_size[0], 8, bytes_per_s)
            case b"data" | b"SSND":
                return _Sound(offset + 8, n_bytes, offset + 4, 4, bytes_per_s)
        offset += 8 + n_bytes + n_bytes % 2
    return None


def _aiff_bytes_per_s(common: bytes) -> int:
    if len(common) < _AIFF_COMMON_BYTES:
        return 0
    n_channels, _, n_bits, exponent, mantissa = struct.unpack(">HIHHQ", common)
    power = (exponent & 0x7FFF) - 16_383 - 63  # an 80-bit number
    rate_hz = mantissa >> -power if -64 < power <= 0 else 0
    sample_bytes = (n_bits + 7) // 8
    return int(rate_hz * n_channels * sample_bytes)


def _judge(file: BinaryIO, name: str, sound: _Sound, order: str) -> Container:
    size = file_size(file)
    there, stated = max(size - sound.start, 0), sound.n_bytes
    header_s = stated / sound.bytes_per_s if sound.bytes_per_s else None
    tags: dict[str, str | int] = {"sound_bytes_stated": stated, "sound_bytes_there": there}
    if stated >= PLACEHOLDER_SIZE and stated > there:
        remark = "its header does not state a length, as of a writer that streamed"
        return Container(name, tags=tags, remarks=(remark,))
    if stated > there:
        warning = _lengths("cut off", "are there", stated, there, sound)
        return Container(name, header_s=header_s, tags=tags, warnings=(warning,))
    left = there - stated - stated % 2
    if left <= (0 if stated == 0 else MAX_LEFTOVER_BYTES) or _is_chunk(
        file, sound.start + stated + stated % 2, size, order
    ):
        return Container(name, header_s=header_s, tags=tags)
    limit = (1 << 8 * sound.size_bytes) - 1
    right_size = min(there, limit).to_bytes(sound.size_bytes, order)  # type: ignore[arg-type]
    pieces = (
        Piece(0, sound.size_offset),
        Piece.of(right_size),
        Piece(sound.size_offset + sound.size_bytes, size),
    )
    if there > limit:
        warning = _lengths("its header is wrong", "are there", stated, there, sound)
        beyond = "only the first 4 GiB are read, the most that such a header can count"
        warnings = (f"{warning}; {beyond}",)
        return Container(name, header_s=header_s, tags=tags, pieces=pieces, warnings=warnings)
    if stated == 0:
        remark = "its header states a length of 0, as of a writer that streamed; all is read"
        return Container(name, tags=tags, pieces=pieces, remarks=(remark,))
    warning = _lengths("its header is wrong", "are there, and all is read", stated, there, sound)
    return Container(name, header_s=header_s, tags=tags, pieces=pieces, warnings=(warning,))


def _lengths(what: str, verb: str, stated: int, there: int, sound: _Sound) -> str:
    if not sound.bytes_per_s:
        return f"{what}: the header states {stated} bytes of sound, {there} {verb}"
    return (
        f"{what}: the header states {stated / sound.bytes_per_s:.3f} s, "
        f"{there / sound.bytes_per_s:.3f} s {verb}"
    )


def _is_chunk(file: BinaryIO, offset: int, size: int, order: str) -> bool:
    """Whether another chunk starts here, so that the sound before it ends where it is said to."""
    head = read_at(file, offset, 8)
    n_bytes = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
    return is_chunk_name(head[:4]) and offset + 8 + n_bytes <= size + 1
