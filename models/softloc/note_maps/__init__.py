"""Which MIDI notes stand for which label, as data: files of this folder, or one of the user's.

Conventions
-----------
- A map lists the notes of each label: the first one is written, all of them are read.
- TOML: ``KD = 36`` or ``KD = [36, 35]``. CSV: a header ``label,note`` and a pair a line; a label
  may come again. Lines that start with ``#`` are comments in both.
- Whatever a map does not list is written and read as General MIDI (``gm.toml``).
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from softloc.errors import SettingsError
from softloc.files import read_settings_file

NotesByLabel = Mapping[str, tuple[int, ...]]

#: Names of the maps that come along.
SHIPPED: tuple[str, ...] = ("gm", "roland-td", "adtof5")

#: Suffixes of maps of the user's own.
SUFFIXES: tuple[str, ...] = (".toml", ".csv")


def shipped_map(name: str) -> NotesByLabel:
    """Read one of the maps that come along.

    Parameters
    ----------
    name : str
        A name in `SHIPPED`.

    Returns
    -------
    Mapping
        Notes of each label, the one to be written first.
    """
    resource = files("softloc.note_maps") / f"{name}.toml"
    return _parse_toml(resource.read_text(encoding="utf-8"), f"note map {name}")


def read_map(path: Path) -> NotesByLabel:
    """Read a map of the user's own.

    Parameters
    ----------
    path : Path
        A ``.toml`` or ``.csv`` file.

    Returns
    -------
    Mapping
        Notes of each label, the one to be written first.

    Raises
    ------
    SettingsError
        If it cannot be read, is empty, or a note is no whole number 0-127; the message names the
        file and the label or line.
    """
    try:
        text = read_settings_file(path)
    except OSError as error:
        raise SettingsError(f"cannot read the note map {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"the note map {path} is not UTF-8 text (byte {error.start})"
        ) from error
    except ValueError as error:
        raise SettingsError(f"cannot read the note map {path}: {error}") from error
    parse = _parse_csv if path.suffix.lower() == ".csv" else _parse_toml
    notes = parse(text, f"note map {path}")
    if not notes:
        raise SettingsError(
            f"the note map {path} lists no label: write lines such as KD = [36, 35]"
        )
    return notes


def _parse_toml(text: str, name: str) -> NotesByLabel:
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting without end
        raise SettingsError(f"{name} is not readable TOML: {error}") from error
    return {label: _notes(value, label, name) for label, value in table.items()}


def _notes(value: object, label: str, name: str) -> tuple[int, ...]:
    notes = value if isinstance(value, list) else [value]
    # A bool is an int to Python, but no note.
    if not notes or not all(type(note) is int and 0 <= note <= 127 for note in notes):
        raise SettingsError(
            f"{name}: the notes of {label!r} must be whole numbers 0-127, such as [36, 35], "
            f"not {value}"
        )
    return tuple(notes)


def _parse_csv(text: str, name: str) -> NotesByLabel:
    lines = ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]
    reader = csv.reader(lines, skipinitialspace=True)
    rows = [(reader.line_num, [field.strip() for field in row]) for row in reader]
    rows = [(number, row) for number, row in rows if any(row)]
    if not rows:
        return {}
    header = [field.lower() for field in rows[0][1]]
    if "label" not in header or "note" not in header:
        raise SettingsError(f"{name}, line {rows[0][0]}: the header must name label and note")
    notes: dict[str, tuple[int, ...]] = {}
    for number, row in rows[1:]:
        values = dict(zip(header, row, strict=False))
        label, note = values.get("label", ""), values.get("note", "")
        if not label or not _is_note(note):
            raise SettingsError(
                f"{name}, line {number}: write a label and its note 0-127, such as KD,36, "
                f"not {','.join(row)!r}"
            )
        notes[label] = (*notes.get(label, ()), int(note))
    return notes


def _is_note(field: str) -> bool:
    return field.isascii() and field.isdigit() and len(field) <= 3 and int(field) <= 127
