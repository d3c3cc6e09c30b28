"""MPEG audio (MP3, MP2): what the stream really holds, and a tag that tells decoders so.

Conventions
-----------
- An encoder puts silence before the sound (LAME: 576 samples) and a decoder adds its own delay
  (529 for layer III). The "gapless" tag in the first frame (Xing/Info with LAME's fields) says how
  much; decoders remove it then. Without the tag every decoder returns the sound 1105 samples late:
  25 ms at 44.1 kHz. The correction for a missing tag assumes LAME's 576.
- Without a count of frames decoders guess the length from the bit rate of the first frame, and
  libsndfile stops there. So where anything about the tag is missing or wrong, the stream is handed
  on behind a tag of our own; the frames themselves stay as they are.
- Layers I and II have no such tag; their filterbanks delay by 481 samples in all.

Sources: ISO/IEC 11172-3 and 13818-3 (headers); LAME's ``doc/html/Mp3Info`` (tag).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from softloc.decoders.container import Container, file_size, read_at
from softloc.decoders.segments import Piece

DECODER_DELAY_SAMPLES = 529
LAME_DELAY_SAMPLES = 576
FILTERBANK_DELAY_SAMPLES = 481

#: How far into the file the first frame is searched for.
_SEARCH_BYTES = 1 << 20
_SEARCH_STEP_BYTES = 1 << 16
#: Frames in a row that make a stream; fewer only where the file ends.
_FRAMES_IN_A_ROW = 3
_MAX_FRAME_BYTES = 4096

_VERSIONS = {3: 1, 2: 2, 0: 2.5}
_RATES_HZ = (44_100, 48_000, 32_000)
_RATE_DIVISORS = {1: 1, 2: 2, 2.5: 4}
_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_ROMAN = {1: "I", 2: "II", 3: "III"}

_CUT_OUT = (
    "its first frame needs sound before it: it was cut out of a longer stream, and times count "
    "from the cut"
)

_XING_HAS_FRAMES, _XING_HAS_BYTES, _XING_HAS_TOC, _XING_HAS_QUALITY = 1, 2, 4, 8
#: From the encoder's name in the tag to the delay and padding, 12 bits each.
_LAME_DELAY_OFFSET = 21
_MAX_DELAY_SAMPLES = 3000  # LAME itself believes no more
_ENCODER = b"LAME3.100"


class FrameHeader(NamedTuple):
    """The four bytes that start a frame, decoded."""

    version: float
    layer: int
    rate_hz: int
    mono: bool
    n_bytes: int
    n_samples: int

    @property
    def kind(self) -> tuple[float, int, int]:
        """What all frames of a stream have in common."""
        return self.version, self.layer, self.rate_hz

    @property
    def tag_offset(self) -> int:
        """Where a Xing tag starts in a frame: behind header and side information."""
        if self.version == 1:
            return 4 + (17 if self.mono else 32)
        return 4 + (9 if self.mono else 17)


@dataclass(frozen=True, slots=True)
class XingTag:
    """The first frame, if it holds a tag instead of sound.

    Attributes
    ----------
    name : str
        ``"Xing"`` (variable bit rate), ``"Info"`` (constant) or ``"VBRI"``.
    n_frames : int or None
        Frames of sound that follow.
    encoder : str
        Who wrote it.
    delay_samples, padding_samples : int or None
        Silence before and after the sound; None without LAME's fields.
    """

    name: str
    n_frames: int | None = None
    encoder: str = ""
    delay_samples: int | None = None
    padding_samples: int | None = None


@dataclass(slots=True)
class _Walk:
    """All frames of a stream."""

    spans: list[tuple[int, int]]
    n_frames: int = 0
    bad_bytes: int = 0
    cut_off: bool = False
    kbps: float = 0.0


def parse_header(data: bytes) -> FrameHeader | None:
    """Decode the header of a frame; None if it is none, or of the free format."""
    if len(data) < 4 or data[0] != 0xFF or data[1] < 0xE0:
        return None
    version = _VERSIONS.get(data[1] >> 3 & 3)
    layer = 4 - (data[1] >> 1 & 3)
    rate_index, kbps_index = data[2] >> 2 & 3, data[2] >> 4
    if version is None or layer == 4 or rate_index == 3 or kbps_index in (0, 15):
        return None
    rate_hz = _RATES_HZ[rate_index] // _RATE_DIVISORS[version]
    kbps = _KBPS[min(int(version), 2), layer][kbps_index - 1]
    padding = data[2] >> 1 & 1
    if layer == 1:
        n_samples, n_bytes = 384, (12_000 * kbps // rate_hz + padding) * 4
    else:
        n_samples = 576 if layer == 3 and version != 1 else 1152
        n_bytes = n_samples // 8 * 1000 * kbps // rate_hz + padding
    return FrameHeader(version, layer, rate_hz, data[3] >> 6 == 3, n_bytes, n_samples)


def inspect_mpeg(file: BinaryIO, start: int = 0) -> Container | None:
    """Read an MPEG stream frame by frame, without decoding; None if it is none.

    Parameters
    ----------
    file : binary file
        Seekable.
    start : int
        Byte to look from: behind ID3v2 tags.

    Returns
    -------
    Container or None
        With a replacement of the tag where it is missing or wrong.
    """
    size = file_size(file)
    first = _find_frame(file, start, min(size, start + _SEARCH_BYTES), size)
    if first is None:
        return None
    header = _header_at(file, first)
    assert header is not None  # noqa: S101 - _find_frame found it there
    tag = _read_tag(read_at(file, first, header.n_bytes), header)
    walk = _walk(file, first if tag is None else first + header.n_bytes, header, size)
    if not walk.n_frames:
        return None
    return _describe(file, header, tag, walk, junk_bytes=first - start)


def _describe(
    file: BinaryIO, header: FrameHeader, tag: XingTag | None, walk: _Walk, junk_bytes: int
) -> Container:
    delay, padding = _gapless(tag)
    total = walk.n_frames * header.n_samples
    warnings, remarks = _findings(header, tag, walk, junk_bytes)
    if header.layer == 3 and _refers_back(read_at(file, walk.spans[0][0], 8), header):
        remarks = (*remarks, _CUT_OUT)
    name = f"MP{header.layer}"
    codec = f"MPEG-{header.version:g} layer {_ROMAN[header.layer]}"
    tags = _tags(tag, walk, junk_bytes)
    if header.layer != 3:
        return Container(
            name, codec, None, total - FILTERBANK_DELAY_SAMPLES, tags,
            shift_samples=FILTERBANK_DELAY_SAMPLES, cut_samples=FILTERBANK_DELAY_SAMPLES,
            pieces=_frames_alone(walk) if junk_bytes or walk.bad_bytes else (),
            warnings=warnings, remarks=remarks,
        )  # fmt: skip
    stated = tag.n_frames if tag else None
    whole = stated == walk.n_frames and not walk.bad_bytes and not junk_bytes and not walk.cut_off
    assumed = delay is None
    if stated is None or stated > walk.n_frames:
        padding = 0  # the end, or its length, is gone
    delay = LAME_DELAY_SAMPLES if delay is None else delay
    shift = delay + DECODER_DELAY_SAMPLES
    trimmed = shift + max(padding - DECODER_DELAY_SAMPLES, 0)
    return Container(
        name,
        codec,
        None if stated is None else (stated * header.n_samples - trimmed) / header.rate_hz,
        max(total - trimmed, 0),
        tags,
        shift_samples=shift,
        shift_assumed=assumed,
        pieces=() if whole and not assumed else _retag(file, header, walk, delay, padding),
        warnings=warnings,
        remarks=remarks,
    )


def _gapless(tag: XingTag | None) -> tuple[int | None, int]:
    """Delay and padding as the tag tells; no delay if it tells none, or what cannot be."""
    if tag is None or tag.delay_samples is None or tag.padding_samples is None:
        return None, 0
    both = tag.delay_samples, tag.padding_samples
    if max(both) > _MAX_DELAY_SAMPLES or both == (0, 0):
        return None, 0
    return tag.delay_samples, tag.padding_samples


def _findings(
    header: FrameHeader, tag: XingTag | None, walk: _Walk, junk_bytes: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    warnings, remarks = [], []
    frame_s = header.n_samples / header.rate_hz
    if header.layer == 3 and _gapless(tag)[0] is None:
        shift = LAME_DELAY_SAMPLES + DECODER_DELAY_SAMPLES
        warnings.append(
            f"no gapless tag (Xing/Info with LAME's fields) says how late the sound starts; "
            f"corrected by {shift / header.rate_hz * 1000:.1f} ms, assuming LAME's delay of "
            f"{LAME_DELAY_SAMPLES} and a decoder's of {DECODER_DELAY_SAMPLES} samples"
        )
    stated = tag.n_frames if tag else None
    if stated is not None and abs(stated - walk.n_frames) > 1:
        what = "cut off, or its" if stated > walk.n_frames else "its"
        warnings.append(
            f"{what} tag is wrong: it states {stated * frame_s:.3f} s, the stream holds "
            f"{walk.n_frames * frame_s:.3f} s, and all of it is read"
        )
    if walk.bad_bytes:
        warnings.append(
            f"{walk.bad_bytes} bytes amid the stream are no sound and are left out; events after "
            f"them may be early"
        )
    if walk.cut_off:
        remarks.append("the last frame is cut off and left out")
    if junk_bytes:
        remarks.append(f"{junk_bytes} bytes before the first frame are no sound and are left out")
    return tuple(warnings), tuple(remarks)


def _refers_back(frame: bytes, header: FrameHeader) -> bool:
    """Whether a frame of layer III has part of its data in those before it."""
    start = 4 if frame[1] & 1 else 6  # behind the checksum, if there is one
    bits = int.from_bytes(frame[start : start + 2], "big")
    return bits >> (7 if header.version == 1 else 8) > 0


def _tags(tag: XingTag | None, walk: _Walk, junk_bytes: int) -> dict[str, str | int]:
    tags: dict[str, str | int] = {"frames": walk.n_frames, "kbps": round(walk.kbps)}
    if junk_bytes:
        tags["junk_bytes"] = junk_bytes
    if tag is not None:
        tags["tag"] = tag.name
        found = {
            "tag_frames": tag.n_frames,
            "encoder": tag.encoder or None,
            "delay_samples": tag.delay_samples,
            "padding_samples": tag.padding_samples,
        }
        tags |= {name: value for name, value in found.items() if value is not None}
    return tags


def _header_at(file: BinaryIO, offset: int) -> FrameHeader | None:
    return parse_header(read_at(file, offset, 4))


def _find_frame(
    file: BinaryIO, start: int, stop: int, size: int, kind: tuple[float, int, int] | None = None
) -> int | None:
    """Offset of the first frame that others of its kind follow."""
    for offset in _sync_offsets(file, start, stop):
        header = _header_at(file, offset)
        if header and kind in (None, header.kind) and _leads_on(file, offset, header, size):
            return offset
    return None


def _sync_offsets(file: BinaryIO, start: int, stop: int) -> Iterator[int]:
    for base in range(start, stop, _SEARCH_STEP_BYTES):
        block = read_at(file, base, min(_SEARCH_STEP_BYTES, stop - base))
        found = block.find(b"\xff")
        while found >= 0:
            yield base + found
            found = block.find(b"\xff", found + 1)


def _leads_on(file: BinaryIO, offset: int, header: FrameHeader, size: int) -> bool:
    kind = header.kind
    for _ in range(_FRAMES_IN_A_ROW - 1):
        offset += header.n_bytes
        following = _header_at(file, offset)
        if following is None or following.kind != kind:
            return offset == size
        header = following
    return True


def _walk(file: BinaryIO, start: int, first: FrameHeader, size: int) -> _Walk:
    """Go from frame to frame to the end; what is no frame is skipped."""
    walk = _Walk([])
    offset = begin = start
    while offset < size:
        header = _header_at(file, offset)
        if header and header.kind == first.kind and offset + header.n_bytes <= size:
            offset += header.n_bytes
            walk.n_frames += 1
            continue
        walk.spans.append((begin, offset))
        if header and header.kind == first.kind and size - offset < _MAX_FRAME_BYTES:
            walk.cut_off = True
            break
        resumed = _find_frame(file, offset + 1, size, size, first.kind)
        if resumed is None:  # ID3v1, APE tags or padding
            break
        walk.bad_bytes += resumed - offset
        offset = begin = resumed
    else:
        walk.spans.append((begin, offset))
    walk.spans = [(begin, end) for begin, end in walk.spans if end > begin]
    duration_s = walk.n_frames * first.n_samples / first.rate_hz
    n_bytes = sum(end - begin for begin, end in walk.spans)
    walk.kbps = n_bytes * 8 / 1000 / duration_s if duration_s else 0.0
    return walk


def _read_tag(frame: bytes, header: FrameHeader) -> XingTag | None:
    if frame[36:40] == b"VBRI" and len(frame) >= 54:  # Fraunhofer's: no delay that can be trusted
        return XingTag("VBRI", int.from_bytes(frame[50:54], "big"))
    offset = header.tag_offset
    name = frame[offset : offset + 4]
    if header.layer != 3 or name not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(frame[offset + 4 : offset + 8], "big")
    offset += 8
    n_frames = int.from_bytes(frame[offset : offset + 4], "big")
    for flag, n_bytes in (
        (_XING_HAS_FRAMES, 4),
        (_XING_HAS_BYTES, 4),
        (_XING_HAS_TOC, 100),
        (_XING_HAS_QUALITY, 4),
    ):
        offset += n_bytes if flags & flag else 0
    counted = n_frames if flags & _XING_HAS_FRAMES else None
    encoder = frame[offset : offset + 9].rstrip(b"\0 ")
    place = offset + _LAME_DELAY_OFFSET
    if not encoder or len(frame) < place + 3:
        return XingTag(name.decode(), counted)
    both = int.from_bytes(frame[place : place + 3], "big")
    text = encoder.decode("ascii", "replace")
    return XingTag(name.decode(), counted, text, both >> 12, both & 0xFFF)


def _retag(
    file: BinaryIO, first: FrameHeader, walk: _Walk, delay: int, padding: int
) -> tuple[Piece, ...]:
    """Put a right tag before the frames of a stream."""
    start = read_at(file, walk.spans[0][0], 4)
    lame = _ENCODER.ljust(_LAME_DELAY_OFFSET, b"\0") + (delay << 12 | padding).to_bytes(3, "big")
    n_needed = first.tag_offset + 16 + len(lame) + 12  # 12 end LAME's fields
    head = _roomy_header(start, n_needed)
    header = parse_header(head)
    assert header is not None  # noqa: S101 - _roomy_header gives a valid one
    n_bytes = header.n_bytes + sum(end - begin for begin, end in walk.spans)
    numbers = (_XING_HAS_FRAMES | _XING_HAS_BYTES, walk.n_frames, n_bytes)
    counts = b"".join(number.to_bytes(4, "big") for number in numbers)
    content = head.ljust(first.tag_offset, b"\0") + b"Info" + counts + lame
    frame = Piece.of(content.ljust(header.n_bytes, b"\0"))
    return (frame, *_frames_alone(walk))


def _frames_alone(walk: _Walk) -> tuple[Piece, ...]:
    return tuple(Piece(begin, end) for begin, end in walk.spans)


def _roomy_header(start: bytes, n_bytes: int) -> bytes:
    """Make the header of a frame of at least so many bytes, otherwise like that of another."""
    for kbps_index in range(1, 15):
        # No checksum, this bit rate, no padding; version, rate and channels as they are.
        head = bytes((0xFF, start[1] | 1, kbps_index << 4 | start[2] & 0x0C, start[3]))
        header = parse_header(head)
        if header is not None and header.n_bytes >= n_bytes:
            return head
    raise AssertionError("the highest bit rate has room at every sample rate")
