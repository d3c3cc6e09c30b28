"""Accompaniment: pitched parts under the drums, drawn, rendered and labelled.

Conventions
-----------
- It is drawn from a generator of its own, so that scenes without it are what they were.
- A note lies on a whole sample; its label (`PITCHED`) is at the note's first sample, also where it
  rises slowly. Notes struck less than `SAME_EVENT_S` apart are one label, at the first of them.
- Levels are in dB re the drums, by RMS over the whole scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from softloc.events import Onset, sort_onsets
from softloc.rendering.backing import BackingPack, Instrument, PitchedSample, play_sample
from softloc.rendering.filters import Audio, Band, convolve, equalise, highpass, lowpass
from softloc.rendering.kits import SAMPLE_RATE_HZ
from softloc.rendering.mixing import SAME_EVENT_S
from softloc.rendering.parts import (
    Stage,
    Stroke,
    draw_bass,
    draw_chords,
    draw_melody,
    draw_pad,
    draw_riff,
    draw_stage,
    free_stage,
    humanise,
)
from softloc.rendering.performance import Performance
from softloc.rendering.rooms import Room, draw_room, room_response
from softloc.rendering.shaping import (
    Compressor,
    Saturation,
    compress,
    draw_compressor,
    draw_equaliser,
    draw_saturation,
    saturate,
)
from softloc.rendering.timbres import Engine, Timbre, draw_timbre, synthesise

#: Label of every note.
PITCHED = "ON"

#: Chance of each role; two players may play chords.
ROLES: Mapping[str, float] = {
    "bass": 0.8, "chords": 0.8, "chords_2": 0.4, "pad": 0.4, "riff": 0.45, "melody": 0.7,
}  # fmt: skip

_WRITERS = {
    "bass": draw_bass, "chords": draw_chords, "chords_2": draw_chords, "pad": draw_pad,
    "riff": draw_riff, "melody": draw_melody,
}  # fmt: skip

#: Engines of each role, with their weights.
_ENGINES: Mapping[str, Mapping[str, float]] = {
    "bass": {"string": 0.4, "table": 0.45, "fm": 0.15},
    "chords": {"string": 0.4, "table": 0.35, "fm": 0.25},
    "pad": {"table": 0.85, "voice": 0.15},
    "riff": {"string": 0.4, "table": 0.35, "fm": 0.25},
    "melody": {"voice": 0.65, "table": 0.2, "string": 0.15},
}

#: Share of the players of each role that play a recorded instrument, where there is one.
_RECORDED = {"bass": 0.55, "chords": 0.6, "pad": 0.5, "riff": 0.55, "melody": 0.45}

#: Words in the names of recorded instruments that hold long notes.
_HELD = ("string", "choir", "voice", "pad", "organ", "accordion", "brass")

#: Notes of one timbre are alike within a third of the velocities.
_VELOCITY_LAYERS = 3


@dataclass(frozen=True, slots=True)
class AccompanimentSettings:
    """How scenes are accompanied.

    Attributes
    ----------
    share : float
        Scenes in which something plays beside the drums.
    alone_share : float
        Scenes in which it plays without any drum.
    level_range_db : tuple of float
        Level of the accompaniment re the drums.
    """

    share: float = 0.5
    alone_share: float = 0.04
    level_range_db: tuple[float, float] = (-10.0, 10.0)


@dataclass(frozen=True, slots=True)
class Effects:
    """What is done to a part.

    Attributes
    ----------
    level_db : float
        Re the other parts.
    equaliser : tuple of Band
        Its equaliser.
    drive : Saturation or None
        A distorting amplifier.
    cabinet_hz : float
        Bandwidth of its loudspeaker.
    chorus_s, chorus_hz : float
        Depth and rate of a chorus; 0 for none.
    tremolo, tremolo_hz : float
        Depth (0-1) and rate.
    """

    level_db: float
    equaliser: tuple[Band, ...]
    drive: Saturation | None
    cabinet_hz: float
    chorus_s: float
    chorus_hz: float
    tremolo: float
    tremolo_hz: float


@dataclass(frozen=True, slots=True)
class Part:
    """One player: role, what it plays on, its strokes, how notes end, and its effects."""

    role: str
    voice: Timbre | Instrument
    strokes: tuple[Stroke, ...]
    velocity_exponent: float
    release_s: float
    effects: Effects


@dataclass(frozen=True, slots=True)
class Hiss:
    """Noise that comes and goes: wind, breath, a crowd, a synthesiser's sweep."""

    seed: int
    level_db: float
    lowest_hz: float
    highest_hz: float
    rate_hz: float


@dataclass(frozen=True, slots=True)
class Accompaniment:
    """All that sounds beside the drums, as drawn.

    Attributes
    ----------
    is_alone : bool
        The drums are silent.
    level_db : float
        Re the drums.
    parts : tuple of Part
        At least one.
    hiss : Hiss or None
        Noise that belongs to no part.
    room, room_db : Room, float
        Reverberation and its level re the direct sound.
    equaliser, compressor, saturation
        On the whole.
    """

    is_alone: bool
    level_db: float
    parts: tuple[Part, ...]
    hiss: Hiss | None
    room: Room
    room_db: float
    equaliser: tuple[Band, ...]
    compressor: Compressor | None
    saturation: Saturation | None

    @property
    def samples(self) -> tuple[PitchedSample, ...]:
        """Every recorded note that is played, once, by name."""
        used = {
            sample.name: sample
            for part in self.parts
            if isinstance(part.voice, Instrument)
            for note in _notes_of(part)
            for sample in (part.voice.choose(note.pitch, note.typical_velocity),)
        }
        return tuple(used[name] for name in sorted(used))

    def record(self) -> dict[str, Any]:
        """Give what was drawn, as plain values for a JSON file."""
        return {
            "alone": self.is_alone,
            "level_db": self.level_db,
            "parts": [
                {
                    "role": part.role,
                    "voice": part.voice.name
                    if isinstance(part.voice, Instrument)
                    else asdict(part.voice),
                    "strokes": len(part.strokes),
                    "effects": asdict(part.effects),
                }
                for part in self.parts
            ],
            "hiss": None if self.hiss is None else asdict(self.hiss),
            "room": asdict(self.room),
            "room_db": self.room_db,
        }


def draw_accompaniment(
    rng: np.random.Generator,
    performance: Performance,
    settings: AccompanimentSettings,
    pack: BackingPack | None = None,
) -> Accompaniment | None:
    """Draw who plays what, or that nobody does.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    performance : Performance
        The drums: rhythmic skeleton of most parts.
    settings : AccompanimentSettings
        Shares and levels.
    pack : BackingPack, optional
        Recorded instruments of one split; without it all are synthesised.

    Returns
    -------
    Accompaniment or None
        None for a scene of drums alone.
    """
    chance = rng.random()
    if chance >= settings.alone_share + settings.share:
        return None
    stage = draw_stage(rng, performance.hits, performance.duration_s)
    roles = [role for role, share in ROLES.items() if rng.random() < share] or ["chords"]
    parts = [draw_part(rng, role, stage, pack) for role in roles]
    wet, squeezed, bent, noisy = rng.random(4)
    return Accompaniment(
        is_alone=chance < settings.alone_share,
        level_db=float(rng.uniform(*settings.level_range_db)),
        parts=tuple(parts),
        hiss=draw_hiss(rng) if noisy < 0.15 else None,
        room=draw_room(rng),
        room_db=float(rng.uniform(-24.0, -3.0)) if wet < 0.6 else -120.0,
        equaliser=draw_equaliser(rng, float(rng.uniform(0.5, 4.0))),
        compressor=draw_compressor(rng) if squeezed < 0.4 else None,
        saturation=draw_saturation(rng) if bent < 0.2 else None,
    )


def draw_part(rng: np.random.Generator, role: str, stage: Stage, pack: BackingPack | None) -> Part:
    """Draw one player; one in five does not listen to the drums."""
    voice = draw_voice(rng, role.removesuffix("_2"), pack)
    stage = free_stage(rng, stage) if rng.random() < 0.2 else stage
    strokes = humanise(rng, _WRITERS[role](rng, stage), stage)
    return Part(
        role=role,
        voice=voice,
        strokes=strokes,
        velocity_exponent=float(rng.uniform(0.4, 1.6)),
        release_s=float(0.004 * 30 ** rng.random()) * (3.0 if role == "pad" else 1.0),
        effects=draw_effects(rng, role, voice),
    )


def draw_voice(
    rng: np.random.Generator, role: str, pack: BackingPack | None
) -> Timbre | Instrument:
    """Draw what a role is played on: a recorded instrument that suits it, or a timbre."""
    recorded = rng.random() < _RECORDED[role]
    instruments = [i for i in pack.instruments if _suits(i, role)] if pack else []
    if recorded and instruments:
        # Families count alike: one sound font holds more instruments than all other recordings.
        families = sorted({i.family for i in instruments})
        family = families[int(rng.integers(len(families)))]
        relatives = [i for i in instruments if i.family == family]
        return relatives[int(rng.integers(len(relatives)))]
    weights = _ENGINES[role]
    engine = str(rng.choice(list(weights), p=list(weights.values())))
    soft = role == "pad" or (engine == "table" and rng.random() < 0.3)
    return draw_timbre(rng, cast(Engine, engine), soft=soft)


def draw_effects(rng: np.random.Generator, role: str, voice: Timbre | Instrument) -> Effects:
    """Draw equaliser, amplifier, chorus and tremolo of a part."""
    plucked = isinstance(voice, Instrument) or voice.engine == "string"
    driven = {"bass": 0.15, "chords": 0.45, "chords_2": 0.45, "riff": 0.45, "melody": 0.15}
    is_driven = rng.random() < driven.get(role, 0.0) * (1.0 if plucked else 0.3)
    drive_db = float(rng.uniform(6.0, 24.0) if role == "bass" else rng.uniform(14.0, 45.0))
    chances = rng.random(2)
    return Effects(
        level_db=float(rng.uniform(-4.0, 4.0) if role == "bass" else rng.uniform(-10.0, 2.0)),
        equaliser=draw_equaliser(rng, float(rng.uniform(1.0, 5.0))),
        drive=Saturation(drive_db, float(rng.uniform(0.0, 0.2))) if is_driven else None,
        cabinet_hz=float(rng.uniform(3_000.0, 7_000.0)),
        chorus_s=float(rng.uniform(0.001, 0.004)) if chances[0] < 0.2 else 0.0,
        chorus_hz=float(rng.uniform(0.2, 2.0)),
        tremolo=float(rng.uniform(0.2, 0.9)) if chances[1] < 0.08 else 0.0,
        tremolo_hz=float(rng.uniform(2.0, 8.0)),
    )


def draw_hiss(rng: np.random.Generator) -> Hiss:
    """Draw a noise."""
    lowest_hz = float(60.0 * 60 ** rng.random())
    return Hiss(
        seed=int(rng.integers(2**32)),
        level_db=float(rng.uniform(-24.0, -4.0)),
        lowest_hz=lowest_hz,
        highest_hz=float(min(lowest_hz * rng.uniform(1.5, 20.0), 18_000.0)),
        rate_hz=float(rng.uniform(0.1, 2.0)),
    )


def render_accompaniment(accompaniment: Accompaniment, n_samples: int) -> Audio:
    """Play all parts and mix them.

    Parameters
    ----------
    accompaniment : Accompaniment
        What was drawn.
    n_samples : int
        Length of the scene.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Its RMS is 1, or it is silent where no note falls into the scene.
    """
    mix = np.zeros(n_samples, dtype=np.float32)
    for part in accompaniment.parts:
        mix += run_effects(play_part(part, n_samples), part.effects)
    if accompaniment.hiss is not None:
        mix += make_hiss(accompaniment.hiss, n_samples)
    mix = equalise(mix, accompaniment.equaliser)
    if accompaniment.room_db > -100:
        wet = convolve(mix, room_response(accompaniment.room))
        mix = mix + np.float32(10 ** (accompaniment.room_db / 20)) * wet
    peak = np.max(np.abs(mix), initial=np.float32(1e-9))
    if accompaniment.compressor is not None:
        mix = compress(mix / peak, accompaniment.compressor)
    if accompaniment.saturation is not None:
        mix = saturate(mix / np.max(np.abs(mix), initial=1e-9), accompaniment.saturation)
    level = rms(mix)
    return mix if level == 0.0 else np.asarray(mix / np.float32(level), dtype=np.float32)


def mix_level(drums: Audio, accompaniment: Accompaniment) -> np.float32:
    """Factor that brings a rendered accompaniment to its level re the drums; 1 without drums."""
    level = rms(drums)
    return np.float32(level * 10 ** (accompaniment.level_db / 20) if level > 0 else 1.0)


def rms(audio: Audio) -> float:
    """Root of the mean square; 0 for nothing."""
    return float(np.sqrt(np.mean(np.square(audio), dtype=np.float64))) if len(audio) else 0.0


def notes_labels(accompaniment: Accompaniment, n_samples: int) -> tuple[Onset, ...]:
    """Label the notes: exact times, one event for what is struck at once.

    Parameters
    ----------
    accompaniment : Accompaniment
        What is played.
    n_samples : int
        Length of the scene: later notes are not in it.

    Returns
    -------
    tuple of Onset
        Sorted; a chord carries its first note's pitch.
    """
    notes = sorted(
        (note for part in accompaniment.parts for note in _notes_of(part)),
        key=lambda note: (note.onset, note.pitch),
    )
    kept: list[_Note] = []
    for note in notes:
        apart = not kept or note.onset - kept[-1].onset >= SAME_EVENT_S * SAMPLE_RATE_HZ
        if apart and note.onset < n_samples:
            kept.append(note)
    return tuple(
        sort_onsets(
            Onset(n.onset / SAMPLE_RATE_HZ, PITCHED, round(n.pitch), n.velocity) for n in kept
        )
    )


def play_part(part: Part, n_samples: int) -> Audio:
    """Play the notes of a part.

    Parameters
    ----------
    part : Part
        What is played on what.
    n_samples : int
        Length.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        The part as it leaves the instrument.
    """
    notes = _notes_of(part)
    release = max(1, round(part.release_s * SAMPLE_RATE_HZ))
    longest: dict[tuple[float, int], int] = {}
    for note in notes:
        key = (note.pitch, note.layer)
        longest[key] = max(longest.get(key, 0), note.held + 6 * release)
    made: dict[tuple[float, int], Audio] = {}
    bus = np.zeros(n_samples, dtype=np.float32)
    for note in notes:
        key = (note.pitch, note.layer)
        if _is_one_of_a_kind(part.voice, note):
            audio = _sound(part.voice, note, note.held + 6 * release)
        else:
            if key not in made:
                made[key] = _sound(part.voice, note, longest[key])
            audio = made[key]
        gain = (note.velocity / 127) ** part.velocity_exponent
        _add_note(bus, audio, note, release, gain)
    return bus


def run_effects(audio: Audio, effects: Effects) -> Audio:
    """Amplifier, equaliser, chorus, tremolo, level; none of them moves an onset ahead."""
    if effects.drive is not None:
        peak = np.max(np.abs(audio), initial=np.float32(1e-9))
        audio = saturate(audio / peak, effects.drive)
        audio = lowpass(highpass(audio, 75.0, 2), effects.cabinet_hz, 3)
    audio = equalise(audio, effects.equaliser)
    time_s = np.arange(len(audio), dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    if effects.chorus_s:
        audio = audio + _swaying(audio, effects)
    if effects.tremolo:
        sway = np.sin(np.float32(2 * np.pi * effects.tremolo_hz) * time_s)
        audio = audio * (1 - np.float32(effects.tremolo / 2) * (1 + sway))
    # Loudness of what sounds, not of the rests: weighted by itself.
    power = np.square(audio)
    loudness = np.sqrt(np.dot(power, power) / (np.sum(power, dtype=np.float64) + 1e-12))
    gain = np.float32(10 ** (effects.level_db / 20) / (loudness + 1e-9))
    return np.asarray(audio * gain, dtype=np.float32)


def make_hiss(hiss: Hiss, n_samples: int) -> Audio:
    """Make a noise that swells and fades, shape (n_samples,)."""
    rng = np.random.default_rng(hiss.seed)
    noise = rng.standard_normal(n_samples, dtype=np.float32)
    noise = lowpass(highpass(noise, hiss.lowest_hz, 1), hiss.highest_hz, 1)
    n_turns = max(2, round(n_samples / SAMPLE_RATE_HZ * hiss.rate_hz) + 2)
    swell = np.interp(
        np.linspace(0, n_turns - 1, n_samples), np.arange(n_turns), rng.random(n_turns)
    )
    level = 10 ** (hiss.level_db / 20) / (rms(noise) + 1e-9)
    return np.asarray(level * swell**2 * noise, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Note:
    """One note of a stroke: first sample, pitch, velocity, samples until it is let go."""

    onset: int
    pitch: float
    velocity: int
    held: int
    glide_from: float | None
    number: int

    @property
    def layer(self) -> int:
        return self.velocity * _VELOCITY_LAYERS // 128

    @property
    def typical_velocity(self) -> int:
        """Velocity that all notes of its layer are made with."""
        return (2 * self.layer + 1) * 127 // (2 * _VELOCITY_LAYERS)


def _notes_of(part: Part) -> list[_Note]:
    notes = []
    for number, stroke in enumerate(part.strokes):
        delays_s = np.linspace(0.0, stroke.spread_s, len(stroke.pitches))
        notes += [
            _Note(
                onset=round((stroke.time_s + float(delay_s)) * SAMPLE_RATE_HZ),
                pitch=_reachable(part.voice, pitch),
                velocity=stroke.velocity,
                held=max(1, round(stroke.duration_s * SAMPLE_RATE_HZ)),
                glide_from=stroke.glide_from,
                number=number,
            )
            for pitch, delay_s in zip(stroke.pitches, delays_s, strict=True)
        ]
    return notes


def _is_one_of_a_kind(voice: Timbre | Instrument, note: _Note) -> bool:
    if isinstance(voice, Instrument):
        return False
    return voice.engine == "voice" or (voice.engine == "table" and note.glide_from is not None)


def _sound(voice: Timbre | Instrument, note: _Note, n_samples: int) -> Audio:
    """Make a note as loud as any other: peak near 1."""
    if isinstance(voice, Instrument):
        sample = voice.choose(note.pitch, note.typical_velocity)
        return play_sample(sample, note.pitch)[:n_samples]
    return synthesise(
        voice,
        note.pitch,
        note.typical_velocity,
        n_samples / SAMPLE_RATE_HZ,
        glide_from=note.glide_from,
        number=note.number if voice.engine == "voice" else 0,
    )


def _add_note(bus: Audio, audio: Audio, note: _Note, release: int, gain: float) -> None:
    stop = min(len(audio), note.held + 6 * release, len(bus) - note.onset)
    if stop <= 0:
        return
    sounding = np.float32(gain) * audio[:stop]
    if stop > note.held:
        fading = np.arange(stop - note.held, dtype=np.float32) / np.float32(release)
        sounding[note.held :] *= np.exp(-fading)
    bus[note.onset : note.onset + stop] += sounding


def _swaying(audio: Audio, effects: Effects) -> Audio:
    """Copy of a signal, 5 ms late and more, less, more."""
    index = np.arange(len(audio), dtype=np.int32)
    turn = np.float32(2 * np.pi * effects.chorus_hz / SAMPLE_RATE_HZ)
    delay = 0.005 + effects.chorus_s * (1 + np.sin(turn * index.astype(np.float32)))
    delay = (delay * SAMPLE_RATE_HZ).astype(np.float32)
    whole = delay.astype(np.int32)
    part = delay - whole
    padded = np.concatenate([np.zeros(int(delay.max(initial=0)) + 2, dtype=np.float32), audio])
    start = index + (len(padded) - len(audio)) - whole
    late = padded[start] * (1 - part) + padded[start - 1] * part
    return np.asarray(0.8 * late, dtype=np.float32)


def _suits(instrument: Instrument, role: str) -> bool:
    if role == "bass":
        return "bass" in instrument.name
    if role == "chords":
        return "bass" not in instrument.name and "sax" not in instrument.name
    if role == "pad":
        return any(word in instrument.name for word in _HELD)
    return role == "riff" or "bass" not in instrument.name


def _reachable(voice: Timbre | Instrument, pitch: float) -> float:
    """Bring a pitch within the range of an instrument, by octaves."""
    if isinstance(voice, Timbre):
        return pitch
    while pitch < voice.lowest - 3:
        pitch += 12
    while pitch > max(voice.highest, voice.lowest + 12) + 3:
        pitch -= 12
    return pitch
