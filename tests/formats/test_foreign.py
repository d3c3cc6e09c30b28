"""Label files of public sets and of other programs, each from a file made after its description."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import pytest

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset
from softloc.formats import FORMATS, read_label_file, read_onsets
from softloc.formats.foreign import FOREIGN_NAMES, rename_foreign
from softloc.vocabulary import DRUM_LABELS, fold_label, label_of_note, load_note_map

FOREIGN = Path(__file__).parents[1] / "golden" / "foreign"

Row = tuple[float, str, int | None]

IDMT: list[Row] = [(0.25, "KD", None), (0.5, "HH", 42), (0.75, "SD", None)]
ENST: list[Row] = [
    (0.25, "KD", 36), (0.5, "HH", 42), (0.5, "SD", 38), (0.75, "SD", 38), (1.0, "SD", 38),
    (1.25, "SD", 37), (1.5, "OH", 46), (1.75, "TT", 47), (2.0, "TT", 41), (2.25, "CY", 49),
    (2.5, "RD", 51), (2.75, "CY", 52), (3.0, "CY", 55), (3.25, "CY", 49), (3.5, "OT", 56),
    (3.75, "CL", 75), (4.0, "OT", None), (4.25, "OT", None),
]  # fmt: skip
MDB_SUBCLASS: list[Row] = [
    (0.01, "KD", 36), (0.51, "HH", 42), (0.51, "SD", 38), (1.01, "HH", 44), (1.26, "SD", 37),
    (1.51, "OH", 46), (1.76, "TT", 50), (2.01, "TT", 41), (2.26, "CY", 49), (2.51, "BE", 53),
    (2.76, "OT", 54),
]  # fmt: skip
MDB_CLASS: list[Row] = [(0.01, "KD", 36), (0.51, "HH", 42), (0.51, "SD", 38), (1.01, "OT", None)]
RBMA: list[Row] = [
    (0.25, "KD", 36), (0.5, "HH", 42), (0.75, "SD", 38), (1.0, "TT", 45), (1.25, "CY", 49),
    (1.5, "RD", 51), (1.75, "BE", 53), (2.0, "CL", 75),
]  # fmt: skip
BEATS: list[Row] = [(0.34, "1", None), (0.84, "2", None), (1.34, "3", None)]


@pytest.mark.parametrize(
    ("name", "form", "expected"),
    [
        ("idmt.xml", None, IDMT),
        ("idmt.xml", "idmt", IDMT),
        ("enst.txt", "enst", ENST),
        ("mdb_subclass.txt", "mdb", MDB_SUBCLASS),
        ("mdb_class.txt", "mdb", MDB_CLASS),
        ("rbma8.txt", "rbma8", RBMA),
        ("beat_this.beats", None, BEATS),
        ("beat_this.beats", "beats", BEATS),
    ],
)
def test_sets_and_programs(name: str, form: str | None, expected: list[Row]) -> None:
    read = read_onsets(FOREIGN / name, format=form)
    assert [(onset.time_s, onset.label, onset.midi_note) for onset in read] == expected


@pytest.mark.parametrize(
    ("name", "form", "expected"),
    [
        ("basic_pitch.csv", "basic-pitch", [(0.25, "64", 101), (0.5, "60", 90), (1.0, "72", 1)]),
        ("madmom.notes", "madmom", [(0.25, "60", 64), (0.5, "67", None), (0.75, "21", None)]),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_notes_with_velocities(
    name: str, form: str, expected: list[tuple[float, str, int | None]], *, named: bool
) -> None:
    read = read_onsets(FOREIGN / name, format=form if named else None)
    assert [(onset.time_s, onset.label, onset.velocity) for onset in read] == expected


def test_names_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("file,time,label\na.wav,0.5,CHH\na.wav,0.75,SST\n")
    read = read_onsets(path, format="mdb")
    assert [(onset.label, onset.midi_note) for onset in read] == [("HH", 42), ("SD", 37)]


def test_every_form_that_is_only_read_has_a_file() -> None:
    covered = {"idmt", "enst", "mdb", "rbma8", "basic-pitch", "madmom", "beats"}
    assert {name for name, row in FORMATS.items() if row.render is None} == covered


def test_names_lead_to_classes() -> None:
    for names in FOREIGN_NAMES.values():
        for note in names.values():
            assert note is None or label_of_note(note) in DRUM_LABELS


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("enst", "0.5 bd\n0.6 bass\n", r"line 2: 'bass' is no name of enst"),
        ("enst", "0.5 BD\n", r"line 1: 'BD' is no name of enst"),
        ("mdb", "0.5 KD\n\n0.6 CRH\n", r"line 3: 'CRH' is no name of mdb: did you mean"),
        ("rbma8", "0.5 8\n", r"line 1: '8' is no name of rbma8"),
        ("enst", "time,label\n0.5,bd\n0.6,kd\n", r"line 3: 'kd' is no name of enst: did you mean"),
        ("enst", "0.5\n", r"line 1: 'ON' is no name of enst"),
        ("enst", "nan bd\n", r"line 1: the time is 'nan'"),
        ("madmom", "0.5 KD\n", r"line 1: a note of madmom is written as: onset note"),
        ("madmom", "0.5\n", r"line 1: a note of madmom"),
        ("audacity", "0.5 inf KD\n", r"line 1: the end is 'inf'"),
        ("csv", "0.5\n", r"line 1: the label is empty"),
        ("idmt", "0.5 KD\n", r"line 1: this is not readable XML"),
        ("midi", "0.5 KD\n", r"is not a readable MIDI file"),
    ],
)  # fmt: skip
def test_files_that_are_not_what_they_are_named(
    form: str, text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_onsets(tmp_path / "a.txt", format=form)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("tsv", "0.5 0.6\n", [(0.5, "0.6")]),
        ("tsv", "0.5\t60\t0.25\t100\n", [(0.5, "60 0.25 100")]),
        ("audacity", "0.5\t1\t60\n", [(0.5, "60")]),
        ("audacity", "0.5\t1\n0.75\tKD\n\\\t100\t200\n", [(0.5, "ON"), (0.75, "KD")]),
        ("onsets", "0.5 KD\n", [(0.5, "ON")]),
        ("beats", "0.5\t1\n", [(0.5, "1")]),
        ("madmom", "0.5\t60\t0.25\t100\n", [(0.5, "60")]),
    ],
)
def test_a_named_form_settles_what_columns_are(
    form: str, text: str, expected: list[tuple[float, str]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(text)
    read = read_onsets(tmp_path / "a.txt", format=form)
    assert [(onset.time_s, onset.label) for onset in read] == expected


def test_names_of_a_set_are_kept_and_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="softloc"):
        assert read_onsets(FOREIGN / "enst.txt")[0].label == "bd"
        assert read_onsets(FOREIGN / "mdb_subclass.txt")[1].label == "CHH"
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split("softloc convert ")[1] for message in messages] == [
        "--from enst makes drum classes of them", "--from mdb makes drum classes of them",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["mdb_class.txt", "rbma8.txt", "beat_this.beats"])
def test_our_own_names_are_not_pointed_out(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="softloc"):
        read_onsets(FOREIGN / name)
    assert not caplog.records


def test_empty_files_of_any_form(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# nothing\n")
    for form in ("enst", "madmom", "audacity", "csv"):
        content = read_label_file(tmp_path / "a.txt", format=form)
        assert content.recordings == {None: []}
        assert FORMATS[content.form].render is not None


@pytest.mark.data
def test_real_subclasses_fold_into_the_classes_of_their_authors(data_root: Path) -> None:
    """Side sticks are other percussion to MDB Drums and snares to us; all else agrees."""
    with (data_root / "drums-dev" / "labels-original.csv").open(newline="") as file:
        pairs = {(row["subclass"], row["label"]) for row in csv.DictReader(file)}
    assert len(pairs) > 15
    for subclass, label in pairs:
        renamed = rename_foreign(Onset(0.0, subclass), "mdb").label
        expected = "SD" if subclass == "SST" else label
        assert (fold_label(renamed, "5") or renamed) == expected


@pytest.mark.data
def test_real_kits_send_no_unknown_note(data_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = sorted((data_root / "grooves" / "drummer2").rglob("*.mid"))
    roland = load_note_map("roland-td")
    with caplog.at_level(logging.WARNING, logger="softloc"):
        for path in paths:
            plain, mapped = read_onsets(path), read_onsets(path, note_map=roland)
            assert plain == mapped != []
            assert {onset.midi_note for onset in mapped} <= set(roland.read)
    assert not caplog.records
    assert paths


def test_unknown_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown format 'enstt': did you mean 'enst'"):
        read_onsets(FOREIGN / "enst.txt", format="enstt")
