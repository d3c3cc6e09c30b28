"""Reading a label file of any format, of one recording or of many.

Conventions
-----------
- MIDI is known by its suffix; of text the content decides, whatever the suffix: a first line that
  is a header, or an event whose time is followed by a comma, starts a table.
- Events come out sorted. Labels of one class (and annotator) within 1 ms of each other are kept,
  and said once per file in the log ``softloc``. So are drum labels in other case (``kd``), which
  stay what they are.
- A file whose first line is neither an event nor a header is no label file (`NotLabelsError`); one
  that was meant as labels (not UTF-8, a header without times, semicolons) is damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from softloc.errors import AnnotationError
from softloc.events import Onset, sort_onsets
from softloc.formats.lines import (
    Line,
    NotLabelsError,
    content_lines,
    fail,
    is_number,
    looks_like_number,
    read_text,
)
from softloc.formats.midi import read_midi
from softloc.formats.plain import parse_plain
from softloc.formats.registry import FORMATS, format_of_path
from softloc.formats.tables import (
    delimiter_of,
    has_file_column,
    is_header,
    names_known_column,
    parse_table,
)
from softloc.vocabulary import DRUM_LABELS

_DUPLICATE_S = 0.001
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelFile:
    """Content of a label file.

    Attributes
    ----------
    form : str
        Name of its format in `softloc.formats.FORMATS`: the one to write it in again.
    recordings : Mapping[str or None, list[Onset]]
        Sorted events by recording; a file without a ``file`` column has the single key None.
    """

    form: str
    recordings: Mapping[str | None, list[Onset]]


def read_onsets(path: Path) -> list[Onset]:
    """Read the events of one recording.

    Parameters
    ----------
    path : Path
        CSV with a header, white-space separated text (MIREX, times alone, madmom, beat_this,
        Audacity labels), or MIDI.

    Returns
    -------
    list of Onset
        Events sorted by time and label. Times without labels are labelled ``ON``.

    Raises
    ------
    AnnotationError
        If the file cannot be read (the message names file, line and value), or is a table of
        several recordings.
    """
    recordings = read_label_file(path).recordings
    if len(recordings) > 1:
        raise AnnotationError(
            f"{path} holds the labels of {len(recordings)} recordings where those of one are needed"
        )
    return next(iter(recordings.values()), [])


def read_label_file(path: Path) -> LabelFile:
    """Read a label file of any format, of one recording or of many.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    LabelFile
        Its format and its events.

    Raises
    ------
    AnnotationError
        If it cannot be read; the message names file, line and value.
    NotLabelsError
        If it is text that does not start like a label file.
    """
    path = Path(path)
    if path.suffix.lower() in FORMATS["midi"].suffixes:
        return LabelFile("midi", {None: read_midi(path)})
    text = read_text(path)
    lines = content_lines(text)
    if not lines:
        return LabelFile(format_of_path(path) or "tsv", {None: []})
    if _starts_table(lines[0].text):
        label_file = LabelFile("csv", _read_table(text, lines, path))
    else:
        _refuse_prose(lines[0], path)
        form, onsets = parse_plain(lines, path)
        label_file = LabelFile(form, {None: onsets})
    _report_duplicates(path, label_file.recordings)
    _report_case(path, label_file.recordings)
    recordings = {file: sort_onsets(events) for file, events in label_file.recordings.items()}
    return LabelFile(label_file.form, recordings)


def _starts_table(first: str) -> bool:
    """Whether the first line is a header, or a comma ends its first column."""
    if is_header(first):
        return True
    if delimiter_of(first) != ",":
        return False
    # In "0.5 kick, loud" the comma is part of the label.
    before_comma, before_space = first.split(",", 1)[0].strip(), first.split(maxsplit=1)[0]
    return is_number(before_comma) or not is_number(before_space)


def _read_table(text: str, lines: list[Line], path: Path) -> dict[str | None, list[Onset]]:
    recordings: dict[str | None, list[Onset]] = {}
    if not has_file_column(lines[0].text):
        recordings[None] = []
    for file, onset in parse_table(text, lines, path):
        events = recordings.setdefault(file, [])
        if onset is not None:
            events.append(onset)
    return recordings


def _refuse_prose(first: Line, path: Path) -> None:
    if looks_like_number(first.text.split()[0]):
        return
    message = (
        f"{first.text.strip()[:40]!r} is neither an event that starts with its time nor a header "
        "with a column 'time_s'"
    )
    start, *others = first.text.split(";")
    if others and (is_number(start.strip()) or any(map(names_known_column, [start, *others]))):
        fail(path, first.number, f"{message}; separate columns by commas")
    raise NotLabelsError(f"{path}, line {first.number}: {message}")


def _report_duplicates(path: Path, recordings: Mapping[str | None, list[Onset]]) -> None:
    n_duplicates = 0
    first = ""
    for file, events in recordings.items():
        by_class: dict[tuple[str, str | None], list[float]] = {}
        for onset in events:
            by_class.setdefault((onset.label, onset.annotator), []).append(onset.time_s)
        for (label, _), times_s in by_class.items():
            times_s.sort()
            for earlier_s, later_s in pairwise(times_s):
                if later_s - earlier_s < _DUPLICATE_S:
                    n_duplicates += 1
                    first = first or f"{label} at {later_s:.6f} s" + (f" of {file}" if file else "")
    if n_duplicates:
        _LOG.warning(
            "%s: %d labels repeat another of their class within 1 ms (first: %s)",
            path, n_duplicates, first,
        )  # fmt: skip


def _report_case(path: Path, recordings: Mapping[str | None, list[Onset]]) -> None:
    labels = {onset.label for events in recordings.values() for onset in events}
    for label in sorted(labels - set(DRUM_LABELS)):
        if label.upper() in DRUM_LABELS:
            _LOG.warning(
                "%s: the label %r is not the drum class %r: case matters",
                path, label, label.upper(),
            )  # fmt: skip
