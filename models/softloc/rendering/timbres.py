"""Synthesis: pitched notes without recordings, of endlessly many timbres.

Conventions
-----------
- A note starts at its first sample. Pitches are MIDI notes and need not be whole.
- A note depends on timbre, pitch, velocity, duration and number alone. Notes of engines that die
  away by themselves are as long as they ring, if that is shorter than asked.
- Four engines: ``string`` (every period the spectrum of the one before, a little damped: what a
  Karplus-Strong loop does, after K. Karplus and A. Strong, "Digital Synthesis of Plucked-String
  and Drum Timbres", Computer Music Journal 7, 1983), ``table`` (two band-limited wavetables, from
  bright to dull), ``fm`` (J. Chowning, "The Synthesis of Complex Audio Spectra by Means of
  Frequency Modulation", JAES 21, 1973) and ``voice`` (wavetables of moving formants, consonants
  of noise).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softloc.rendering.filters import Audio, highpass, lowpass
from softloc.rendering.kits import SAMPLE_RATE_HZ
from softloc.rendering.mixing import shift_pitch

#: Phase of a tone in cycles, sample by sample.
Phases = NDArray[np.float64]

Engine = Literal["string", "table", "fm", "voice"]

_TABLE = 2048
_HIGHEST_HZ = 0.42 * SAMPLE_RATE_HZ

#: First and second formant of vowels of a grown man, Hz (i e a o u and two between).
_VOWELS_HZ = (
    (280, 2250), (420, 2000), (720, 1250), (500, 850), (310, 750), (600, 1700), (480, 1350),
)  # fmt: skip

_CONSONANTS = ("s", "t", "h")


@dataclass(frozen=True, slots=True)
class Timbre:
    """A timbre as drawn.

    Attributes
    ----------
    engine : {"string", "table", "fm", "voice"}
        How it is made.
    seed : int
        Of all that is noise in it, and of its phases.
    slope : float
        Exponent with which the harmonics fall.
    even : float
        Strength of the even harmonics re the odd ones (0 square, 1 saw).
    attack_s, decay_s : float
        Rise; time constant of the decay (of the brightness, for ``table``).
    sustain : float
        What a ``table`` note falls to, 0-1.
    detune_cents : float
        Distance of two voices in unison; 0 for one.
    vibrato_cents, vibrato_hz : float
        Depth and rate.
    ratio, depth : float
        Of the modulator of ``fm``.
    noise : float
        Pick, breath or hammer noise re the tone.
    consonants : float
        Share of the notes of a ``voice`` that start with one.
    tract : float
        Factor on the formants: 1 for a man, 1.2 for a child.
    """

    engine: Engine
    seed: int
    slope: float
    even: float
    attack_s: float
    decay_s: float
    sustain: float
    detune_cents: float
    vibrato_cents: float
    vibrato_hz: float
    ratio: float
    depth: float
    noise: float
    consonants: float
    tract: float


def draw_timbre(rng: np.random.Generator, engine: Engine, *, soft: bool = False) -> Timbre:
    """Draw a timbre of an engine; `soft` makes it swell (strings, pads) rather than start hard."""
    attack_s = 0.03 * 12 ** rng.random() if soft else 0.0006 * 20 ** rng.random()
    if engine == "voice":
        attack_s = 0.012 * 8 ** rng.random()
    return Timbre(
        engine=engine,
        seed=int(rng.integers(2**32)),
        slope=float(rng.uniform(0.8, 1.8)),
        even=float(rng.choice([1.0, 1.0, rng.uniform(0.0, 0.6)])),
        attack_s=float(attack_s),
        decay_s=float(0.06 * 25 ** rng.random()),
        sustain=float(rng.choice([0.0, rng.uniform(0.3, 1.0)])) if not soft else 1.0,
        detune_cents=float(rng.uniform(4.0, 18.0)) if rng.random() < 0.45 else 0.0,
        vibrato_cents=float(rng.uniform(5.0, 60.0)) if rng.random() < 0.5 else 0.0,
        vibrato_hz=float(rng.uniform(4.2, 7.0)),
        ratio=float(rng.choice([1.0, 1.0, 2.0, 3.0, 7.0, 14.0, rng.uniform(0.5, 5.0)])),
        depth=float(0.3 * 15 ** rng.random()),
        noise=float(0.01 * 30 ** rng.random()),
        consonants=float(rng.uniform(0.0, 0.8)),
        tract=float(rng.uniform(0.92, 1.3)),
    )


def synthesise(
    timbre: Timbre,
    pitch: float,
    velocity: int,
    duration_s: float,
    *,
    glide_from: float | None = None,
    number: int = 0,
) -> Audio:
    """Make one note.

    Parameters
    ----------
    timbre : Timbre
        What was drawn.
    pitch : float
        MIDI note.
    velocity : int
        1-127; harder is brighter. The level is left to whoever plays it.
    duration_s : float
        Length wanted; the note is not faded out.
    glide_from : float, optional
        Pitch that a ``table`` or ``voice`` note comes from.
    number : int
        Notes of other numbers have other vowels, consonants and noises.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        The note, its peak 1.
    """
    rng = np.random.default_rng([timbre.seed, round(100 * pitch), number])
    n_samples = max(64, round(duration_s * SAMPLE_RATE_HZ))
    strength = velocity / 127
    if timbre.engine == "string":
        audio = _string(rng, timbre, pitch, strength, n_samples)
    elif timbre.engine == "fm":
        audio = _fm(rng, timbre, pitch, strength, n_samples)
    else:
        cycles = _cycles(rng, timbre, pitch, glide_from, n_samples)
        make = _table if timbre.engine == "table" else _voice
        audio = make(rng, timbre, pitch, strength, cycles)
    return np.asarray(audio / (np.max(np.abs(audio)) + 1e-9), dtype=np.float32)


def hertz(pitch: float) -> float:
    """Frequency of a MIDI note."""
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def _string(
    rng: np.random.Generator, timbre: Timbre, pitch: float, strength: float, n_samples: int
) -> Audio:
    frequency_hz = hertz(pitch)
    period = max(16, int(SAMPLE_RATE_HZ / frequency_hz))
    # Thin strings die sooner, and so do their upper harmonics.
    decay_s = float(np.clip(timbre.decay_s * 4 * (110 / frequency_hz) ** 0.5, 0.08, 4.0))
    n_periods = -(-min(n_samples, int(6 * decay_s * SAMPLE_RATE_HZ)) // period) + 2
    harmonics = np.arange(1, period // 2 + 1)
    plucked_at = rng.uniform(0.08, 0.45)
    amplitudes = np.abs(np.sin(np.pi * harmonics * plucked_at)) * harmonics**-timbre.slope
    amplitudes *= np.exp(-harmonics * frequency_hz / (1_500 + 9_000 * strength))
    rates = (1 + 0.6 * timbre.slope * (harmonics * frequency_hz / 1_500) ** 1.2) / decay_s
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    spectrum = np.zeros((n_periods, len(harmonics) + 1), dtype=np.complex64)
    elapsed_s = np.arange(n_periods)[:, None] / frequency_hz
    spectrum[:, 1:] = np.exp(-elapsed_s * rates) * (amplitudes * np.exp(1j * phases))
    tone = np.fft.irfft(spectrum, period, axis=1).astype(np.float32).ravel()
    tone = shift_pitch(tone, frequency_hz * period / SAMPLE_RATE_HZ, 0)[:n_samples]
    return _with_pick(rng, tone, timbre)


def _fm(
    rng: np.random.Generator, timbre: Timbre, pitch: float, strength: float, n_samples: int
) -> Audio:
    n_samples = min(n_samples, int(7 * max(timbre.decay_s, 0.15) * SAMPLE_RATE_HZ))
    time_s = np.arange(n_samples, dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    turn = np.float32(2 * np.pi * hertz(pitch))
    # No more sidebands than fit below the highest frequency.
    depth = min(timbre.depth * (0.3 + strength), _HIGHEST_HZ / hertz(pitch) / timbre.ratio / 3)
    fading = np.exp(-time_s / np.float32(0.4 * timbre.decay_s + 0.02)) * np.float32(depth)
    modulator = fading * np.sin(np.float32(timbre.ratio) * turn * time_s)
    tone = np.sin(turn * time_s + modulator) * np.exp(-time_s / max(timbre.decay_s, 0.15))
    return _with_pick(rng, np.asarray(tone, dtype=np.float32), timbre)


def _table(
    rng: np.random.Generator, timbre: Timbre, pitch: float, strength: float, cycles: Phases
) -> Audio:
    harmonics = _harmonics(pitch)
    even = np.where(harmonics % 2 == 0, timbre.even, 1.0)
    bright = even * harmonics**-timbre.slope
    bright *= np.exp(-harmonics * hertz(pitch) / (2_000 + 12_000 * strength))
    dull = bright * np.exp(-harmonics * hertz(pitch) / 900.0)
    phases = rng.uniform(0, 2 * np.pi, len(harmonics)) * float(timbre.attack_s > 0.02)
    tables = np.stack([_wave(bright, phases), _wave(dull, phases)])
    time_s = np.arange(len(cycles), dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    opening = np.exp(-time_s / np.float32(timbre.decay_s))
    if timbre.attack_s > 0.02:
        opening = 1 - np.exp(-time_s / np.float32(2 * timbre.attack_s))
    weights = np.stack([opening, 1 - opening])
    tone = _read(tables, weights, cycles)
    if timbre.detune_cents:
        factor = 2 ** (timbre.detune_cents / 1200)
        tone = tone + _read(tables, weights, cycles * factor + rng.random())
    level = timbre.sustain + (1 - timbre.sustain) * np.exp(-time_s / np.float32(timbre.decay_s))
    tone = tone * level * np.minimum(time_s / np.float32(timbre.attack_s), 1)
    return np.asarray(tone, dtype=np.float32)


def _voice(
    rng: np.random.Generator, timbre: Timbre, pitch: float, strength: float, cycles: Phases
) -> Audio:
    harmonics = _harmonics(pitch)
    frequencies_hz = harmonics * hertz(pitch)
    source = harmonics ** -(1.7 - 0.6 * strength)
    vowels = rng.choice(len(_VOWELS_HZ), 3)
    tables = [
        _wave(source * _formants(rng, timbre, frequencies_hz, _VOWELS_HZ[v]), 0 * harmonics)
        for v in vowels
    ]
    # From the first vowel to the second within 40 to 250 ms, to the third by the end.
    n_samples = len(cycles)
    time_s = np.arange(n_samples, dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    first = np.exp(-time_s / np.float32(rng.uniform(0.04, 0.25)))
    third = (1 - first) * np.linspace(0, 1, n_samples, dtype=np.float32) ** 2
    tone = _read(np.stack(tables), np.stack([first, 1 - first - third, third]), cycles)
    breath = highpass(rng.standard_normal(n_samples, dtype=np.float32), 1_500.0, 1)
    tone = tone + breath * np.float32(0.15 * timbre.noise) * np.abs(tone).max()
    tone = tone * np.minimum(time_s / np.float32(timbre.attack_s), 1)
    tone = np.asarray(tone / (np.abs(tone).max() + 1e-9), dtype=np.float32)
    if rng.random() < timbre.consonants:
        sound = consonant(rng, str(rng.choice(_CONSONANTS)))
        return np.concatenate([sound, tone])[: max(n_samples, len(sound))]
    return tone


def consonant(rng: np.random.Generator, name: str) -> Audio:
    """Make a hiss (``s``), a plosive with its breath (``t``) or a breath (``h``), peak below 1."""
    if name == "t":
        n_samples, rise_s = int(rng.uniform(0.015, 0.05) * SAMPLE_RATE_HZ), 0.0005
        fall_s = rng.uniform(0.003, 0.015)
    else:
        n_samples, rise_s = int(rng.uniform(0.05, 0.15) * SAMPLE_RATE_HZ), rng.uniform(0.01, 0.04)
        fall_s = rng.uniform(0.05, 0.2)
    noise = rng.standard_normal(n_samples, dtype=np.float32)
    lowest_hz = {"s": rng.uniform(3_500, 6_500), "t": rng.uniform(1_500, 4_000), "h": 600.0}[name]
    noise = highpass(noise, lowest_hz, 3)
    if name == "h":
        noise = lowpass(noise, rng.uniform(2_000, 5_000), 2)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    noise *= (np.minimum(time_s / rise_s, 1) * np.exp(-time_s / fall_s)).astype(np.float32)
    return np.asarray(rng.uniform(0.08, 0.7) * noise / np.abs(noise).max(), dtype=np.float32)


def _with_pick(rng: np.random.Generator, tone: Audio, timbre: Timbre) -> Audio:
    """Add the noise of pick, finger or hammer to the start, and make the start a short rise."""
    peak = np.abs(tone).max()
    n_samples = min(len(tone), int(rng.uniform(0.002, 0.03) * SAMPLE_RATE_HZ))
    noise = lowpass(rng.standard_normal(n_samples, dtype=np.float32), rng.uniform(800, 9_000), 1)
    noise *= np.exp(-np.arange(n_samples, dtype=np.float32) * np.float32(4 / n_samples))
    tone[:n_samples] += np.float32(timbre.noise) * peak * noise / (np.abs(noise).max() + 1e-9)
    rise = min(len(tone), max(2, int(min(timbre.attack_s, 0.008) * SAMPLE_RATE_HZ)))
    tone[:rise] *= np.linspace(1 / rise, 1, rise, dtype=np.float32)
    return tone


def _cycles(
    rng: np.random.Generator,
    timbre: Timbre,
    pitch: float,
    glide_from: float | None,
    n_samples: int,
) -> Phases:
    """Phase in cycles over time: glide, vibrato that sets in late, slow drift; float64."""
    # Pitch moves slowly: it is set every 64 samples.
    time_s = np.arange(0, n_samples + 64, 64) / SAMPLE_RATE_HZ
    cents = np.zeros(len(time_s))
    if timbre.vibrato_cents:
        onset = np.clip((time_s - 0.15) / 0.3, 0, 1)
        cents += timbre.vibrato_cents * onset * np.sin(2 * np.pi * timbre.vibrato_hz * time_s)
    if timbre.engine == "voice":
        cents += 20 * np.sin(2 * np.pi * (rng.uniform(0.3, 2.0) * time_s + rng.random()))
    if glide_from is not None:
        cents += 100 * (glide_from - pitch) * np.exp(-time_s / rng.uniform(0.015, 0.09))
    frequencies_hz = hertz(pitch) * 2 ** (cents / 1200)
    every = np.interp(np.arange(n_samples), np.arange(len(time_s)) * 64, frequencies_hz)
    cycles = np.cumsum(every / SAMPLE_RATE_HZ) - every[0] / SAMPLE_RATE_HZ
    return np.asarray(cycles, dtype=np.float64)


def _harmonics(pitch: float) -> NDArray[np.float64]:
    n_harmonics = max(1, min(_TABLE // 4, int(_HIGHEST_HZ / hertz(pitch))))
    return np.arange(1, n_harmonics + 1, dtype=np.float64)


def _formants(
    rng: np.random.Generator,
    timbre: Timbre,
    frequencies_hz: NDArray[np.float64],
    vowel_hz: tuple[int, int],
) -> NDArray[np.float64]:
    """Strength of harmonics under the formants of a vowel."""
    centres_hz = np.array([*vowel_hz, 2_600.0, 3_400.0, 4_300.0]) * timbre.tract
    centres_hz *= rng.uniform(0.95, 1.05, len(centres_hz))
    widths_hz = np.array([80.0, 110.0, 160.0, 220.0, 300.0])
    heights = np.array([1.0, 0.7, 0.45, 0.3, 0.15])
    away = (frequencies_hz[:, None] - centres_hz) / widths_hz
    return np.asarray(0.01 + (heights / np.sqrt(1 + away**2)).sum(axis=1))


def _wave(amplitudes: NDArray[np.float64], phases: NDArray[np.float64]) -> Audio:
    """One period of a sum of sines, and its first sample again; shape (_TABLE + 1,)."""
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(amplitudes) + 1] = -1j * amplitudes * np.exp(1j * phases)
    wave = np.fft.irfft(spectrum) * (_TABLE / 2)
    return np.append(wave, wave[0]).astype(np.float32)


def _read(tables: Audio, weights: Audio, cycles: Phases) -> Audio:
    """Read a mixture of tables, shape (n_tables, _TABLE + 1), along phases in cycles."""
    position = (cycles % 1.0) * _TABLE
    index = position.astype(np.int32)
    part = (position - index).astype(np.float32)
    tone = np.zeros(len(cycles), dtype=np.float32)
    for table, weight in zip(tables, weights, strict=True):
        here = table[index]
        tone += weight * (here + part * (table[index + 1] - here))
    return tone
