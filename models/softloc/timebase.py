"""The time axis: the only place where frames and seconds meet.

Conventions
-----------
- Frame ``i`` is centred on sample ``i * hop_samples`` (the signal is padded by half a window), so
  its time is ``i * hop_samples / sample_rate_hz`` seconds and frame 0 is at 0 s.
- An onset is the first sample at -30 dB re the peak of its hit.
- A distance of exactly the tolerance counts as a match: times are compared as whole microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softloc.errors import SettingsError

MICROSECONDS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Frames of a fixed hop at a fixed sample rate.

    Attributes
    ----------
    sample_rate_hz : int
        Samples per second.
    hop_samples : int
        Distance of neighbouring frames, in samples.

    Raises
    ------
    SettingsError
        If one of them is not positive.
    """

    sample_rate_hz: int
    hop_samples: int

    def __post_init__(self) -> None:
        if self.sample_rate_hz <= 0 or self.hop_samples <= 0:
            raise SettingsError(
                f"sample rate and hop must be positive, not {self.sample_rate_hz} Hz "
                f"and {self.hop_samples} samples"
            )

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact."""
        return Fraction(self.sample_rate_hz, self.hop_samples)

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_samples / self.sample_rate_hz

    def frames_to_seconds(self, frames: ArrayLike) -> NDArray[np.float64]:
        """Time of (fractional) frames, in seconds."""
        return np.asarray(frames, dtype=np.float64) * self.hop_samples / self.sample_rate_hz

    def seconds_to_frames(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Fractional frame of each time; the inverse of `frames_to_seconds`."""
        return np.asarray(times_s, dtype=np.float64) * self.sample_rate_hz / self.hop_samples

    def nearest_frames(self, times_s: ArrayLike) -> NDArray[np.int64]:
        """Index of the frame whose centre is nearest to each time; halves go up."""
        return np.floor(self.seconds_to_frames(times_s) + 0.5).astype(np.int64)

    def n_frames(self, n_samples: int) -> int:
        """Frames whose centres lie inside a signal of so many samples (at least one)."""
        return max(1, -(-n_samples // self.hop_samples))

    def ms_to_frames(self, duration_ms: float) -> float:
        """Length of a duration in frames, not rounded."""
        return duration_ms * self.sample_rate_hz / (1000 * self.hop_samples)


def seconds_to_microseconds(times_s: ArrayLike) -> NDArray[np.int64]:
    """Round times to whole microseconds, so that tolerances can be compared exactly.

    Parameters
    ----------
    times_s : array_like
        Times or durations in seconds, up to that of an event (`softloc.events.MAX_TIME_S`).

    Returns
    -------
    ndarray of int64
        The same in microseconds.
    """
    scaled = np.asarray(times_s, dtype=np.float64) * MICROSECONDS_PER_SECOND
    return np.rint(scaled).astype(np.int64)
