"""Peak picking: what decoding by mass is compared with. Not part of the product.

Probabilities are smoothed by a Gaussian or left as they are; a frame is an event if the result is a
threshold or more and the largest within `SUPPRESSION_S` to either side. Smoothing and threshold are
chosen together on validation recordings, one pair for all classes, for the best F1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from softloc.events import Onset, sort_onsets
from softloc.timebase import FrameGrid

SUPPRESSION_S = 0.030

#: Candidates for the threshold: from 0.01 to 0.95, denser where networks are unsure.
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


#: Standard deviations of the Gaussian; 0 leaves the probabilities as they are.
SMOOTHINGS_MS = (0.0, 10.0, 20.0, 30.0)


@dataclass(frozen=True)
class PeakSettings:
    """What peak picking has to be told."""

    threshold: float
    smoothing_ms: float = 0.0


def pick_peaks(
    probabilities: NDArray[np.floating],
    labels: Sequence[str],
    grid: FrameGrid,
    settings: PeakSettings,
) -> list[Onset]:
    """Events of all classes at the local maxima of their probabilities.

    Parameters
    ----------
    probabilities : ndarray, shape (n_classes, n_frames)
        Frame 0 is at 0 s.
    labels : sequence of str
        Name of each class.
    grid : FrameGrid
        Converts frames to seconds.
    settings : PeakSettings
        Smoothing, and least height of a peak after it.
    """
    reach = round(grid.ms_to_frames(1000.0 * SUPPRESSION_S))
    onsets = []
    smoothing_frames = grid.ms_to_frames(settings.smoothing_ms)
    for label, raw in zip(labels, probabilities, strict=True):
        row = gaussian_filter1d(raw, smoothing_frames, mode="constant") if smoothing_frames else raw
        padded = np.pad(row, reach, constant_values=-1.0)
        neighbours = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
        # Of equal neighbours the first one wins.
        is_peak = (row >= settings.threshold) & (neighbours.argmax(axis=1) == reach)
        times_s = grid.frames_to_seconds(np.flatnonzero(is_peak))
        onsets += [Onset(time_s, label) for time_s in times_s.tolist()]
    return sort_onsets(onsets)


def tune_peaks(f1_of: Callable[[PeakSettings], float]) -> PeakSettings:
    """Choose the settings of the best F1; of equal ones the first."""
    candidates = [
        PeakSettings(threshold, smoothing_ms)
        for smoothing_ms in SMOOTHINGS_MS
        for threshold in THRESHOLDS
    ]
    return max(candidates, key=f1_of)
