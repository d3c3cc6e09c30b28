"""Rooms: synthetic responses of a room, and of metal that rings along.

Conventions
-----------
- A response holds reflections only: the direct sound stays outside it, at its sample. Its first
  millisecond is silent.
- Responses are noise made from a drawn seed, so that a drawn room is small and can be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softloc.rendering.filters import Audio, highpass, lowpass
from softloc.rendering.kits import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Room:
    """A room as drawn.

    Attributes
    ----------
    seed : int
        Of the noise.
    decay_s : float
        Time in which the reverberation falls by 60 dB, at mid frequencies.
    darkness : float
        How much faster the treble decays: 1 alike, 0.2 five times as fast.
    predelay_s : float
        From the direct sound to the diffuse part.
    n_reflections : int
        Early reflections.
    early_db : float
        Energy of the early reflections re the diffuse part.
    lowest_hz : float
        The response has little below.
    """

    seed: int
    decay_s: float
    darkness: float
    predelay_s: float
    n_reflections: int
    early_db: float
    lowest_hz: float


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room: from a booth to a hall, mostly small."""
    return Room(
        seed=int(rng.integers(2**32)),
        decay_s=float(0.12 * 14 ** (rng.random() ** 1.6)),
        darkness=float(rng.uniform(0.15, 1.0)),
        predelay_s=float(rng.uniform(0.001, 0.03)),
        n_reflections=int(rng.integers(3, 20)),
        early_db=float(rng.uniform(-8.0, 10.0)),
        lowest_hz=float(rng.choice([30.0, 100.0, 250.0])),
    )


def draw_wash(rng: np.random.Generator) -> Room:
    """Draw the long bright ring of cymbals that answer each other: a "room" of metal."""
    return Room(
        seed=int(rng.integers(2**32)),
        decay_s=float(rng.uniform(1.2, 3.5)),
        darkness=float(rng.uniform(0.4, 1.0)),
        predelay_s=float(rng.uniform(0.002, 0.02)),
        n_reflections=0,
        early_db=-60.0,
        lowest_hz=float(rng.uniform(300.0, 3000.0)),
    )


def room_response(room: Room) -> Audio:
    """Make the response of a room.

    Parameters
    ----------
    room : Room
        What was drawn.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Reflections without the direct sound, of unit energy.
    """
    rng = np.random.default_rng(room.seed)
    n_samples = int((room.predelay_s + min(room.decay_s, 2.5)) * SAMPLE_RATE_HZ) + 1
    tail = _diffuse_part(rng, room, n_samples)
    early = np.zeros(n_samples, dtype=np.float32)
    if room.n_reflections:
        last_s = max(0.004, min(0.045, 3 * room.predelay_s, n_samples / SAMPLE_RATE_HZ - 1e-3))
        delays_s = rng.uniform(0.001, last_s, room.n_reflections)
        signs = rng.choice([-1.0, 1.0], room.n_reflections)
        strengths = rng.uniform(0.4, 1.0, room.n_reflections) * np.exp(-delays_s / 0.02)
        np.add.at(early, np.ceil(delays_s * SAMPLE_RATE_HZ).astype(int), signs * strengths)
        early = lowpass(early, 3_000.0 + 11_000.0 * room.darkness, 1)
        early *= np.float32(10 ** (room.early_db / 20)) / _norm(early)
    response = highpass(tail + early, room.lowest_hz, 1)
    return response / _norm(response)


def _diffuse_part(rng: np.random.Generator, room: Room, n_samples: int) -> Audio:
    """Noise in three bands that decay at their own rates, after the predelay; unit energy."""
    noise = rng.standard_normal(n_samples).astype(np.float32)
    start = int(room.predelay_s * SAMPLE_RATE_HZ)
    time_s = np.maximum(np.arange(n_samples) - start, 0) / SAMPLE_RATE_HZ
    low = lowpass(noise, 500.0, 1)
    high = highpass(noise, 4_000.0, 1)
    middle = noise - low - high
    rates = (0.8, 1.0, 1.0 / room.darkness)
    tail = np.zeros(n_samples, dtype=np.float32)
    for band, rate in zip((low, middle, high), rates, strict=True):
        tail += band * np.exp(-6.9 * rate * time_s / room.decay_s).astype(np.float32)
    # Echo density grows from nothing: without this the tail would start like a second attack.
    tail *= (1.0 - np.exp(-time_s / 0.006)).astype(np.float32)
    return np.asarray(tail / _norm(tail), dtype=np.float32)


def _norm(signal: Audio) -> np.float32:
    return np.float32(np.sqrt(np.sum(np.square(signal, dtype=np.float64))) + 1e-12)
