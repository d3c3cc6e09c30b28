from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from softloc.errors import SettingsError
from softloc.rendering.drumset import GROUPS, DrumSetSettings, draw_drumset
from softloc.rendering.kits import KitPack, load_pack
from softloc.rendering.mixing import (
    BAND_CENTRES_HZ,
    SampleBank,
    audible,
    labels_of,
    place_strikes,
    plan_strikes,
    shift_pitch,
    total_of,
)
from softloc.rendering.performance import NOTES, PERCUSSION, Hit

RATE_HZ = 44_100
FLAT = {name: np.zeros(len(BAND_CENTRES_HZ)) for name in ("KD", "SD", "HH", "TT", "CY", "OT")}


@pytest.fixture
def drumset(kits):
    pack = load_pack(kits).select("train", ("A", "B"))
    drawn = draw_drumset(np.random.default_rng(1), pack, DrumSetSettings())
    plain = {
        name: replace(
            voice,
            decay_s=None,
            bite_db=0.0,
            gain_db=0.0,
            beater=replace(voice.beater, kind="sticks"),
        )
        for name, voice in drawn.voices.items()
    }
    return replace(drawn, voices=plain)


def test_a_hit_lies_exactly_at_its_label(drumset, onset_of):
    for seed, name in enumerate(drumset.voices):
        hits = [Hit(0.3123456, name, 100)]
        strikes = plan_strikes(np.random.default_rng(seed), hits, drumset)
        buses = place_strikes(strikes, drumset, SampleBank(), RATE_HZ)
        (label,) = labels_of(strikes)
        assert label.time_s == strikes[0].onset / RATE_HZ
        assert label.time_s == pytest.approx(0.3123456, abs=0.5 / RATE_HZ + 1e-9)
        assert onset_of(buses[label.label]) == strikes[0].onset


def test_treated_voices_have_their_onset_at_the_label_too(kits, onset_of):
    pack = load_pack(kits).select("train", ("A", "B"))
    for seed in range(25):
        rng = np.random.default_rng(seed)
        drumset = draw_drumset(rng, pack, DrumSetSettings())
        for name in drumset.voices:
            strikes = plan_strikes(rng, [Hit(0.2, name, 60)], drumset)
            bus = place_strikes(strikes, drumset, SampleBank(), RATE_HZ)[strikes[0].hit.label]
            assert onset_of(bus) == strikes[0].onset


def test_no_sample_is_played_twice_in_a_row(drumset):
    hits = [Hit(0.1 * i, "snare", 90) for i in range(60)]
    strikes = plan_strikes(np.random.default_rng(0), hits, drumset)
    samples = [strike.sample for strike in strikes]
    assert all(a != b for a, b in pairwise(samples))


def test_harder_strokes_are_louder(drumset):
    for name in ("snare", "kick", "ride"):
        levels = []
        for velocity in (25, 60, 120):
            hits = [Hit(0.1 * i, name, velocity) for i in range(30)]
            strikes = plan_strikes(np.random.default_rng(0), hits, drumset)
            levels.append(np.mean([strike.gain for strike in strikes]))
        assert levels == sorted(levels)


def test_a_closed_or_pedal_hat_damps_an_open_one(drumset):
    for name in ("closed", "pedal"):
        hits = [Hit(0.1, "open", 100), Hit(0.3, name, 1)]
        strikes = plan_strikes(np.random.default_rng(0), hits, drumset)
        bank = SampleBank()
        damped = place_strikes(strikes[:1], drumset, bank, RATE_HZ)["HH"]
        alone = plan_strikes(np.random.default_rng(0), hits[:1], drumset)
        ringing = place_strikes(alone, drumset, bank, RATE_HZ)["HH"]
        before, after = slice(0, int(0.3 * RATE_HZ)), slice(int(0.45 * RATE_HZ), None)
        np.testing.assert_array_equal(damped[before], ringing[before])
        assert np.abs(ringing[after]).max() > 0.01
        assert np.abs(damped[after]).max() < 0.003


def test_an_open_hat_rings_under_the_next_open_hat(drumset):
    hits = [Hit(0.1, "open", 100), Hit(0.3, "open", 100)]
    strikes = plan_strikes(np.random.default_rng(0), hits, drumset)
    assert [strike.damp for strike in strikes] == [None, None]


def test_two_hits_of_a_class_at_once_are_one_label(drumset):
    hits = [Hit(0.5, "crash_a", 100), Hit(0.51, "ride", 100), Hit(0.51, "kick", 90)]
    onsets = labels_of(plan_strikes(np.random.default_rng(0), hits, drumset))
    assert [(onset.label, onset.midi_note) for onset in onsets] == [("CY", 49), ("KD", 36)]


def test_a_flam_is_labelled_at_its_main_stroke(drumset):
    hits = [Hit(0.5, "snare", 15), Hit(0.525, "snare", 127)]
    (label,) = labels_of(plan_strikes(np.random.default_rng(0), hits, drumset))
    assert label.time_s == pytest.approx(0.525, abs=1e-4)
    drag = [Hit(0.5, "snare", 100), Hit(0.56, "snare", 100)]
    assert len(labels_of(plan_strikes(np.random.default_rng(0), drag, drumset))) == 2


def test_what_nobody_can_hear_is_found(drumset):
    hits = [Hit(0.1, "snare", 100), Hit(0.5, "kick", 127), Hit(0.8, "snare", 100)]
    strikes = list(plan_strikes(np.random.default_rng(0), hits, drumset))
    strikes[0] = replace(strikes[0], gain=strikes[1].gain * 10 ** (-51 / 20))
    bank, silence = SampleBank(), np.zeros(RATE_HZ, dtype=np.float32)

    def heard(noise):
        buses = place_strikes(strikes, drumset, bank, RATE_HZ)
        mix = total_of(buses, RATE_HZ) + noise
        return list(audible(strikes, drumset, bank, mix=mix, tones_db=FLAT))

    assert heard(silence) == [False, True, True]
    strikes[2] = replace(strikes[2], gain=strikes[1].gain * 10 ** (-40 / 20))
    assert heard(silence) == [False, True, True]
    loud = np.random.default_rng(1).standard_normal(RATE_HZ).astype(np.float32)
    assert heard(0.2 * loud) == [False, True, False]


def test_hats_that_keep_time_are_labelled_far_under_a_snare(drumset):
    voices = {**drumset.voices, "pedal": drumset.voices["closed"]}
    drumset = replace(drumset, voices=voices)
    noise = np.random.default_rng(1).standard_normal(RATE_HZ).astype(np.float32)

    def loudest_db(articulation):
        """Level of noise under which the same sound is still heard as this articulation."""
        hit = Hit(0.1, articulation, 90)
        strikes = plan_strikes(np.random.default_rng(0), [hit], drumset)
        bank = SampleBank()
        return max(
            level_db
            for level_db in np.arange(-80.0, 60.0, 0.5)
            if audible(
                strikes, drumset, bank, mix=noise * 10 ** (level_db / 20), tones_db=FLAT
            ).all()
        )

    assert loudest_db("closed") - loudest_db("pedal") == pytest.approx(25.0, abs=1.0)


def test_pitch_shift_keeps_the_anchor_and_the_tone():
    time_s = np.arange(4000) / RATE_HZ
    tone = np.sin(2 * np.pi * 1000 * time_s).astype(np.float32)
    tone[500] = 3.0
    for ratio in (0.7, 0.95, 1.06, 1.4):
        shifted = shift_pitch(tone, ratio, 500)
        assert np.argmax(shifted) == int(500 / ratio)
        spectrum = np.abs(np.fft.rfft(shifted * np.hanning(len(shifted)), 1 << 16))
        found_hz = np.argmax(spectrum) * RATE_HZ / (1 << 16)
        assert found_hz == pytest.approx(1000 * ratio, rel=0.01)
    assert shift_pitch(tone, 1.0, 500) is tone


def test_missing_articulations_are_borrowed_within_the_split(kits):
    pack = load_pack(kits)
    for split, family in (("valid", "blues"), ("test", "whites")):
        part = pack.select(split, ("A", "B"))
        for seed in range(10):
            drumset = draw_drumset(np.random.default_rng(seed), part, DrumSetSettings())
            needed = {name for group in GROUPS for name in group} - set(PERCUSSION)
            assert needed <= set(drumset.voices) <= set(NOTES)
            assert {voice.drum.family for voice in drumset.voices.values()} == {family}


def test_a_pack_without_a_kick_or_without_anything_is_refused(kits):
    pack = load_pack(kits).select("valid", ("A",))
    headless = KitPack(tuple(d for d in pack.drums if d.articulation != "kick"))
    with pytest.raises(SettingsError, match="nothing that could stand for kick"):
        draw_drumset(np.random.default_rng(0), headless, DrumSetSettings())
    with pytest.raises(SettingsError, match="no kits"):
        draw_drumset(np.random.default_rng(0), KitPack(()), DrumSetSettings())


def test_silence_is_the_sum_of_nothing():
    assert not np.any(total_of({}, 10))
