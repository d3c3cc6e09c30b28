"""Reading a label file of any format, of one recording or of many.

Conventions
-----------
- MIDI, JSON, JAMS and XML are known by their suffix; of other text the content decides, whatever
  the suffix: a first line that is a header, or an event whose time is followed by a comma, starts
  a table. A form that is named goes before both.
- Events come out sorted. Labels of one class (and annotator) within 1 ms of each other are kept,
  and said once per file in the log ``softloc``. So are drum labels in other case (``kd``), which
  stay what they are.
- A file whose first line is neither an event nor a header is no label file (`NotLabelsError`); one
  that was meant as labels (not UTF-8, a header without times, semicolons) is damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from softloc.errors import AnnotationError
from softloc.events import Onset, sort_onsets
from softloc.formats.events_json import parse_events_json
from softloc.formats.foreign import FOREIGN_NAMES, guess_foreign_names, rename_foreign
from softloc.formats.idmt import read_idmt
from softloc.formats.jams_json import is_jams, parse_jams
from softloc.formats.json_values import load_json
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
from softloc.formats.provenance import Provenance
from softloc.formats.registry import FORMATS, format_named, format_of_path
from softloc.formats.svl import read_svl
from softloc.formats.tables import (
    delimiter_of,
    has_file_column,
    is_header,
    names_known_column,
    parse_table,
)
from softloc.vocabulary import DRUM_LABELS, NoteMap

#: Formats that their suffix tells; text tells its form itself.
_DOCUMENTS = ("midi", "json", "jams", "svl", "idmt")
_TABLES = ("csv", "basic-pitch")
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
    provenance : Provenance
        What the file says beside its events.
    """

    form: str
    recordings: Mapping[str | None, list[Onset]]
    provenance: Provenance = field(default_factory=Provenance)


def read_onsets(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    note_map: NoteMap | None = None,
) -> list[Onset]:
    """Read the events of one recording.

    Parameters
    ----------
    path : Path
        CSV with a header, white-space separated text (MIREX, times alone, madmom, beat_this,
        Audacity labels), MIDI, JSON, JAMS, Sonic Visualiser's or IDMT's XML.
    format : str, optional
        Name of its form in `softloc.formats.FORMATS`; None lets suffix and content tell.
    note_map : NoteMap, optional
        MIDI only: labels of notes, as from `softloc.vocabulary.load_note_map`.

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
    recordings = read_label_file(path, format=format, note_map=note_map).recordings
    if len(recordings) > 1:
        raise AnnotationError(
            f"{path} holds the labels of {len(recordings)} recordings where those of one are needed"
        )
    return next(iter(recordings.values()), [])


def read_label_file(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    note_map: NoteMap | None = None,
) -> LabelFile:
    """Read a label file of any format, of one recording or of many.

    Parameters
    ----------
    path : Path
        The file.
    format, note_map
        As for `read_onsets`.

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
    SettingsError
        If there is no format of that name.
    """
    path = Path(path)
    name = _known_by_suffix(path) if format is None else format_named(format).name
    label_file = _read_document(path, name, note_map) or _read_text_file(path, name)
    if label_file.form != "midi":
        _report_duplicates(path, label_file.recordings)
        _report_names(path, label_file.recordings)
    recordings = {file: sort_onsets(events) for file, events in label_file.recordings.items()}
    return replace(label_file, recordings=recordings)


def _known_by_suffix(path: Path) -> str | None:
    suffix = path.suffix.lower()
    return next((name for name in _DOCUMENTS if suffix in FORMATS[name].suffixes), None)


def _read_document(path: Path, name: str | None, note_map: NoteMap | None) -> LabelFile | None:
    """Read what is no plain text; None leaves it to `_read_text_file`."""
    if name == "midi":
        return LabelFile("midi", {None: read_midi(path, note_map)})
    if name == "idmt":
        return LabelFile("idmt", {None: read_idmt(path)})
    if name == "svl":
        onsets, provenance = read_svl(path)
        return LabelFile("svl", {None: onsets}, provenance)
    if name in ("json", "jams"):
        document = load_json(path)
        # Some keep JAMS in files that end in .json.
        form = "jams" if name == "jams" or is_jams(document) else "json"
        parse = parse_jams if form == "jams" else parse_events_json
        onsets, provenance = parse(document, path)
        return LabelFile(form, {None: onsets}, provenance)
    return None


def _read_text_file(path: Path, name: str | None) -> LabelFile:
    text = read_text(path)
    lines = content_lines(text)
    first = next(lines, None)
    if first is None:
        writable = name if name is not None and FORMATS[name].render is not None else None
        return LabelFile(writable or format_of_path(path) or "tsv", {None: []})
    names = name if name in FOREIGN_NAMES else None
    form = None if names else name
    rename = None if names is None else partial(rename_foreign, names=names)
    if form in _TABLES or (form is None and _starts_table(first.text)):
        return LabelFile("csv", _read_table(text, first, path, rename))
    _refuse_prose(first, path)
    found, onsets = parse_plain([first, *lines], path, form=form, rename=rename)
    return LabelFile(found, {None: onsets})


def _starts_table(first: str) -> bool:
    """Whether the first line is a header, or a comma ends its first column."""
    if is_header(first):
        return True
    if delimiter_of(first) != ",":
        return False
    # In "0.5 kick, loud" the comma is part of the label.
    before_comma, before_space = first.split(",", 1)[0].strip(), first.split(maxsplit=1)[0]
    return is_number(before_comma) or not is_number(before_space)


def _read_table(
    text: str, header: Line, path: Path, rename: Callable[[Onset], Onset] | None
) -> dict[str | None, list[Onset]]:
    recordings: dict[str | None, list[Onset]] = {}
    if not has_file_column(header.text):
        recordings[None] = []
    for file, onset in parse_table(text, header, path, rename):
        events = recordings.get(file)
        if events is None:
            events = recordings[file] = []
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


def _report_names(path: Path, recordings: Mapping[str | None, list[Onset]]) -> None:
    labels = {onset.label for events in recordings.values() for onset in events}
    names = guess_foreign_names(labels)
    if names is not None:
        _LOG.warning(
            "%s: the labels look like those of %s and are kept as they are; softloc convert "
            "--from %s makes drum classes of them",
            path, names, names,
        )  # fmt: skip
        return
    for label in sorted(labels - set(DRUM_LABELS)):
        if label.upper() in DRUM_LABELS:
            _LOG.warning(
                "%s: the label %r is not the drum class %r: case matters",
                path, label, label.upper(),
            )  # fmt: skip
