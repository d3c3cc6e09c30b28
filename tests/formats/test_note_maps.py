"""Note maps: those that come along, and the user's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from softloc.errors import SettingsError
from softloc.events import Onset
from softloc.formats import read_onsets, write_onsets
from softloc.note_maps import SHIPPED, shipped_map
from softloc.vocabulary import (
    DRUM_LABELS,
    WRITE_NOTES,
    label_of_note,
    load_note_map,
    parse_note_map,
)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_maps_are_whole(name: str) -> None:
    notes = shipped_map(name)
    assert set(notes) <= {*DRUM_LABELS, "ON"}
    listed = [note for own in notes.values() for note in own]
    assert len(listed) == len(set(listed))
    assert {"KD", "SD", "HH", "TT", "CY"} <= set(notes)


def test_every_file_of_the_folder_is_listed() -> None:
    folder = Path(__file__).parents[2] / "models" / "softloc" / "note_maps"
    assert {path.stem for path in folder.glob("*.toml")} == set(SHIPPED)


def test_general_midi_is_that_of_the_vocabulary() -> None:
    note_map = load_note_map("gm")
    assert note_map.write == WRITE_NOTES
    assert {note: label_of_note(note) for note in note_map.read} == note_map.read


def test_roland_and_general_midi_agree_on_classes() -> None:
    # Groove's notes are read alike with and without the map: what it adds is what is written.
    for note, label in load_note_map("roland-td").read.items():
        assert label_of_note(note) == label


OWN = {
    "kit.toml": b'KD = [12, 36]\n"hand clap" = 39 # ours\n',
    "bom.toml": b"\xef\xbb\xbfKD = [12, 36]\r\n'hand clap' = 39\r\n",
    "kit.csv": b"# ours\nlabel,note\nKD,12\n\nKD,36\nhand clap,39\n",
    "more.csv": b"Note, Label, what\r\n12, KD, a\r\n36, KD, b\r\n39, hand clap,\r\n",
}


@pytest.mark.parametrize("name", OWN)
def test_files_of_the_user(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(OWN[name])
    note_map = load_note_map(str(path))
    assert note_map.write == {"KD": 12, "hand clap": 39} == parse_note_map(str(path))
    assert note_map.read == {12: "KD", 36: "KD", 39: "hand clap"}


BAD = {
    "a.toml": (b"KD = [36,\n", r"note map .*a\.toml is not readable TOML: Invalid value"),
    "b.toml": (b"KD = 128\n", r"the notes of 'KD' must be whole numbers 0-127.* not 128"),
    "c.toml": (b"KD = true\n", r"the notes of 'KD'"),
    "d.toml": (b"KD = []\n", r"the notes of 'KD'"),
    "e.toml": (b"KD = 36.0\n", r"the notes of 'KD'"),
    "f.toml": (b"# empty\n", r"lists no label: write lines such as KD = \[36, 35\]"),
    "g.toml": ("KD = 36".encode("utf-16"), r"cannot read|is not UTF-8"),
    "h.csv": (b"KD,36\n", r"h\.csv, line 1: the header must name label and note"),
    "i.csv": (b"label,note\n# x\nKD,C2\n", r"i\.csv, line 3: write a label and its note"),
    "j.csv": (b"label,note\nKD,200\n", r"line 2: write a label and its note 0-127"),
    "k.csv": (b"label,note\nKD," + b"9" * 5000 + b"\n", r"line 2: write a label"),
    "l.csv": (b"label,note\nKD\n", r"line 2: write a label"),
    "m.csv": (b"", r"lists no label"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(name: str, tmp_path: Path) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load_note_map(str(tmp_path / name))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read the note map .*nope.toml: No such file"):
        load_note_map(str(tmp_path / "nope.toml"))


def test_note_of_two_labels_is_read_as_the_first() -> None:
    note_map = load_note_map("HH=42,OH=42")
    assert note_map.write == {"HH": 42, "OH": 42}
    assert note_map.read == {42: "HH"}


def test_map_goes_before_general_midi_when_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    write_onsets(path, [Onset(0.5, "KD"), Onset(1.0, "SD"), Onset(1.5, "clap", midi_note=39)])
    labels = [onset.label for onset in read_onsets(path, note_map=load_note_map("boom=36,clap=39"))]
    assert labels == ["boom", "SD", "clap"]


def test_with_a_map_other_channels_hold_drums(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    write_onsets(path, [Onset(0.5, "36"), Onset(1.0, "40")])
    assert [onset.label for onset in read_onsets(path)] == ["36", "40"]
    mapped = read_onsets(path, note_map=load_note_map("roland-td"))
    assert [(onset.label, onset.midi_note) for onset in mapped] == [("KD", 36), ("SD", 40)]


def test_other_percussion_is_listed_to_be_read_only(tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text("OT = [17]\n")
    note_map = load_note_map(str(tmp_path / "kit.toml"))
    assert note_map.write == {}
    assert note_map.read == {17: "OT"}
