"""Metals: hats and cymbals as dense banks of inharmonic modes, with noise where they crowd.

Conventions
-----------
- As in `softloc.rendering.membranes`: the instrument comes from `drum`, the stroke from `hit`, and
  what is drawn from `drum` does not depend on the velocity.
- The articulations of one hat, and ride and bell, draw their metal first: equal seeds share it.

Source
------
N. H. Fletcher, T. D. Rossing, "The Physics of Musical Instruments", chapter 20: some hundred modes,
and energy that spreads from low modes to high ones within some 10 ms of a hard stroke.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softloc.rendering.filters import Audio
from softloc.rendering.kits import SAMPLE_RATE_HZ
from softloc.rendering.membranes import contact, taken_up
from softloc.rendering.partials import (
    Values,
    between,
    hiss,
    layered,
    ring,
    samples_of_s,
    swell,
    unit,
)


@dataclass(frozen=True, slots=True)
class Plate:
    """A piece of metal: its modes, how loud each is, and how its noise is bounded."""

    frequencies_hz: Values
    levels_db: Values
    phases: Values
    low_hz: float
    high_hz: float


def draw_plate(
    drum: np.random.Generator,
    lowest_hz: tuple[float, float],
    count: int,
    slope_db: tuple[float, float],
) -> Plate:
    """Draw a piece of metal: its lowest mode and its slope (dB per octave) in a range."""
    low_hz = between(drum, *lowest_hz)
    high_hz = between(drum, 9_000.0, 20_000.0)
    crowding = drum.uniform(0.45, 1.3)
    frequencies_hz = low_hz * (high_hz / low_hz) ** (drum.random(count) ** crowding)
    # A smooth random spectrum: a slope and knots, in dB over octaves.
    octaves = np.log2(frequencies_hz / 3_000.0)
    tilt_db, bend_db = drum.uniform(*slope_db), drum.uniform(0.0, 2.0)
    knots = np.linspace(-5.0, 3.0, 10)
    shape_db = np.interp(octaves, knots, drum.normal(0.0, drum.uniform(1.0, 6.0), len(knots)))
    levels_db = tilt_db * octaves - bend_db * octaves**2 + shape_db
    levels_db += drum.normal(0.0, drum.uniform(2.0, 7.0), count)
    # The lowest modes move the whole plate: few, and often louder than those above them.
    n_body = int(drum.integers(2, 16))
    body_hz = between(drum, 120.0, 400.0) * 4.0 ** drum.random(n_body)
    body_db = float(levels_db.max()) + drum.uniform(-30.0, 2.0) + drum.normal(0.0, 5.0, n_body)
    return Plate(
        np.concatenate([body_hz, frequencies_hz]),
        np.concatenate([body_db, levels_db]),
        drum.uniform(0.0, 2 * np.pi, n_body + count),
        1.5 * low_hz,
        high_hz,
    )


def shimmer(
    drum: np.random.Generator,
    hit: np.random.Generator,
    velocity: float,
    plate: Plate,
    *,
    decay_s: float,
    spread_s: float,
) -> Audio:
    """Strike a plate: two decays for every mode, and treble that grows while energy spreads.

    Parameters
    ----------
    drum, hit : Generator
        Sources of chance of the instrument and of the stroke.
    velocity : float
        0-1; soft strokes excite few high modes, and spread little.
    plate : Plate
        What is struck.
    decay_s : float
        Slow decay at 3 kHz.
    spread_s : float
        How long high modes take to build up; 0 for at once.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Re a peak of 1.
    """
    count = len(plate.frequencies_hz)
    octaves = np.log2(plate.frequencies_hz / 3_000.0)
    damping, uneven = drum.uniform(0.1, 1.0), drum.uniform(0.1, 0.5)
    slow_s = decay_s * (0.7 + 0.3 * velocity) * 2.0 ** (-damping * np.clip(octaves, -2.5, 3.0))
    slow_s = np.minimum(slow_s * np.exp(drum.normal(0.0, uneven, count)), 2.0 * decay_s)
    quick_s = slow_s * drum.uniform(0.08, 0.4)
    quick_share, late_share = drum.uniform(0.2, 0.9), drum.uniform(0.2, 0.9)
    levels_db = plate.levels_db + hit.normal(0.0, 2.0, count)
    levels_db = levels_db - (1.0 - velocity) * 3.5 * np.maximum(octaves + 1.0, 0.0)
    amplitudes = 10 ** (levels_db / 20)
    phases = plate.phases + hit.normal(0.0, 0.5, count)
    parts = [(slow_s, amplitudes * (1 - quick_share)), (quick_s, amplitudes * quick_share)]
    if spread_s > 0:
        # 1 - exp(-t / rise) on top of a decay is a second, shorter mode taken away.
        late = np.where(octaves > 0.0, late_share, 0.0) * (1 - quick_share)
        rise_s = 1.0 / (1.0 / slow_s + 1.0 / (spread_s * (1.0 + np.maximum(octaves, 0.0))))
        parts.append((rise_s, -amplitudes * late))
    return unit(
        ring(
            np.tile(plate.frequencies_hz, len(parts)),
            np.maximum(np.concatenate([decays for decays, _ in parts]), 0.001),
            np.concatenate([weights for _, weights in parts]),
            np.tile(phases, len(parts)),
        )
    )


def wash(
    drum: np.random.Generator,
    hit: np.random.Generator,
    plate: Plate,
    *,
    decay_s: float,
    attack_s: float,
) -> Audio:
    """Noise of metal too dense to tell its modes apart: a lower band that outlasts a higher one."""
    middle_hz = between(drum, 2_500.0, 8_000.0)
    above_db = drum.uniform(-12.0, 10.0)
    above_s = decay_s * drum.uniform(0.3, 1.0)
    n_samples = samples_of_s(7.0 * decay_s)
    low_hz = min(plate.low_hz * between(drum, 1.0, 6.0), 0.7 * middle_hz)
    below = hiss(hit, n_samples, low_hz, middle_hz, 1) * swell(n_samples, attack_s, decay_s)
    n_above = samples_of_s(7.0 * above_s)
    above = hiss(hit, n_above, middle_hz, plate.high_hz) * swell(n_above, attack_s, above_s)
    return unit(layered(unit(below), unit(above, above_db)))


def hat(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Hi-hat: one pair of plates, held together firmly, loosely, not at all, or by the foot."""
    plate = draw_plate(drum, (450.0, 6_000.0), int(drum.integers(80, 220)), (0.0, 14.0))
    closed_s = between(drum, 0.012, 0.1)
    opened_s = between(drum, 0.16, 0.9)
    loose_s = closed_s * (opened_s / closed_s) ** drum.uniform(0.4, 0.9)
    decays_s = {"closed": closed_s, "half_open": loose_s, "open": opened_s}
    noise_db, stick_db = drum.uniform(-18.0, 14.0), (-30, 0)
    rattle_hz, depth = between(drum, 15.0, 120.0), drum.uniform(0.0, 0.9)
    foot_s, step_s = between(drum, 0.012, 0.11), between(drum, 0.0002, 0.006)
    decay_s = decays_s.get(articulation, foot_s)
    metal = shimmer(drum, hit, velocity, plate, decay_s=decay_s, spread_s=0.0)
    noise = wash(drum, hit, plate, decay_s=0.8 * decay_s, attack_s=between(drum, 0.0002, 0.002))
    if articulation == "half_open":
        noise = noise * _rattle(hit, len(noise), rattle_hz, depth)
    struck = layered(metal, unit(noise, noise_db - 5.0 * (1.0 - velocity)))
    if articulation == "pedal":
        return taken_up(struck, step_s)
    return layered(unit(struck), contact(drum, hit, velocity, stick_db))


def _rattle(hit: np.random.Generator, n_samples: int, rate_hz: float, depth: float) -> Audio:
    """Plates that touch again and again: a gain of 1 - depth to 1 that wanders at a rate."""
    step = SAMPLE_RATE_HZ / rate_hz
    knots = hit.random(int(n_samples / step) + 2)
    wander = np.interp(np.arange(n_samples) / step, np.arange(len(knots)), knots)
    return (1.0 - depth * wander).astype(np.float32)


_CYMBALS = {
    # lowest mode (Hz), decay (s), level of the noise re the modes (dB)
    "crash": ((120.0, 600.0), (0.25, 1.1), (-16.0, 12.0)),
    "splash": ((300.0, 1_100.0), (0.12, 0.55), (-16.0, 8.0)),
    "china": ((120.0, 500.0), (0.12, 0.8), (-8.0, 14.0)),
}


def cymbal(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Crash, splash or china: a stroke on the edge whose treble grows for some 10 ms."""
    lowest_hz, range_s, range_db = _CYMBALS[articulation]
    plate = draw_plate(drum, lowest_hz, int(drum.integers(140, 320)), (-10.0, 6.0))
    decay_s, spread_s = between(drum, *range_s), between(drum, 0.005, 0.05)
    noise_db = drum.uniform(*range_db) - 6.0 * (1.0 - velocity)
    metal = shimmer(drum, hit, velocity, plate, decay_s=decay_s, spread_s=spread_s)
    noise = wash(drum, hit, plate, decay_s=0.7 * decay_s, attack_s=0.2 * spread_s)
    if articulation == "china":
        noise = noise * _rattle(hit, len(noise), between(drum, 30.0, 200.0), drum.uniform(0.3, 0.9))
    rise_s = between(drum, 0.00005, 0.004)
    struck = taken_up(layered(metal, unit(noise, noise_db)), rise_s)
    return layered(unit(struck), contact(drum, hit, velocity, (-36, -6)))


def ride(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Ride: the stick's ping over a wash of its own, or the bell."""
    plate = draw_plate(drum, (150.0, 800.0), int(drum.integers(120, 260)), (-6.0, 7.0))
    decay_s, wash_db = between(drum, 0.3, 1.0), drum.uniform(-26.0, 12.0)
    spread_s, hiss_db = between(drum, 0.004, 0.03), drum.uniform(-30.0, -2.0)
    metal = shimmer(drum, hit, velocity, plate, decay_s=decay_s, spread_s=spread_s)
    noise = wash(drum, hit, plate, decay_s=0.6 * decay_s, attack_s=0.2 * spread_s)
    bed = layered(metal, unit(noise, hiss_db))
    ping = _ping(
        drum,
        hit,
        velocity,
        range_hz=(1_200.0, 12_000.0),
        decay_s=between(drum, 0.04, 0.7),
        count=int(drum.integers(3, 18)),
    )
    click = contact(drum, hit, velocity, (-16, 6))
    if articulation == "ride_bell":
        bell = _ping(
            drum,
            hit,
            velocity,
            range_hz=(700.0, 11_000.0),
            decay_s=between(drum, 0.2, 0.9),
            count=int(drum.integers(4, 16)),
        )
        return layered(bell, unit(bed, min(wash_db, 6.0) - drum.uniform(2.0, 12.0)), click * 0.5)
    return layered(ping, unit(bed, wash_db + 6.0 * (velocity - 1.0)), click)


def _ping(
    drum: np.random.Generator,
    hit: np.random.Generator,
    velocity: float,
    *,
    range_hz: tuple[float, float],
    decay_s: float,
    count: int,
) -> Audio:
    """Strike a few strong modes; higher ones decay a little sooner; peak 1."""
    frequencies_hz = range_hz[0] * (range_hz[1] / range_hz[0]) ** drum.random(count)
    decays_s = decay_s * (frequencies_hz / range_hz[0]) ** -drum.uniform(0.0, 0.6)
    levels_db = drum.normal(0.0, 5.0, count) + hit.normal(0.0, 1.5, count)
    slope_db = drum.uniform(-3.0, 7.0) - 5.0 * (1.0 - velocity)
    levels_db += slope_db * np.log2(frequencies_hz / range_hz[0])
    phases = drum.uniform(0.0, 2 * np.pi, count)
    modes = ring(frequencies_hz, decays_s, 10 ** (levels_db / 20), phases)
    return unit(taken_up(modes, between(drum, 0.00002, 0.0007)))
