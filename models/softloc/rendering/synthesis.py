"""Synthesis: one-shots of drums that nobody built, in endless variety.

Conventions
-----------
- An instrument is a number: equal numbers give one drum, with all its articulations and layers; a
  stroke is what its generator draws. Everything about an instrument is random, within what drums
  and drum machines of the articulation are like.
- A one-shot starts at its onset: the first sample is the first at -30 dB re the peak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from softloc.errors import SettingsError
from softloc.rendering.filters import Audio, Band, convolve, equalise, highpass, lowpass
from softloc.rendering.kits import ONSET_THRESHOLD_DB, SAMPLE_RATE_HZ
from softloc.rendering.machines import (
    clap,
    cowbell,
    machine_kick,
    machine_metal,
    machine_snare,
    machine_tom,
    shaker,
)
from softloc.rendering.membranes import kick, snare, tom
from softloc.rendering.metals import cymbal, hat, ride
from softloc.rendering.partials import between, layered, samples_of_s, swell, unit
from softloc.rendering.shaping import draw_equaliser, draw_saturation, saturate

#: Counts up whenever equal numbers give other sounds than before.
SYNTHESIS_VERSION = 1

PEAK = 0.891

Recipe = Callable[[np.random.Generator, np.random.Generator, float], Audio]

ACOUSTIC: Mapping[str, Recipe] = {
    "kick": kick,
    **{name: partial(snare, articulation=name) for name in ("snare", "rimshot")},
    **{name: partial(snare, articulation=name) for name in ("side_stick", "brush")},
    **{name: partial(hat, articulation=name) for name in ("closed", "half_open", "open", "pedal")},
    **{name: partial(tom, articulation=name) for name in ("tom_hi", "tom_mid", "tom_lo")},
    **{name: partial(cymbal, articulation=name) for name in ("crash", "splash", "china")},
    **{name: partial(ride, articulation=name) for name in ("ride", "ride_bell")},
    **{name: partial(shaker, articulation=name) for name in ("tambourine", "shaker")},
    "clap": clap,
    "cowbell": cowbell,
}

#: Machines have no brushes; their percussion is that of everybody.
ELECTRONIC: Mapping[str, Recipe] = {
    "kick": machine_kick,
    **{
        name: partial(machine_snare, articulation=name)
        for name in ("snare", "rimshot", "side_stick")
    },
    **{
        name: partial(machine_metal, articulation=name)
        for name in ("closed", "half_open", "open", "pedal", "crash", "splash", "china")
    },
    **{name: partial(machine_metal, articulation=name) for name in ("ride", "ride_bell")},
    **{name: partial(machine_tom, articulation=name) for name in ("tom_hi", "tom_mid", "tom_lo")},
    **{name: ACOUSTIC[name] for name in ("clap", "cowbell", "tambourine", "shaker")},
}

#: Longest one-shots, seconds; others end after 1.5 s.
_LONGEST_S = {"crash": 3.0, "china": 3.0, "ride": 2.5, "ride_bell": 2.5, "splash": 2.0, "open": 1.8}
_METALS = frozenset(
    ("closed", "half_open", "open", "pedal", "crash", "splash", "china", "ride", "ride_bell")
)
_BLOCK = 441
_FADE_S = 0.01


def synthesise(
    articulation: str,
    rng: np.random.Generator,
    velocity: float = 1.0,
    *,
    instrument: int | None = None,
    electronic: bool | None = None,
) -> Audio:
    """Strike a drum that is made up.

    Parameters
    ----------
    articulation : str
        One of `ACOUSTIC` (or of `ELECTRONIC` for a machine).
    rng : Generator
        Of the stroke: the takes of one instrument differ by it.
    velocity : float
        Above 0, at most 1: softer strokes are duller and shorter. All have the same peak.
    instrument : int, optional
        Which drum; drawn from `rng` by default.
    electronic : bool, optional
        A machine rather than an imitation of an acoustic drum; drawn by default: every third.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        44.1 kHz mono from its onset on, peak 0.891, without DC.

    Raises
    ------
    SettingsError
        If the articulation has no recipe, or the velocity is out of range.
    """
    if instrument is None:
        instrument = int(rng.integers(2**32))
    if electronic is None:
        electronic = articulation in ELECTRONIC and bool(rng.random() < 1 / 3)
    recipes = ELECTRONIC if electronic else ACOUSTIC
    if articulation not in recipes:
        raise SettingsError(
            f"no recipe for articulation {articulation!r}: choose one of {', '.join(recipes)}"
        )
    if not 0 < velocity <= 1:
        raise SettingsError(f"velocity must be above 0 and at most 1, not {velocity}")
    struck = unit(recipes[articulation](np.random.default_rng([instrument, 0]), rng, velocity))
    finish = np.random.default_rng([instrument, 1])
    return _cut(_finish(finish, struck, velocity, articulation in _METALS), articulation)


def _finish(drum: np.random.Generator, audio: Audio, velocity: float, is_metal: bool) -> Audio:
    """Record the stroke: a small room, an equaliser, a stage that saturates; soft ones are dull."""
    has_room, saturates = drum.random() < 0.5, drum.random() < 0.3
    room_s, room_db = between(drum, 0.01, 0.2), drum.uniform(-36.0, -10.0)
    bands = draw_equaliser(drum, float(drum.uniform(0.5, 6.0)))
    saturation = draw_saturation(drum)
    shelf_hz, dulling_db = between(drum, 700.0, 3_500.0), drum.uniform(5.0, 16.0)
    lowest_hz = between(drum, 40.0, 500.0) if is_metal else 22.0
    highest_hz = between(drum, 11_000.0 if is_metal else 3_000.0, 20_000.0)
    audio = equalise(audio, (Band("high", shelf_hz, -dulling_db * (1.0 - velocity)), *bands))
    audio = lowpass(highpass(audio, lowest_hz), highest_hz, int(drum.integers(1, 3)))
    if has_room and not is_metal:
        audio = layered(audio, unit(_room(drum, audio, room_s), room_db))
    if saturates:
        audio = highpass(saturate(unit(audio), saturation), 22.0, 1)
    return audio


def _room(drum: np.random.Generator, audio: Audio, decay_s: float) -> Audio:
    n_samples = samples_of_s(6.0 * decay_s)
    response = drum.standard_normal(n_samples, dtype=np.float32)
    response *= swell(n_samples, 0.001, decay_s, delay_s=float(drum.uniform(0.0005, 0.008)))
    return convolve(np.pad(audio, (0, n_samples)), response)


def _cut(audio: Audio, articulation: str) -> Audio:
    """Start at the onset, end where 60 dB have decayed, and scale to the peak."""
    magnitude = np.abs(audio)
    # A hair above the threshold, so that rounding to 16 bits does not move the onset.
    threshold = 1.01 * float(magnitude.max()) * 10 ** (ONSET_THRESHOLD_DB / 20)
    audio = audio[int(np.argmax(magnitude >= threshold)) :]
    audio = audio[: samples_of_s(_LONGEST_S.get(articulation, 1.5))]
    n_blocks = -(-len(audio) // _BLOCK)
    padded = np.zeros(n_blocks * _BLOCK, dtype=np.float32)
    padded[: len(audio)] = np.abs(audio)
    levels = padded.reshape(n_blocks, _BLOCK).max(axis=1)
    loud = np.flatnonzero(levels > 1e-3 * levels.max())
    audio = audio[: (int(loud[-1]) + 2) * _BLOCK].copy()
    fade = min(len(audio), int(_FADE_S * SAMPLE_RATE_HZ))
    audio[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return unit(audio) * np.float32(PEAK)
