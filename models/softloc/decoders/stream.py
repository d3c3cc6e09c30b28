"""What every decoder offers: samples in order, block by block, without the silence before them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from softloc.decoders.container import Container
from softloc.errors import AudioError


class AudioStream(ABC):
    """An open recording.

    Attributes
    ----------
    name : str
        For messages.
    container : Container
        What the file says of itself.
    decoder : str
        Program and version that decodes it.
    codec : str
        How the sound is coded.
    sample_rate_hz, n_channels : int
        Of the sound.
    n_samples : int or None
        Length that decoding will give, where it is known.
    tolerance_samples : int
        How far from it the length may be without a word.
    """

    decoder: str
    codec: str
    sample_rate_hz: int
    n_channels: int
    n_samples: int | None = None
    tolerance_samples: int

    def __init__(self, name: str, container: Container) -> None:
        self.name = name
        self.container = container
        self.position = 0
        self._to_cut = container.cut_samples
        self._resources = ExitStack()

    def read(self, n_samples: int) -> NDArray[np.float32]:
        """Decode the next samples.

        Parameters
        ----------
        n_samples : int
            At most so many.

        Returns
        -------
        ndarray of float32, shape (n, n_channels)
            Fewer than asked for only at the end, where there are none.

        Raises
        ------
        AudioError
            If the stream is damaged here.
        """
        while self._to_cut:
            cut = len(self._decode(min(self._to_cut, n_samples)))
            self._to_cut = self._to_cut - cut if cut else 0
        block = self._decode(n_samples)
        self.position += len(block)
        return block

    def require_sound(self) -> None:
        """Refuse, at the end, a recording of which nothing could be decoded.

        Raises
        ------
        AudioError
            If not a single sample came.
        """
        if not self.position:
            raise AudioError(
                f"{self.name}: the header promises audio, but no sample can be decoded"
            )

    def length_warning(self) -> str | None:
        """Say, at the end, how far what was decoded differs from what was promised."""
        if self.n_samples is None:
            return None
        if abs(self.n_samples - self.position) <= self.tolerance_samples:
            return None
        stated_s, decoded_s = (n / self.sample_rate_hz for n in (self.n_samples, self.position))
        return (
            f"decoding gave {decoded_s:.3f} s of sound where the file states {stated_s:.3f} s; is "
            f"it cut off or damaged?"
        )

    def damaged(self, error: Exception) -> AudioError:
        """Make the error for a stream that cannot be decoded any further."""
        of = "" if self.n_samples is None else f" of {self.n_samples / self.sample_rate_hz:.1f} s"
        return AudioError(
            f"{self.name}: damaged at {self.position / self.sample_rate_hz:.1f} s{of} "
            f"({reason_of(error)})"
        )

    @abstractmethod
    def _decode(self, n_samples: int) -> NDArray[np.float32]:
        """Decode at most so many samples, shape (n, n_channels); none at the end."""

    def keep_until_closed(self, resources: ExitStack) -> None:
        """Close these when the stream is closed."""
        self._resources.push(resources.pop_all())

    def close(self) -> None:
        """Close the decoder and what it reads."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def reason_of(error: Any) -> str:
    """Take from a decoder's error what is wrong, without the full stop."""
    text = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    return text.strip().removeprefix("Error : ").rstrip(".")
