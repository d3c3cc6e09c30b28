"""Partials and noise: the material that synthesised drums are made of.

Conventions
-----------
- Signals are mono at 44.1 kHz and start at the stroke; sums are taken re a peak of 1.
- Frequencies, decays and amplitudes of a bank of modes are arrays of shape (n_modes,).
- A decay is the time constant of ``exp(-t / decay)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softloc.rendering.filters import Audio, highpass, lowpass
from softloc.rendering.kits import SAMPLE_RATE_HZ

Values = NDArray[np.float64]

#: A mode is followed for so many of its decays: 87 dB.
_DECAYS_HEARD = 10.0
_HIGHEST_HZ = 20_000.0


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a positive number, every octave of the range alike."""
    return float(low * (high / low) ** rng.random())


def samples_of_s(duration_s: float) -> int:
    """Whole samples in a duration, at least one."""
    return max(1, round(duration_s * SAMPLE_RATE_HZ))


def unit(audio: Audio, level_db: float = 0.0) -> Audio:
    """Scale a signal to a peak at a level re 1; silence stays silent."""
    peak = float(np.max(np.abs(audio), initial=0.0))
    return audio * np.float32(10 ** (level_db / 20) / peak) if peak > 0 else audio


def layered(*parts: Audio) -> Audio:
    """Sum of signals that start together, as long as the longest."""
    total = np.zeros(max(len(part) for part in parts), dtype=np.float32)
    for part in parts:
        total[: len(part)] += part
    return total


def ring(frequencies_hz: Values, decays_s: Values, amplitudes: Values, phases: Values) -> Audio:
    """Sum of many decaying sinusoids ``a exp(-t / decay) sin(2 pi f t + phase)``.

    Exact, by the product of two geometric series (within blocks and from block to block), which is
    one matrix product. Modes above 20 kHz are left out.

    Parameters
    ----------
    frequencies_hz, decays_s, amplitudes, phases : ndarray of float64, shape (n_modes,)
        The modes; decays are positive.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        As long as the slowest mode is heard.
    """
    kept = frequencies_hz < _HIGHEST_HZ
    weights = amplitudes[kept] * np.exp(1j * phases[kept])
    rates = (2j * np.pi * frequencies_hz[kept] - 1.0 / decays_s[kept]) / SAMPLE_RATE_HZ
    # Modes of like decay are rendered together, each group no longer than it is heard.
    octaves = np.floor(0.5 * np.log2(decays_s[kept])).astype(int)
    groups = [octaves == octave for octave in np.unique(octaves)]
    return layered(*(_ring_group(rates[group], weights[group]) for group in groups))


def _ring_group(rates: NDArray[np.complex128], weights: NDArray[np.complex128]) -> Audio:
    n_samples = int(_DECAYS_HEARD / -np.max(rates.real)) + 1
    block = int(np.sqrt(n_samples)) + 1
    inside = _powers(np.exp(rates), block)
    starts = _powers(np.exp(rates * block), -(-n_samples // block)) * weights[:, None]
    # Im(a b) = Re a Im b + Im a Re b
    left = np.concatenate([starts.real, starts.imag]).astype(np.float32)
    right = np.concatenate([inside.imag, inside.real]).astype(np.float32)
    return np.asarray((left.T @ right).ravel()[:n_samples])


def _powers(bases: NDArray[np.complex128], count: int) -> NDArray[np.complex128]:
    """Powers 0 to count - 1 of some bases; shape (n_bases, count)."""
    factors = np.repeat(bases[:, None], count, axis=1)
    factors[:, 0] = 1.0
    return np.asarray(np.cumprod(factors, axis=1), dtype=np.complex128)


def glide(
    frequencies_hz: Values,
    decays_s: Values,
    amplitudes: Values,
    *,
    phase: float,
    bend: float,
    bend_s: float,
) -> Audio:
    """Sum of a few decaying sinusoids that slide down to their frequencies together.

    Parameters
    ----------
    frequencies_hz, decays_s, amplitudes : ndarray of float64, shape (n_modes,)
        The modes after the slide.
    phase : float
        Of all of them at the start, radians.
    bend : float
        The start is at ``1 + bend`` times the frequency.
    bend_s : float
        Time constant of the slide.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        As long as the slowest mode is heard.
    """
    n_samples = samples_of_s(0.8 * _DECAYS_HEARD * float(decays_s.max()))
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    turned_s = time_s + bend * bend_s * (1.0 - np.exp(-time_s / bend_s))
    total = np.zeros(n_samples, dtype=np.float32)
    for frequency_hz, decay_s, amplitude in zip(frequencies_hz, decays_s, amplitudes, strict=True):
        heard = min(n_samples, samples_of_s(_DECAYS_HEARD * decay_s))
        turns = (2 * np.pi * frequency_hz * turned_s[:heard] + phase).astype(np.float32)
        fall = np.exp((-time_s[:heard] / decay_s).astype(np.float32))
        total[:heard] += np.float32(amplitude) * np.sin(turns) * fall
    return total


def swell(n_samples: int, attack_s: float, decay_s: float, delay_s: float = 0.0) -> Audio:
    """Envelope ``(1 - exp(-t / attack)) exp(-t / decay)``, zero until the delay; no attack if 0."""
    time_s = (np.arange(n_samples) / SAMPLE_RATE_HZ - delay_s).astype(np.float32)
    waiting = time_s < 0
    time_s = np.maximum(time_s, np.float32(0.0))
    envelope = np.exp(-time_s / np.float32(decay_s))
    if attack_s > 0:
        envelope *= np.float32(1.0) - np.exp(-time_s / np.float32(attack_s))
    envelope[waiting] = 0.0
    return np.asarray(envelope, dtype=np.float32)


def hiss(
    rng: np.random.Generator, n_samples: int, low_hz: float, high_hz: float, order: int = 2
) -> Audio:
    """White noise between two frequencies, with a standard deviation near 1 before the filters."""
    noise = rng.standard_normal(n_samples, dtype=np.float32)
    if low_hz > 20.0:
        noise = highpass(noise, min(low_hz, 16_000.0), order)
    if high_hz < 18_000.0:
        noise = lowpass(noise, max(high_hz, 60.0), order)
    return noise


def burst(
    rng: np.random.Generator,
    low_hz: float,
    high_hz: float,
    decay_s: float,
    *,
    attack_s: float = 0.0,
    delay_s: float = 0.0,
) -> Audio:
    """Decaying noise between two frequencies, re a peak of 1."""
    n_samples = samples_of_s(7.0 * decay_s + 4.0 * attack_s + delay_s + 0.001)
    envelope = swell(n_samples, attack_s, decay_s, delay_s)
    return unit(hiss(rng, n_samples, low_hz, high_hz) * envelope)
