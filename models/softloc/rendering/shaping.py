"""Shaping: equalisers, compression and saturation that leave onsets where they are.

Conventions
-----------
- Levels are in dB re full scale; signals come with peaks near 1.
- Compression looks back, never ahead: what precedes an onset keeps its level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softloc.rendering.filters import Audio, Band, one_pole
from softloc.rendering.kits import SAMPLE_RATE_HZ

#: Levels are taken and gains set once per block.
_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Compressor:
    """A compressor as drawn.

    Attributes
    ----------
    threshold_db : float
        Level above which it acts.
    ratio : float
        Decibels in per decibel out, above the threshold.
    attack_s, release_s : float
        Time constant of the attack; time in which 10 dB of reduction are let go.
    """

    threshold_db: float
    ratio: float
    attack_s: float
    release_s: float


@dataclass(frozen=True, slots=True)
class Saturation:
    """A saturating stage as drawn: drive in dB, and how unequal the half waves are (0-0.5)."""

    drive_db: float
    asymmetry: float


def draw_equaliser(rng: np.random.Generator, strength_db: float) -> tuple[Band, ...]:
    """Draw an equaliser: two shelves and up to three peaks, of a typical strength in dB."""
    bands = [
        Band("low", float(rng.uniform(70, 350)), float(rng.normal(0, strength_db))),
        Band("high", float(rng.uniform(2_000, 9_000)), float(rng.normal(0, strength_db))),
    ]
    for _ in range(int(rng.integers(0, 4))):
        frequency_hz = float(80 * 150 ** rng.random())
        gain_db = float(rng.normal(0, strength_db))
        bands.append(Band("peak", frequency_hz, gain_db, float(rng.uniform(0.5, 3.0))))
    return tuple(bands)


def draw_compressor(rng: np.random.Generator) -> Compressor:
    """Draw a compressor: from gentle to pumping."""
    return Compressor(
        threshold_db=float(rng.uniform(-32, -6)),
        ratio=float(rng.choice([1.5, 2.0, 3.0, 4.0, 8.0, 20.0])),
        attack_s=float(0.002 * 20 ** rng.random()),
        release_s=float(0.03 * 15 ** rng.random()),
    )


def draw_saturation(rng: np.random.Generator) -> Saturation:
    """Draw a saturating stage: from tape to a driven preamplifier."""
    return Saturation(float(rng.uniform(0.0, 12.0)), float(rng.uniform(0.0, 0.3)))


def compress(audio: Audio, compressor: Compressor) -> Audio:
    """Compress a signal.

    Parameters
    ----------
    audio : ndarray of float32, shape (n_samples,)
        Signal with a peak near 1.
    compressor : Compressor
        What was drawn.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        The compressed signal, without make-up gain.
    """
    if len(audio) == 0:
        return audio
    n_blocks = -(-len(audio) // _BLOCK)
    padded = np.zeros(n_blocks * _BLOCK, dtype=np.float32)
    padded[: len(audio)] = np.abs(audio)
    levels_db = 20 * np.log10(padded.reshape(n_blocks, _BLOCK).max(axis=1) + 1e-6)
    excess_db = np.maximum(levels_db - compressor.threshold_db, 0.0)
    wanted_db = excess_db.astype(np.float64) * (1.0 - 1.0 / compressor.ratio)
    # Release by a straight line in dB: a running maximum of the tilted curve, tilted back.
    block_s = _BLOCK / SAMPLE_RATE_HZ
    slope = np.arange(n_blocks) * (10.0 * block_s / compressor.release_s)
    held_db = np.maximum.accumulate(wanted_db + slope) - slope
    reduction_db = one_pole(held_db, float(np.exp(-block_s / compressor.attack_s)))
    # A block's gain is reached at its end, so it never acts ahead of its own samples.
    ends = (np.arange(n_blocks) + 1) * _BLOCK
    gain_db = np.interp(np.arange(len(audio)), ends, -reduction_db)
    return audio * (10 ** (gain_db / 20)).astype(np.float32)


def saturate(audio: Audio, saturation: Saturation) -> Audio:
    """Bend a signal's peaks; soft parts pass with unit gain.

    Parameters
    ----------
    audio : ndarray of float32, shape (n_samples,)
        Signal with a peak near 1.
    saturation : Saturation
        What was drawn.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        The bent signal; its peak is lower.
    """
    drive = np.float32(10 ** (saturation.drive_db / 20))
    offset = np.float32(saturation.asymmetry)
    # The slope at rest is divided out, and the offset taken away, so that silence stays silent.
    rest = np.tanh(offset)
    bent = (np.tanh(drive * audio + offset) - rest) / (drive * (1 - rest**2))
    return np.asarray(bent, dtype=np.float32)
