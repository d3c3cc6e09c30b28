"""Membranes: kick, snare, toms and their strokes, as modes of a struck head and what rattles on it.

Conventions
-----------
- Every recipe draws the drum from `drum` and the single stroke from `hit`. It draws the same from
  `drum` at every velocity: equal seeds are one instrument, and strokes of it share a body.
- Velocities are 0-1; softer strokes bend less, rattle less and ring shorter.

Source
------
N. H. Fletcher, T. D. Rossing, "The Physics of Musical Instruments", chapters 3 and 18: modes of
circular membranes, snares that strike the lower head some milliseconds after the stroke.
"""

from __future__ import annotations

import numpy as np

from softloc.rendering.filters import Audio, Band, equalise
from softloc.rendering.kits import SAMPLE_RATE_HZ
from softloc.rendering.partials import (
    Values,
    between,
    burst,
    glide,
    hiss,
    layered,
    ring,
    samples_of_s,
    swell,
    unit,
)

#: Frequencies of a circular membrane re its lowest: zeros of the Bessel functions.
MODE_RATIOS = np.array(
    [1.0, 1.593, 2.136, 2.296, 2.653, 2.917, 3.156, 3.500, 3.600, 3.652, 4.060, 4.154, 4.6, 4.83]
)

#: How many steps a tom lies above the lowest.
TOM_STEPS = {"tom_hi": 2, "tom_mid": 1, "tom_lo": 0}


def head(
    drum: np.random.Generator,
    hit: np.random.Generator,
    velocity: float,
    *,
    lowest_hz: float,
    decay_s: float,
    bend: float,
    contact_s: tuple[float, float],
) -> Audio:
    """Draw and strike a membrane.

    Parameters
    ----------
    drum, hit : Generator
        Sources of chance of the instrument and of the stroke.
    velocity : float
        0-1.
    lowest_hz : float
        Its lowest mode.
    decay_s : float
        Decay of the lowest mode.
    bend : float
        How far a hard stroke raises the pitch at first, re the pitch.
    contact_s : tuple of float
        Range of the time constant with which the head takes up the stroke.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Re a peak of 1.
    """
    count = int(drum.integers(2, len(MODE_RATIOS) + 1))
    # Air loads a drum's low modes, and a second head couples with the first: ratios are stretched.
    ratios = MODE_RATIOS[:count] ** drum.uniform(0.75, 1.1)
    ratios[1:] *= 1.0 + drum.normal(0.0, 0.03, count - 1)
    tilt_db, spread_db = drum.uniform(0.0, 20.0), drum.uniform(1.0, 7.0)
    levels_db = -tilt_db * np.log2(ratios) + drum.normal(0.0, spread_db, count)
    levels_db[0] = max(float(levels_db[0]), -6.0)
    damping = drum.uniform(0.3, 1.8)
    bend_s = between(drum, 0.006, 0.08)
    phase, rise_s = drum.uniform(0.0, 0.5), between(drum, *contact_s)
    levels_db += hit.normal(0.0, 1.2, count) - (1.0 - velocity) * 4.0 * np.log2(ratios)
    decays_s = decay_s * (0.7 + 0.3 * velocity) * ratios**-damping
    modes = glide(
        lowest_hz * ratios,
        decays_s,
        10 ** (levels_db / 20),
        phase=float(phase),
        bend=bend * velocity**2,
        bend_s=bend_s,
    )
    return unit(taken_up(modes, rise_s))


def taken_up(audio: Audio, rise_s: float) -> Audio:
    """Let a signal rise as ``1 - exp(-t / rise)``: beater and head stay in contact for a while."""
    time_s = np.arange(len(audio), dtype=np.float32) / SAMPLE_RATE_HZ
    return audio * (1.0 - np.exp(-time_s / np.float32(rise_s))).astype(np.float32)


def contact(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, range_db: tuple[int, int]
) -> Audio:
    """Click of a beater or stick: a few milliseconds of noise; levels in dB re the drum."""
    low_hz = between(drum, 150.0, 3_000.0)
    high_hz = low_hz * between(drum, 2.0, 10.0)
    decay_s, attack_s = between(drum, 0.0003, 0.006), between(drum, 0.00003, 0.002)
    # Felt, and microphones far away or inside, leave next to no click.
    felt_db = 20.0 if drum.random() < 0.3 else 0.0
    level_db = drum.uniform(*range_db) - felt_db - 14.0 * (1.0 - velocity)
    return unit(
        burst(hit, low_hz, high_hz, decay_s, attack_s=attack_s), level_db + hit.normal(0.0, 1.0)
    )


def kick(drum: np.random.Generator, hit: np.random.Generator, velocity: float) -> Audio:
    """Bass drum: a low head, its batter's upper modes, the beater and the air in the shell."""
    lowest_hz = between(drum, 36.0, 100.0)
    body = head(
        drum,
        hit,
        velocity,
        lowest_hz=lowest_hz,
        decay_s=between(drum, 0.02, 0.2),
        bend=float(drum.choice([0.05, 0.3, 1.0, 2.0]) * drum.random()),
        contact_s=(0.0001, 0.006),
    )
    click = contact(drum, hit, velocity, (-20, 9))
    slap = head(
        drum,
        hit,
        velocity,
        lowest_hz=between(drum, 110.0, 900.0),
        decay_s=between(drum, 0.004, 0.04),
        bend=0.0,
        contact_s=(0.0001, 0.003),
    )
    slap_db = drum.uniform(-32.0, 4.0) - 8.0 * (1.0 - velocity)
    air = burst(hit, 60.0, between(drum, 150.0, 4_000.0), between(drum, 0.006, 0.08))
    air_db = drum.uniform(-34.0, -4.0)
    return layered(body, click, unit(slap, slap_db), unit(air, air_db))


def tom(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Tom: a head that sings; the three of one set share everything but the pitch and decay."""
    lowest_hz = between(drum, 58.0, 165.0)
    step = between(drum, 1.12, 1.5)
    shrink = drum.uniform(0.7, 1.0)
    steps = TOM_STEPS[articulation]
    body = head(
        drum,
        hit,
        velocity,
        lowest_hz=lowest_hz * step**steps,
        decay_s=between(drum, 0.03, 0.5) * shrink**steps,
        bend=float(drum.uniform(0.0, 0.35)),
        contact_s=(0.00003, 0.002),
    )
    slap = head(
        drum,
        hit,
        velocity,
        lowest_hz=lowest_hz * step**steps * between(drum, 1.5, 6.0),
        decay_s=between(drum, 0.004, 0.06),
        bend=0.0,
        contact_s=(0.00003, 0.002),
    )
    slap_db = drum.uniform(-26.0, 6.0) - 6.0 * (1.0 - velocity)
    click = contact(drum, hit, velocity, (-18, 8))
    air = burst(hit, 80.0, between(drum, 300.0, 9_000.0), between(drum, 0.01, 0.15))
    return layered(body, unit(slap, slap_db), click, unit(air, drum.uniform(-34.0, -4.0)))


def wires(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, buzz_hz: float
) -> Audio:
    """Snare wires: shaped noise after a short delay, beaten by the head that they lie on."""
    low_hz = between(drum, 150.0, 3_000.0)
    high_hz = between(drum, max(2_000.0, 1.5 * low_hz), 20_000.0)
    delay_s = drum.uniform(0.0, 0.003)
    attack_s = between(drum, 0.0003, 0.005)
    quick_s, slow_s = between(drum, 0.012, 0.07), between(drum, 0.05, 0.3)
    slow_share, depth = drum.uniform(0.05, 0.8), drum.uniform(0.0, 0.9)
    peaks = tuple(
        Band("peak", between(drum, 300.0, 8_000.0), drum.uniform(-8.0, 12.0), drum.uniform(0.5, 4))
        for _ in range(3)
    )
    shorter = 0.6 + 0.4 * velocity
    n_samples = samples_of_s(7.0 * slow_s * shorter)
    envelope = (1.0 - slow_share) * swell(n_samples, attack_s, quick_s * shorter, delay_s)
    envelope = envelope + slow_share * swell(n_samples, attack_s, slow_s * shorter, delay_s)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    beaten = 1.0 - depth * np.exp(-time_s / quick_s) * np.abs(np.sin(np.pi * buzz_hz * time_s))
    noise = hiss(hit, n_samples, low_hz, high_hz, order=int(drum.integers(1, 3)))
    return unit(equalise(noise * envelope * beaten.astype(np.float32), peaks))


def snare(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Snare drum: struck in the middle, on the rim as well, across the rim, or with brushes."""
    lowest_hz = between(drum, 105.0, 360.0)
    body_s, wires_db = between(drum, 0.012, 0.2), drum.uniform(-24.0, 14.0)
    body = head(
        drum,
        hit,
        velocity,
        lowest_hz=lowest_hz,
        decay_s=body_s,
        bend=float(drum.uniform(0.0, 0.3)),
        contact_s=(0.00003, 0.005),
    )
    rattle = wires(drum, hit, velocity, lowest_hz)
    click = contact(drum, hit, velocity, (-36, 0))
    rattle_db = wires_db - 4.0 * (1.0 - velocity) + hit.normal(0.0, 0.8)
    if articulation == "brush":
        return brush(drum, hit, velocity, body, rattle)
    if articulation == "side_stick":
        return side_stick(drum, hit, velocity, rattle)
    struck = layered(body, unit(rattle, rattle_db), click)
    if articulation == "rimshot":
        rim = bars(drum, hit, int(drum.integers(3, 9)), (250.0, 3_000.0), (0.01, 0.2))
        return layered(unit(struck), unit(rim, drum.uniform(-10.0, 4.0)))
    return struck


def bars(
    drum: np.random.Generator,
    hit: np.random.Generator,
    count: int,
    range_hz: tuple[float, float],
    range_s: tuple[float, float],
) -> Audio:
    """Strike a few inharmonic modes of wood or metal; higher ones decay sooner; peak 1."""
    lowest_hz = between(drum, range_hz[0], np.sqrt(range_hz[0] * range_hz[1]))
    frequencies_hz = lowest_hz * (range_hz[1] / lowest_hz) ** np.sort(drum.random(count))
    frequencies_hz[0] = lowest_hz
    decay_s, damping = between(drum, *range_s), drum.uniform(0.0, 1.0)
    levels_db = drum.normal(0.0, 5.0, count) + hit.normal(0.0, 1.0, count)
    decays_s = decay_s * (frequencies_hz / lowest_hz) ** -damping
    amplitudes: Values = 10 ** (levels_db / 20)
    modes = ring(frequencies_hz, decays_s, amplitudes, drum.uniform(0.5, 2.5, count))
    return unit(taken_up(modes, between(drum, 0.00003, 0.0015)))


def side_stick(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, rattle: Audio
) -> Audio:
    """Stick laid across the rim: wood, a click, and little of the wires."""
    wood = bars(drum, hit, int(drum.integers(2, 8)), (280.0, 5_000.0), (0.01, 0.12))
    click = contact(drum, hit, velocity, (-20, 0))
    return layered(wood, click, unit(rattle, drum.uniform(-42.0, -8.0)))


def brush(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, body: Audio, rattle: Audio
) -> Audio:
    """Brush: many soft contacts within some 10 ms, on a head that hardly speaks."""
    fan_s, attack_s = between(drum, 0.008, 0.06), between(drum, 0.001, 0.012)
    n_samples = samples_of_s(8.0 * fan_s)
    low_hz = between(drum, 80.0, 1_000.0)
    fan = hiss(hit, n_samples, low_hz, between(drum, 2_000.0, 16_000.0), 1)
    # Wires of the fan arrive one by one: the cloud is grainy.
    grains = 1.0 + drum.uniform(0.0, 4.0) * (hit.random(n_samples // 32 + 1) < 0.2)
    fan = fan * np.repeat(grains.astype(np.float32), 32)[:n_samples]
    cloud = unit(fan * swell(n_samples, attack_s, fan_s))
    return layered(
        cloud,
        unit(body, drum.uniform(-34.0, 0.0)),
        unit(rattle, drum.uniform(-24.0, -4.0) - 6.0 * (1.0 - velocity)),
    )
