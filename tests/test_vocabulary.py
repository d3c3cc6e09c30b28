"""Classes and notes: the two tables agree, folds lose nothing by accident."""

from __future__ import annotations

import pytest

from softloc.errors import SettingsError
from softloc.vocabulary import (
    DRUM_LABELS,
    DRUM_VOCABULARIES,
    READ_NOTES,
    WRITE_NOTES,
    fold_into_list,
    fold_label,
    is_note_label,
    label_of_note,
    nearest_hint,
    note_of_label,
    parse_class_list,
    parse_note_map,
)


@pytest.mark.parametrize("label", WRITE_NOTES)
def test_what_is_written_is_read_as_the_same_class(label: str) -> None:
    assert label_of_note(WRITE_NOTES[label]) == label


def test_no_note_belongs_to_two_classes() -> None:
    notes = [note for own in READ_NOTES.values() for note in own]
    assert len(notes) == len(set(notes))


@pytest.mark.parametrize(
    ("note", "label"), [(35, "KD"), (37, "SD"), (22, "HH"), (26, "OH"), (58, "TT"), (54, "OT")]
)
def test_notes_of_kits_and_of_general_midi(note: int, label: str) -> None:
    assert label_of_note(note) == label


@pytest.mark.parametrize(
    ("label", "folded"),
    [
        ("OH", {"3": "HH", "5": "HH", "8": "HH", "9": "OH"}),
        ("TT", {"3": None, "5": "TT", "8": "TT", "9": "TT"}),
        ("BE", {"3": None, "5": "CY", "8": "BE", "9": "BE"}),
        ("CL", {"3": None, "5": None, "8": "CL", "9": "CL"}),
        ("OT", {"3": None, "5": None, "8": None, "9": None}),
        ("38", {"3": "SD", "5": "SD", "8": "SD", "9": "SD"}),
    ],
)
def test_folds(label: str, folded: dict[str, str | None]) -> None:
    assert {name: fold_label(label, name) for name in DRUM_VOCABULARIES} == folded


def test_folding_twice_changes_nothing() -> None:
    for name, labels in DRUM_VOCABULARIES.items():
        assert [fold_label(label, name) for label in labels] == list(labels)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="unknown vocabulary '4'"):
        fold_label("KD", "4")
    with pytest.raises(SettingsError, match="unknown drum class 'kd': did you mean 'KD'"):
        fold_label("kd", "5")
    assert "known: KD" in nearest_hint("xylophone", DRUM_LABELS)
    assert nearest_hint("xylophone", []) == ""


@pytest.mark.parametrize(
    ("label", "listed", "folded"),
    [
        ("OH", ("KD", "HH"), "HH"),
        ("OH", ("HH", "OH"), "OH"),
        ("BE", ("RD", "CY"), "CY"),
        ("46", ("HH",), "HH"),
        ("46", ("HH", "46"), "46"),
        ("HH", ("OH",), None),
        ("OT", ("KD",), None),
        ("54", ("KD",), None),
        ("verse", ("KD", "verse"), "verse"),
        ("kd", ("KD",), None),
    ],
)
def test_folding_into_a_list(label: str, listed: tuple[str, ...], folded: str | None) -> None:
    assert fold_into_list(label, listed) == folded


def test_list_of_classes() -> None:
    assert parse_class_list(" KD, hi hat,") == ("KD", "hi hat")


@pytest.mark.parametrize(
    ("text", "message"),
    [(",", "no classes are listed"), ("KD,KD", "KD is listed twice"), ("KD,OT", "never a class")],
)
def test_bad_lists_of_classes_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_class_list(text)


def test_note_of_label() -> None:
    assert [note_of_label(label) for label in ("KD", "60", "OT", "verse")] == [36, 60, None, None]
    assert not is_note_label("128")
    assert not is_note_label("٣")


def test_note_map() -> None:
    assert parse_note_map("adtof5")["KD"] == 35
    assert parse_note_map("gm") == dict(WRITE_NOTES)
    assert parse_note_map("kick=36, clap = 39") == {"kick": 36, "clap": 39}


@pytest.mark.parametrize("text", ["adtof", "kick=", "kick=200", "=36", "kick=36,,"])
def test_bad_note_maps_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="note map"):
        parse_note_map(text)
