"""The features without PyTorch, for engines that do without it, too.

Frames go through in tiles that stay in the processor's cache: going to memory and back between
the steps would cost as much as the transform itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from softloc.features.settings import LEVEL_FLOOR, LOG_GAIN, FeatureSettings, analysis_window

#: Frames of a tile: of these lengths, fastest for transforms of 2048 samples.
_TILE_FRAMES = 64

#: Bands whose filters are multiplied with at once; a few neighbours share most of their bins.
_GROUP_BANDS = 16

#: Multiplications in one product of matrices, at most: OpenBLAS computes so few in one thread, so
#: the digits are the same whatever the number of threads.
_PRODUCT_SIZE = 1 << 18

Floats = NDArray[np.float32]


class NumpyLogMel:
    """Samples to log-mel features, as `softloc.features.LogMel` computes them.

    Parameters
    ----------
    settings : FeatureSettings
        Frames and bands.
    filterbank : ndarray of float32, shape (fft_samples // 2 + 1, n_bands)
        As from `softloc.features.mel_filterbank`.
    """

    def __init__(self, settings: FeatureSettings, filterbank: Floats) -> None:
        self.settings = settings
        self._window = analysis_window(settings)
        self._groups = [
            _group(filterbank, first, min(first + _GROUP_BANDS, settings.n_bands))
            for first in range(0, settings.n_bands, _GROUP_BANDS)
        ]

    def band_magnitudes(self, samples: Floats) -> Floats:
        """Mean magnitude of every band in successive frames.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            ``settings.n_samples_for(n_frames)`` samples.

        Returns
        -------
        ndarray of float32, shape (1 + n_frames, n_bands)
            The first frame only serves the derivative of the second; that is centred on sample
            ``settings.look_back_samples``.
        """
        settings = self.settings
        frames = sliding_window_view(samples, settings.fft_samples)[:: settings.hop_samples]
        result = np.empty((len(frames), settings.n_bands), np.float32)
        size = min(_TILE_FRAMES, len(frames))
        windowed = np.empty((size, settings.fft_samples), np.float32)
        # NumPy says complex128 of the transform of float32, and gives complex64.
        spectrum: Any = np.empty((size, settings.fft_samples // 2 + 1), np.complex64)
        magnitudes = np.empty(spectrum.shape, np.float32)
        for start in range(0, len(frames), size):
            tile = frames[start : start + size]
            n = len(tile)
            np.multiply(tile, self._window, out=windowed[:n])
            np.fft.rfft(windowed[:n], out=spectrum[:n])
            np.abs(spectrum[:n], out=magnitudes[:n])
            for bands, bins, filters in self._groups:
                rows = max(1, _PRODUCT_SIZE // max(1, filters.size))
                for row in range(0, n, rows):
                    part = magnitudes[row : min(row + rows, n), bins]
                    result[start + row : start + row + len(part), bands] = part @ filters
        return result


def compress_magnitudes(magnitudes: Floats) -> Floats:
    """Band magnitudes (1 + n, n_bands) to features (n, 2, n_bands), as `compress` does in torch."""
    log_mel = np.log1p(np.float32(LOG_GAIN) * magnitudes)
    features = np.empty((len(log_mel) - 1, 2, log_mel.shape[1]), np.float32)
    features[:, 0] = log_mel[1:]
    np.subtract(log_mel[1:], log_mel[:-1], out=features[:, 1])
    return features


def magnitude_levels(magnitudes: Floats) -> Floats:
    """Band magnitudes to levels in neper, as `band_levels` gives for their features."""
    levels: Floats = np.log(magnitudes + np.float32(LEVEL_FLOOR))
    return levels


def _group(filterbank: Floats, first: int, end: int) -> tuple[slice, slice, Floats]:
    """Neighbouring bands, the bins that they touch, and their weights there."""
    touched = np.flatnonzero(filterbank[:, first:end].any(axis=1))
    bins = slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 0)
    return slice(first, end), bins, np.ascontiguousarray(filterbank[bins, first:end])
