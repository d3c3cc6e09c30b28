"""Parts: what pitched instruments play beside the drums, by rule.

Conventions
-----------
- A part is a list of strokes: notes struck together, or one note, or a strum.
- A `Clock` carries beats and bars. It is found in the hits (a rough pulse: a listener's, not the
  score's), or free of them.
- Pitches are MIDI notes; degrees count the notes of a scale from its root, 0 first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.rendering.performance import Hit

Times = NDArray[np.float64]

#: Beats are looked for between these periods.
_PERIODS_S = np.geomspace(0.32, 0.86, 90)
_WINDOW_S = 6.0

#: Steps this near to a drum hit are drawn onto it.
_SNAP_S = 0.045

_SCALES = (
    (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 10), (0, 1, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 8, 11),
)  # fmt: skip

_PULSE_WEIGHTS = {"KD": 1.0, "SD": 1.0, "HH": 0.4, "CY": 0.4}


@dataclass(frozen=True, slots=True)
class Stroke:
    """Notes struck together.

    Attributes
    ----------
    time_s : float
        When the first of them is struck.
    pitches : tuple of float
        In the order in which they are struck.
    velocity : int
        1-127.
    duration_s : float
        Until they are let go.
    spread_s : float
        From the first to the last: a strum.
    glide_from : float or None
        Pitch that a single note comes from.
    """

    time_s: float
    pitches: tuple[float, ...]
    velocity: int
    duration_s: float
    spread_s: float = 0.0
    glide_from: float | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Beats, and how they are counted.

    Attributes
    ----------
    beats_s : ndarray, shape (n_beats,)
        Their times.
    beats_per_bar, steps_per_beat : int
        How they group and divide.
    swing : float
        By how much of a step every second step is late.
    """

    beats_s: Times
    beats_per_bar: int
    steps_per_beat: int
    swing: float

    @property
    def steps_per_bar(self) -> int:
        """Steps in a bar."""
        return self.beats_per_bar * self.steps_per_beat

    def steps(self) -> Times:
        """Give the times of all steps, from the first beat on."""
        n_beats = len(self.beats_s)
        counted = np.arange((n_beats - 1) * self.steps_per_beat + 1, dtype=np.float64)
        counted[1::2] += self.swing
        return np.interp(counted / self.steps_per_beat, np.arange(n_beats), self.beats_s)


@dataclass(frozen=True, slots=True)
class Harmony:
    """A key and its chords: root (0-11), scale, degree of each chord, bars that a chord lasts."""

    root: int
    scale: tuple[int, ...]
    degrees: tuple[int, ...]
    bars_per_chord: int

    def pitch(self, degree: int) -> int:
        """Pitch of a degree, in the octave of MIDI note 0."""
        octave, step = divmod(degree, len(self.scale))
        return self.root + 12 * octave + self.scale[step]

    def degree(self, bar: int) -> int:
        """Degree of the chord of a bar."""
        return self.degrees[bar // self.bars_per_chord % len(self.degrees)]

    def chord(self, bar: int, size: int, low: int) -> tuple[int, ...]:
        """Chord of a bar: `size` notes from `low` upwards, triad or more."""
        tones = {self.pitch(self.degree(bar) + 2 * k) % 12 for k in range(min(max(size, 3), 4))}
        return tuple(p for p in range(low, low + 37) if p % 12 in tones)[:size]

    def nearest(self, degree: int, centre: float) -> int:
        """Pitch of a degree in the octave that lies nearest to `centre`."""
        pitch = self.pitch(degree) % 12
        return int(pitch + 12 * round((centre - pitch) / 12))


@dataclass(frozen=True, slots=True)
class Stage:
    """What a part plays to: clock, harmony, times of the drums by class, length in seconds."""

    clock: Clock
    harmony: Harmony
    drums_s: Mapping[str, Times]
    duration_s: float


def find_beats(hits: Sequence[Hit], duration_s: float) -> Times:
    """Find a rough pulse, window by window.

    Parameters
    ----------
    hits : sequence of Hit
        Sorted by time.
    duration_s : float
        Beats are given up to here.

    Returns
    -------
    ndarray, shape (n_beats,)
        Times of beats, at least two; evenly 0.5 s apart where nothing is played.
    """
    times_s = np.array([hit.time_s for hit in hits])
    weights = np.array([_PULSE_WEIGHTS.get(hit.label, 0.2) * hit.velocity for hit in hits])
    beats = [float(times_s[0]) if len(times_s) else 0.1]
    period_s, window_s = 0.5, beats[0]
    while beats[-1] < duration_s or len(beats) < 2:
        inside = (times_s >= window_s - 0.05) & (times_s < window_s + _WINDOW_S)
        if np.count_nonzero(inside) >= 4:
            period_s, phase_s = _find_period(times_s[inside], weights[inside])
            n_skipped = np.ceil((beats[-1] + 0.6 * period_s - phase_s) / period_s)
            beats.append(float(phase_s + n_skipped * period_s))
        window_s += _WINDOW_S
        while beats[-1] + period_s < window_s:
            beats.append(beats[-1] + period_s)
    return np.array([beat for beat in beats if beat < duration_s + 1.0])


def draw_stage(rng: np.random.Generator, hits: Sequence[Hit], duration_s: float) -> Stage:
    """Draw key and counting, and find the pulse of the hits."""
    clock = Clock(
        beats_s=find_beats(hits, duration_s),
        beats_per_bar=int(rng.choice([4, 4, 4, 4, 3, 2])),
        steps_per_beat=int(rng.choice([4, 4, 2, 3])),
        swing=float(rng.choice([0.0, 0.0, rng.uniform(0.1, 0.35)])),
    )
    n_chords = int(rng.choice([1, 2, 3, 4, 4, 8]))
    harmony = Harmony(
        root=int(rng.integers(12)),
        scale=_SCALES[int(rng.integers(len(_SCALES)))],
        degrees=tuple(int(d) for d in rng.integers(0, 7, n_chords)),
        bars_per_chord=int(rng.choice([1, 1, 2, 4])),
    )
    drums_s = {
        name: np.array([hit.time_s for hit in hits if hit.label == name])
        for name in ("KD", "SD", "HH")
    }
    return Stage(clock, harmony, drums_s, duration_s)


def free_stage(rng: np.random.Generator, stage: Stage) -> Stage:
    """Take the drums away: the same key, beats of an own tempo."""
    period_s = float(0.3 * 3 ** rng.random())
    beats_s = np.arange(rng.uniform(0.0, 1.0), stage.duration_s + period_s, period_s)
    clock = Clock(beats_s, stage.clock.beats_per_bar, stage.clock.steps_per_beat, 0.0)
    return Stage(clock, stage.harmony, {}, stage.duration_s)


def draw_bass(rng: np.random.Generator, stage: Stage) -> list[Stroke]:
    """Play a bass line: with the kick, on beats, and on some steps between."""
    grid = _Grid(stage)
    centre = float(rng.uniform(30, 42))
    times = [grid.steps_s[rng.random(len(grid.steps_s)) < _pattern(rng, stage, 0.04, 0.4, 0.12)]]
    kicks_s = stage.drums_s.get("KD", np.zeros(0))
    if len(kicks_s):
        times.append(kicks_s[rng.random(len(kicks_s)) < rng.uniform(0.5, 1.0)])
    starts_s = _apart(np.concatenate(times), 0.08)
    held = rng.uniform(0.3, 1.05)
    leaps = rng.choice([0, 4, 7, 2, -1], len(starts_s), p=[0.62, 0.12, 0.1, 0.08, 0.08])
    strokes = []
    for index, (start_s, leap) in enumerate(zip(starts_s, leaps, strict=True)):
        degree = stage.harmony.degree(grid.bar(start_s)) + int(leap)
        pitch = stage.harmony.nearest(degree, centre) + (12 if leap == 7 else 0)
        following_s = starts_s[index + 1] if index + 1 < len(starts_s) else start_s + 1.0
        duration_s = float(np.clip(held * (following_s - start_s), 0.05, 2.5))
        glide = pitch - 2.0 if rng.random() < 0.05 else None
        velocity = _velocity(rng, 92)
        strokes.append(
            Stroke(float(start_s), (float(pitch),), velocity, duration_s, glide_from=glide)
        )
    return strokes


def draw_chords(rng: np.random.Generator, stage: Stage) -> list[Stroke]:
    """Strum or stab chords: in a pattern of steps, or with one of the drums."""
    grid = _Grid(stage)
    followed = str(rng.choice(["KD", "SD", "HH"]))
    drum_s = stage.drums_s.get(followed, np.zeros(0))
    if len(drum_s) > 4 and rng.random() < 0.35:
        times_s = drum_s[rng.random(len(drum_s)) < rng.uniform(0.3, 1.0)]
    else:
        density = float(0.08 * 6 ** rng.random())
        times_s = grid.steps_s[
            rng.random(len(grid.steps_s))
            < _pattern(rng, stage, density, rng.uniform(0.3, 1.0), density)
        ]
    times_s = _apart(times_s, 0.09)
    size, low = int(rng.integers(2, 7)), int(rng.integers(40, 64))
    spread_s = float(rng.choice([0.0, rng.uniform(0.005, 0.03)]))
    held_s = float(0.05 * 20 ** rng.random())
    alternating = rng.random() < 0.5
    strokes = []
    for index, start_s in enumerate(times_s):
        pitches = stage.harmony.chord(grid.bar(start_s), size, low)
        if alternating and index % 2:
            pitches = pitches[::-1]
        strokes.append(
            Stroke(
                float(start_s),
                tuple(float(p) for p in pitches),
                _velocity(rng, 84),
                held_s * float(rng.uniform(0.7, 1.4)),
                spread_s * float(rng.uniform(0.4, 1.6)),
            )
        )
    return strokes


def draw_pad(rng: np.random.Generator, stage: Stage) -> list[Stroke]:
    """Hold a chord for a bar or more, from bar to bar."""
    grid = _Grid(stage)
    bars_s = grid.steps_s[:: stage.clock.steps_per_bar]
    size, low = int(rng.integers(2, 6)), int(rng.integers(43, 66))
    every = stage.harmony.bars_per_chord
    strokes = []
    for bar in range(0, len(bars_s), every):
        stop_s = bars_s[bar + every] if bar + every < len(bars_s) else stage.duration_s
        if stop_s - bars_s[bar] < 0.3 or rng.random() < 0.1:
            continue
        # Longer than 5 s is struck again by few instruments: the note goes on, that is all.
        duration_s = float(min(stop_s - bars_s[bar], 5.0))
        chord = tuple(float(p) for p in stage.harmony.chord(bar, size, low))
        strokes.append(Stroke(float(bars_s[bar]), chord, _velocity(rng, 75), duration_s))
    return strokes


def draw_riff(rng: np.random.Generator, stage: Stage) -> list[Stroke]:
    """Repeat a figure of single notes, one or two bars long, under changing chords."""
    grid = _Grid(stage)
    length = stage.clock.steps_per_bar * int(rng.integers(1, 3))
    played = rng.random(length) < rng.uniform(0.2, 0.9)
    degrees = np.cumsum(rng.integers(-2, 3, length)) % 8
    follows_chord, centre = rng.random() < 0.6, float(rng.uniform(48, 76))
    staccato = rng.uniform(0.3, 1.0)
    step_s = float(np.median(np.diff(grid.steps_s))) if len(grid.steps_s) > 1 else 0.15
    strokes = []
    for index, start_s in enumerate(grid.steps_s):
        if not played[index % length] or rng.random() < 0.05:
            continue
        base = stage.harmony.degree(grid.bar(start_s)) if follows_chord else 0
        pitch = stage.harmony.nearest(base, centre) - stage.harmony.pitch(base)
        pitch += stage.harmony.pitch(base + int(degrees[index % length]))
        duration_s = staccato * step_s * float(rng.choice([1, 1, 2]))
        strokes.append(Stroke(float(start_s), (float(pitch),), _velocity(rng, 84), duration_s))
    return strokes


def draw_melody(rng: np.random.Generator, stage: Stage) -> list[Stroke]:
    """Sing or play phrases of free rhythm, with glides, near the beat or not."""
    grid = _Grid(stage)
    centre = float(rng.uniform(52, 76))
    typical_s = float(0.15 * 5 ** rng.random())
    rest_s, gliding = float(rng.uniform(0.3, 4.0)), float(rng.choice([0.1, 0.5, 0.9]))
    on_grid = rng.random() < 0.6
    degree, clock_s = int(rng.integers(0, 7)), float(rng.uniform(0.0, 3.0))
    before: float | None = None
    strokes: list[Stroke] = []
    while clock_s < stage.duration_s - 0.1:
        duration_s = float(np.clip(typical_s * 2 ** rng.normal(0, 0.7), 0.08, 3.0))
        start_s = float(clock_s)
        if on_grid and len(grid.steps_s):
            start_s = float(grid.steps_s[np.argmin(np.abs(grid.steps_s - clock_s))])
        degree = int(np.clip(degree + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3]), -3, 9))
        pitch = float(stage.harmony.nearest(0, centre) + stage.harmony.pitch(degree))
        pitch -= stage.harmony.root
        if not strokes or start_s > strokes[-1].time_s + 0.06:
            glide = before if before is not None and rng.random() < gliding else None
            glide = pitch - 1.5 if glide is None and rng.random() < 0.2 * gliding else glide
            velocity = _velocity(rng, 86)
            strokes.append(Stroke(start_s, (pitch,), velocity, duration_s, glide_from=glide))
        before = pitch
        clock_s = max(clock_s, start_s) + duration_s
        if rng.random() < 0.15:
            clock_s, before = clock_s + rest_s * rng.exponential(), None
    return strokes


def humanise(
    rng: np.random.Generator, strokes: Sequence[Stroke], stage: Stage
) -> tuple[Stroke, ...]:
    """Let a player be early or late, rest for some bars, and start within the recording.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    strokes : sequence of Stroke
        As written.
    stage : Stage
        Where the bars are.

    Returns
    -------
    tuple of Stroke
        Sorted by time; at most 25 ms from where they were written.
    """
    grid = _Grid(stage)
    lag_s, spread_s = rng.normal(0.0, 0.006), rng.uniform(0.001, 0.010)
    n_rests = 2 + len(stage.clock.beats_s) // stage.clock.beats_per_bar // 4
    playing = rng.random(n_rests) < rng.uniform(0.6, 1.0)
    moved = []
    for stroke in strokes:
        shift_s = float(np.clip(rng.normal(lag_s, spread_s), -0.025, 0.025))
        time_s = stroke.time_s + shift_s
        if playing[grid.bar(stroke.time_s) // 4 % n_rests] and 0 <= time_s < stage.duration_s:
            moved.append(
                Stroke(
                    time_s,
                    stroke.pitches,
                    stroke.velocity,
                    stroke.duration_s,
                    stroke.spread_s,
                    stroke.glide_from,
                )
            )
    return tuple(sorted(moved, key=lambda stroke: stroke.time_s))


class _Grid:
    """Steps of a stage, drawn onto near drum hits, and the bars they lie in."""

    def __init__(self, stage: Stage) -> None:
        steps_s = stage.clock.steps()
        self._bar_starts_s = steps_s[:: stage.clock.steps_per_bar]
        drums_s = np.sort(np.concatenate([np.zeros(0), *stage.drums_s.values()]))
        self.steps_s = _snap(steps_s, drums_s)

    def bar(self, time_s: float) -> int:
        """Bar of a time; a note a little ahead of the bar line belongs behind it."""
        return max(0, int(np.searchsorted(self._bar_starts_s, time_s + 0.06)) - 1)


def _snap(times_s: Times, to_s: Times) -> Times:
    if len(to_s) == 0:
        return times_s
    after = np.clip(np.searchsorted(to_s, times_s), 0, len(to_s) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(
        np.abs(to_s[before] - times_s) < np.abs(to_s[after] - times_s), to_s[before], to_s[after]
    )
    return np.where(np.abs(nearer - times_s) < _SNAP_S, nearer, times_s)


def _find_period(times_s: Times, weights: Times) -> tuple[float, float]:
    """Period and phase of the pulse that beats and their halves and quarters fit best."""
    turns = np.exp(2j * np.pi * times_s[None, :] / _PERIODS_S[:, None])
    on_beats, halves, quarters = ((turns**k) @ weights for k in (1, 2, 4))
    near = np.exp(-0.5 * (np.log2(_PERIODS_S / 0.52) / 0.6) ** 2)
    score = near * (np.abs(on_beats) + 0.8 * np.abs(halves) + 0.6 * np.abs(quarters))
    best = int(np.argmax(score))
    period_s = float(_PERIODS_S[best])
    return period_s, float(np.angle(on_beats[best]) / (2 * np.pi) * period_s)


def _pattern(
    rng: np.random.Generator, stage: Stage, density: float, on_beat: float, jitter: float
) -> Times:
    """Chance of every step: a pattern of one bar or two, repeated, a little unsteady."""
    clock = stage.clock
    length = clock.steps_per_bar * int(rng.integers(1, 3))
    chances = np.full(length, density)
    chances[:: clock.steps_per_beat] = on_beat
    pattern = np.where(rng.random(length) < chances, 1.0 - jitter / 3, jitter / 6)
    n_steps = (len(clock.beats_s) - 1) * clock.steps_per_beat + 1
    return np.resize(pattern, n_steps)


def _apart(times_s: Times, least_s: float) -> Times:
    """Sort times and drop those less than `least_s` after one that is kept."""
    kept: list[float] = []
    for time_s in np.sort(times_s):
        if not kept or time_s - kept[-1] >= least_s:
            kept.append(float(time_s))
    return np.array(kept)


def _velocity(rng: np.random.Generator, typical: float) -> int:
    return int(np.clip(rng.normal(typical, 16), 25, 127))
