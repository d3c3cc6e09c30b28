from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from softloc.errors import AnnotationError, SettingsError
from softloc.rendering.grooves import Note, load_grooves, read_notes
from softloc.rendering.patterns import PATTERNS, draw_pattern, draw_roll, draw_scatter, draw_single
from softloc.rendering.performance import (
    Hit,
    Manner,
    PerformanceSettings,
    draw_manner,
    draw_performance,
    drop_double_triggers,
    play_notes,
)

PLAIN = Manner(
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
ONE_OF_EACH = tuple(
    Note(0.5 * i, note, 80)
    for i, note in enumerate((36, 38, 40, 37, 42, 22, 46, 26, 44, 48, 45, 43, 49, 57, 51, 59, 53))
)


def labels(hits):
    return Counter(hit.label for hit in hits)


def test_grooves_are_read_with_their_split(grooves):
    index = load_grooves(grooves)
    assert Counter(groove.split for groove in index) == {"train": 2, "valid": 2, "test": 2}
    notes = read_notes(index[0].path)
    assert notes[0] == Note(0.0, 36, 40)
    assert [note.time_s for note in notes] == sorted(note.time_s for note in notes)
    assert notes[2].time_s == pytest.approx(0.15, abs=1e-3)


def test_a_bad_index_is_named_by_file_and_line(grooves, tmp_path):
    text = (grooves / "info.csv").read_text()
    (tmp_path / "info.csv").write_text(text)
    with pytest.raises(AnnotationError, match=r"info\.csv:2: there is no file"):
        load_grooves(tmp_path)
    (tmp_path / "info.csv").write_text(text.replace(",train\n", ",trian\n", 1))
    with pytest.raises(AnnotationError, match=r"info\.csv:2: unknown split 'trian'"):
        load_grooves(tmp_path)
    (tmp_path / "info.csv").write_text(text.replace("bpm", "tempo", 1))
    with pytest.raises(AnnotationError, match=r"info\.csv:1: no column bpm"):
        load_grooves(tmp_path)
    with pytest.raises(AnnotationError, match="cannot read"):
        load_grooves(tmp_path / "nowhere")


def test_a_damaged_midi_file_is_named(tmp_path):
    (tmp_path / "x.mid").write_bytes(b"MThd nonsense")
    with pytest.raises(AnnotationError, match=r"x\.mid is not a readable MIDI file"):
        read_notes(tmp_path / "x.mid")


def test_notes_become_their_classes(rng):
    hits = play_notes(rng, ONE_OF_EACH, PLAIN)
    assert labels(hits) == {"KD": 1, "SD": 3, "HH": 5, "TT": 3, "CY": 5}
    assert [h.midi_note for h in hits][:9] == [36, 38, 40, 37, 42, 42, 46, 46, 44]


@pytest.mark.parametrize(
    ("timekeeper", "hats", "cymbals"),
    [("ride", 1, 9), ("crash", 1, 9), ("hat", 8, 2), ("swap", 4, 6)],
)
def test_what_keeps_time_can_change_and_the_label_follows(rng, timekeeper, hats, cymbals):
    hits = play_notes(rng, ONE_OF_EACH, replace(PLAIN, timekeeper=timekeeper))
    assert (labels(hits)["HH"], labels(hits)["CY"]) == (hats, cymbals)
    assert all((hit.label == "CY") == (hit.midi_note in (49, 51, 53, 57)) for hit in hits)


def test_hats_can_be_loose_throughout(rng):
    for hats in ("half_open", "open"):
        hits = play_notes(rng, ONE_OF_EACH, replace(PLAIN, hats=hats))
        assert "closed" not in {hit.articulation for hit in hits}
    tight = play_notes(rng, ONE_OF_EACH, replace(PLAIN, hats="tight"))
    assert not {"open", "half_open"} & {hit.articulation for hit in tight}


def test_soft_pedal_notes_can_be_dropped_and_strong_ones_stay(rng):
    notes = [Note(0.1 * i, 44, 40) for i in range(50)] + [Note(9.0, 44, 110)]
    hits = play_notes(rng, notes, replace(PLAIN, pedal_share=0.0))
    assert [hit.velocity for hit in hits] == [110]
    some = play_notes(rng, notes, replace(PLAIN, pedal_share=0.5))
    assert 10 < len(some) < 40


def test_ghost_notes_can_be_left_out_and_accents_stay(rng):
    notes = [Note(0.1 * i, 38, 30) for i in range(50)] + [Note(9.0, 38, 100), Note(9.5, 37, 30)]
    hits = play_notes(rng, notes, replace(PLAIN, ghost_share=0.0))
    assert [(hit.articulation, hit.velocity) for hit in hits] == [
        ("snare", 100),
        ("side_stick", 30),
    ]
    some = play_notes(rng, notes, replace(PLAIN, ghost_share=0.5))
    assert 10 < len(some) < 40


def test_hats_keep_time_far_more_often_than_cymbals():
    rng = np.random.default_rng(0)
    counts = Counter()
    for _ in range(400):
        counts += labels(play_notes(rng, [Note(0.0, 42, 80), Note(0.5, 51, 80)], draw_manner(rng)))
    assert 2.0 < counts["HH"] / counts["CY"] < 4.0


def test_single_hits_are_of_one_drum_with_silence_between():
    for seed in range(30):
        notes = draw_single(np.random.default_rng(seed), 8.0)
        assert len({note.midi_note for note in notes}) == 1
        assert notes[0].time_s == 0.0
        assert np.diff([note.time_s for note in notes]).min(initial=1.0) > 0.3


def test_double_triggers_are_one_hit_with_the_louder_velocity():
    hits = [Hit(1.0, "snare", 30), Hit(1.008, "snare", 90), Hit(1.008, "kick", 50)]
    kept = drop_double_triggers(hits)
    assert [(h.articulation, h.velocity) for h in kept] == [("snare", 90), ("kick", 50)]
    assert len(drop_double_triggers([Hit(1.0, "snare", 30), Hit(1.03, "snare", 90)])) == 2


def test_performances_have_the_wanted_length_and_repeat(grooves):
    index = [g for g in load_grooves(grooves) if g.split == "train"]
    settings = PerformanceSettings(duration_range_s=(6.0, 8.0), section_range_s=(2.0, 4.0))
    for seed in range(10):
        one = draw_performance(np.random.default_rng(seed), index, settings)
        two = draw_performance(np.random.default_rng(seed), index, settings)
        assert one == two
        assert 6.0 < one.duration_s < 20.0
        times = [hit.time_s for hit in one.hits]
        assert times == sorted(times)
        assert all(0.0 <= time_s <= one.duration_s for time_s in times)
        assert all(1 <= hit.velocity <= 127 for hit in one.hits)


def test_a_performance_needs_grooves(rng):
    with pytest.raises(SettingsError, match="no grooves"):
        draw_performance(rng, [], PerformanceSettings())


def test_lanes_of_a_pattern_are_equally_long():
    for pattern in PATTERNS:
        assert len({len(lane) for lane in pattern.lanes.values()}) == 1, pattern.name
        assert set("".join(pattern.lanes.values())) <= set("Xxgo."), pattern.name


def test_patterns_are_sorted_and_playable():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for notes in (draw_pattern(rng, 120.0, 5.0), draw_roll(rng), draw_scatter(rng, 5.0)):
            times = [note.time_s for note in notes]
            assert times == sorted(times)
            assert all(time_s >= 0 for time_s in times)
            assert all(1 <= note.velocity <= 127 for note in notes)


def test_all_manners_occur():
    manners = [draw_manner(np.random.default_rng(seed)) for seed in range(400)]
    hats = {"played", "tight", "half_open", "open", "mixed", "silent"}
    assert {m.hats for m in manners} == hats
    assert {m.timekeeper for m in manners} == {"played", "ride", "hat", "crash", "tom", "swap"}
    assert {m.percussion_along for m in manners} == {"nothing", "snare", "timekeeper"}
    assert any(m.percussion for m in manners)
    assert any(m.brush_share for m in manners)
