"""The waveform and the mel-spectrogram of a page, as numbers that its script draws.

Conventions
-----------
- Bin ``i`` of the waveform holds minimum and maximum of the samples from ``i * bin_samples`` up
  to the next bin; cell ``i`` of the spectrogram covers the time from ``i * hop_samples`` up to the
  next cell, and its windows stand in the middle of it: nothing is drawn late or early.
- Both are coarser for longer recordings; their size is bounded.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.interrupts import interrupts_held
from softloc.report.recordings import MeasuredRecording
from softloc.report.settings import ReportSettings

BIN_S = 0.001
HOP_S = 0.005
#: Between windows; longer cells hold the largest of several.
MAX_STEP_S = 0.015
WINDOW_S = 0.023
MIN_HZ, MAX_HZ = 30.0, 16_000.0

#: What the darkest cell lies below the brightest, and in how many steps.
RANGE_DB = 80.0
N_LEVELS = 32
_FLOOR = 1e-10


@dataclass(frozen=True, slots=True)
class WaveformPicture:
    """Minimum and maximum of short stretches.

    Attributes
    ----------
    bin_samples : int
        Samples of a bin.
    extremes : ndarray of int8, shape (n_bins, 2)
        Minimum and maximum; 127 is the largest absolute sample of the recording.
    """

    bin_samples: int
    extremes: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class SpectrogramPicture:
    """Loudness in mel bands.

    Attributes
    ----------
    hop_samples : int
        Samples of a cell.
    min_hz, max_hz : float
        Lower edge of the first band, upper edge of the last.
    levels : ndarray of uint8, shape (n_cells, n_bands)
        0 (`RANGE_DB` below the loudest cell, or less) to `N_LEVELS` - 1 (the loudest).
    """

    hop_samples: int
    min_hz: float
    max_hz: float
    levels: NDArray[np.uint8]


def draw_waveform(recording: MeasuredRecording, settings: ReportSettings) -> WaveformPicture:
    """Reduce a recording to minima and maxima.

    Parameters
    ----------
    recording : MeasuredRecording
        What to draw.
    settings : ReportSettings
        How many bins at most.
    """
    finest = max(1, round(BIN_S * recording.sample_rate_hz))
    size = max(finest, math.ceil(recording.n_samples / settings.max_waveform_bins))
    scale = 127 / max(recording.peak, _FLOOR)
    bins = []
    for samples in _regroup(recording, size):
        n_whole = len(samples) // size
        whole = samples[: n_whole * size].reshape(n_whole, size)
        bins.append(np.stack([whole.min(axis=1), whole.max(axis=1)], axis=1))
        if len(samples) % size:
            rest = samples[n_whole * size :]
            bins.append(np.array([[rest.min(), rest.max()]], dtype=np.float32))
    return WaveformPicture(size, np.rint(scale * np.concatenate(bins)).astype(np.int8))


def draw_spectrogram(recording: MeasuredRecording, settings: ReportSettings) -> SpectrogramPicture:
    """Compute the mel-spectrogram of a recording.

    Parameters
    ----------
    recording : MeasuredRecording
        What to draw.
    settings : ReportSettings
        How many cells at most, and how many bands.
    """
    rate = recording.sample_rate_hz
    finest = max(1, round(HOP_S * rate))
    hop = max(finest, math.ceil(recording.n_samples / settings.max_spectrogram_frames))
    # A cell is filled by windows that are no farther apart than they reach.
    n_steps = max(1, math.ceil(hop / (MAX_STEP_S * rate)))
    step = math.ceil(hop / n_steps)
    hop = step * n_steps
    window_samples = max(32, 2 ** round(math.log2(WINDOW_S * rate)))
    max_hz = min(MAX_HZ, rate / 2)
    filters = _filterbank(rate, window_samples, settings.n_bands, max_hz)
    window = np.hanning(window_samples + 1)[:-1].astype(np.float32)
    loudest = [
        _loudest_of(20 * np.log10(np.abs(np.fft.rfft(frames * window)) @ filters + _FLOOR), n_steps)
        for frames in _windows(recording, step, n_steps, window_samples)
    ]
    levels_db = np.concatenate(loudest)
    steps = (levels_db - levels_db.max()) / RANGE_DB + 1.0
    # Silence has no loudest cell to be compared with.
    silent = levels_db.max() <= 20 * math.log10(_FLOOR) + 1.0
    levels = np.zeros_like(steps) if silent else np.clip(steps, 0.0, 1.0) * (N_LEVELS - 1)
    return SpectrogramPicture(hop, MIN_HZ, max_hz, np.rint(levels).astype(np.uint8))


def _filterbank(rate: int, window_samples: int, n_bands: int, max_hz: float) -> NDArray[np.float32]:
    with interrupts_held(), warnings.catch_warnings():
        # Slow to import, and only pages need it.
        from librosa.filters import mel  # noqa: PLC0415

        # A low band narrower than a bin is empty; it is filled from its neighbours below.
        warnings.simplefilter("ignore", UserWarning)
        filters: NDArray[np.float32] = mel(
            sr=rate, n_fft=window_samples, n_mels=n_bands, fmin=MIN_HZ, fmax=max_hz, norm=None
        )
    for band in np.flatnonzero(~filters.any(axis=1)).tolist():
        centre_hz = _band_centre_hz(band, n_bands, max_hz)
        filters[band, min(round(centre_hz * window_samples / rate), filters.shape[1] - 1)] = 1.0
    return np.ascontiguousarray((filters / filters.sum(axis=1, keepdims=True)).T)


def _band_centre_hz(band: int, n_bands: int, max_hz: float) -> float:
    from librosa import mel_frequencies  # noqa: PLC0415

    return float(mel_frequencies(n_bands + 2, fmin=MIN_HZ, fmax=max_hz)[band + 1])


def _windows(
    recording: MeasuredRecording, step: int, n_steps: int, window_samples: int
) -> Iterator[NDArray[np.float32]]:
    """Yield stacks of windows, whole cells at a time; silence surrounds the recording."""
    # The first window is centred on the middle of the first step.
    before = window_samples // 2 - step // 2  # never negative: windows overlap
    hop = step * n_steps
    n_cells = math.ceil(recording.n_samples / hop)
    needed = (n_cells * n_steps - 1) * step + window_samples
    held = np.zeros(before, dtype=np.float32)
    n_done = 0
    for samples in _padded(recording, needed):
        held = np.concatenate([held, samples])
        n_ready = max(0, (len(held) - window_samples) // step + 1)
        n_ready = min(n_ready // n_steps * n_steps, n_cells * n_steps - n_done)
        if n_ready:
            views = np.lib.stride_tricks.sliding_window_view(held, window_samples)
            yield views[: n_ready * step : step]
            held = held[n_ready * step :]
            n_done += n_ready


def _padded(recording: MeasuredRecording, n_after: int) -> Iterator[NDArray[np.float32]]:
    for block in recording.read():
        yield block.samples
    yield np.zeros(n_after - recording.n_samples + recording.sample_rate_hz, dtype=np.float32)


def _loudest_of(levels_db: NDArray[np.float32], n_steps: int) -> NDArray[np.float32]:
    cells: NDArray[np.float32] = levels_db.reshape(-1, n_steps, levels_db.shape[1]).max(axis=1)
    return cells


def _regroup(recording: MeasuredRecording, size: int) -> Iterable[NDArray[np.float32]]:
    """Blocks whose lengths are multiples of `size`, the last one excepted."""
    held = np.zeros(0, dtype=np.float32)
    for block in recording.read():
        held = np.concatenate([held, block.samples])
        n_whole = len(held) // size * size
        if n_whole:
            yield held[:n_whole]
            held = held[n_whole:]
    if len(held):
        yield held
