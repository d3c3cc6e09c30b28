"""Mixing: hits on a drum set become one signal per class, and the labels of what is heard.

Conventions
-----------
- A hit is placed so that its onset falls on a whole sample; its label is that sample's time.
- Hits more than `AUDIBLE_RANGE_DB` below the loudest are neither played nor labelled; nor are hits
  that lie more than `MASKING_DB` below the whole mix (rooms and noise included) in each of eight
  bands, over their first 23 ms. Hats and cymbals that keep time may lie `TIMEKEEPER_MASKING_DB`
  below it: whoever writes labels by hand knows that the pattern goes on under a snare.
- Two hits of one class less than `SAME_EVENT_S` apart are one label: a crash and a ride together,
  or a flam, is one event to whoever writes labels by hand. It is at the first of the two, unless
  that is a grace note, `GRACE_DB` or more below the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from softloc.events import Onset, sort_onsets
from softloc.rendering.beaters import strike_with
from softloc.rendering.drumset import DrumSet, Voice
from softloc.rendering.filters import Audio, Band, equalise
from softloc.rendering.kits import SAMPLE_RATE_HZ, Sample, decode, find_onset
from softloc.rendering.layering import sample_beside, stack
from softloc.rendering.performance import Hit

AUDIBLE_RANGE_DB = 50.0
MASKING_DB = 10.0
TIMEKEEPER_MASKING_DB = 35.0
TIMEKEEPERS = frozenset(("closed", "half_open", "open", "ride", "ride_bell", "crash_a", "crash_b"))
SAME_EVENT_S = 0.030
GRACE_DB = 6.0

#: Foot noise before the chick of a pedal hat that is longer than this is cut away.
SLOW_ATTACK_MS = 8.0

_WINDOW = 1024
_BAND_EDGES_HZ = (0, 120, 250, 500, 1_000, 2_000, 4_000, 8_000)
BAND_CENTRES_HZ = np.array([70.0, 175.0, 350.0, 700.0, 1_400.0, 2_800.0, 5_600.0, 11_000.0])


@dataclass(frozen=True, slots=True)
class Strike:
    """One hit as it will sound.

    Attributes
    ----------
    hit : Hit
        What is played.
    onset : int
        Sample of its onset in the mix.
    sample : int
        Index into the samples of the voice's drum.
    detune : int
        -1, 0 or 1 times the voice's detuning.
    softness : int
        0-2: how much duller than the recording.
    gain : float
        Factor on the sample.
    damp : int or None
        Samples after the onset at which a hand or pedal damps it.
    damp_samples : int
        Time constant of the damping, in samples.
    """

    hit: Hit
    onset: int
    sample: int
    detune: int
    softness: int
    gain: float
    damp: int | None
    damp_samples: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A sample made ready: its audio, its onset, its energy in bands after the onset."""

    audio: Audio
    onset: int
    energies: NDArray[np.float64]


@dataclass(slots=True)
class SampleBank:
    """Decoded samples, kept in memory, and the variants that the present drum set needs."""

    _decoded: dict[str, Audio] = field(default_factory=dict)
    _variants: dict[tuple[str, str, int, int], Sound] = field(default_factory=dict)

    def forget_variants(self) -> None:
        """Drop what belongs to one drum set; decoded samples stay."""
        self._variants.clear()

    def sound(self, voice: Voice, strike: Strike) -> Sound:
        """Give the sound of a strike, made once for all that are alike."""
        sample = voice.drum.samples[strike.sample]
        key = (strike.hit.articulation, sample.name, strike.detune, strike.softness)
        sound = self._variants.get(key)
        if sound is None:
            audio = self._audio(sample)
            if voice.layer is not None:
                beside = sample_beside(voice.layer, strike.sample, len(voice.drum.samples))
                audio = stack(audio, self._audio(beside), voice.layer)
            sound = make_sound(audio, voice, strike.detune, strike.softness)
            self._variants[key] = sound
        return sound

    def _audio(self, sample: Sample) -> Audio:
        if sample.name not in self._decoded:
            self._decoded[sample.name] = trim_slow_attack(decode(sample), sample)
        return self._decoded[sample.name]


def plan_strikes(
    rng: np.random.Generator, hits: Sequence[Hit], drumset: DrumSet
) -> tuple[Strike, ...]:
    """Choose sample, tuning, level and damping of every hit.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    hits : sequence of Hit
        Sorted by time. Hits without a voice are left out.
    drumset : DrumSet
        What they are played on.

    Returns
    -------
    tuple of Strike
        Sorted by time. No voice plays one sample twice in a row if its drum has two.
    """
    strikes: list[Strike] = []
    last_sample: dict[str, int] = {}
    for hit in hits:
        voice = drumset.voices.get(hit.articulation)
        if voice is None:
            continue
        velocity = float(np.clip(hit.velocity + rng.normal(0.0, 4.0), 1, 127))
        choices = voice.drum.candidates(velocity)
        fresh = [index for index in choices if index != last_sample.get(hit.articulation)]
        sample = int(rng.choice(fresh or choices))
        last_sample[hit.articulation] = sample
        level_db = hit_level_db(voice, sample, velocity, drumset.velocity_exponent)
        level_db += rng.normal(0.0, 0.7)
        detune = int(rng.integers(-1, 2)) if voice.detune_cents > 0 else 0
        single = len(voice.drum.samples) == 1 and not voice.drum.is_electronic
        softness = int(velocity < 70) + int(velocity < 40) if single else 0
        strikes.append(
            Strike(
                hit=hit,
                onset=round(hit.time_s * SAMPLE_RATE_HZ),
                sample=sample,
                detune=detune,
                softness=softness,
                gain=float(10 ** (level_db / 20)),
                damp=None,
                damp_samples=int(rng.uniform(0.004, 0.025) * SAMPLE_RATE_HZ),
            )
        )
    return damp_hats(strikes)


def hit_level_db(voice: Voice, sample: int, velocity: float, exponent: float) -> float:
    """Level of a hit re its sample, in dB: half the recording's dynamics, half the velocity's.

    Where the recording's layers span less than 8 dB (the source was normalised) the velocity alone
    decides.
    """
    chosen: Sample = voice.drum.samples[sample]
    by_velocity = velocity_db(velocity, exponent)
    if voice.drum.span_db < 8.0:
        return voice.gain_db + by_velocity
    recorded = chosen.source_peak_db - voice.drum.loudest_db
    # Within its layer a sample follows the velocity, else layers would be steps.
    centre = max(1.0, (chosen.velocity_lo + chosen.velocity_hi) / 2)
    within = by_velocity - velocity_db(centre, exponent)
    return voice.gain_db + 0.5 * (recorded + within) + 0.5 * by_velocity


def velocity_db(velocity: float, exponent: float) -> float:
    """Level of a velocity re the hardest stroke, in dB."""
    return float(20 * exponent * np.log10(max(velocity, 1.0) / 127))


def damp_hats(strikes: Sequence[Strike]) -> tuple[Strike, ...]:
    """Let every closed or pedal hat damp the hats that still ring; half open damps open, slowly."""
    damped = list(strikes)
    ringing: list[int] = []
    for index, strike in enumerate(damped):
        name = strike.hit.articulation
        if name in ("closed", "pedal", "half_open"):
            for other in ringing:
                slower = 1 if name != "half_open" else 5
                if name == "half_open" and damped[other].hit.articulation == "half_open":
                    continue
                damped[other] = _damped(damped[other], strike.onset, slower)
            ringing = [] if name != "half_open" else ringing[-1:]
        if name in ("open", "half_open"):
            ringing.append(index)
    return tuple(damped)


def place_strikes(
    strikes: Sequence[Strike], drumset: DrumSet, bank: SampleBank, n_samples: int
) -> dict[str, Audio]:
    """Add up the strikes of each class.

    Parameters
    ----------
    strikes : sequence of Strike
        What to play.
    drumset : DrumSet
        Their voices.
    bank : SampleBank
        Where the samples come from.
    n_samples : int
        Length of the result.

    Returns
    -------
    dict of str to ndarray of float32, shape (n_samples,)
        One signal for each class that is played.
    """
    buses: dict[str, Audio] = {}
    for strike in strikes:
        bus = buses.setdefault(strike.hit.label, np.zeros(n_samples, dtype=np.float32))
        sound = bank.sound(drumset.voices[strike.hit.articulation], strike)
        add_strike(bus, sound, strike)
    return buses


def add_strike(bus: Audio, sound: Sound, strike: Strike, sign: float = 1.0) -> None:
    """Add one strike to a signal in place (or take it away, with sign -1)."""
    audio = sound.audio
    if strike.damp is not None:
        audio = _fade(audio, sound.onset + strike.damp, strike.damp_samples)
    start = strike.onset - sound.onset
    skip = max(0, -start)
    stop = min(len(bus), start + len(audio))
    if stop > start + skip:
        bus[start + skip : stop] += np.float32(sign * strike.gain) * audio[skip : stop - start]


def audible(
    strikes: Sequence[Strike],
    drumset: DrumSet,
    bank: SampleBank,
    *,
    mix: Audio,
    tones_db: Mapping[str, NDArray[np.float64]],
    masking_db: float | None = None,
) -> NDArray[np.bool_]:
    """Tell which strikes can be heard.

    Parameters
    ----------
    strikes : sequence of Strike
        All that was played.
    drumset : DrumSet
        Their voices.
    bank : SampleBank
        Their samples.
    mix : ndarray of float32, shape (n_samples,)
        Everything together, the strikes, rooms and noise included.
    tones_db : mapping of str to ndarray, shape (n_bands,)
        What was done to each class on its way to the mix, at `BAND_CENTRES_HZ`.
    masking_db : float or None
        How far below the mix a strike is still heard; by default that depends on the drum.

    Returns
    -------
    ndarray of bool, shape (n_strikes,)
        False for what is too soft or masked (see the conventions of this module).
    """
    if not strikes:
        return np.zeros(0, dtype=np.bool_)
    gains = np.array([strike.gain for strike in strikes])
    loud = gains >= gains.max() * 10 ** (-AUDIBLE_RANGE_DB / 20)
    sounds = [bank.sound(drumset.voices[strike.hit.articulation], strike) for strike in strikes]
    own = np.stack([sound.energies for sound in sounds]) * (gains**2)[:, None]
    own *= np.stack([10 ** (tones_db[strike.hit.label] / 10) for strike in strikes])
    onsets = np.array([min(strike.onset, len(mix)) for strike in strikes])
    total = _energies_at(mix, onsets)
    # A band counts by what it adds to the whole: silence 60 dB down is not heard in any band.
    floor = 1e-6 * total.max()
    margins_db = np.array([_masking_db(strike) for strike in strikes])
    if masking_db is not None:
        margins_db[:] = masking_db
    heard = np.any(own >= (total + floor) * 10 ** (-margins_db / 10)[:, None], axis=1)
    return np.asarray(loud & heard & (onsets < len(mix)), dtype=np.bool_)


def labels_of(strikes: Sequence[Strike]) -> list[Onset]:
    """Labels of strikes: exact times, one event where one class is struck twice at once."""
    kept: list[Strike] = []
    last: dict[str, int] = {}
    for strike in sorted(strikes, key=lambda strike: (strike.onset, strike.hit.label)):
        index = last.get(strike.hit.label)
        if index is not None:
            before = kept[index]
            if strike.onset - before.onset < SAME_EVENT_S * SAMPLE_RATE_HZ:
                if strike.gain >= before.gain * 10 ** (GRACE_DB / 20):
                    kept[index] = strike
                continue
        last[strike.hit.label] = len(kept)
        kept.append(strike)
    return sort_onsets(
        Onset(s.onset / SAMPLE_RATE_HZ, s.hit.label, s.hit.midi_note, s.hit.velocity) for s in kept
    )


def trim_slow_attack(audio: Audio, sample: Sample) -> Audio:
    """Cut the foot noise off a pedal hat, so that its onset is the chick that is heard."""
    if sample.articulation != "pedal" or sample.attack_ms <= SLOW_ATTACK_MS:
        return audio
    fade = int(0.002 * SAMPLE_RATE_HZ)
    start = find_onset(audio) + int((sample.attack_ms - 4.0) * SAMPLE_RATE_HZ / 1000)
    trimmed = audio[start:].copy()
    trimmed[:fade] *= np.linspace(0.0, 1.0, fade, dtype=np.float32)[: len(trimmed)]
    return trimmed


def make_sound(audio: Audio, voice: Voice, detune: int, softness: int) -> Sound:
    """Tune, damp and dull a sample, and find its onset anew.

    Parameters
    ----------
    audio : ndarray of float32, shape (n_samples,)
        The decoded sample.
    voice : Voice
        Tuning and decay.
    detune : int
        -1, 0 or 1.
    softness : int
        0-2.

    Returns
    -------
    Sound
        Ready to be placed.
    """
    cents = 100 * voice.semitones + detune * voice.detune_cents
    audio = shift_pitch(audio, 2 ** (cents / 1200), find_onset(audio))
    audio = strike_with(audio, voice.beater)
    if softness:
        audio = equalise(audio, (Band("high", 2_500.0, -5.0 * softness),))
    audio = shape_envelope(audio, voice)
    onset = find_onset(audio)
    frame = np.zeros((1, _WINDOW), dtype=np.float32)
    head = audio[onset : onset + _WINDOW]
    frame[0, : len(head)] = head
    return Sound(audio, onset, _band_energies(frame)[0])


def shape_envelope(audio: Audio, voice: Voice) -> Audio:
    """Add the voice's decay, and give its attack more or less bite."""
    elapsed_s = np.maximum(np.arange(len(audio)) - find_onset(audio), 0) / SAMPLE_RATE_HZ
    if voice.bite_db:
        missing = 1.0 - 10 ** (voice.bite_db / 20)
        audio = audio * (1.0 - missing * np.exp(-elapsed_s / voice.bite_s)).astype(np.float32)
    if voice.decay_s is not None:
        audio = audio * np.exp(-elapsed_s / voice.decay_s).astype(np.float32)
    return audio


def shift_pitch(audio: Audio, ratio: float, anchor: int) -> Audio:
    """Resample by `ratio` (2 is an octave up, half as long) with sample `anchor` kept on a sample.

    Cubic (Catmull-Rom) interpolation between neighbours: nothing rings ahead of the onset.
    """
    if ratio == 1.0:
        return audio
    new_anchor = int(anchor / ratio)
    count = new_anchor + int((len(audio) - 1 - anchor) / ratio) + 1
    positions = anchor + (np.arange(count) - new_anchor) * ratio
    padded = np.pad(audio, (1, 3))
    index = np.floor(positions).astype(np.int64)
    t = (positions - index).astype(np.float32)
    before, here, after, beyond = (padded[index + k] for k in range(4))
    curve = 2 * before - 5 * here + 4 * after - beyond
    twist = 3 * (here - after) + beyond - before
    return np.asarray(here + 0.5 * t * (after - before + t * (curve + t * twist)), dtype=np.float32)


def total_of(buses: Mapping[str, Audio], n_samples: int) -> Audio:
    """Sum of signals, shape (n_samples,); silence where there are none."""
    total = np.zeros(n_samples, dtype=np.float32)
    for bus in buses.values():
        total += bus
    return total


def _masking_db(strike: Strike) -> float:
    return TIMEKEEPER_MASKING_DB if strike.hit.articulation in TIMEKEEPERS else MASKING_DB


def _damped(strike: Strike, at: int, slower: int) -> Strike:
    damp = max(0, at - strike.onset)
    if strike.damp is not None and strike.damp <= damp:
        return strike
    return Strike(
        strike.hit,
        strike.onset,
        strike.sample,
        strike.detune,
        strike.softness,
        strike.gain,
        damp,
        strike.damp_samples * slower,
    )


def _fade(audio: Audio, start: int, time_constant: int) -> Audio:
    """Exponential fade from `start` on; cut where it has fallen by 70 dB."""
    if start >= len(audio):
        return audio
    stop = min(len(audio), start + 8 * time_constant)
    faded = audio[:stop].copy()
    faded[start:] *= np.exp(-np.arange(stop - start) / time_constant).astype(np.float32)
    return faded


def _energies_at(audio: Audio, onsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Energies in bands of the frames that start at some samples; shape (n_onsets, n_bands)."""
    padded = np.concatenate([audio, np.zeros(_WINDOW, dtype=np.float32)])
    return _band_energies(padded[onsets[:, None] + np.arange(_WINDOW)])


_RAMP = np.hanning(2 * _WINDOW + 1)[_WINDOW:-1].astype(np.float32)
_BAND_STARTS = np.searchsorted(np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE_HZ), _BAND_EDGES_HZ)


def _band_energies(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Energy per band of frames that start at an onset: (n, window) to (n, bands)."""
    power = np.abs(np.fft.rfft(frames * _RAMP, axis=1)) ** 2
    return np.asarray(np.add.reduceat(power, _BAND_STARTS, axis=1), dtype=np.float64) + 1e-12
