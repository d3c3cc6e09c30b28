"""Filters that leave an onset where it is: the only place that calls scipy.

Conventions
-----------
- All filters are minimum phase: they shape what follows a sample and never what precedes it.
- Second-order sections have shape (n_sections, 6), as in `scipy.signal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from softloc.rendering.kits import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Band:
    """One band of an equaliser: a peak or a shelf.

    Attributes
    ----------
    kind : {"peak", "low", "high"}
        Peak, low shelf or high shelf.
    frequency_hz : float
        Centre, or the middle of the slope.
    gain_db : float
        At the centre, or on the shelf.
    q : float
        Quality; 0.7 for a shelf without a bump.
    """

    kind: Literal["peak", "low", "high"]
    frequency_hz: float
    gain_db: float
    q: float = 0.7


def equalise(audio: Audio, bands: tuple[Band, ...]) -> Audio:
    """Apply bands one after another; minimum phase.

    Parameters
    ----------
    audio : ndarray of float32, shape (n_samples,)
        Signal at 44.1 kHz.
    bands : tuple of Band
        What to apply; none leaves the signal as it is.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        The filtered signal.
    """
    if not bands:
        return audio
    return filter_sections(audio, np.array([_biquad(band) for band in bands]))


def gains_db(bands: tuple[Band, ...], frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain of an equaliser at some frequencies, in dB; shape (n_frequencies,)."""
    z = np.exp(-2j * np.pi * frequencies_hz / SAMPLE_RATE_HZ)
    total = np.zeros(len(frequencies_hz))
    for band in bands:
        b0, b1, b2, a0, a1, a2 = _biquad(band)
        response = (b0 + b1 * z + b2 * z**2) / (a0 + a1 * z + a2 * z**2)
        total += 20 * np.log10(np.abs(response) + 1e-12)
    return total


def lowpass(audio: Audio, cutoff_hz: float, order: int = 2) -> Audio:
    """Butterworth low-pass, minimum phase; shape (n_samples,) in and out."""
    sections = signal.butter(order, cutoff_hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos")
    return filter_sections(audio, sections)


def highpass(audio: Audio, cutoff_hz: float, order: int = 2) -> Audio:
    """Butterworth high-pass, minimum phase; shape (n_samples,) in and out."""
    sections = signal.butter(order, cutoff_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    return filter_sections(audio, sections)


def filter_sections(audio: Audio, sections: NDArray[np.float64]) -> Audio:
    """Run second-order sections over a signal, in float64 inside."""
    return np.asarray(signal.sosfilt(sections, audio), dtype=np.float32)


def one_pole(values: NDArray[np.float64], coefficient: float) -> NDArray[np.float64]:
    """Exponential smoothing ``y[n] = c y[n-1] + (1-c) x[n]``, starting settled at ``x[0]``."""
    if len(values) == 0:
        return values
    state = np.array([coefficient * values[0]])
    smoothed, _ = signal.lfilter([1.0 - coefficient], [1.0, -coefficient], values, zi=state)
    return np.asarray(smoothed, dtype=np.float64)


def convolve(audio: Audio, response: Audio) -> Audio:
    """Convolve with a causal response; as long as the signal, shape (n_samples,)."""
    return np.asarray(signal.fftconvolve(audio, response)[: len(audio)], dtype=np.float32)


def _biquad(band: Band) -> tuple[float, ...]:
    # R. Bristow-Johnson's cookbook formulas.
    amplitude = 10 ** (band.gain_db / 40)
    omega = 2 * np.pi * min(band.frequency_hz, 0.45 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    cosine, alpha = np.cos(omega), np.sin(omega) / (2 * band.q)
    if band.kind == "peak":
        b = (1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude)
        a = (1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude)
    else:
        sign = 1.0 if band.kind == "low" else -1.0
        up, down, slope = amplitude + 1, amplitude - 1, 2 * np.sqrt(amplitude) * alpha
        b = (
            amplitude * (up - sign * down * cosine + slope),
            sign * 2 * amplitude * (down - sign * up * cosine),
            amplitude * (up - sign * down * cosine - slope),
        )
        a = (
            up + sign * down * cosine + slope,
            -sign * 2 * (down + sign * up * cosine),
            up + sign * down * cosine - slope,
        )
    return tuple(float(value / a[0]) for value in (*b, *a))
