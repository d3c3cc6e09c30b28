"""A file put together from pieces of another: how a wrong header is replaced without a copy."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Piece(NamedTuple):
    """A stretch of the file, or bytes in its place.

    Attributes
    ----------
    start, stop : int
        Bytes of the file, `stop` excluded.
    content : bytes or None
        What stands here instead; `start` and `stop` are then its bounds.
    """

    start: int
    stop: int
    content: bytes | None = None

    @classmethod
    def of(cls, content: bytes) -> Piece:
        """Make a piece of bytes that are not in the file."""
        return cls(0, len(content), content)


class SegmentedFile(io.RawIOBase):
    """Read pieces one after the other as if they were one file.

    Parameters
    ----------
    file : binary file
        Seekable; whoever opened it closes it.
    pieces : sequence of Piece
        In order.
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._file = file
        self._pieces = tuple(piece for piece in pieces if piece.stop > piece.start)
        self._ends = list(accumulate(piece.stop - piece.start for piece in self._pieces))
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that one can jump about in it."""
        return True

    def tell(self) -> int:
        """Give the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and give it; before the start is the start.

        libsndfile asks for such places in damaged files, and cannot be given an exception.
        """
        length = self._ends[-1] if self._ends else 0
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: length}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer as far as the piece at hand goes; 0 at the end."""
        index = bisect_right(self._ends, self._position)
        if index == len(self._pieces):
            return 0
        piece = self._pieces[index]
        view = memoryview(buffer).cast("B")
        left = self._ends[index] - self._position
        start, size = piece.stop - left, min(left, len(view))
        if piece.content is None:
            self._file.seek(start)
            data = self._file.read(size)
        else:
            data = piece.content[start : start + size]
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
