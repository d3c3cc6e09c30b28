"""Layers: two recordings that sound as one drum, which none of the kits has.

Conventions
-----------
- Both layers begin together: the second is moved so that its onset falls on that of the first.
- The second has the peak of the first, changed by the layer's level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softloc.rendering.filters import Audio, highpass, lowpass
from softloc.rendering.kits import Drum, Sample, find_onset


@dataclass(frozen=True, slots=True)
class Layer:
    """A second drum that sounds with every stroke of a voice.

    Attributes
    ----------
    drum : Drum
        Where its samples come from.
    level_db : float
        Its peak re that of the first drum.
    crossover_hz : float or None
        The first drum gives what lies below, this one what lies above; None leaves both whole.
    """

    drum: Drum
    level_db: float
    crossover_hz: float | None


def draw_layer(rng: np.random.Generator, drum: Drum, *, is_metal: bool) -> Layer:
    """Draw how a second drum is laid over a first one."""
    lowest_hz, highest_hz = (1_500.0, 7_000.0) if is_metal else (180.0, 2_500.0)
    crossover_hz = float(lowest_hz * (highest_hz / lowest_hz) ** rng.random())
    level_db = float(rng.uniform(-12.0, 3.0))
    return Layer(drum, level_db, crossover_hz if rng.random() < 0.5 else None)


def sample_beside(layer: Layer, index: int, count: int) -> Sample:
    """Choose the layer's sample that is as loud, among its own, as sample `index` of `count`."""
    samples = layer.drum.samples
    return samples[int((index + 0.5) / count * len(samples))]


def stack(first: Audio, second: Audio, layer: Layer) -> Audio:
    """Lay a second sample over a first one.

    Parameters
    ----------
    first, second : ndarray of float32, shape (n_samples,)
        Decoded samples; their lengths may differ.
    layer : Layer
        How loud the second is, and which part of the spectrum it takes over.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Long enough for both, with the onset where the first has it.
    """
    peak, second_peak = (float(np.max(np.abs(x), initial=0.0)) for x in (first, second))
    if second_peak == 0.0:
        return first
    start = find_onset(first) - find_onset(second)
    if layer.crossover_hz is not None:
        first = lowpass(first, layer.crossover_hz)
        second = highpass(second, layer.crossover_hz)
    skip = max(0, -start)
    second = second[skip:] * np.float32(10 ** (layer.level_db / 20) * peak / second_peak)
    start = max(0, start)
    stacked = np.zeros(max(len(first), start + len(second)), dtype=np.float32)
    stacked[: len(first)] += first
    stacked[start : start + len(second)] += second
    return stacked
