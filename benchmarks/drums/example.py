"""Make the shipped example again: ``python -m benchmarks.drums.example``.

One groove of the test split on one tier A kit of the test split, nearly dry: writes
``examples/groove.flac``, its reference ``examples/groove.csv`` and ``examples/CREDITS.md``.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf

from benchmarks.drums.corpus import GROOVE_CREDIT
from benchmarks.drums.render import data_folder
from softloc.errors import SettingsError, SoftLocError
from softloc.events import Onset
from softloc.files import atomic_path, write_text_atomic
from softloc.rendering.beaters import STICKS, Beater
from softloc.rendering.drumset import DrumSet, Voice
from softloc.rendering.filters import Audio, Band, convolve, equalise
from softloc.rendering.grooves import Groove, load_grooves, read_notes
from softloc.rendering.kits import SAMPLE_RATE_HZ, KitPack, Sample, load_pack
from softloc.rendering.mixing import (
    SampleBank,
    Strike,
    labels_of,
    place_strikes,
    plan_strikes,
    total_of,
)
from softloc.rendering.performance import Manner, drop_double_triggers, play_notes
from softloc.rendering.recording import set_level
from softloc.rendering.rooms import Room, room_response
from softloc.rendering.scene import samples_of

SEED = 7
KIT = "gretsch_jazz"
GROOVE = "drummer7/session3/117"
LEAD_IN_S = 0.25
RING_OUT_S = 2.0

#: Drum of the kit and level in dB for each articulation; the kit has no ride.
VOICES: Mapping[str, tuple[str, str, float]] = {
    "kick": ("kick", "bass22-", 0.0),
    "snare": ("snare", "snare-premier-artist-maple-tight", -3.0),
    "rimshot": ("snare", "snare-premier-artist-maple-tight", -2.0),
    "side_stick": ("snare", "snare-premier-artist-maple-tight", -9.0),
    "closed": ("closed", "hat-closed-hit", -14.0),
    "half_open": ("half_open", "hat-closed-hit4-half", -13.0),
    "open": ("open", "hat-open", -14.0),
    "pedal": ("pedal", "hat-closed-leg", -20.0),
    "tom_hi": ("tom_hi", "tom-gretsch-cat-maple-10-buzz-1", -5.0),
    "tom_mid": ("tom_mid", "tom-gretsch-cat-maple-12-1", -5.0),
    "tom_lo": ("tom_lo", "tom-gretsch-cat-maple-14-floor-1", -4.0),
    "crash_a": ("crash", "cymbal-big", -9.0),
    "crash_b": ("crash", "cymbal-small", -10.0),
    "ride": ("crash", "cymbal-second1", -14.0),
    "ride_bell": ("crash", "cymbal-second1", -14.0),
}

_ROOM = Room(
    seed=11,
    decay_s=0.35,
    darkness=0.5,
    predelay_s=0.006,
    n_reflections=10,
    early_db=2.0,
    lowest_hz=100.0,
)
_STICKS = Beater(kind=STICKS, seed=0, spread_s=0.005, swirl_db=-120.0, swirl_hz=1.0)
_AS_WRITTEN = Manner(
    hats="played",
    timekeeper="played",
    pedal_share=1.0,
    ghost_share=1.0,
    side_stick_share=0.0,
    brush_share=0.0,
    flam_share=0.0,
    accent=None,
    percussion=None,
)


def render_example(pack: KitPack, groove: Groove) -> tuple[Audio, list[Onset], tuple[Sample, ...]]:
    """Render the example; audio at 44.1 kHz, its labels, the samples it uses."""
    rng = np.random.default_rng(SEED)
    drumset = example_drumset(pack)
    hits = drop_double_triggers(play_notes(rng, read_notes(groove.path), _AS_WRITTEN))
    strikes = [_later(strike) for strike in plan_strikes(rng, hits, drumset)]
    n_samples = strikes[-1].onset + round(RING_OUT_S * SAMPLE_RATE_HZ)
    dry = total_of(place_strikes(strikes, drumset, SampleBank(), n_samples), n_samples)
    wet = dry + np.float32(0.14) * convolve(dry, room_response(_ROOM))
    audio = set_level(equalise(wet, (Band("high", 8_000.0, 1.5),)), -1.5)
    return audio, labels_of(strikes), samples_of(strikes, drumset)


def example_drumset(pack: KitPack) -> DrumSet:
    """Set up the kit as it was recorded: no tuning, no decay, levels by hand."""
    drums = {(d.articulation, d.name): d for d in pack.drums if d.kit == KIT}
    voices = {}
    for articulation, (kind, name, gain_db) in VOICES.items():
        drum = drums.get((kind, name))
        if drum is None:
            raise SettingsError(f"kit {KIT} of the pack has no {kind} named {name}")
        voices[articulation] = Voice(
            drum=drum,
            semitones=0.0,
            detune_cents=6.0,
            decay_s=None,
            bite_db=0.0,
            bite_s=0.01,
            gain_db=gain_db,
            beater=_STICKS,
        )
    return DrumSet(voices, velocity_exponent=0.9, beater=_STICKS)


def reference_csv(onsets: Iterable[Onset]) -> str:
    """Text of a reference file: softloc's own columns, empty where nothing is known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time_s", "label", "midi_note", "velocity", "confidence", "time_std_s"])
    for onset in onsets:
        writer.writerow(
            [f"{onset.time_s:.6f}", onset.label, onset.midi_note, onset.velocity, "", ""]
        )
    return text.getvalue()


def credits_text(groove: Groove, samples: Sequence[Sample]) -> str:
    """Credits of kit and groove, as their licences ask for them."""
    authors = sorted({(sample.author, sample.licence, sample.source) for sample in samples})
    rows = "\n".join(f"| {author} | {licence} | {source} |" for author, licence, source in authors)
    return f"""# Credits of the example

`groove.flac` was rendered by `python -m benchmarks.drums.example`; `groove.csv` holds the exact
time of every hit.

**Drum samples**: kit `{KIT}`, used under the licence named in each row. Changed: tuned by
some cents, mixed, room added.

| author | licence | source |
| --- | --- | --- |
{rows}

**Performance**: `{groove.groove_id}` ({groove.style}, {groove.bpm:g} bpm), test split. \
{GROOVE_CREDIT}
Licence: https://creativecommons.org/licenses/by/4.0/ . Changed: rendered as audio; a lead-in of
{LEAD_IN_S:g} s added; velocities acted out with small random differences.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the example; the exit code is 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drums.example")
    parser.add_argument("-o", "--output", type=Path, default=Path("examples"))
    parser.add_argument("--kits", type=Path)
    parser.add_argument("--grooves", type=Path)
    options = parser.parse_args(arguments)
    try:
        # Audio that is shipped comes from tier A alone.
        pack = load_pack(data_folder("drumkit", options.kits)).select("test", ("A",))
        grooves = load_grooves(data_folder("grooves", options.grooves))
        found = [g for g in grooves if g.groove_id == GROOVE and g.split == "test"]
        if not found:
            raise SettingsError(f"the groove pack has no {GROOVE} in its test split")
        audio, onsets, samples = render_example(pack, found[0])
        with atomic_path(options.output / "groove.flac") as temporary:
            sf.write(temporary, audio, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
        write_text_atomic(options.output / "groove.csv", reference_csv(onsets))
        write_text_atomic(options.output / "CREDITS.md", credits_text(found[0], samples))
    except SoftLocError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _later(strike: Strike) -> Strike:
    return replace(strike, onset=strike.onset + round(LEAD_IN_S * SAMPLE_RATE_HZ))


if __name__ == "__main__":
    sys.exit(main())
