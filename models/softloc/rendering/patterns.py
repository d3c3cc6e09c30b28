"""Patterns by rule: beats, rolls, scattered and single hits that the recorded grooves lack.

Conventions
-----------
- A lane is a string with one sign per step: ``X`` accent, ``x`` stroke, ``g`` ghost note, ``o`` a
  stroke half of the time, ``.`` nothing. All lanes of a pattern are equally long: one bar.
- Notes are General MIDI percussion; 42 stands for whatever keeps time (hat, ride, crash).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from softloc.rendering.grooves import Note

KICK, SIDE_STICK, SNARE, TOM_LO, HAT, PEDAL, TOM_MID, OPEN_HAT, TOM_HI, CRASH, RIDE, BELL = (
    36, 37, 38, 43, 42, 44, 45, 46, 48, 49, 51, 53,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """One bar: steps per quarter note, usual tempi, and a lane per MIDI note."""

    name: str
    steps_per_beat: int
    bpm_range: tuple[float, float]
    lanes: Mapping[int, str]


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "rock eighths", 4, (70, 160),
        {KICK: "X.....o.x.x...o.", SNARE: "....X.......X..o", HAT: "X.x.X.x.X.x.X.x."},
    ),
    Pattern(
        "rock quarters", 4, (90, 190),
        {KICK: "X..o..x.x.....o.", SNARE: "....X.......X...", HAT: "X...X...X...X..."},
    ),
    Pattern(
        "sixteenths", 4, (65, 115),
        {KICK: "X..x..o.o.x....o", SNARE: "....X..g.g..X..g", HAT: "XxxxXxxxXxxxXxxx"},
    ),
    Pattern(
        "off-beat hats", 4, (100, 140),
        {KICK: "X...X...X...X...", SNARE: "....X.......X...", OPEN_HAT: "..X...X...X...X."},
    ),
    Pattern(
        "half time", 4, (110, 170),
        {KICK: "X..o......o...o.", SNARE: "........X.......", HAT: "X.x.X.x.X.x.X.xo"},
    ),
    Pattern(
        "d-beat", 4, (140, 210),
        {KICK: "X..x..x.X..x..x.", SNARE: "....X.......X...", HAT: "X.X.X.X.X.X.X.X."},
    ),
    Pattern(
        "polka punk", 4, (90, 130),
        {KICK: "X.x.X.x.X.x.X.x.", SNARE: ".X.X.X.X.X.X.X.X", HAT: "X.X.X.X.X.X.X.X."},
    ),
    Pattern(
        "double kick", 4, (90, 180),
        {KICK: "xxxxxxxxxxxxxxxx", SNARE: "....X.......X...", HAT: "X...X...X...X..."},
    ),
    Pattern(
        "shuffle", 3, (80, 180),
        {KICK: "X....ox..o..", SNARE: "...X.g...X.g", HAT: "X.xX.xX.xX.x"},
    ),
    Pattern(
        "swing", 3, (100, 240),
        {KICK: "g..g..g..g..", SNARE: "..o.....o..g", RIDE: "X..X.xX..X.x", PEDAL: "...x.....x.."},
    ),
    Pattern(
        "waltz", 3, (90, 190), {KICK: "X........", SNARE: "..o..go.g", RIDE: "X..X.xX.x"}
    ),
    Pattern(
        "bossa nova", 4, (100, 170),
        {KICK: "X..xX..xX..xX..x", SIDE_STICK: "X..X..X...X..X..", HAT: "x.x.x.x.x.x.x.x."},
    ),
    Pattern(
        "samba", 4, (85, 130),
        {KICK: "x..Xx..Xx..Xx..X", SNARE: "Xgg.gXggXg.gXggX", PEDAL: "..x...x...x...x."},
    ),
    Pattern(
        "train", 4, (90, 140),
        {KICK: "X...X...X...X...", SNARE: "ggXgggXgggXgggXg", PEDAL: "....x.......x..."},
    ),
    Pattern(
        "songo", 4, (80, 115),
        {KICK: "...x..x....x..x.", SNARE: "..g.X.gg.gX..gg.", BELL: "X.x.xx.xx.x.xx.x"},
    ),
    Pattern(
        "one drop", 4, (60, 90),
        {KICK: "........X.......", SIDE_STICK: "........X.......", HAT: "x.x.x.x.x.xxx.x."},
    ),
    Pattern(
        "toms", 4, (80, 150),
        {KICK: "X...X...X...X...", TOM_LO: "X.xxX.x.X.xxX.x.", TOM_MID: ".....x..........",
         TOM_HI: ".......x.......x", SNARE: "........o...X..."},
    ),
    Pattern(
        "crash and snare", 4, (90, 180),
        {KICK: "X...x...X...x...", SNARE: "....X.......X...", CRASH: "X.......o......."},
    ),
    Pattern(
        "disco", 4, (105, 132),
        {KICK: "X...X...X...X...", SNARE: "....X.......X...", HAT: "x.....x.x.....x.",
         OPEN_HAT: "..X...X...X...X."},
    ),
    Pattern(
        "funk", 4, (85, 120),
        {KICK: "X.x...x..x.o..o.", SNARE: "....X.gg.g..Xg.g", HAT: "XxxxXxxxXxxxXxx.",
         OPEN_HAT: "...............o"},
    ),
    Pattern(
        "ride eighths", 4, (80, 180),
        {KICK: "X.....o.x.x...o.", SNARE: "....X.......X...", RIDE: "X.x.X.x.X.x.X.x.",
         PEDAL: "....o.......o..."},
    ),
    Pattern(
        "ride bell off-beats", 4, (90, 140),
        {KICK: "X..x..x.X..x..x.", SNARE: "....X..g....X..g", BELL: "..X...X...X...X."},
    ),
    Pattern(
        "crash quarters", 4, (90, 190),
        {KICK: "X..o..x.x..o..o.", SNARE: "....X.......X...", CRASH: "X...X...X...X..."},
    ),
    Pattern(
        "cascara", 4, (85, 115),
        {KICK: "...x..x....x..x.", SNARE: "..g...X...g...X.", RIDE: "X.X.xX.xX.X.xX.x",
         PEDAL: "....x.......x..."},
    ),
    Pattern(
        "mambo", 4, (85, 120),
        {KICK: "......x.......x.", BELL: "X.x.xXx.X.xXx.x.", SIDE_STICK: "....X...........",
         TOM_HI: "............xx..", PEDAL: "....x.......x..."},
    ),
    Pattern(
        "cha-cha", 4, (100, 130),
        {KICK: "X.......x.....x.", SIDE_STICK: "....X.......X...", BELL: "X...X...X...X...",
         TOM_HI: "............x.x."},
    ),
    Pattern(
        "afro six eight", 3, (85, 150),
        {KICK: "X..x..X..x..", SIDE_STICK: "...X.....X..", BELL: "X.X.XX.X.X.X",
         TOM_LO: "......x..o..", PEDAL: "...x.....x.."},
    ),
    Pattern(
        "jazz time", 3, (110, 280),
        {RIDE: "X..X.xX..X.x", PEDAL: "...X.....X..", SNARE: ".g...o..g..o", KICK: "o.....g....."},
    ),
    Pattern(
        "ballad taps", 3, (55, 90),
        {SNARE: "X..x.gX..x.g", PEDAL: "...x.....x..", KICK: "g.....g....."},
    ),
    Pattern(
        "brushed swing", 3, (100, 220),
        {SNARE: "x..x.xx..x.x", PEDAL: "...x.....x..", KICK: "g..o..g..o.."},
    ),
    Pattern(
        "brushed sixteenths", 4, (70, 120),
        {SNARE: "xggxXggxxggxXggx", KICK: "X.....x.X.....x.", PEDAL: "....o.......o..."},
    ),
    Pattern(
        "brushed waltz", 3, (80, 180),
        {SNARE: "...x.gx.x", PEDAL: "...x..x..", KICK: "x........"},
    ),
    Pattern(
        "brushed bossa nova", 4, (100, 160),
        {SNARE: "xxXxxxXxxxxXxxXx", KICK: "X..xX..xX..xX..x", PEDAL: "....x.......x..."},
    ),
    Pattern(
        "backbeat alone", 4, (70, 150), {KICK: "X.....o.X.o.....", SNARE: "....X.......X..."}
    ),
    Pattern(
        "loose eighths", 4, (70, 170),
        {KICK: "X..o..x.x.x...o.", SNARE: "....X.......X...", OPEN_HAT: "X.x.X.x.X.x.X.x."},
    ),
    Pattern(
        "loose quarters", 4, (80, 180),
        {KICK: "X..o..x.x.....o.", SNARE: "....X.......X...", OPEN_HAT: "X...X...X...X..."},
    ),
    Pattern(
        "hats and crashes", 4, (90, 170),
        {KICK: "X.....x.X.x...o.", SNARE: "....X.......X...", CRASH: "X...............",
         OPEN_HAT: "..x.X.x.X.x.X.x."},
    ),
    Pattern(
        "linear funk", 4, (80, 120),
        {KICK: "X..x......x..x..", SNARE: "....X..g.g..X...", HAT: ".xx..x.xx.xx..xx"},
    ),
    Pattern(
        "quick hats", 4, (65, 100),
        {KICK: "X.....X..X......", SNARE: "........X.......", HAT: "x.x.xxx.x.x.xxXx"},
    ),
    Pattern(
        "shuffle backbeat", 3, (85, 150),
        {KICK: "X.....X....o", SNARE: "g.gX.gg.gX.g", HAT: "X.xX.xX.xX.x"},
    ),
    Pattern(
        "twelve eight", 3, (45, 75),
        {KICK: "X....xX.....", SNARE: "...X.....X..", HAT: "XxxXxxXxxXxx"},
    ),
    Pattern(
        "steppers", 4, (65, 90),
        {KICK: "X...X...X...X...", SIDE_STICK: "........X.......", HAT: "X.xxX.xxX.xxX.xx"},
    ),
    Pattern(
        "second line", 4, (90, 120),
        {KICK: "X..x..x...x.x...", SNARE: "XgxgXgXgxgXgXgXg", PEDAL: "....x.......x..."},
    ),
    Pattern(
        "march", 4, (90, 130),
        {KICK: "X.......X.......", SNARE: "X.gxX.gxX.gxXxxx", PEDAL: "....x.......x..."},
    ),
    Pattern(
        "floor tom time", 4, (80, 150),
        {KICK: "X.......X.x.....", SNARE: "....X.......X...", TOM_LO: "x.x.x.x.x.x.x.x."},
    ),
    Pattern(
        "tribal", 4, (85, 140),
        {KICK: "X.....X...X.....", TOM_LO: "X..X..X.X..X..X.", TOM_MID: "..x.......x.x...",
         TOM_HI: ".....x.......x.."},
    ),
    Pattern(
        "tom sixteenths", 4, (65, 115),
        {KICK: "X...X...X...X...", TOM_HI: "Xxxx............", TOM_MID: "....XxxxX.......",
         TOM_LO: ".........xxxXxxx"},
    ),
    Pattern(
        "surf", 4, (120, 175),
        {KICK: "X...X...X...X...", SNARE: "....X.......X...", TOM_LO: "xxxxx.xxxxxxx.xx"},
    ),
    Pattern(
        "swung toms", 3, (140, 220),
        {KICK: "X..X..X..X..", TOM_LO: "X.xX.xX.xX.x", TOM_HI: ".....o.....o",
         PEDAL: "...x.....x.."},
    ),
    Pattern(
        "kick and snare", 4, (65, 160), {KICK: "X..o..x.X.x...o.", SNARE: "....X..o....X..o"}
    ),
    Pattern(
        "crash eighths", 4, (90, 170),
        {KICK: "X.x.....X.x...o.", SNARE: "....X.......X...", CRASH: "X.x.X.x.X.x.X.x."},
    ),
    Pattern(
        "stops", 4, (80, 160),
        {KICK: "X.....X.....o...", CRASH: "X.....X.........", SNARE: "............o.xX",
         TOM_LO: "..............o."},
    ),
    Pattern(
        "slow cymbals", 4, (50, 90),
        {RIDE: "X...x.x.X...x...", CRASH: "o...............", TOM_LO: "........o...o...",
         KICK: "o.......o......."},
    ),
)  # fmt: skip

_STRENGTH = {"X": 108.0, "x": 80.0, "g": 32.0, "o": 80.0}


def draw_pattern(rng: np.random.Generator, bpm: float, duration_s: float) -> tuple[Note, ...]:
    """Play a random pattern with human timing and dynamics.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    bpm : float
        Tempo to come near to, quarter notes per minute; halved or doubled to suit the pattern.
    duration_s : float
        How long, in seconds.

    Returns
    -------
    tuple of Note
        Sorted by time, starting at 0 s.
    """
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    bpm = _fit_tempo(bpm, pattern.bpm_range)
    step_s = 60.0 / bpm / pattern.steps_per_beat
    timing_s = rng.uniform(0.002, 0.010)
    spread = rng.uniform(3.0, 14.0)
    delays_s = {note: rng.normal(0.0, 0.006) for note in pattern.lanes}
    notes = []
    for step in range(int(duration_s / step_s)):
        for note, lane in pattern.lanes.items():
            sign = lane[step % len(lane)]
            # Nobody plays a bar twice alike: a stroke is dropped, or a rest is filled.
            if sign == "." or (sign == "o" and rng.random() < 0.5) or rng.random() < 0.03:
                continue
            time_s = step * step_s + delays_s[note] + rng.normal(0.0, timing_s)
            velocity = int(np.clip(rng.normal(_STRENGTH[sign], spread), 8, 127))
            notes.append(Note(max(0.0, time_s), note, velocity))
    return tuple(sorted(notes, key=lambda note: note.time_s))


def draw_roll(rng: np.random.Generator) -> tuple[Note, ...]:
    """Play a fast run: a snare roll, toms downwards, double kicks, or a cymbal swell."""
    kinds = (
        (SNARE,), (SNARE, TOM_HI, TOM_MID, TOM_LO), (TOM_HI, TOM_MID, TOM_LO),
        (KICK,), (TOM_LO,), (RIDE,), (CRASH,), (HAT,),
    )  # fmt: skip
    kind = kinds[int(rng.choice(len(kinds), p=[0.22, 0.24, 0.14, 0.12, 0.1, 0.06, 0.06, 0.06]))]
    rate_hz = rng.uniform(6.0, 12.0 if kind[0] == KICK else 16.0)
    count = int(rng.uniform(0.5, 2.2) * rate_hz) + 2
    first, last = rng.uniform(30.0, 110.0, size=2)
    strengths = np.linspace(first, last, count) + rng.normal(0.0, 6.0, count)
    strengths[1::2] *= rng.uniform(0.75, 1.0)  # the weaker hand
    times_s = np.arange(count) / rate_hz + rng.normal(0.0, 0.004, count)
    notes = [
        Note(max(0.0, float(time_s)), kind[index * len(kind) // count], int(strength))
        for index, (time_s, strength) in enumerate(
            zip(times_s, np.clip(strengths, 8, 127), strict=True)
        )
    ]
    return tuple(sorted(notes, key=lambda note: note.time_s))


def draw_scatter(rng: np.random.Generator, duration_s: float) -> tuple[Note, ...]:
    """Scatter independent hits: nothing about one drum can be guessed from another."""
    pool = (KICK, SNARE, HAT, OPEN_HAT, PEDAL, TOM_LO, TOM_MID, TOM_HI, CRASH, RIDE, BELL, 37)
    notes = []
    for note in rng.choice(pool, size=int(rng.integers(2, 7)), replace=False):
        gaps_s = 0.09 + rng.exponential(rng.uniform(0.3, 1.5), size=int(duration_s / 0.09) + 1)
        times_s = np.cumsum(gaps_s)
        for time_s in times_s[times_s < duration_s]:
            notes.append(Note(float(time_s), int(note), int(rng.integers(20, 128))))
    return tuple(sorted(notes, key=lambda note: note.time_s))


def draw_single(rng: np.random.Generator, duration_s: float) -> tuple[Note, ...]:
    """Strike one drum again and again, soft to loud or anyhow, each time into silence."""
    pool = (
        KICK,
        SNARE,
        SIDE_STICK,
        HAT,
        OPEN_HAT,
        PEDAL,
        TOM_LO,
        TOM_MID,
        TOM_HI,
        CRASH,
        RIDE,
        BELL,
    )
    note = pool[int(rng.integers(len(pool)))]
    gap_s = rng.uniform(0.4, 2.0)
    times_s = np.arange(0.0, duration_s, gap_s)
    times_s[1:] += rng.normal(0.0, 0.02 * gap_s, len(times_s) - 1)
    first, last = rng.uniform(15.0, 127.0, size=2)
    strengths = np.linspace(first, last, len(times_s))
    strengths = np.clip(strengths + rng.normal(0.0, 8.0, len(times_s)), 8, 127)
    return tuple(
        Note(float(time_s), note, int(strength))
        for time_s, strength in zip(times_s, strengths, strict=True)
    )


def _fit_tempo(bpm: float, bpm_range: tuple[float, float]) -> float:
    low, high = bpm_range
    while bpm > high:
        bpm /= 2
    while bpm < low:
        bpm *= 2
    return float(np.clip(bpm, low, high))
