"""The features without PyTorch, for engines that do without it, too.

Frames go through in tiles that stay in the processor's cache: going to memory and back between
the steps would cost as much as the transform itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softloc.features.settings import LEVEL_FLOOR, LOG_GAIN, FeatureSettings, analysis_window
from softloc.features.transforms import Transform, real_transform

#: Frames of a tile: of these lengths, fastest for transforms of 2048 samples.
_TILE_FRAMES = 48

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
        self._transform: Transform = real_transform()
        self._groups = [
            _group(filterbank, first, min(first + _GROUP_BANDS, settings.n_bands))
            for first in range(0, settings.n_bands, _GROUP_BANDS)
        ]
        self._n_bins = max(bins.stop for _, bins, _ in self._groups)  # none above touches a band

    def band_magnitudes(self, samples: Floats, before: Floats | None = None) -> Floats:
        """Mean magnitude of every band in successive frames.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            ``settings.n_samples_for(n_frames)`` samples.
        before : ndarray of float32, shape (n_bands,), optional
            The first frame of the result, if it is known: it is not computed again.

        Returns
        -------
        ndarray of float32, shape (1 + n_frames, n_bands)
            The first frame only serves the derivative of the second; that is centred on sample
            ``settings.look_back_samples``.
        """
        settings = self.settings
        n_frames = (len(samples) - settings.fft_samples) // settings.hop_samples + 1
        result = np.empty((n_frames, settings.n_bands), np.float32)
        first = 0
        if before is not None:
            result[0], first = before, 1
        samples = np.ascontiguousarray(samples)
        item = samples.itemsize
        strides = (settings.hop_samples * item, item)
        frames: Floats = np.ndarray(
            (n_frames, settings.fft_samples), np.float32, samples, strides=strides
        )
        size = min(_TILE_FRAMES, n_frames - first)
        windowed = np.empty((size, settings.fft_samples), np.float32)
        spectrum = np.empty((size, settings.fft_samples // 2 + 1), np.complex64)
        magnitudes = np.empty((size, self._n_bins), np.float32)
        for start in range(first, n_frames, _TILE_FRAMES):
            n = min(_TILE_FRAMES, n_frames - start)
            np.multiply(frames[start : start + n], self._window, out=windowed[:n])
            self._transform(windowed[:n], spectrum[:n])
            np.abs(spectrum[:n, : self._n_bins], out=magnitudes[:n])
            self._filter(magnitudes[:n], result[start : start + n])
        return result

    def _filter(self, magnitudes: Floats, out: Floats) -> None:
        """Magnitudes (n, n_bins) to those of the bands (n, n_bands)."""
        n = len(magnitudes)
        for bands, bins, filters in self._groups:
            rows = max(1, _PRODUCT_SIZE // max(1, filters.size))
            for row in range(0, n, rows):
                part = magnitudes[row : min(row + rows, n), bins]
                out[row : row + len(part), bands] = part @ filters


def compress_magnitudes(magnitudes: Floats, out: Floats | None = None) -> Floats:
    """Band magnitudes (1 + n, n_bands) to features (n, 2, n_bands), as `compress` does in torch."""
    log_mel = np.multiply(magnitudes, np.float32(LOG_GAIN))
    np.log1p(log_mel, out=log_mel)
    if out is None:
        out = np.empty((len(log_mel) - 1, 2, log_mel.shape[1]), np.float32)
    out[:, 0] = log_mel[1:]
    np.subtract(log_mel[1:], log_mel[:-1], out=out[:, 1])
    return out


def magnitude_levels(magnitudes: Floats) -> Floats:
    """Band magnitudes to levels in neper, as `band_levels` gives for their features."""
    levels = np.add(magnitudes, np.float32(LEVEL_FLOOR))
    return np.log(levels, out=levels)


def _group(filterbank: Floats, first: int, end: int) -> tuple[slice, slice, Floats]:
    """Neighbouring bands, the bins that they touch, and their weights there."""
    touched = np.flatnonzero(filterbank[:, first:end].any(axis=1))
    bins = slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 0)
    return slice(first, end), bins, np.ascontiguousarray(filterbank[bins, first:end])
