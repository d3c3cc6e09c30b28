"""Beaters: what the drums are struck with, made from recordings of stick hits.

Conventions
-----------
- Rods strike as a bundle: several contacts within some milliseconds. Brushes strike as a fan: the
  contact is a short cloud of noise. Mallets have no treble.
- All of it follows the onset; where the first contact is soft, the caller finds the onset anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softloc.rendering.filters import Audio, Band, convolve, equalise, highpass, lowpass
from softloc.rendering.kits import SAMPLE_RATE_HZ

STICKS, RODS, BRUSHES, MALLETS = "sticks", "rods", "brushes", "mallets"


@dataclass(frozen=True, slots=True)
class Beater:
    """What is in the drummer's hands.

    Attributes
    ----------
    kind : str
        ``sticks``, ``rods``, ``brushes`` or ``mallets``.
    seed : int
        Of the cloud of contacts.
    spread_s : float
        How long the contact lasts.
    swirl_db : float
        Level of brushes that sweep over the snare, re the mix; -120 for none.
    swirl_hz : float
        Sweeps per second.
    """

    kind: str
    seed: int
    spread_s: float
    swirl_db: float
    swirl_hz: float


def draw_beater(rng: np.random.Generator) -> Beater:
    """Draw a beater: mostly sticks."""
    kind = (STICKS, RODS, BRUSHES, MALLETS)[rng.choice(4, p=[0.61, 0.14, 0.22, 0.03])]
    spread_s = rng.uniform(0.003, 0.008) if kind == RODS else rng.uniform(0.008, 0.03)
    sweeps = kind == BRUSHES and rng.random() < 0.6
    return Beater(
        kind=kind,
        seed=int(rng.integers(2**32)),
        spread_s=float(spread_s),
        swirl_db=float(rng.uniform(-54.0, -33.0)) if sweeps else -120.0,
        swirl_hz=float(rng.uniform(0.8, 4.0)),
    )


def strike_with(audio: Audio, beater: Beater) -> Audio:
    """Make a hit with a stick sound like one with another beater.

    Parameters
    ----------
    audio : ndarray of float32, shape (n_samples,)
        A hit with a stick.
    beater : Beater
        What to strike with.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        The hit, with the peak it had.
    """
    if beater.kind == STICKS:
        return audio
    peak = np.max(np.abs(audio))
    if beater.kind == MALLETS:
        struck = lowpass(audio, 1_200.0, 2)
    else:
        struck = convolve(audio, _contact(beater))
        struck = equalise(struck, (Band("low", 350.0, -5.0), Band("high", 3_000.0, 3.0)))
    return np.asarray(struck * (peak / (np.max(np.abs(struck)) + 1e-9)), dtype=np.float32)


def swirl(beater: Beater, n_samples: int) -> Audio:
    """Brushes sweeping over the snare: noise that swells and ebbs, RMS 1, shape (n_samples,)."""
    rng = np.random.default_rng(beater.seed)
    noise = rng.standard_normal(n_samples, dtype=np.float32)
    noise = lowpass(highpass(noise, 900.0, 1), 5_000.0, 1)
    phase = np.pi * (beater.swirl_hz * np.arange(n_samples) / SAMPLE_RATE_HZ + rng.random())
    swept = noise * (0.15 + np.sin(phase).astype(np.float32) ** 2)
    return np.asarray(swept / (np.std(swept) + 1e-9), dtype=np.float32)


def _contact(beater: Beater) -> Audio:
    """Response of a bundle (some impulses) or a fan (a cloud of noise)."""
    rng = np.random.default_rng(beater.seed)
    n_samples = int(3 * beater.spread_s * SAMPLE_RATE_HZ) + 2
    contact = np.zeros(n_samples, dtype=np.float32)
    contact[0] = 1.0
    if beater.kind == RODS:
        count = int(rng.integers(4, 11))
        delays = rng.uniform(0.0, beater.spread_s * SAMPLE_RATE_HZ, count).astype(int)
        np.add.at(contact, delays, rng.uniform(0.2, 0.9, count).astype(np.float32))
        return contact
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    envelope = (1.0 - np.exp(-time_s / 0.002)) * np.exp(-time_s / (0.5 * beater.spread_s))
    cloud = rng.standard_normal(n_samples) * envelope
    contact[0] = 0.25
    return np.asarray(contact + cloud / np.sqrt(np.sum(cloud**2)), dtype=np.float32)
