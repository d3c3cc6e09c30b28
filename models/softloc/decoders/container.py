"""What a file says about the sound in it, and what has to be done so that it comes out right."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from softloc.decoders.segments import Piece

#: Sizes from here on are what writers leave behind that did not know the length yet.
PLACEHOLDER_SIZE = 0x7FFF_F000

#: Bytes after the sound that may be anything without a word about it.
MAX_LEFTOVER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Container:
    """A recording's wrapping, as read from the file and not yet decoded.

    Attributes
    ----------
    name : str
        Its usual name, such as ``"MP3"``.
    codec : str
        How the sound is coded, where the wrapping tells; otherwise the decoder says.
    header_s : float or None
        Length in seconds that the header states; None where it states none.
    n_samples : int or None
        Samples a channel that decoding gives after all corrections, where this can be known.
    tags : Mapping
        What was found that bears on time: gapless tags, pre-skip, sizes.
    shift_samples : int
        Samples before the sound that the encoder and the decoder add; all of them are removed.
    cut_samples : int
        How many of these the decoder leaves in, so that they are cut off after it.
    shift_assumed : bool
        The file does not tell; the shift is the usual one of its codec.
    pieces : tuple of Piece
        What to hand to the decoder in place of the file, where its header is wrong; empty if right.
    warnings : tuple of str
        What a user has to know, in one sentence each.
    remarks : tuple of str
        What is odd but harmless.
    """

    name: str
    codec: str = ""
    header_s: float | None = None
    n_samples: int | None = None
    tags: Mapping[str, str | int] = field(default_factory=dict)
    shift_samples: int = 0
    cut_samples: int = 0
    shift_assumed: bool = False
    pieces: tuple[Piece, ...] = ()
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def read_at(file: BinaryIO, offset: int, n_bytes: int) -> bytes:
    """Read bytes from a place in a file; fewer at its end."""
    file.seek(offset)
    return file.read(n_bytes)


def file_size(file: BinaryIO) -> int:
    """Length of a file in bytes."""
    return file.seek(0, 2)


def is_chunk_name(name: bytes) -> bool:
    """Whether four bytes may be the name of a chunk."""
    printable = string.ascii_letters + string.digits + " _-©"
    return len(name) == 4 and all(chr(byte) in printable for byte in name)
