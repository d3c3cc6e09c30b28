"""Machines: drums as analogue and FM boxes make them, and small percussion.

Conventions
-----------
- As in `softloc.rendering.membranes`: the instrument comes from `drum`, the stroke from `hit`, and
  what is drawn from `drum` does not depend on the velocity.
- Machines hardly vary: strokes differ in their noise and, a little, in level.
"""

from __future__ import annotations

import numpy as np

from softloc.rendering.filters import Audio, highpass, lowpass
from softloc.rendering.kits import SAMPLE_RATE_HZ
from softloc.rendering.membranes import TOM_STEPS
from softloc.rendering.partials import (
    between,
    burst,
    glide,
    hiss,
    layered,
    samples_of_s,
    swell,
    unit,
)

#: Pulses of the TR-808's cymbal circuit, Hz.
_SQUARES_HZ = np.array([205.3, 304.4, 369.6, 522.7, 540.0, 800.0])

#: Decay range of each piece of metal, in seconds.
_METAL_S = {
    "closed": (0.01, 0.09),
    "half_open": (0.06, 0.2),
    "open": (0.1, 0.6),
    "pedal": (0.01, 0.06),
    "crash": (0.3, 1.0),
    "splash": (0.1, 0.35),
    "china": (0.2, 0.7),
    "ride": (0.2, 0.8),
    "ride_bell": (0.15, 0.6),
}


def sweep(drum: np.random.Generator, velocity: float, lowest_hz: float, decay_s: float) -> Audio:
    """Make a sine that falls to its pitch; on some machines another sine modulates it."""
    bend, bend_s = between(drum, 0.02, 5.0), between(drum, 0.004, 0.06)
    phase, index, ratio = drum.uniform(0.0, 0.8), drum.uniform(0.0, 4.0), between(drum, 0.5, 5.0)
    index_s, is_fm = between(drum, 0.005, 0.1), drum.random() < 0.35
    if not is_fm:
        one = np.ones(1)
        return glide(
            lowest_hz * one, decay_s * one, one, phase=float(phase), bend=bend, bend_s=bend_s
        )
    n_samples = samples_of_s(7.0 * decay_s)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    turned = 2 * np.pi * lowest_hz * (time_s + bend * bend_s * (1 - np.exp(-time_s / bend_s)))
    depth = index * velocity * np.exp(-time_s / index_s)
    voice = np.sin(turned + phase + depth * np.sin(ratio * turned)) * np.exp(-time_s / decay_s)
    return unit(voice.astype(np.float32))


def machine_kick(drum: np.random.Generator, hit: np.random.Generator, velocity: float) -> Audio:
    """Make a falling sine with a click, from a soft boom to a hard knock."""
    body = sweep(drum, velocity, between(drum, 34.0, 90.0), between(drum, 0.04, 0.5))
    click = burst(
        hit, between(drum, 300.0, 4_000.0), 16_000.0, decay_s=between(drum, 0.0003, 0.008)
    )
    return layered(body, unit(click, drum.uniform(-40.0, 0.0) - 10.0 * (1 - velocity)))


def machine_tom(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Make a falling sine with a breath of noise; three pitches of one circuit."""
    lowest_hz, step = between(drum, 55.0, 140.0), between(drum, 1.15, 1.6)
    lowest_hz *= step ** TOM_STEPS[articulation]
    body = sweep(drum, velocity, lowest_hz, between(drum, 0.05, 0.4))
    noise = burst(hit, 100.0, between(drum, 500.0, 8_000.0), between(drum, 0.01, 0.2))
    return layered(body, unit(noise, drum.uniform(-40.0, -8.0)))


def machine_snare(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Two tones and noise; its rim is a short knock of the same tones, higher."""
    lowest_hz, ratio = between(drum, 110.0, 320.0), between(drum, 1.3, 2.4)
    tone_s, noise_s = between(drum, 0.015, 0.15), between(drum, 0.02, 0.22)
    low_hz, noise_db = between(drum, 300.0, 5_000.0), drum.uniform(-12.0, 16.0)
    high_hz, second_db = between(drum, 6_000.0, 20_000.0), drum.uniform(-18.0, 3.0)
    tones = layered(
        sweep(drum, velocity, lowest_hz, tone_s),
        unit(sweep(drum, velocity, lowest_hz * ratio, 0.7 * tone_s), second_db),
    )
    if articulation in ("rimshot", "side_stick"):
        knock_hz, knock_s = between(drum, 350.0, 2_500.0), between(drum, 0.003, 0.03)
        frequencies_hz = knock_hz * np.array([1.0, between(drum, 1.4, 3.5)])
        weights = np.array([1.0, drum.uniform(0.2, 1.0)])
        knock = glide(
            frequencies_hz, np.full(2, knock_s), weights, phase=1.0, bend=0.0, bend_s=0.01
        )
        snap = burst(hit, 1_000.0, high_hz, 0.3 * knock_s)
        knock = layered(unit(knock), unit(snap, drum.uniform(-24.0, -3.0)))
        return layered(knock, unit(tones, -14.0)) if articulation == "rimshot" else knock
    noise = burst(hit, low_hz, high_hz, noise_s * (0.7 + 0.3 * velocity))
    return layered(unit(tones), unit(noise, noise_db - 3.0 * (1.0 - velocity)))


def machine_metal(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Hats and cymbals: six pulses or noise through a filter, or sines that modulate each other."""
    kind = int(drum.integers(4))
    low_hz = between(drum, 1_500.0, 9_000.0)
    tune, high_hz = between(drum, 0.6, 2.2), between(drum, max(9_000.0, 1.3 * low_hz), 20_000.0)
    sharpness, noise_db = int(drum.integers(1, 4)), drum.uniform(-20.0, 3.0)
    detune = 1.0 + drum.normal(0.0, 0.08, 6)
    index, ratio = drum.uniform(1.0, 9.0), between(drum, 1.2, 4.5)
    # One position in the range of each articulation keeps the hats of a machine in order.
    place, tail, tail_share = drum.random(), drum.uniform(1.5, 4.0), drum.uniform(0.0, 0.5)
    shortest_s, longest_s = _METAL_S[articulation]
    decay_s = shortest_s * (longest_s / shortest_s) ** place * (0.8 + 0.2 * velocity)
    if articulation in ("crash", "china", "ride", "splash"):
        low_hz *= 0.7
    n_samples = samples_of_s(min(7.0 * decay_s * (tail if tail_share > 0.1 else 1.0), 2.8))
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    noise = hiss(hit, n_samples, 20.0, 20_000.0)
    start_s = hit.random()
    if kind == 0:
        voice = 0.3 * noise
    elif kind == 3:
        turned = 2 * np.pi * 2_000.0 * tune * (time_s + start_s)
        voice = np.sin(turned + index * np.sin(ratio * turned)).astype(np.float32)
    else:
        turns = np.outer(_SQUARES_HZ * tune * detune, time_s + start_s)
        voice = np.where(turns % 1.0 < 0.5, 1.0, -1.0).sum(axis=0).astype(np.float32)
        if kind == 2:
            voice = np.sign(voice) + 0.3 * voice
    voice = layered(unit(voice), unit(noise, noise_db))
    voice = lowpass(highpass(voice, low_hz, sharpness), high_hz, 1)
    if articulation == "ride_bell":
        bell_hz = np.array([540.0, 800.0]) * tune * 1.5
        bell = glide(bell_hz, np.full(2, decay_s), np.ones(2), phase=0.5, bend=0.0, bend_s=1.0)
        voice = layered(unit(voice, -8.0)[: len(bell)], unit(bell))[:n_samples]
    envelope = (1.0 - tail_share) * swell(n_samples, 0.0, decay_s)
    envelope = envelope + tail_share * swell(n_samples, 0.0, decay_s * tail)
    return unit(voice * envelope[: len(voice)])


def clap(drum: np.random.Generator, hit: np.random.Generator, velocity: float) -> Audio:
    """Hands: bursts some milliseconds apart and a short room."""
    middle_hz, width = between(drum, 700.0, 2_500.0), between(drum, 1.3, 4.0)
    gap_s, count = between(drum, 0.004, 0.014), int(drum.integers(2, 6))
    decay_s, room_s = between(drum, 0.002, 0.008), between(drum, 0.02, 0.15)
    low_hz, high_hz = middle_hz / width, middle_hz * width
    hands = [
        burst(hit, low_hz, high_hz, decay_s, delay_s=gap_s * (index + hit.normal(0.0, 0.06)))
        for index in range(1, count)
    ]
    room = burst(hit, low_hz, high_hz, room_s, delay_s=gap_s * count)
    room_db = drum.uniform(-12.0, 0.0) - 4.0 * (1.0 - velocity)
    return layered(burst(hit, low_hz, high_hz, decay_s), *hands, unit(room, room_db))


def shaker(
    drum: np.random.Generator, hit: np.random.Generator, velocity: float, articulation: str
) -> Audio:
    """Shaker, or tambourine with its jingles: short high noise with a soft start."""
    low_hz, decay_s = between(drum, 2_500.0, 8_000.0), between(drum, 0.012, 0.06)
    attack_s = between(drum, 0.0005, 0.006)
    grains = burst(hit, low_hz, 18_000.0, decay_s, attack_s=attack_s)
    if articulation == "shaker":
        return grains
    count = int(drum.integers(4, 12))
    frequencies_hz = 3_000.0 * 4.5 ** drum.random(count)
    jingle_s = between(drum, 0.03, 0.2) * (0.7 + 0.3 * velocity)
    decays_s = jingle_s * np.exp(drum.normal(0.0, 0.3, count))
    jingles = glide(
        frequencies_hz,
        decays_s,
        np.exp(hit.normal(0.0, 0.4, count)),
        phase=1.0,
        bend=0.0,
        bend_s=1.0,
    )
    return layered(grains, unit(jingles, drum.uniform(-12.0, 3.0)))


def cowbell(drum: np.random.Generator, hit: np.random.Generator, velocity: float) -> Audio:
    """Two clashing tones with a sharp start."""
    lowest_hz, ratio = between(drum, 380.0, 950.0), drum.uniform(1.3, 1.75)
    decay_s, square = between(drum, 0.03, 0.2), drum.random() < 0.6
    harmonics = np.arange(1, 12, 2 if square else 1)
    frequencies_hz = np.concatenate([lowest_hz * harmonics, lowest_hz * ratio * harmonics])
    weights = np.tile(harmonics ** -drum.uniform(0.8, 1.8), 2) * velocity**0.2
    decays_s = decay_s * np.tile(harmonics**-0.3, 2)
    tone = glide(frequencies_hz, decays_s, weights, phase=0.8, bend=0.0, bend_s=1.0)
    click = burst(hit, 1_500.0, 12_000.0, 0.002)
    return layered(unit(tone), unit(click, drum.uniform(-30.0, -6.0)))
