"""Drum sets: which drum of which kit stands for each articulation, and how it is tuned.

Conventions
-----------
- A voice is one articulation made playable; a drum set has a voice for every articulation.
- A kit that lacks an articulation borrows it from another kit of the same pack (same split), or
  the nearest drum stands in: a damped open hat for a half-open one, a closed hat for the pedal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from softloc.errors import SettingsError
from softloc.rendering.beaters import BRUSHES, MALLETS, STICKS, Beater, draw_beater
from softloc.rendering.kits import Drum, KitPack
from softloc.rendering.layering import Layer, draw_layer
from softloc.rendering.performance import PERCUSSION

#: Articulations of the pack that can stand for each articulation, best first.
STAND_INS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "kick": (("kick",),),
    "snare": (("snare",), ("snare_edge", "snare_off", "rimshot")),
    "rimshot": (("rimshot", "snare_edge"), ("snare",)),
    "side_stick": (("side_stick",), ("rimshot",), ("snare",)),
    "brush": (("brush",), ("snare_off",), ("snare",)),
    "closed": (("closed",), ("half_open",), ("open",)),
    "half_open": (("half_open",), ("open",), ("closed",)),
    "open": (("open",), ("half_open",), ("closed",)),
    "pedal": (("pedal",), ("closed",), ("half_open",)),
    "tom_hi": (("tom_hi",), ("tom_mid",), ("tom_lo",)),
    "tom_mid": (("tom_mid",), ("tom_hi", "tom_lo")),
    "tom_lo": (("tom_lo",), ("tom_mid",), ("tom_hi",)),
    "crash_a": (("crash",), ("china", "splash"), ("ride",)),
    "crash_b": (("crash",), ("china", "splash"), ("ride",)),
    "splash": (("splash",), ("crash",), ("ride",)),
    "china": (("china",), ("crash",), ("ride",)),
    "ride": (("ride",), ("crash",)),
    "ride_bell": (("ride_bell",), ("ride",), ("crash",)),
    "tambourine": (("tambourine",),),
    "cowbell": (("cowbell",),),
    "clap": (("clap",),),
    "shaker": (("shaker",),),
    "stick_click": (("stick_click",),),
    "perc": (("perc", "bongo", "snap", "triangle", "concert_bass_drum"),),
}

METAL = frozenset(
    ("closed", "half_open", "open", "crash_a", "crash_b", "splash", "china", "ride", "ride_bell")
)

#: Articulations that come from one kit: what belongs to one instrument stays together.
GROUPS: tuple[tuple[str, ...], ...] = (
    ("kick",),
    ("snare", "rimshot", "side_stick", "brush"),
    ("closed", "half_open", "open", "pedal"),
    ("tom_hi", "tom_mid", "tom_lo"),
    ("crash_a", "crash_b", "splash", "china"),
    ("ride", "ride_bell"),
    *((name,) for name in PERCUSSION),
)


@dataclass(frozen=True, slots=True)
class Voice:
    """One articulation, playable.

    Attributes
    ----------
    drum : Drum
        Where its samples come from.
    semitones : float
        Tuning re the recording.
    detune_cents : float
        How far single hits stray from the tuning, either way.
    decay_s : float or None
        Time constant of an added decay; None leaves the recording's own.
    bite_db : float
        Level of the very attack re the recording's; loose metal has less of it.
    bite_s : float
        Time constant with which the recording's own level is reached.
    gain_db : float
        Level re the drum set.
    beater : Beater
        What it is struck with.
    layer : Layer or None
        A second drum that sounds with it.
    """

    drum: Drum
    semitones: float
    detune_cents: float
    decay_s: float | None
    bite_db: float
    bite_s: float
    gain_db: float
    beater: Beater
    layer: Layer | None = None


@dataclass(frozen=True, slots=True)
class DrumSet:
    """A voice per articulation, and how strongly velocity acts.

    Attributes
    ----------
    voices : mapping of str to Voice
        By articulation. Percussion may be missing.
    velocity_exponent : float
        A stroke of velocity v is played ``20 * exponent * log10(v / 127)`` dB down.
    beater : Beater
        What the drummer holds.
    """

    voices: Mapping[str, Voice]
    velocity_exponent: float
    beater: Beater


@dataclass(frozen=True, slots=True)
class DrumSetSettings:
    """How drum sets are put together; shares are probabilities.

    Attributes
    ----------
    electronic_share : float
        Sets whose main kit is a machine.
    blend_share : float
        Instruments that come from another kit than the main one, although it has them.
    layer_share : float
        Instruments over which the same instrument of another kit is laid.
    tuning_semitones : float
        Standard deviation of the tuning.
    """

    electronic_share: float = 0.2
    blend_share: float = 0.35
    layer_share: float = 0.3
    tuning_semitones: float = 1.3


def draw_drumset(rng: np.random.Generator, pack: KitPack, settings: DrumSetSettings) -> DrumSet:
    """Draw a drum set from a pack.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    pack : KitPack
        What may be used: one split, licensed tiers.
    settings : DrumSetSettings
        Shares and ranges.

    Returns
    -------
    DrumSet
        With a voice for each articulation of a drum set, and for the percussion that the pack has.

    Raises
    ------
    SettingsError
        If the pack has no drum that could stand for an articulation.
    """
    electronic = bool(rng.random() < settings.electronic_share)
    beater = draw_beater(rng)
    kits = _main_kits(pack)
    main = _choose_kit(rng, kits, electronic)
    voices: dict[str, Voice] = {}
    for group in GROUPS:
        kit = main
        if rng.random() < settings.blend_share:
            kit = _choose_kit(rng, _offering(pack, STAND_INS[group[0]][0]) or kits, electronic)
        partner = None
        if rng.random() < settings.layer_share:
            partner = _choose_kit(rng, _offering(pack, STAND_INS[group[0]][0]) or kits, electronic)
        for articulation in group:
            drum = _choose_drum(rng, pack, articulation, kit, electronic)
            if drum is not None:
                voice = _draw_voice(rng, drum, articulation, settings, beater)
                layer = None if partner is None else _lay(rng, pack, articulation, drum, partner)
                voices[articulation] = replace(voice, layer=layer)
            elif articulation not in PERCUSSION:
                raise SettingsError(f"the kits have nothing that could stand for {articulation}")
        _tune_together(rng, voices, group, settings)
    return DrumSet(voices, float(rng.uniform(0.4, 1.5)), beater)


def _main_kits(pack: KitPack) -> tuple[Drum, ...]:
    """One drum for each kit that has kick, snare and closed hat; else for every kit."""
    have: dict[str, set[str]] = {}
    first: dict[str, Drum] = {}
    for drum in pack.drums:
        have.setdefault(drum.kit, set()).add(drum.articulation)
        first.setdefault(drum.kit, drum)
    full = [kit for kit, names in have.items() if {"kick", "snare", "closed"} <= names]
    return tuple(first[kit] for kit in (full or first))


def _offering(pack: KitPack, articulations: Sequence[str]) -> tuple[Drum, ...]:
    """One drum for each kit that has one of the articulations."""
    first: dict[str, Drum] = {}
    for drum in pack.articulation(*articulations):
        first.setdefault(drum.kit, drum)
    return tuple(first.values())


def _choose_kit(rng: np.random.Generator, kits: Sequence[Drum], electronic: bool) -> str:
    if not kits:
        raise SettingsError("the pack has no kits of this split and these licence tiers")
    return _weighted(rng, kits, electronic).kit


def _choose_drum(
    rng: np.random.Generator, pack: KitPack, articulation: str, kit: str, electronic: bool
) -> Drum | None:
    """Choose a drum of the kit; failing that the same articulation of another; then a stand-in."""
    for depth, names in enumerate(STAND_INS[articulation]):
        everywhere = pack.articulation(*names)
        at_home = tuple(drum for drum in everywhere if drum.kit == kit)
        # Instruments of one hat belong together; a stand-in from home beats a stranger.
        if not at_home and articulation in ("half_open", "open", "pedal", "rimshot"):
            at_home = tuple(
                drum
                for other in STAND_INS[articulation][depth + 1 :]
                for drum in pack.articulation(*other)
                if drum.kit == kit and (drum.articulation != "closed" or articulation == "pedal")
            )
        pool = at_home or everywhere
        if pool:
            return _weighted(rng, pool, electronic)
    return None


def _weighted(rng: np.random.Generator, drums: Sequence[Drum], electronic: bool) -> Drum:
    """Choose among drums: families count alike, the wanted type eight times as much."""
    counts: dict[str, int] = {}
    for drum in drums:
        counts[drum.family] = counts.get(drum.family, 0) + 1
    weights = np.array(
        [(8.0 if d.is_electronic == electronic else 1.0) / counts[d.family] for d in drums]
    )
    return drums[int(rng.choice(len(drums), p=weights / weights.sum()))]


def _draw_voice(
    rng: np.random.Generator,
    drum: Drum,
    articulation: str,
    settings: DrumSetSettings,
    beater: Beater,
) -> Voice:
    limit = 3.0 * settings.tuning_semitones
    semitones = float(np.clip(rng.normal(0.0, settings.tuning_semitones), -limit, limit))
    cents = float(rng.uniform(3.0, 18.0))
    if drum.is_electronic and rng.random() < 0.5:
        cents = 0.0  # machines repeat themselves exactly
    decay_s = _draw_decay(rng, drum, articulation)
    bite_db, bite_s, chance = rng.uniform((-14.0, 0.004, 0.0), (5.0, 0.025, 1.0))
    if articulation not in METAL or chance < 0.4:
        bite_db = 0.0
    gain_db = float(rng.normal(0.0, 1.5)) - (6.0 if articulation == "pedal" else 0.0)
    return Voice(
        drum=drum,
        semitones=semitones,
        detune_cents=cents,
        decay_s=decay_s,
        bite_db=float(bite_db),
        bite_s=float(bite_s),
        gain_db=gain_db,
        beater=_beater_of(drum, articulation, beater),
    )


def _lay(
    rng: np.random.Generator, pack: KitPack, articulation: str, drum: Drum, partner: str
) -> Layer | None:
    """Lay the same articulation of another kit over a drum, if that kit has it."""
    pool = [
        other
        for other in pack.articulation(*STAND_INS[articulation][0])
        if other.kit == partner and other != drum
    ]
    if not pool:
        return None
    return draw_layer(rng, pool[int(rng.integers(len(pool)))], is_metal=articulation in METAL)


def _draw_decay(rng: np.random.Generator, drum: Drum, articulation: str) -> float | None:
    """Draw an added decay, seconds: what a stand-in needs, damped heads, hats not fully open."""
    quick, slow, free = rng.uniform(size=3)
    decay_s = None
    if articulation == "half_open" and drum.articulation == "open":
        decay_s = 0.05 * 5**quick
    elif articulation == "open" and free < 0.4:
        decay_s = 0.12 * 8**slow
    elif articulation == "splash" and drum.articulation != "splash":
        decay_s = 0.15 * 3**quick
    elif articulation in ("pedal", "closed") and drum.articulation in ("half_open", "open"):
        decay_s = 0.02 * 2**quick
    elif articulation in ("kick", "snare", "tom_hi", "tom_mid", "tom_lo") and free < 0.3:
        decay_s = 0.06 * 6**slow
    return decay_s


def _beater_of(drum: Drum, articulation: str, beater: Beater) -> Beater:
    """Beater that this voice is struck with: feet keep theirs, brush recordings need none."""
    if articulation in ("kick", "pedal", *PERCUSSION) or drum.articulation == "brush":
        return replace(beater, kind=STICKS)
    if articulation == "brush":
        return replace(beater, kind=BRUSHES)
    if beater.kind == MALLETS and articulation in ("closed", "half_open", "open"):
        return replace(beater, kind=STICKS)
    return beater


def _tune_together(
    rng: np.random.Generator,
    voices: dict[str, Voice],
    group: tuple[str, ...],
    settings: DrumSetSettings,
) -> None:
    """Give the voices of one instrument one tuning; toms that share a recording descend."""
    common = float(rng.normal(0.0, settings.tuning_semitones))
    steps = {"tom_hi": 2.5, "tom_mid": 0.0, "tom_lo": -3.0}
    for name in group:
        voice = voices.get(name)
        if voice is None or name in ("crash_a", "crash_b", "splash", "china"):
            continue
        semitones = float(np.clip(common, -4.0, 4.0))
        if name in steps and voice.drum.articulation != name:
            semitones += steps[name]
        if name == "ride_bell" and voice.drum.articulation != "ride_bell":
            semitones += 3.0
        voices[name] = replace(voice, semitones=semitones)
