"""Frames and bands: what the network is given, apart from how it is computed.

Conventions
-----------
- Frame ``i`` is centred on sample ``i * hop_samples`` (`softloc.timebase`). A block of features is
  computed from exactly the samples its windows touch (`n_samples_for`); nothing is padded here.
- A band holds ``log(1 + 10^4 · m)``, ``m`` the mean magnitude under its triangle, 1 for a sine at
  full scale in one bin. Silence is exactly 0, and no value depends on any other frame, so that
  features are the same for every way of cutting a recording.
- The derivative is the difference to the previous frame: it needs no look-ahead.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.errors import SettingsError
from softloc.interrupts import interrupts_held
from softloc.timebase import FrameGrid

#: Magnitudes well below 10^-4 of full scale count as silence; above, the scale is logarithmic.
LOG_GAIN = 1e4

#: Magnitudes below it are silence to `band_levels`: 40 dB less than in the features, so that a
#: recording turned down keeps its differences of level.
LEVEL_FLOOR = 1e-6

#: Silence that the network hears before every recording; what it says to it is dropped.
LEAD_IN_S = 0.1


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """What the network sees; travels in the checkpoint.

    Attributes
    ----------
    sample_rate_hz : int
        Recordings are resampled to it.
    hop_samples : int
        From one frame to the next.
    window_samples : int
        Length of the Hann window.
    fft_samples : int
        Length of the transform; the window stands in its middle.
    n_bands : int
        Mel bands.
    min_hz, max_hz : float
        Lower edge of the first band, upper edge of the last.
    """

    sample_rate_hz: int = 44_100
    hop_samples: int = 441
    window_samples: int = 2048
    fft_samples: int = 2048
    n_bands: int = 80
    min_hz: float = 30.0
    max_hz: float = 16_000.0

    def __post_init__(self) -> None:
        if self.window_samples < 2:
            raise SettingsError(
                f"window_samples must be at least 2, not {self.window_samples}: "
                f"a shorter Hann window holds nothing but 0"
            )
        if self.fft_samples < self.window_samples or self.fft_samples % 2:
            raise SettingsError(
                f"fft_samples must be even and at least window_samples ({self.window_samples}), "
                f"not {self.fft_samples}"
            )
        if not 0 <= self.min_hz < self.max_hz <= self.sample_rate_hz / 2:
            raise SettingsError(
                f"the bands must lie inside 0-{self.sample_rate_hz / 2:g} Hz, "
                f"not {self.min_hz:g}-{self.max_hz:g} Hz"
            )

    @property
    def grid(self) -> FrameGrid:
        """The frames' place in time."""
        return FrameGrid(self.sample_rate_hz, self.hop_samples)

    @property
    def look_back_samples(self) -> int:
        """Samples before a frame's centre that it depends on: half a window and a derivative."""
        return self.fft_samples // 2 + self.hop_samples

    @property
    def look_ahead_samples(self) -> int:
        """Samples from a frame's centre on that it depends on."""
        return self.fft_samples // 2

    @property
    def lead_in_frames(self) -> int:
        """Frames of `LEAD_IN_S`."""
        return round(self.grid.seconds_to_frames(LEAD_IN_S).item())

    def n_samples_for(self, n_frames: int) -> int:
        """Count the samples that `n_frames` successive frames touch, derivative included."""
        return self.look_back_samples + (n_frames - 1) * self.hop_samples + self.look_ahead_samples


def mel_filterbank(settings: FeatureSettings, speed: float = 1.0) -> NDArray[np.float32]:
    """Triangular mel filters, each summing to 1.

    Parameters
    ----------
    settings : FeatureSettings
        Bands and transform.
    speed : float
        Treat the sample rate as if multiplied by this factor (the paper's augmentation).

    Returns
    -------
    ndarray of float32, shape (fft_samples // 2 + 1, n_bands)
        Weights, ready to be multiplied from the right.
    """
    with interrupts_held(), warnings.catch_warnings():
        # Made once, when a model is made; transcription loads it with the weights and never pays
        # for this import, in which Numba compiles.
        from librosa.filters import mel  # noqa: PLC0415

        warnings.simplefilter("ignore", UserWarning)  # of empty filters: we refuse them
        filters: NDArray[np.float32] = mel(
            sr=settings.sample_rate_hz * speed,
            n_fft=settings.fft_samples,
            n_mels=settings.n_bands,
            fmin=settings.min_hz,
            fmax=settings.max_hz,
            norm=1,
            dtype=np.float32,
        )
    if not filters.any(axis=1).all():
        raise SettingsError(
            f"{settings.n_bands} bands are too narrow for a transform of "
            f"{settings.fft_samples} samples: some hold no bin"
        )
    return np.ascontiguousarray(filters.T)


def analysis_window(settings: FeatureSettings) -> NDArray[np.float32]:
    """Periodic Hann window, scaled so that a full-scale sine in one bin has magnitude 1.

    Parameters
    ----------
    settings : FeatureSettings
        Its length, and that of the transform in whose middle it stands.

    Returns
    -------
    ndarray of float32, shape (fft_samples,)
        Zero outside the window.
    """
    angle = 2.0 * np.pi * np.arange(settings.window_samples) / settings.window_samples
    window = 0.5 - 0.5 * np.cos(angle)
    before = (settings.fft_samples - settings.window_samples) // 2
    after = settings.fft_samples - settings.window_samples - before
    return np.pad(2.0 * window / window.sum(), (before, after)).astype(np.float32)
