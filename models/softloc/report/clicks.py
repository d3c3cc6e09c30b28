"""The sound of a click: what a page and a sonification play for each class.

Conventions
-----------
- A click is a decaying cosine. It starts at its peak, so its first sample is its onset.
- Classes have distinct pitches: note numbers their own, other classes spread evenly (in octaves)
  over `LOWEST_HZ` to `HIGHEST_HZ`, in their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from softloc.vocabulary import is_note_label

LOWEST_HZ, HIGHEST_HZ = 500.0, 4_000.0
CLICK_S = 0.03
DECAY_S = 0.006


def click_pitches(labels: Sequence[str]) -> tuple[float, ...]:
    """Pitch of each class's click in Hz.

    Parameters
    ----------
    labels : sequence of str
        Classes in their order.

    Returns
    -------
    tuple of float
        One for each class, all different.
    """
    if labels and all(is_note_label(label) for label in labels):
        return tuple(440.0 * 2 ** ((int(label) - 69) / 12) for label in labels)
    octaves = math.log2(HIGHEST_HZ / LOWEST_HZ)
    steps = max(len(labels) - 1, 1)
    return tuple(LOWEST_HZ * 2 ** (octaves * i / steps) for i in range(len(labels)))


def render_click(pitch_hz: float, sample_rate_hz: int) -> NDArray[np.float32]:
    """Render a click at full scale; its first sample is 1.

    Parameters
    ----------
    pitch_hz : float
        Pitch; kept below a third of the sample rate, or it would fold back.
    sample_rate_hz : int
        Samples per second.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        `CLICK_S` long.
    """
    time_s = np.arange(max(1, round(CLICK_S * sample_rate_hz))) / sample_rate_hz
    pitch_hz = min(pitch_hz, sample_rate_hz / 3)
    click = np.cos(2 * np.pi * pitch_hz * time_s) * np.exp(-time_s / DECAY_S)
    return click.astype(np.float32)
