"""Names of drum classes and their MIDI notes.

Conventions
-----------
- The finest drum vocabulary is ``"9"`` (KD SD HH OH TT CY RD BE CL); ``"8"``, ``"5"`` and ``"3"``
  fold it: open hats into HH, rides and bells into CY. A class that a vocabulary has no place for
  is left out of it. Vocabularies of equal size elsewhere differ (magenta's three fold toms into the
  snare), so results always name the vocabulary.
- ``OT`` (other percussion) is read and counted, never written and never scored.
- Kick is written as 36: what DAWs, samplers, Groove and E-GMD use. The notes themselves are data
  (`softloc.note_maps`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softloc.errors import SettingsError
from softloc.note_maps import SHIPPED, SUFFIXES, NotesByLabel, read_map, shipped_map

OTHER = "OT"

_GENERAL_MIDI = shipped_map("gm")

#: Note that each drum label is written as (General MIDI percussion, channel 10).
WRITE_NOTES: Mapping[str, int] = {
    label: notes[0] for label, notes in _GENERAL_MIDI.items() if label != OTHER
}

#: Notes read as each drum label: General MIDI, and what Roland kits add (22, 26, 58).
READ_NOTES: Mapping[str, tuple[int, ...]] = {
    label: notes for label, notes in _GENERAL_MIDI.items() if label != OTHER
}

#: Notes of other percussion that are nothing to wonder about: clap, tambourine, cowbell.
KNOWN_OTHER_NOTES: tuple[int, ...] = _GENERAL_MIDI[OTHER]

_LABEL_OF_NOTE: Mapping[int, str] = {
    note: label for label, notes in READ_NOTES.items() for note in notes
}

#: How each vocabulary folds the finest labels into its own classes.
_FOLDS: Mapping[str, Mapping[str, str]] = {
    "3": {"KD": "KD", "SD": "SD", "HH": "HH", "OH": "HH"},
    "5": {
        "KD": "KD", "SD": "SD", "HH": "HH", "OH": "HH", "TT": "TT", "CY": "CY", "RD": "CY",
        "BE": "CY",
    },
    "8": {
        "KD": "KD", "SD": "SD", "HH": "HH", "OH": "HH", "TT": "TT", "CY": "CY", "RD": "RD",
        "BE": "BE", "CL": "CL",
    },
    "9": {label: label for label in ("KD", "SD", "HH", "OH", "TT", "CY", "RD", "BE", "CL")},
}  # fmt: skip

DRUM_LABELS: tuple[str, ...] = (*_FOLDS["9"], OTHER)
DRUM_VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    name: tuple(dict.fromkeys(fold.values())) for name, fold in _FOLDS.items()
}


def label_of_note(note: int) -> str:
    """Drum label of a MIDI percussion note; `OTHER` where it has no class of its own."""
    return _LABEL_OF_NOTE.get(note, OTHER)


def note_of_label(label: str) -> int | None:
    """MIDI note that a label is written as: a drum class, or a number 0-127 as text; else None."""
    if label in WRITE_NOTES:
        return WRITE_NOTES[label]
    if is_note_label(label):
        return int(label)
    return None


def is_note_label(label: str) -> bool:
    """Whether a label is a MIDI note number, as in pitched annotations."""
    return label.isascii() and label.isdigit() and len(label) <= 3 and int(label) <= 127


@dataclass(frozen=True, slots=True)
class NoteMap:
    """Notes of labels that go before the General MIDI ones.

    Attributes
    ----------
    write : Mapping[str, int]
        Note that a label is written as; never one for `OTHER`, which keeps the note it was read
        from.
    read : Mapping[int, str]
        Label that a note is read as.
    """

    write: Mapping[str, int]
    read: Mapping[int, str]


def load_note_map(text: str) -> NoteMap:
    """Read what ``--note-map`` names.

    Parameters
    ----------
    text : str
        A map that comes along (`softloc.note_maps.SHIPPED`), a ``.toml`` or ``.csv`` file, or
        ``label=note`` pairs separated by commas (``kick=36,clap=39``).

    Returns
    -------
    NoteMap
        Notes to write and to read. A note of several labels is read as the first one.

    Raises
    ------
    SettingsError
        If the name is unknown, the file cannot be read, or a note is not a number 0-127.
    """
    notes = _notes_by_label(text)
    read: dict[int, str] = {}
    for label, own in notes.items():
        for note in own:
            read.setdefault(note, label)
    return NoteMap({label: own[0] for label, own in notes.items() if label != OTHER}, read)


def parse_note_map(text: str) -> dict[str, int]:
    """Read the notes to write labels as from what ``--note-map`` names (see `load_note_map`)."""
    return dict(load_note_map(text).write)


def _notes_by_label(text: str) -> NotesByLabel:
    if text in SHIPPED:
        return shipped_map(text)
    if text.lower().endswith(SUFFIXES):
        return read_map(Path(text))
    if "=" not in text:
        raise SettingsError(
            f"unknown note map {text!r}: use {', '.join(SHIPPED)}, a {' or '.join(SUFFIXES)} file, "
            "or label=note pairs such as kick=36,clap=39"
        )
    notes: dict[str, tuple[int, ...]] = {}
    for pair in text.split(","):
        label, _, note = (part.strip() for part in pair.partition("="))
        if not label or not is_note_label(note):
            raise SettingsError(
                f"cannot read {pair!r} in the note map: write label=note, the note being 0-127"
            )
        notes[label] = (*notes.get(label, ()), int(note))
    return notes


def fold_label(label: str, vocabulary: str) -> str | None:
    """Class of a label in one of the drum vocabularies; None where it has no place.

    Parameters
    ----------
    label : str
        A drum label, or a MIDI note number as text (read as General MIDI percussion).
    vocabulary : str
        ``"3"``, ``"5"``, ``"8"`` or ``"9"``.

    Returns
    -------
    str or None
        The class, or None for a drum label that the vocabulary leaves out.

    Raises
    ------
    SettingsError
        If there is no such vocabulary, or the label is not a drum label.
    """
    fold = _FOLDS.get(vocabulary)
    if fold is None:
        raise SettingsError(f"unknown vocabulary {vocabulary!r}: choose one of {', '.join(_FOLDS)}")
    if is_note_label(label):
        label = label_of_note(int(label))
    if label not in DRUM_LABELS:
        raise SettingsError(f"unknown drum class {label!r}{nearest_hint(label, DRUM_LABELS)}")
    return fold.get(label)


def parse_class_list(text: str) -> tuple[str, ...]:
    """Read a list of classes, such as ``KD,SD,HH``.

    Parameters
    ----------
    text : str
        Names separated by commas.

    Returns
    -------
    tuple of str
        The names in their order.

    Raises
    ------
    SettingsError
        If there is none, one is named twice, or one is `OTHER`, which is never a class.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise SettingsError("no classes are listed: name them like KD,SD,HH")
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise SettingsError(f"the class {repeated} is listed twice")
    if OTHER in names:
        raise SettingsError(f"{OTHER} (other percussion) is never a class: leave it out")
    return names


def fold_into_list(label: str, listed: Sequence[str]) -> str | None:
    """Class of a label where exactly the listed ones exist; None where it belongs to none.

    A drum label that is not listed folds into a listed class that contains it: ``OH`` into ``HH``,
    ``RD`` and ``BE`` into ``CY``, as in the vocabulary ``"5"``. `OTHER` belongs to no class.

    Parameters
    ----------
    label : str
        A drum label, a MIDI note number as text (itself, if it is listed, else read as General
        MIDI percussion), or any other name (only itself).
    listed : sequence of str
        Classes, as from `parse_class_list`.

    Returns
    -------
    str or None
        One of the listed classes, or None.
    """
    if label in listed:
        return label
    finest = label_of_note(int(label)) if is_note_label(label) else label
    coarser = _FOLDS["5"].get(finest, finest)
    return next((name for name in (finest, coarser) if name in listed), None)


def label_order(label: str) -> tuple[int, int, str]:
    """Sort key of labels: drums in their usual order, note numbers by value, then names."""
    if label in DRUM_LABELS:
        return (0, DRUM_LABELS.index(label), label)
    return (1, int(label), label) if is_note_label(label) else (2, 0, label)


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """End a message with ``: did you mean …?``, or with the list of all known names, if any."""
    known = list(known)
    if not known:
        return ""
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not match:
        match = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    if match:
        return f": did you mean {match[0]!r}?"
    return f" (known: {', '.join(known)})"
