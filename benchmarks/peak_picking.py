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
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

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
    heights = peak_heights(probabilities, grid, settings.smoothing_ms)
    return peaks_above(heights, labels, grid, settings.threshold)


def peak_heights(
    probabilities: NDArray[np.floating], grid: FrameGrid, smoothing_ms: float
) -> NDArray[np.floating]:
    """Keep the local maxima of smoothed probabilities; every other frame is -1.

    The slow half of `pick_peaks`, which does not depend on the threshold.

    Parameters
    ----------
    probabilities : ndarray, shape (n_classes, n_frames)
    grid, smoothing_ms
        As for `pick_peaks`.

    Returns
    -------
    ndarray, shape (n_classes, n_frames)
    """
    reach = round(grid.ms_to_frames(1000.0 * SUPPRESSION_S))
    smoothing_frames = grid.ms_to_frames(smoothing_ms)
    rows = (
        gaussian_filter1d(probabilities, smoothing_frames, axis=1, mode="constant")
        if smoothing_frames
        else probabilities
    )
    if not reach:
        return rows
    padded = np.pad(rows, ((0, 0), (reach, reach)), constant_values=-1.0)
    largest = maximum_filter1d(padded, reach, axis=1)
    # Entry i of the filter is the largest of the `reach` frames from i - reach // 2 on.
    first = reach // 2
    before = largest[:, first : first + rows.shape[1]]
    after = largest[:, first + reach + 1 : first + reach + 1 + rows.shape[1]]
    # Of equal neighbours the first one wins.
    return np.where((rows > before) & (rows >= after), rows, -1.0)


def peaks_above(
    heights: NDArray[np.floating], labels: Sequence[str], grid: FrameGrid, threshold: float
) -> list[Onset]:
    """Events of all classes whose `peak_heights` reach the threshold, in order of time."""
    classes, frames = np.nonzero(heights >= threshold)
    times_s = grid.frames_to_seconds(frames).tolist()
    names = [labels[row] for row in classes.tolist()]
    return sort_onsets([Onset(*pair) for pair in zip(times_s, names, strict=True)])


def tune_peaks(f1_of: Callable[[PeakSettings], float]) -> PeakSettings:
    """Choose the settings of the best F1; of equal ones the first."""
    candidates = [
        PeakSettings(threshold, smoothing_ms)
        for smoothing_ms in SMOOTHINGS_MS
        for threshold in THRESHOLDS
    ]
    return max(candidates, key=f1_of)
