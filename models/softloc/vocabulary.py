"""Names of drum classes and their MIDI notes.

Conventions
-----------
- The finest drum vocabulary is ``"9"`` (KD SD HH OH TT CY RD BE CL); ``"8"``, ``"5"`` and ``"3"``
  fold it: open hats into HH, rides and bells into CY. A class that a vocabulary has no place for
  is left out of it. Vocabularies of equal size elsewhere differ (magenta's three fold toms into the
  snare), so results always name the vocabulary.
- ``OT`` (other percussion) is read and counted, never written and never scored.
- Kick is written as 36: what DAWs, samplers, Groove and E-GMD use.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from softloc.errors import SettingsError

OTHER = "OT"

#: Note that each drum label is written as (General MIDI percussion, channel 10).
WRITE_NOTES: Mapping[str, int] = {
    "KD": 36, "SD": 38, "HH": 42, "OH": 46, "TT": 45, "CY": 49, "RD": 51, "BE": 53, "CL": 75,
    "ON": 76,
}  # fmt: skip

#: Notes read as each drum label: General MIDI, and what Roland kits add (22, 26, 58).
READ_NOTES: Mapping[str, tuple[int, ...]] = {
    "KD": (35, 36),
    "SD": (37, 38, 40),
    "HH": (22, 42, 44),
    "OH": (26, 46),
    "TT": (41, 43, 45, 47, 48, 50, 58),
    "CY": (49, 52, 55, 57),
    "RD": (51, 59),
    "BE": (53,),
    "CL": (75,),
    "ON": (76,),
}

#: Notes of other percussion that General MIDI names: clap, tambourine, cowbell.
KNOWN_OTHER_NOTES: tuple[int, ...] = (39, 54, 56)

#: Notes that other programs write, for those who must feed them (`parse_note_map`).
NOTE_MAPS: Mapping[str, Mapping[str, int]] = {
    "gm": WRITE_NOTES,
    "adtof5": {"KD": 35, "SD": 38, "TT": 47, "HH": 42, "CY": 49},
}

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


def parse_note_map(text: str) -> dict[str, int]:
    """Read the text of ``--note-map``: the notes to write labels as.

    Parameters
    ----------
    text : str
        A name in `NOTE_MAPS`, or ``label=note`` pairs separated by commas (``kick=36,clap=39``).

    Returns
    -------
    dict
        Label to MIDI note.

    Raises
    ------
    SettingsError
        If the name is unknown or a note is not a number 0-127.
    """
    if "=" not in text:
        if text not in NOTE_MAPS:
            raise SettingsError(
                f"unknown note map {text!r}: use {', '.join(NOTE_MAPS)}, or label=note pairs "
                "such as kick=36,clap=39"
            )
        return dict(NOTE_MAPS[text])
    notes = {}
    for pair in text.split(","):
        label, _, note = (part.strip() for part in pair.partition("="))
        if not label or not is_note_label(note):
            raise SettingsError(
                f"cannot read {pair!r} in the note map: write label=note, the note being 0-127"
            )
        notes[label] = int(note)
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
