"""MIDI: exact times, the layout that DAWs expect, and files of others."""

from __future__ import annotations

import contextlib
import logging
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import mido
import pretty_midi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset
from softloc.formats import read_onsets, to_pretty_midi, write_onsets

TICK_S = 60 / 120 / 960


def smf(*tracks: bytes, kind: int = 1, division: int = 480) -> bytes:
    """Bytes of a MIDI file from the events of its tracks."""
    chunks = [
        b"MTrk" + struct.pack(">I", len(track) + 4) + track + b"\x00\xff\x2f\x00"
        for track in tracks
    ]
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), division) + b"".join(chunks)


def read_bytes(tmp_path: Path, content: bytes) -> list[Onset]:
    path = tmp_path / "song.mid"
    path.write_bytes(content)
    return read_onsets(path)


DRUMS = st.lists(
    st.builds(
        Onset,
        st.floats(0, 7200),
        st.sampled_from(["KD", "SD", "HH", "OH", "TT", "CY", "RD", "BE", "CL", "ON"]),
        velocity=st.integers(1, 127),
    ),
    max_size=20,
)


@given(DRUMS)
def test_round_trip_within_half_a_tick(
    tmp_path_factory: pytest.TempPathFactory, onsets: list[Onset]
) -> None:
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    write_onsets(path, onsets)
    read = read_onsets(path)
    assert len(read) == len(onsets)
    for label in {onset.label for onset in onsets}:
        written_s = sorted(onset.time_s for onset in onsets if onset.label == label)
        read_s = sorted(onset.time_s for onset in read if onset.label == label)
        for before, after in zip(written_s, read_s, strict=True):
            assert abs(before - after) <= TICK_S / 2 + 1e-9
    key = lambda onset: (onset.label, onset.velocity)  # noqa: E731
    assert sorted(map(key, read)) == sorted(map(key, onsets))


def test_errors_do_not_add_up(tmp_path: Path) -> None:
    onsets = [Onset(index * 0.1003, "HH") for index in range(5000)]
    write_onsets(tmp_path / "a.mid", onsets)
    worst = max(
        abs(before.time_s - after.time_s)
        for before, after in zip(onsets, read_onsets(tmp_path / "a.mid"), strict=True)
    )
    assert 0.2e-3 < worst < 0.27e-3


def test_layout(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.mid", [Onset(0.0, "KD")], comment="softloc 1 drums")
    midi = mido.MidiFile(tmp_path / "a.mid")
    assert (midi.type, midi.ticks_per_beat) == (1, 960)
    conductor, drums = midi.tracks
    assert [message.type for message in conductor] == [
        "text", "set_tempo", "time_signature", "end_of_track",
    ]  # fmt: skip
    assert conductor[0].text == "softloc 1 drums"
    assert conductor[1].tempo == 500_000
    assert drums.name == "Drums"
    assert [(m.type, m.channel, m.note, m.velocity, m.time) for m in drums[1:-1]] == [
        ("note_on", 9, 36, 100, 0),
        ("note_off", 9, 36, 0, 115),
    ]


def test_note_ends_before_the_next_of_its_pitch(tmp_path: Path) -> None:
    # A flam of 10 ms on the snare, a kick in between.
    write_onsets(tmp_path / "a.mid", [Onset(1.0, "SD"), Onset(1.005, "KD"), Onset(1.01, "SD")])
    tick, ends = 0, []
    for message in mido.MidiFile(tmp_path / "a.mid").tracks[1]:
        tick += message.time
        if message.type == "note_off":
            ends.append((message.note, tick))
    assert ends == [(38, 1939 - 1), (36, 1930 + 115), (38, 1939 + 115)]


def test_equal_onsets_both_survive(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.mid", [Onset(1.0, "SD"), Onset(1.0, "SD")])
    assert len(read_onsets(tmp_path / "a.mid")) == 2


def test_pretty_midi_agrees(tmp_path: Path) -> None:
    onsets = [Onset(0.0, "KD"), Onset(0.7312, "SD"), Onset(1.5, "60", velocity=50)]
    write_onsets(tmp_path / "a.mid", onsets)
    drums, piano = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid")).instruments
    assert (drums.is_drum, drums.name, piano.is_drum) == (True, "Drums", False)
    assert [note.pitch for note in drums.notes] == [36, 38]
    assert drums.notes[1].start == pytest.approx(0.7312, abs=0.27e-3)
    assert [(note.pitch, note.velocity, note.start) for note in piano.notes] == [(60, 50, 1.5)]


def test_piano_round_trip(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.mid", [Onset(0.5, "60"), Onset(0.5, "64", velocity=1)])
    read = read_onsets(tmp_path / "a.mid")
    assert [(o.time_s, o.label, o.midi_note, o.velocity) for o in read] == [
        (0.5, "60", 60, 100), (0.5, "64", 64, 1),
    ]  # fmt: skip


def test_tempo_changes_in_any_track(tmp_path: Path) -> None:
    # 480 ticks at 120 BPM = 0.5 s, then 480 at 60 BPM = 1 s, then 240 at 240 BPM = 0.125 s.
    tempi = (
        b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big")
        + b"\x83\x60\xff\x51\x03" + (1_000_000).to_bytes(3, "big")
    )  # fmt: skip
    notes = (
        b"\x00\x99\x24\x40" + b"\x83\x60\x99\x24\x41" + b"\x83\x60\x99\x26\x42"
        + b"\x00\xff\x51\x03" + (250_000).to_bytes(3, "big") + b"\x81\x70\x99\x2a\x43"
    )  # fmt: skip
    read = read_bytes(tmp_path, smf(tempi, notes))
    assert [(o.time_s, o.label, o.velocity) for o in read] == [
        (0.0, "KD", 64), (0.5, "KD", 65), (1.5, "SD", 66), (1.625, "HH", 67),
    ]  # fmt: skip


def test_three_hours_survive(tmp_path: Path) -> None:
    """Each time is rounded once, however long the silence before it; delta times take bytes."""
    times_s = [0.0, 0.5, 0.501, 3_600.0, 3 * 3_600.0 - 1e-3, 3 * 3_600.0, 36_000.0 + 1 / 7]
    path = tmp_path / "a.mid"
    write_onsets(path, [Onset(time_s, "SD", velocity=v) for v, time_s in enumerate(times_s, 1)])
    found = read_onsets(path)
    assert [onset.velocity for onset in found] == list(range(1, len(times_s) + 1))
    assert [onset.time_s for onset in found] == pytest.approx(times_s, abs=0.51 * TICK_S)
    played_s, now_s = [], 0.0
    for message in mido.MidiFile(path):  # in seconds, by mido's own clock
        now_s += message.time
        if message.type == "note_on":
            played_s.append(now_s)
    assert played_s == pytest.approx(times_s, abs=0.51 * TICK_S)


def notes_by_mido(track: mido.MidiTrack) -> list[tuple[int, str, int, int]]:
    """Absolute tick, kind, note and velocity of all messages of a track."""
    tick, found = 0, []
    for message in track:
        tick += message.time
        if not message.is_meta:
            found.append((tick, message.type, message.note, message.velocity))
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400).map(lambda tick: tick * TICK_S),
            st.sampled_from(["KD", "SD", "60", "61"]),
            st.integers(1, 127),
        ),
        max_size=30,
    )
)
def test_notes_are_those_of_all_events_sorted_at_once(
    tmp_path_factory: pytest.TempPathFactory, hits: list[tuple[float, str, int]]
) -> None:
    """The slow way: all starts and ends in one list, each end from the next start of its pitch."""
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    write_onsets(path, [Onset(time_s, label, velocity=v) for time_s, label, v in hits])
    expected: dict[str, list[tuple[int, bool, int, int]]] = {"Drums": [], "Piano": []}
    for time_s, label, velocity in hits:
        tick, note = round(time_s / TICK_S), {"KD": 36, "SD": 38, "60": 60, "61": 61}[label]
        later = [round(t / TICK_S) for t, other, _ in hits if other == label]
        gap = min((other - tick for other in later if other > tick), default=10_000)
        end = tick + max(1, min(round(0.060 / TICK_S), gap - 1))
        notes = expected["Piano" if label.isdigit() else "Drums"]
        notes += [(tick, True, note, velocity), (end, False, note, 0)]
    for track in mido.MidiFile(path).tracks[1:]:
        slow = [
            (tick, "note_on" if is_on else "note_off", note, velocity)
            for tick, is_on, note, velocity in sorted(expected.pop(track.name))
        ]
        assert notes_by_mido(track) == slow
    assert not any(expected.values())


def test_sorted_events_are_written_without_a_list_of_them(tmp_path: Path) -> None:
    class Many:
        """Many events, made when they are asked for."""

        def __iter__(self) -> Iterator[Onset]:
            return (Onset(0.1 * i, "KD" if i % 2 else "HH") for i in range(20_000))

    peaks = []
    for suffix in (".mid", ".csv", ".tsv"):
        tracemalloc.start()
        write_onsets(tmp_path / f"a{suffix}", Many(), is_sorted=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 1_000_000  # a list of them takes several times as much
    assert len(mido.MidiFile(tmp_path / "a.mid").tracks[1]) == 40_002
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 20_001


def test_default_tempo_type_0_and_note_on_as_note_off(tmp_path: Path) -> None:
    track = b"\x83\x60\x99\x24\x40" + b"\x10\x99\x24\x00" + b"\x10\x89\x24\x40"
    assert [o.time_s for o in read_bytes(tmp_path, smf(track, kind=0))] == [0.5]


def test_smpte_division(tmp_path: Path) -> None:
    # 25 frames of 40 ticks: a tick is 1 ms, whatever the tempo says.
    track = b"\x00\xff\x51\x03" + (250_000).to_bytes(3, "big") + b"\x83\x74\x99\x24\x40"
    division = (256 - 25) << 8 | 40
    assert read_bytes(tmp_path, smf(track, division=division))[0].time_s == 0.5


def test_drums_go_before_pitched_notes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="softloc"):
        read = read_bytes(tmp_path, smf(b"\x00\x90\x3c\x40\x00\x99\x24\x40"))
    assert [o.label for o in read] == ["KD"]
    assert "1 notes outside channel 10 are left out" in caplog.text


def test_unknown_percussion_is_other_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notes = b"".join(bytes((0, 0x99, note, 64)) for note in (36, 54, 81, 81, 60, 22))
    with caplog.at_level(logging.WARNING, logger="softloc"):
        read = read_bytes(tmp_path, smf(notes))
    assert sorted(o.label for o in read) == ["HH", "KD", "OT", "OT", "OT", "OT"]
    assert [record.getMessage().rsplit(": ", 1)[1] for record in caplog.records] == ["60, 81"]


def test_note_that_was_read_is_written_again(tmp_path: Path) -> None:
    onsets = [Onset(0.5, "TT", midi_note=50), Onset(1.0, "OT", midi_note=54), Onset(2.0, "OT")]
    write_onsets(tmp_path / "a.mid", onsets)
    assert [o.midi_note for o in read_onsets(tmp_path / "a.mid")] == [50, 54]


def test_label_of_two_lines_is_refused_in_one(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError) as refused:
        write_onsets(tmp_path / "a.mid", [Onset(0.5, "door\nslam")])
    assert r"'door\nslam' has no MIDI note" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_note_map(tmp_path: Path) -> None:
    onsets = [Onset(0.5, "KD"), Onset(1.0, "clap")]
    with pytest.raises(AnnotationError, match=r"label 'clap' has no MIDI note.*--note-map clap="):
        write_onsets(tmp_path / "a.mid", onsets)
    assert not (tmp_path / "a.mid").exists()
    write_onsets(tmp_path / "a.mid", onsets, note_map={"KD": 35, "clap": 39})
    assert [o.midi_note for o in read_onsets(tmp_path / "a.mid")] == [35, 39]


def test_impossible_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no time before 0: the KD at -0.010000 s"):
        write_onsets(tmp_path / "a.mid", [Onset(-0.01, "KD")])
    with pytest.raises(AnnotationError, match="are the times in milliseconds"):
        write_onsets(tmp_path / "a.mid", [Onset(200_000.0, "KD")])
    with pytest.raises(AnnotationError, match="beyond all recordings"):
        write_onsets(tmp_path / "a.mid", [Onset(1e305, "KD")])


def test_tempo(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.mid", [Onset(1.0, "KD")], tempo_bpm=90.0)
    assert read_onsets(tmp_path / "a.mid")[0].time_s == pytest.approx(1.0, abs=0.4e-3)
    with pytest.raises(SettingsError, match="tempo of 0"):
        write_onsets(tmp_path / "a.mid", [], tempo_bpm=0)


BROKEN = {
    "empty": b"",
    "text": b"time,label\n0.5,KD\n",
    "header_only": b"MThd\x00\x00",
    "cut": smf(b"\x00\x99\x24\x40")[:-3],
    "bad_data_byte": smf(b"\x00\x99\x24\xf0"),
    "running_status_first": smf(b"\x00\x24\x40"),
    "zero_division": smf(b"\x00\x99\x24\x40", division=0),
    "zero_smpte": smf(b"\x00\x99\x24\x40", division=(256 - 25) << 8),
    "bad_key": smf(b"\x00\xff\x59\x02\x63\x05"),
    "short_tempo": smf(b"\x00\xff\x51\x01\x05"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused(case: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"song.mid is not a readable MIDI file: ."):
        read_bytes(tmp_path, BROKEN[case])


def test_type_2_and_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="type 2"):
        read_bytes(tmp_path, smf(b"\x00\x99\x24\x40", kind=2))
    with pytest.raises(AnnotationError, match=r"cannot read .*nope.mid"):
        read_onsets(tmp_path / "nope.mid")


@given(st.binary(max_size=60))
def test_no_bytes_whatever_escape_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, track: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.mid"
    path.write_bytes(smf(track))
    with contextlib.suppress(AnnotationError):
        read_onsets(path)


def test_pretty_midi_objects_hold_the_same_events() -> None:
    onsets = [Onset(0.0, "KD"), Onset(0.51, "SD", velocity=33), Onset(1.25, "60"), Onset(2, "OT")]
    drums, piano = to_pretty_midi(onsets).instruments
    assert drums.is_drum
    assert not piano.is_drum
    assert [(n.start, n.pitch, n.velocity) for n in drums.notes] == [(0.0, 36, 100), (0.51, 38, 33)]
    assert [(n.start, n.pitch) for n in piano.notes] == [(1.25, 60)]
