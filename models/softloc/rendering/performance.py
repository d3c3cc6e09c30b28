"""Performances: notes of grooves and patterns, joined and turned into hits on a drum set.

Conventions
-----------
- A hit names an articulation (what is struck and how) and the MIDI note that it truly is: a hat
  note that is played on the ride becomes 51, and its label CY.
- Times are seconds from the start of the recording.
- Two strokes of one articulation less than `DOUBLE_TRIGGER_S` apart are one: electronic pads
  trigger twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from softloc.errors import SettingsError
from softloc.rendering.grooves import Groove, Note, read_notes
from softloc.rendering.patterns import draw_pattern, draw_roll, draw_scatter, draw_single
from softloc.vocabulary import OTHER, fold_label

DOUBLE_TRIGGER_S = 0.012

#: Articulation of each note of the grooves (Roland TD-11, General MIDI).
ARTICULATIONS: Mapping[int, str] = {
    35: "kick", 36: "kick", 37: "side_stick", 38: "snare", 40: "rimshot",
    22: "closed", 42: "closed", 26: "open", 46: "open", 44: "pedal",
    48: "tom_hi", 50: "tom_hi", 45: "tom_mid", 47: "tom_mid", 41: "tom_lo", 43: "tom_lo",
    58: "tom_lo", 49: "crash_a", 55: "crash_a", 57: "crash_b", 52: "crash_b",
    51: "ride", 59: "ride", 53: "ride_bell",
}  # fmt: skip

#: Note that each articulation is labelled with.
NOTES: Mapping[str, int] = {
    "kick": 36, "snare": 38, "brush": 38, "rimshot": 40, "side_stick": 37,
    "closed": 42, "half_open": 46, "open": 46, "pedal": 44,
    "tom_hi": 48, "tom_mid": 45, "tom_lo": 43,
    "crash_a": 49, "crash_b": 57, "splash": 55, "china": 52, "ride": 51, "ride_bell": 53,
    "tambourine": 54, "cowbell": 56, "clap": 39, "shaker": 70, "stick_click": 31, "perc": 63,
}  # fmt: skip

PERCUSSION = ("tambourine", "cowbell", "clap", "shaker", "stick_click", "perc")
_PERCUSSION_SHARES = (0.35, 0.1, 0.15, 0.2, 0.1, 0.1)
HATS = ("closed", "half_open", "open", "pedal")

#: Softer strokes on the snare are ghost notes.
GHOST_VELOCITY = 45


@dataclass(frozen=True, slots=True)
class Hit:
    """One stroke on the drum set.

    Attributes
    ----------
    time_s : float
        Onset in seconds.
    articulation : str
        A key of `NOTES`.
    velocity : int
        1-127.
    """

    time_s: float
    articulation: str
    velocity: int

    @property
    def midi_note(self) -> int:
        """Note of what is truly struck."""
        return NOTES[self.articulation]

    @property
    def label(self) -> str:
        """Class: KD SD HH TT CY, or OT for percussion beside the drum set."""
        if self.articulation in PERCUSSION:
            return OTHER
        return fold_label(str(self.midi_note), "5") or OTHER


@dataclass(frozen=True, slots=True)
class PerformanceSettings:
    """How performances are put together; shares are probabilities.

    Attributes
    ----------
    duration_range_s : tuple of float
        Shortest and longest performance, before its last sounds ring out.
    section_range_s : tuple of float
        Shortest and longest section.
    stretch_range : tuple of float
        Tempo factors.
    pattern_share, scatter_share, roll_share, single_share, fill_share : float
        Sections that are patterns by rule, scattered hits, rolls, one drum struck again and again
        with silence between, or fills of the grooves; the others are beats of the grooves.
    """

    duration_range_s: tuple[float, float] = (20.0, 60.0)
    section_range_s: tuple[float, float] = (6.0, 25.0)
    stretch_range: tuple[float, float] = (0.8, 1.25)
    pattern_share: float = 0.36
    scatter_share: float = 0.05
    roll_share: float = 0.05
    single_share: float = 0.04
    fill_share: float = 0.1


@dataclass(frozen=True, slots=True)
class Manner:
    """How a section is played.

    Attributes
    ----------
    hats : str
        ``played`` as written, or ``tight``, ``half_open``, ``open`` throughout, or ``mixed``, or
        ``silent``.
    timekeeper : str
        ``played`` as written; or hats and rides change to ``ride``, ``hat``, ``crash`` or ``tom``,
        or swap.
    pedal_share, ghost_share : float
        Share of the soft pedal notes, and of the ghost notes on the snare, that is kept.
    side_stick_share, brush_share : float
        Share of the snare notes that become side sticks or brush strokes.
    flam_share : float
        Share of the strong snare and tom strokes that a grace note precedes.
    accent : str or None
        Articulation that takes the place of the first crash, if any.
    percussion : str or None
        Instrument beside the drum set, if any.
    percussion_along : str
        What it plays along with: the ``snare``, the ``timekeeper``, or ``nothing``: evenly.
    """

    hats: str
    timekeeper: str
    pedal_share: float
    ghost_share: float
    side_stick_share: float
    brush_share: float
    flam_share: float
    accent: str | None
    percussion: str | None
    percussion_along: str = "nothing"


@dataclass(frozen=True, slots=True)
class Performance:
    """Hits in order of time, and where they come from.

    Attributes
    ----------
    hits : tuple of Hit
        Sorted by time.
    duration_s : float
        Length of the recording, with the time to ring out.
    sources : tuple of str
        Groove ids and names of rules, section by section.
    """

    hits: tuple[Hit, ...]
    duration_s: float
    sources: tuple[str, ...]


def draw_performance(
    rng: np.random.Generator,
    grooves: Sequence[Groove],
    settings: PerformanceSettings,
    notes_of: Callable[[Groove], tuple[Note, ...]] | None = None,
) -> Performance:
    """Draw sections until the performance is long enough.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    grooves : sequence of Groove
        What may be played: one split.
    settings : PerformanceSettings
        Durations and shares.
    notes_of : callable, optional
        Gives the notes of a groove; reads its file by default (a cache can stand here).

    Returns
    -------
    Performance
        At least one section.

    Raises
    ------
    SettingsError
        If there are no grooves.
    """
    if not grooves:
        raise SettingsError("there are no grooves of this split to play")
    notes_of = notes_of or (lambda groove: read_notes(groove.path))
    end_s = rng.uniform(*settings.duration_range_s)
    clock_s = rng.uniform(0.05, 1.0)
    bpm = 120.0 * 2 ** rng.normal(0.0, 0.35)
    base = draw_manner(rng)
    hits: list[Hit] = []
    sources: list[str] = []
    while clock_s < end_s or not sources:
        source, notes = _draw_section(rng, grooves, settings, notes_of, bpm)
        manner = base if rng.random() < 0.7 else draw_manner(rng)
        sources.append(source)
        section = play_notes(rng, notes, manner)
        section += _draw_percussion(rng, notes, manner)
        hits += [replace(hit, time_s=hit.time_s + clock_s) for hit in section]
        clock_s += max((hit.time_s for hit in section), default=0.0) + rng.uniform(0.15, 0.7)
    kept = drop_double_triggers(hits)
    return Performance(kept, clock_s + rng.uniform(0.3, 2.0), tuple(sources))


def draw_manner(rng: np.random.Generator) -> Manner:
    """Draw how a section is played."""
    hats = ("played", "tight", "half_open", "open", "mixed", "silent")
    timekeepers = ("played", "ride", "hat", "crash", "tom", "swap")
    brushes = rng.random() < 0.08
    return Manner(
        hats=hats[rng.choice(6, p=[0.3, 0.09, 0.22, 0.2, 0.15, 0.04])],
        # The grooves ride more than most drummers do: hats keep time five times as often as metal.
        timekeeper=timekeepers[rng.choice(6, p=[0.4, 0.07, 0.44, 0.03, 0.02, 0.04])],
        pedal_share=float(rng.choice([0.0, 0.15, 0.4, 1.0], p=[0.35, 0.3, 0.2, 0.15])),
        ghost_share=float(rng.choice([0.0, 0.4, 1.0], p=[0.3, 0.2, 0.5])),
        side_stick_share=float(rng.choice([0.0, 0.2, 1.0], p=[0.82, 0.06, 0.12])),
        brush_share=0.9 if brushes else 0.0,
        flam_share=float(rng.choice([0.0, 0.04, 0.15], p=[0.7, 0.2, 0.1])),
        accent=(None, "splash", "china")[rng.choice(3, p=[0.75, 0.15, 0.1])],
        percussion=str(rng.choice(PERCUSSION, p=_PERCUSSION_SHARES))
        if rng.random() < 0.2
        else None,
        percussion_along=("nothing", "snare", "timekeeper")[rng.choice(3, p=[0.4, 0.3, 0.3])],
    )


def play_notes(rng: np.random.Generator, notes: Sequence[Note], manner: Manner) -> list[Hit]:
    """Turn notes into hits in a given manner.

    Parameters
    ----------
    rng : Generator
        Source of chance (for shares).
    notes : sequence of Note
        Notes outside `ARTICULATIONS` are left out.
    manner : Manner
        How to play them.

    Returns
    -------
    list of Hit
        In the order of the notes.
    """
    hits = []
    for note in notes:
        articulation = ARTICULATIONS.get(note.midi_note)
        # Every note takes the same draws, so that one decision does not shift all later ones.
        chance, mix, flam, lead, ghost = rng.random(5)
        if articulation is None:
            continue
        if articulation == "pedal" and note.velocity < 90 and chance >= manner.pedal_share:
            continue
        if (
            articulation == "snare"
            and note.velocity < GHOST_VELOCITY
            and ghost >= manner.ghost_share
        ):
            continue
        articulation = _timekeeper(articulation, manner.timekeeper)
        if articulation in HATS and manner.hats == "silent":
            continue
        articulation = _manner_of_hat(articulation, manner.hats, mix)
        articulation = _manner_of_snare(articulation, manner, chance)
        if articulation == "crash_a" and manner.accent is not None:
            articulation = manner.accent
        hit = Hit(note.time_s, articulation, int(np.clip(note.velocity, 1, 127)))
        if hit.label in ("SD", "TT") and hit.velocity > 70 and flam < manner.flam_share:
            hits.append(_grace(hit, lead))
        hits.append(hit)
    return hits


def drop_double_triggers(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """Sort hits by time and keep the louder of two that one trigger gave."""
    kept: list[Hit] = []
    last: dict[str, int] = {}
    for hit in sorted(hits, key=lambda hit: (hit.time_s, hit.articulation)):
        index = last.get(hit.articulation)
        if index is not None and hit.time_s - kept[index].time_s < DOUBLE_TRIGGER_S:
            louder = max(kept[index].velocity, hit.velocity)
            kept[index] = replace(kept[index], velocity=louder)
            continue
        last[hit.articulation] = len(kept)
        kept.append(hit)
    return tuple(kept)


def _draw_section(
    rng: np.random.Generator,
    grooves: Sequence[Groove],
    settings: PerformanceSettings,
    notes_of: Callable[[Groove], tuple[Note, ...]],
    bpm: float,
) -> tuple[str, tuple[Note, ...]]:
    """Draw one section: its source and its notes, starting near 0 s."""
    duration_s = rng.uniform(*settings.section_range_s)
    chance = rng.random()
    for share, name in (
        (settings.pattern_share, "pattern"),
        (settings.scatter_share, "scatter"),
        (settings.roll_share, "roll"),
        (settings.single_share, "single"),
    ):
        if chance < share:
            return name, _draw_by_rule(rng, name, bpm, duration_s)
        chance -= share
    fills = [groove for groove in grooves if groove.is_fill]
    beats = [groove for groove in grooves if not groove.is_fill]
    pool = fills if fills and (chance < settings.fill_share or not beats) else beats
    groove = pool[int(rng.integers(len(pool)))]
    slowest, fastest = settings.stretch_range
    factor = float(np.clip(bpm / groove.bpm * rng.uniform(0.9, 1.1), slowest, fastest))
    return groove.groove_id, _cut(rng, notes_of(groove), duration_s, factor)


def _draw_by_rule(
    rng: np.random.Generator, name: str, bpm: float, duration_s: float
) -> tuple[Note, ...]:
    if name == "pattern":
        return draw_pattern(rng, bpm * 2 ** rng.normal(0.0, 0.1), duration_s)
    if name == "roll":
        return draw_roll(rng)
    return draw_scatter(rng, duration_s) if name == "scatter" else draw_single(rng, duration_s)


def _cut(
    rng: np.random.Generator, notes: tuple[Note, ...], duration_s: float, factor: float
) -> tuple[Note, ...]:
    """Cut a random stretch out of a groove and play it `factor` times as fast."""
    if not notes:
        return ()
    spare_s = notes[-1].time_s - duration_s * factor
    start_s = rng.uniform(0.0, spare_s) if spare_s > 0 else notes[0].time_s
    stop_s = start_s + duration_s * factor
    return tuple(
        replace(note, time_s=(note.time_s - start_s) / factor)
        for note in notes
        if start_s <= note.time_s < stop_s
    )


def _grace(hit: Hit, lead: float) -> Hit:
    """Grace note 15 to 40 ms ahead of a hit; `lead` in 0-1."""
    velocity = max(8, int(hit.velocity * (0.25 + 0.3 * lead)))
    return Hit(max(0.0, hit.time_s - 0.015 - 0.025 * lead), hit.articulation, velocity)


def _timekeeper(articulation: str, manner: str) -> str:
    """Play hats on the ride, a crash or a tom, or rides on the hat; foot and accents stay."""
    if articulation in ("closed", "open") and manner in ("ride", "crash", "tom", "swap"):
        return {"crash": "crash_b", "tom": "tom_lo"}.get(manner, "ride")
    if articulation in ("ride", "ride_bell") and manner in ("hat", "swap"):
        return "closed" if articulation == "ride" else "open"
    return articulation


def _manner_of_hat(articulation: str, manner: str, chance: float) -> str:
    if articulation not in ("closed", "open") or manner == "played":
        return articulation
    if manner == "tight":
        return "closed"
    if manner == "mixed":
        return ("closed", "half_open", "open")[min(2, int(chance * 3))]
    if manner == "half_open" and articulation == "open":
        return "open"
    return manner


def _manner_of_snare(articulation: str, manner: Manner, chance: float) -> str:
    if articulation not in ("snare", "rimshot"):
        return articulation
    if chance < manner.side_stick_share:
        return "side_stick"
    if chance < manner.brush_share:
        return "brush"
    return articulation


def _draw_percussion(rng: np.random.Generator, notes: Sequence[Note], manner: Manner) -> list[Hit]:
    """Add an instrument that plays evenly beside the drum set, or along with one of its drums."""
    instrument = manner.percussion
    if instrument is None or not notes:
        return []
    along = "snare" if instrument == "clap" else manner.percussion_along
    if along != "nothing":
        partners = (38, 40) if along == "snare" else (42, 22, 46, 26, 51)
        softest = 80 if along == "snare" else 0
        return [
            Hit(max(0.0, note.time_s + rng.normal(0.0, 0.008)), instrument, note.velocity)
            for note in notes
            if note.midi_note in partners and note.velocity > softest
        ]
    step_s = rng.uniform(0.12, 0.6)
    times_s = np.arange(rng.uniform(0.0, step_s), notes[-1].time_s + 1e-9, step_s)
    times_s = np.maximum(times_s + rng.normal(0.0, 0.006, len(times_s)), 0.0)
    strengths = np.clip(rng.normal(75, 18, len(times_s)), 10, 127)
    return [
        Hit(float(time_s), instrument, int(strength))
        for time_s, strength, chance in zip(
            times_s, strengths, rng.random(len(times_s)), strict=True
        )
        if chance < 0.85
    ]
