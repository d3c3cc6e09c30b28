"""The last part of something that goes on and on: frames of a recording, samples of a stream.

Conventions
-----------
- Places are counted from the start of the stream, and stay what they are while its oldest part is
  forgotten.
- Memory is taken once. It only grows where more has to be kept at once than ever before.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class History(Generic[Scalar]):
    """An array that is appended to at its end and forgotten from its start.

    Parameters
    ----------
    dtype : dtype
        Of its values.
    row_shape : tuple of int
        Shape of what stands at one place; ``()`` for plain numbers.
    capacity : int
        Places to take memory for.
    first : int
        Place of the first value.

    Attributes
    ----------
    first, end : int
        First place that is kept, and the one after the last.
    """

    def __init__(
        self,
        dtype: DTypeLike,
        row_shape: tuple[int, ...] = (),
        *,
        capacity: int = 1024,
        first: int = 0,
    ) -> None:
        self._values: NDArray[Any] = np.zeros((capacity, *row_shape), dtype=dtype)
        self._offset = 0
        self.first = self.end = first

    def append(self, values: NDArray[Scalar]) -> None:
        """Add what comes next, shape (n, *row_shape)."""
        self._room_for(len(values))[:] = values

    def append_zeros(self, count: int) -> None:
        """Add so many places of zeros."""
        self._room_for(count)[:] = 0

    def view(self, start: int, end: int) -> NDArray[Scalar]:
        """Values at places that are kept; valid until something is added."""
        shift = self._offset - self.first
        view: NDArray[Scalar] = self._values[start + shift : end + shift]
        return view

    def forget(self, before: int) -> None:
        """Keep nothing before a place."""
        gone = min(before, self.end) - self.first
        if gone > 0:
            self.first += gone
            self._offset += gone

    def _room_for(self, count: int) -> NDArray[Any]:
        kept = self.end - self.first
        if self._offset + kept + count > len(self._values):
            old = self._values[self._offset : self._offset + kept]
            if kept + count > len(self._values):
                shape = (2 * (kept + count), *self._values.shape[1:])
                self._values = np.zeros(shape, dtype=old.dtype)
            self._values[:kept] = old
            self._offset = 0
        start = self._offset + kept
        self.end += count
        return self._values[start : start + count]
