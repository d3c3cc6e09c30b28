"""Comma separated tables with a header, of one recording or of many.

Conventions
-----------
- Columns are found by name, in any order; unknown ones are ignored, rows may be longer or shorter
  than the header (basic-pitch). `SYNONYMS` lists the names that are understood.
- Seconds are written with six digits; an empty field is an unknown value.
- Columns are separated by commas or by tabs: by whichever comes first in the first line.
- A table with a ``file`` column holds a corpus. A row with a file and nothing else
  (``song.wav,,``) says that the recording has no events. ``./a.wav`` and ``a.wav`` are one.
- Without a ``label`` column the label is the note number, without both it is ``ON``. A note
  number with decimals (``36.0``, as pandas writes a column with gaps) is read as whole.
- A table without header is read as ``time,label`` where its first field is a number.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NoReturn

from softloc.errors import AnnotationError
from softloc.events import Onset
from softloc.formats.lines import (
    UNNAMED,
    Line,
    NotLabelsError,
    fail,
    has_decimal_comma,
    is_comment,
    located,
    looks_like_number,
    parse_number,
    split_lines,
)
from softloc.formats.plain import format_time
from softloc.vocabulary import WRITE_NOTES, is_note_label, nearest_hint

#: Accepted column names for each field, the preferred one first.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "file": ("file",),
    "time_s": ("time_s", "time", "onset_s", "onset", "start_time_s"),
    "label": ("label", "class", "instrument", "note", "pitch_midi"),
    "annotator": ("annotator",),
    "softness_ms": ("softness_ms",),
    "midi_note": ("midi_note",),
    "velocity": ("velocity",),
    "confidence": ("confidence",),
    "time_std_s": ("time_std_s",),
}
EVENT_COLUMNS = ("time_s", "label", "midi_note", "velocity", "confidence", "time_std_s")
_CORPUS_COLUMNS = ("annotator", "softness_ms", "midi_note", "velocity", "confidence", "time_std_s")

Row = tuple[str | None, Onset | None]


def is_header(text: str) -> bool:
    """Whether a line is a header that names a column of times, or several and one of labels."""
    names = _header_names(text)
    return _names_field(names, "time_s") or (len(names) > 1 and _names_field(names, "label"))


def delimiter_of(text: str) -> str | None:
    """Comma or tab, whichever comes first in a line; None where it holds neither."""
    return next((mark for mark in text if mark in ",\t"), None)


def names_known_column(field: str) -> bool:
    """Whether a field is the name of a column of times or labels."""
    return _names_field([field.strip().lower()], "time_s", "label")


def _names_field(names: Sequence[str], *fields: str) -> bool:
    return any(name in SYNONYMS[field] for field in fields for name in names)


def has_file_column(text: str) -> bool:
    """Whether a header names a column of recordings."""
    return "file" in _header_names(text)


def parse_table(
    text: str,
    header: Line,
    path: Path,
    rename: Callable[[Onset], Onset] | None = None,
) -> Iterator[Row]:
    """Read the rows of a table.

    Parameters
    ----------
    text : str
        The whole text, so that line numbers stay those of the file.
    header : Line
        Its first line with content, which need not be a header.
    path : Path
        Where they come from, for messages.
    rename : callable, optional
        Gives an event the label that it shall have.

    Yields
    ------
    file : str or None
        Recording, None in a table without a ``file`` column.
    onset : Onset or None
        Its event, None in a row that only names a recording.

    Raises
    ------
    AnnotationError
        If a column is missing or a value cannot be read; the message names file and line.
    """
    named = not looks_like_number(header.text.split(_delimiter(header.text))[0].strip())
    if not named and has_decimal_comma(header.text):
        fail(path, header.number, f"{header.text!r}: decimals need a point, not a comma")
    columns = _find_columns(header, path) if named else {"time_s": 0, "label": 1}
    first_row = header.number + 1 if named else header.number
    parser = _RowParser(columns, path)
    for number, fields in _split_rows(text, header.text, first_row, path):
        file, onset = parser.parse(fields, number)
        if onset is not None and rename is not None:
            with located(path, number):
                onset = rename(onset)
        yield file, onset


def _find_columns(header: Line, path: Path) -> dict[str, int]:
    names = _header_names(header.text)
    for name in names:
        if names.count(name) > 1 and any(name in known for known in SYNONYMS.values()):
            fail(path, header.number, f"the header names the column {name!r} twice")
    columns = {
        field: names.index(known)
        for field, synonyms in SYNONYMS.items()
        if (known := next((name for name in synonyms if name in names), None)) is not None
    }
    if "time_s" not in columns:
        _refuse_without_times(names, header, path)
    return columns


def _refuse_without_times(names: Sequence[str], header: Line, path: Path) -> NoReturn:
    """Refuse a table: as damaged where it names labels, else as no table of labels."""
    hint = " (columns must be separated by commas)" if ";" in header.text else ""
    wanted = f"name it {' or '.join(SYNONYMS['time_s'])}"
    message = f"no column of times among {', '.join(names)}{hint}; {wanted}"
    if not _names_field(names, "label"):
        raise NotLabelsError(f"{path}, line {header.number}: {message}")
    unknown = [name for name in names if not _names_field([name], *SYNONYMS)]
    hints = [(name, nearest_hint(name, SYNONYMS["time_s"])) for name in unknown]
    misspelt = next((f"; {name!r}{near}" for name, near in hints if near.startswith(":")), "")
    fail(path, header.number, message + misspelt)


def _header_names(text: str) -> list[str]:
    try:
        fields = next(csv.reader([text], delimiter=_delimiter(text)))
    except csv.Error:  # a field too long to be a name
        return []
    return [name.strip().lower() for name in fields]


def _delimiter(header: str) -> str:
    return delimiter_of(header) or ","


def _split_rows(text: str, header: str, first: int, path: Path) -> Iterator[tuple[int, list[str]]]:
    lines = islice(split_lines(text), first - 1, None)
    reader = csv.reader(
        _blank_comments(lines), delimiter=_delimiter(header), skipinitialspace=True, strict=True
    )
    row_starts = first
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                yield row_starts, fields
            row_starts = first + reader.line_num
    except csv.Error as error:
        fail(path, row_starts, f"{error}: is a quotation mark missing?")


def _blank_comments(lines: Iterable[str]) -> Iterator[str]:
    """Make comments blank lines, so that the reader's line numbers stay those of the file."""
    is_quoted = False  # a cell of several lines may have one that begins like a comment
    for line in lines:
        if is_comment(line) and not is_quoted:
            yield "\n"
        else:
            is_quoted ^= line.count('"') % 2 == 1
            yield line.rstrip("\r") + "\n"


class _RowParser:
    """Parses rows; a corpus has millions, so names that repeat are parsed and kept once."""

    def __init__(self, columns: Mapping[str, int], path: Path) -> None:
        self.columns, self.path = columns, path
        self.are_bare = columns.keys() <= {"file", "time_s", "label"}
        self.files: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.annotators: dict[str, str] = {}

    def parse(self, fields: Sequence[str], line: int) -> Row:
        n_fields = len(fields)
        values = {
            name: value
            for name, index in self.columns.items()
            if index < n_fields and (value := fields[index].strip())
        }
        file = None
        if "file" in self.columns:
            if "file" not in values:
                fail(self.path, line, "the file column is empty")
            file = self._file(values["file"])
            if "time_s" not in values and "label" not in values:
                return file, None
        return file, self._event(values, line)

    def _file(self, name: str) -> str:
        known = self.files.get(name)
        if known is None:
            known = self.files[name] = PurePosixPath(name.replace("\\", "/")).as_posix()
        return known

    def _label(self, name: str) -> str:
        known = self.labels.get(name)
        if known is None:
            known = self.labels[name] = _whole_note(name)
        return known

    def _event(self, values: Mapping[str, str], line: int) -> Onset:
        path = self.path
        midi_note = None if self.are_bare else self._whole(values, "midi_note", line)
        if "label" in values:
            label = self._label(values["label"])
        elif "label" in self.columns:
            fail(path, line, "the label is empty")
        else:
            label = UNNAMED if midi_note is None else str(midi_note)
        time_s = parse_number(values.get("time_s", ""), "the time", path, line)
        if self.are_bare:
            return Onset(time_s, label)
        velocity = self._whole(values, "velocity", line)
        confidence = self._number(values, "confidence", line)
        time_std_s = self._number(values, "time_std_s", line)
        # Infinite softness means: train on the counts alone.
        infinite = values.get("softness_ms", "").lower() == "inf"
        softness_ms = math.inf if infinite else self._number(values, "softness_ms", line)
        annotator = values.get("annotator")
        if annotator is not None:
            annotator = self.annotators.setdefault(annotator, annotator)
        try:
            return Onset(
                time_s,
                label,
                midi_note,
                velocity,
                confidence,
                time_std_s,
                annotator,
                softness_ms,
            )
        except AnnotationError as error:
            raise AnnotationError(f"{path}, line {line}: {error}") from error

    def _number(self, values: Mapping[str, str], name: str, line: int) -> float | None:
        field = values.get(name)
        return None if field is None else parse_number(field, name, self.path, line)

    def _whole(self, values: Mapping[str, str], name: str, line: int) -> int | None:
        value = self._number(values, name, line)
        if value is not None and value != int(value):
            fail(self.path, line, f"{name} is {values[name]}, not a whole number")
        return None if value is None else int(value)


def _whole_note(label: str) -> str:
    note, _, decimals = label.partition(".")
    return note if is_note_label(note) and decimals and not decimals.strip("0") else label


def render_csv(onsets: Iterable[Onset]) -> Iterator[str]:
    """Lines of the default table of one recording: header `EVENT_COLUMNS`, a row for each event.

    Columns ``annotator`` and ``softness_ms`` follow where any event has them; to find out, the
    events are gone through twice.
    """
    columns = (*EVENT_COLUMNS, *_filled(("annotator", "softness_ms"), onsets))
    yield ",".join(columns) + "\n"
    for onset in onsets:
        values = _event_fields(onset)
        if onset.midi_note is None and onset.label in WRITE_NOTES:
            values["midi_note"] = str(WRITE_NOTES[onset.label])
        yield ",".join(_quote(values[column]) for column in columns) + "\n"


def render_corpus_csv(recordings: Mapping[str, Sequence[Onset]], comments: Sequence[str]) -> str:
    """Text of the table of a corpus; columns that no event fills are left out."""
    onsets = [onset for events in recordings.values() for onset in events]
    optional = _filled(_CORPUS_COLUMNS, onsets)
    rows = [f"# {comment}" for comment in comments]
    rows.append(",".join(("file", "time_s", "label", *optional)))
    for file, events in recordings.items():
        if not events:
            rows.append(_quote(file) + "," * (2 + len(optional)))
        for onset in events:
            values = _event_fields(onset)
            fields = (file, *(values[column] for column in ("time_s", "label", *optional)))
            rows.append(",".join(_quote(field) for field in fields))
    return "\n".join(rows) + "\n"


def _filled(columns: Sequence[str], onsets: Iterable[Onset]) -> list[str]:
    missing = set(columns)
    for onset in onsets:
        missing -= {column for column in missing if getattr(onset, column) is not None}
    return [column for column in columns if column not in missing]


def _event_fields(onset: Onset) -> dict[str, str]:
    values: dict[str, object] = {
        "time_s": format_time(onset.time_s),
        "label": onset.label,
        "annotator": onset.annotator,
        "softness_ms": None if onset.softness_ms is None else f"{onset.softness_ms:.6g}",
        "midi_note": onset.midi_note,
        "velocity": onset.velocity,
        "confidence": None if onset.confidence is None else f"{onset.confidence:.6f}",
        "time_std_s": None if onset.time_std_s is None else f"{onset.time_std_s:.6f}",
    }
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _quote(field: str) -> str:
    # A leading # would make the row a comment.
    if field.startswith("#") or any(mark in field for mark in ',"\r\n'):
        return '"' + field.replace('"', '""') + '"'
    return field
