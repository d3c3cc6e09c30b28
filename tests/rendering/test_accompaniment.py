from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from softloc.errors import AnnotationError, AudioError
from softloc.rendering import scene as scenes
from softloc.rendering.accompaniment import (
    AccompanimentSettings,
    Effects,
    Part,
    draw_effects,
    draw_voice,
    mix_level,
    notes_labels,
    play_part,
    render_accompaniment,
    rms,
    run_effects,
)
from softloc.rendering.backing import load_backing, merge_backing, play_sample
from softloc.rendering.grooves import load_grooves
from softloc.rendering.kits import load_pack
from softloc.rendering.mixing import SampleBank
from softloc.rendering.parts import (
    Stroke,
    draw_bass,
    draw_chords,
    draw_melody,
    draw_pad,
    draw_riff,
    draw_stage,
    find_beats,
    free_stage,
    humanise,
)
from softloc.rendering.performance import Hit, PerformanceSettings
from softloc.rendering.scene import SceneSettings, render_scene
from softloc.rendering.timbres import consonant, draw_timbre, hertz, synthesise

RATE_HZ = 44_100
PLAIN = Effects(0.0, (), None, 5_000.0, 0.0, 1.0, 0.0, 1.0)
SHORT = PerformanceSettings(duration_range_s=(3.0, 5.0), section_range_s=(1.0, 3.0))
WRITERS = (draw_bass, draw_chords, draw_melody, draw_pad, draw_riff)


@pytest.fixture(scope="module")
def render(kits, grooves, backing):
    """Render a short scene of a seed: shares of accompaniment, recorded instruments or none."""
    pack = load_pack(kits).select("train", ("A", "B"))
    index = [g for g in load_grooves(grooves) if g.split == "train"]
    instruments = load_backing(backing).select("train")

    def call(seed, share, alone=0.0, *, recorded=True, bank=None):
        settings = SceneSettings(SHORT, accompaniment=AccompanimentSettings(share, alone))
        rng = np.random.default_rng(seed)
        bank = bank or SampleBank()
        return render_scene(
            rng, pack, index, settings, bank, backing=instruments if recorded else None
        )

    return call


def hard_timbres(n_seeds):
    """Timbres that start at once, of every engine that can."""
    for engine in ("string", "fm", "table"):
        for seed in range(n_seeds):
            yield replace(draw_timbre(np.random.default_rng(seed), engine), attack_s=0.001)


def part_of(voice, *strokes):
    return Part("riff", voice, strokes, 1.0, 0.02, PLAIN)


@pytest.fixture(scope="module")
def accompaniment_of(render):
    """Make an accompaniment of given parts."""
    drawn = render(0, 1.0).accompaniment
    return lambda *parts: replace(drawn, parts=parts)


def onset_of(audio):
    magnitude = np.abs(audio)
    return int(np.argmax(magnitude >= magnitude.max() * 10**-1.5))


def pitch_of(audio):
    """Frequency of the longest period that fits, by autocorrelation."""
    spectrum = np.abs(np.fft.rfft(audio, 2 * len(audio))) ** 2
    similarity = np.fft.irfft(spectrum)[: len(audio) // 2]
    start = 30 + int(np.argmax(similarity[30:] < 0.5 * similarity[0]))
    return RATE_HZ / (start + int(np.argmax(similarity[start:])))


@pytest.mark.parametrize("pitch", [30, 52, 77])
def test_a_synthesised_note_has_its_onset_at_its_label(accompaniment_of, pitch):
    for timbre in hard_timbres(12):
        part = part_of(timbre, Stroke(0.1234, (pitch,), 90, 0.3))
        (label,) = notes_labels(accompaniment_of(part), RATE_HZ)
        bus = play_part(part, RATE_HZ)
        assert label.time_s == pytest.approx(0.1234, abs=0.5 / RATE_HZ + 1e-9)
        first = round(label.time_s * RATE_HZ)
        assert not np.any(bus[:first])
        assert 0 <= onset_of(bus) - first <= 0.002 * RATE_HZ
        assert (label.label, label.midi_note, label.velocity) == ("ON", pitch, 90)


@pytest.mark.parametrize("pitch", [40, 47.5, 66])
def test_a_recorded_note_has_its_onset_at_its_label(accompaniment_of, backing, pitch):
    for instrument in load_backing(backing).instruments:
        part = part_of(instrument, Stroke(0.1234, (pitch,), 90, 0.3))
        (label,) = notes_labels(accompaniment_of(part), RATE_HZ)
        bus = play_part(part, RATE_HZ)
        assert onset_of(bus) == round(label.time_s * RATE_HZ)
        assert not np.any(bus[: onset_of(bus)])


@pytest.mark.parametrize("seed", range(20))
def test_no_effect_moves_an_onset_ahead(seed):
    rng = np.random.default_rng(seed)
    timbre = next(hard_timbres(1))
    bus = play_part(part_of(timbre, Stroke(0.2, (50,), 100, 0.3)), RATE_HZ)
    wet = run_effects(bus, draw_effects(rng, "chords", timbre))
    assert not np.any(wet[: int(0.2 * RATE_HZ)])
    assert 0 <= onset_of(wet) - 0.2 * RATE_HZ <= 0.003 * RATE_HZ


def test_notes_sound_at_their_pitch(backing):
    for pitch in (45, 57.5, 64):
        for timbre in hard_timbres(4):
            plain = replace(timbre, vibrato_cents=0, detune_cents=0, ratio=1.0, noise=0.01)
            tone = synthesise(plain, pitch, 90, 0.5)[2_000:12_000]
            assert pitch_of(tone) == pytest.approx(hertz(pitch), rel=0.015)
        for instrument in load_backing(backing).instruments:
            tone = play_sample(instrument.choose(pitch, 90), pitch)
            assert pitch_of(tone) == pytest.approx(hertz(pitch), rel=0.015)


def test_a_glide_starts_where_it_comes_from_and_arrives():
    drawn = draw_timbre(np.random.default_rng(0), "table")
    timbre = replace(drawn, vibrato_cents=0, detune_cents=0, attack_s=0.001, sustain=1.0)
    tone = synthesise(timbre, 69, 90, 1.0, glide_from=57)
    assert pitch_of(tone[:600]) < 300
    assert pitch_of(tone[30_000:40_000]) == pytest.approx(440, rel=0.01)


def test_a_hard_note_is_brighter():
    drawn = draw_timbre(np.random.default_rng(0), "string")

    def centroid(velocity):
        power = np.abs(np.fft.rfft(synthesise(drawn, 45, velocity, 0.2))) ** 2
        return np.sum(power * np.arange(len(power))) / np.sum(power)

    assert centroid(30) < centroid(80) < centroid(125)


def test_consonants_are_noise_where_it_belongs():
    def centroid_hz(name, seed):
        power = np.abs(np.fft.rfft(consonant(np.random.default_rng(seed), name), 8192)) ** 2
        return np.sum(power * np.fft.rfftfreq(8192, 1 / RATE_HZ)) / np.sum(power)

    assert all(centroid_hz("s", seed) > 5_000 > centroid_hz("h", seed) for seed in range(10))
    assert all(onset_of(consonant(np.random.default_rng(s), "t")) < 88 for s in range(10))


def test_a_chord_is_one_label_and_late_notes_have_none(accompaniment_of):
    timbre = next(hard_timbres(1))
    strum = Stroke(0.1, (40, 47, 52), 80, 0.2, spread_s=0.025)
    later = Stroke(0.2, (45,), 70, 0.2)
    beyond = Stroke(1.5, (45,), 70, 0.2)
    bass = part_of(timbre, Stroke(0.11, (28,), 100, 0.2))
    drawn = accompaniment_of(part_of(timbre, strum, later, beyond), bass)
    labels = notes_labels(drawn, RATE_HZ)
    assert [(label.time_s, label.midi_note) for label in labels] == [(0.1, 40), (0.2, 45)]


def test_equal_generators_give_equal_scenes(render):
    bank = SampleBank()
    render(99, 1.0, bank=bank)
    for recorded in (True, False):
        one = render(5, 1.0, bank=bank, recorded=recorded)
        two = render(5, 1.0, recorded=recorded)
        np.testing.assert_array_equal(one.audio, two.audio)
        assert one.accompaniment_onsets == two.accompaniment_onsets
        assert one.accompaniment == two.accompaniment


def test_scenes_without_accompaniment_are_what_they_were(render, monkeypatch):
    drawn = [render(seed, 0.5) for seed in range(6)]
    assert {scene.accompaniment is None for scene in drawn} == {True, False}
    monkeypatch.setattr(scenes, "draw_accompaniment", lambda *_: None)
    for seed, scene in enumerate(drawn):
        drums = render(seed, 0.5)
        assert drums.accompaniment_onsets == ()
        assert set(scene.onsets) <= set(drums.onsets)
        assert (scene.desk, scene.medium) == (drums.desk, drums.medium)
        if scene.accompaniment is None:
            np.testing.assert_array_equal(scene.audio, drums.audio)
            assert scene.onsets == drums.onsets
        else:
            assert not np.array_equal(scene.audio, drums.audio)
            assert len(scene.onsets) > 0.8 * len(drums.onsets)


def test_the_level_lies_in_the_range_that_is_set(render):
    drums = np.random.default_rng(0).standard_normal(3 * RATE_HZ).astype(np.float32)
    levels_db = []
    for seed in range(10):
        drawn = render(seed, 1.0).accompaniment
        others = render_accompaniment(drawn, len(drums)) * mix_level(drums, drawn)
        levels_db.append(20 * np.log10(rms(others) / rms(drums)))
        assert levels_db[-1] == pytest.approx(drawn.level_db, abs=0.01)
    assert -10 <= min(levels_db) < 0 < max(levels_db) <= 10


def test_a_scene_without_drums_has_notes_but_no_drum_labels(render):
    for seed in range(5):
        scene = render(seed, 0.0, 1.0)
        assert scene.onsets == ()
        assert scene.samples == ()
        assert scene.performance.sources == ("alone",)
        assert len(scene.accompaniment_onsets) > 0
        assert rms(scene.audio) > 1e-4
        times_s = [onset.time_s for onset in scene.accompaniment_onsets]
        assert all(b - a >= 0.03 - 1e-9 for a, b in pairwise(times_s))
        assert times_s[0] >= 0
        assert times_s[-1] < len(scene.audio) / RATE_HZ


def test_drowned_drums_lose_their_labels(render, monkeypatch):
    monkeypatch.setattr(scenes, "mix_level", lambda *_: np.float32(1e5))
    assert render(3, 1.0).onsets == ()
    monkeypatch.setattr(scenes, "mix_level", lambda *_: np.float32(1e-5))
    assert render(3, 1.0).onsets == render(3, 0.0).onsets


def test_samples_are_those_that_are_played(render, monkeypatch):
    played = set()

    def spy(sample, pitch):
        played.add(sample.name)
        return play_sample(sample, pitch)

    monkeypatch.setattr("softloc.rendering.accompaniment.play_sample", spy)
    for seed in range(6):
        played.clear()
        assert {sample.name for sample in render(seed, 1.0).pitched_samples} == played


def test_beats_are_found_in_the_hits():
    hits = [Hit(0.3 + 0.25 * i, ("kick", "closed")[i % 2], 100) for i in range(60)]
    beats_s = find_beats(hits, 15.0)
    away_s = np.abs((beats_s - 0.3 + 0.25) % 0.5 - 0.25)
    assert np.max(away_s) < 0.03
    assert np.diff(beats_s) == pytest.approx(0.5, abs=0.03)
    assert np.diff(find_beats([], 10.0)) == pytest.approx(0.5)


def test_parts_keep_time(rng):
    hits = [Hit(0.3 + 0.25 * i, ("kick", "snare")[i % 2], 100) for i in range(60)]
    for seed in range(15):
        rng = np.random.default_rng(seed)
        stage = draw_stage(rng, hits, 16.0)
        for writer in WRITERS:
            for chosen in (stage, free_stage(rng, stage)):
                written = writer(rng, chosen)
                played = humanise(rng, written, chosen)
                times_s = np.array([stroke.time_s for stroke in written])
                assert all(np.min(np.abs(times_s - s.time_s)) <= 0.0251 for s in played)
                assert all(0 <= stroke.time_s < 16.0 for stroke in played)
                assert all(20 <= p <= 110 for stroke in played for p in stroke.pitches)


def test_the_bass_plays_with_the_kick():
    hits = [Hit(0.3 + 0.61 * i, "kick", 100) for i in range(30)]
    near = []
    for seed in range(10):
        stage = draw_stage(np.random.default_rng(seed), hits, 18.0)
        starts_s = np.array([s.time_s for s in draw_bass(np.random.default_rng(seed), stage)])
        kicks_s = stage.drums_s["KD"]
        near.append(np.mean(np.min(np.abs(kicks_s[:, None] - starts_s), axis=1) < 0.001))
    assert np.mean(near) > 0.6


def test_roles_are_played_on_what_suits_them(backing):
    pack = load_backing(backing).select("train")
    for seed in range(60):
        rng = np.random.default_rng(seed)
        assert getattr(draw_voice(rng, "bass", pack), "name", "round_bass") == "round_bass"
        assert getattr(draw_voice(rng, "chords", pack), "name", "square_guitar") == "square_guitar"
        assert not hasattr(draw_voice(rng, "chords", None), "name")


def test_packs_are_joined_unless_names_clash(backing, tmp_path, write_backing):
    pack = load_backing(backing)
    write_backing(tmp_path)
    with pytest.raises(AnnotationError, match="two backing packs have an instrument old_piano"):
        merge_backing([pack, load_backing(tmp_path)])
    assert merge_backing([pack.select("train"), pack.select("test")]).instruments == (
        *pack.select("train").instruments,
        *pack.select("test").instruments,
    )


def test_splits_are_kept_apart(backing):
    pack = load_backing(backing)
    families = {split: {i.family for i in pack.select(split).instruments} for split in
                ("train", "valid", "test")}  # fmt: skip
    assert families == {"train": {"strings", "frets"}, "valid": {"reeds"}, "test": {"keys"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "dev"}, "manifest.csv:2: unknown split 'dev'"),
        ({"path": "none.flac"}, "manifest.csv:2: there is no file"),
        ({"midi_note": "C4"}, "manifest.csv:2: a number cannot be read"),
        ({"midi_note": "300"}, "manifest.csv:2: 300 is no MIDI note"),
        ({"family": "other"}, "round_bass stands in several families or splits"),
    ],
)
def test_a_bad_row_is_named(tmp_path, write_backing, write_backing_manifest, changes, message):
    rows = write_backing(tmp_path)
    write_backing_manifest(tmp_path, [rows[0] | changes, *rows[1:]])
    with pytest.raises(AnnotationError, match=message):
        load_backing(tmp_path)


def test_a_bad_pack_is_explained(tmp_path, write_backing, write_backing_manifest):
    with pytest.raises(AnnotationError, match="cannot read"):
        load_backing(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,split\n")
    with pytest.raises(AnnotationError, match="no column instrument"):
        load_backing(tmp_path)
    write_backing(tmp_path)
    sample = load_backing(tmp_path).instruments[0].samples[0]
    sample.path.write_bytes(b"nothing")
    with pytest.raises(AudioError, match="cannot read"):
        play_sample(sample, 40)
    write_backing_manifest(tmp_path, [])
    with pytest.raises(AnnotationError, match="lists no samples"):
        load_backing(tmp_path)
