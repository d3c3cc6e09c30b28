"""Grooves: drum performances in MIDI files, with the split that their index gives them.

Conventions
-----------
- The index is ``info.csv`` of the Groove MIDI Dataset; paths in it are relative to its folder.
- Times are seconds from the start of the MIDI file; notes are sorted by time.
- The index says ``validation`` where the kits say ``valid``; here it is ``valid``.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from softloc.errors import AnnotationError
from softloc.formats.midi import load_midi

_COLUMNS = ("id", "style", "bpm", "beat_type", "midi_filename", "duration", "split")
_SPLIT_NAMES = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}


@dataclass(frozen=True, slots=True)
class Groove:
    """One performance of the index.

    Attributes
    ----------
    path : Path
        The MIDI file.
    groove_id, split, style : str
        As in the index.
    bpm : float
        Tempo in quarter notes per minute.
    is_fill : bool
        A short fill rather than a beat.
    duration_s : float
        Length in seconds.
    """

    path: Path
    groove_id: str
    split: str
    style: str
    bpm: float
    is_fill: bool
    duration_s: float


@dataclass(frozen=True, slots=True)
class Note:
    """One stroke: when, which MIDI note, how hard."""

    time_s: float
    midi_note: int
    velocity: int


def load_grooves(folder: Path) -> tuple[Groove, ...]:
    """Read the index of a folder of grooves.

    Parameters
    ----------
    folder : Path
        Folder that holds ``info.csv``.

    Returns
    -------
    tuple of Groove
        In the order of the index.

    Raises
    ------
    AnnotationError
        If the index is missing, lacks a column, or a row cannot be used; names file and line.
    """
    index = Path(folder) / "info.csv"
    try:
        with index.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise AnnotationError(f"{index}:1: no column {', '.join(missing)}")
            return tuple(_read_row(row, index, reader.line_num) for row in reader)
    except OSError as error:
        raise AnnotationError(f"cannot read {index}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{index} is not UTF-8 text: {error}") from error


def read_notes(path: Path) -> tuple[Note, ...]:
    """Read the strokes of a MIDI file, all channels together.

    Parameters
    ----------
    path : Path
        A standard MIDI file.

    Returns
    -------
    tuple of Note
        Every note-on with a velocity above 0, sorted by time.

    Raises
    ------
    AnnotationError
        As `softloc.formats.midi.load_midi`.
    """
    time_s = 0.0
    notes = []
    for message in load_midi(path):
        time_s += message.time
        if message.type == "note_on" and message.velocity > 0:
            notes.append(Note(time_s, message.note, message.velocity))
    return tuple(notes)


def _read_row(row: Mapping[str, str | None], index: Path, line: int) -> Groove:
    where = f"{index}:{line}"
    text = {name: (row.get(name) or "").strip() for name in _COLUMNS}
    split = _SPLIT_NAMES.get(text["split"])
    if split is None:
        raise AnnotationError(f"{where}: unknown split {text['split']!r}")
    path = index.parent / text["midi_filename"]
    if not text["midi_filename"] or not path.is_file():
        raise AnnotationError(f"{where}: there is no file {path}")
    try:
        bpm, duration_s = float(text["bpm"]), float(text["duration"])
    except ValueError as error:
        raise AnnotationError(f"{where}: bpm or duration is not a number: {error}") from error
    if not (0 < bpm < 1000 and 0 <= duration_s < 1e6):
        raise AnnotationError(f"{where}: bpm {bpm} or duration {duration_s} s makes no sense")
    return Groove(
        path=path,
        groove_id=text["id"],
        split=split,
        style=text["style"],
        bpm=bpm,
        is_fill=text["beat_type"] == "fill",
        duration_s=duration_s,
    )
