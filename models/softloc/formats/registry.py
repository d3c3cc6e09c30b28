"""The table of formats: what each is called, its suffixes, what it holds, and how it is written.

Another format is another file here and another row in `FORMATS`. `formats_table` makes the table of
``docs/formats.md`` from it, and ``softloc convert --formats`` prints it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from softloc.errors import SettingsError
from softloc.events import Onset, sort_onsets
from softloc.files import atomic_path
from softloc.formats.events_json import render_events_json
from softloc.formats.jams_json import render_jams
from softloc.formats.lines import UNNAMED
from softloc.formats.midi import DEFAULT_TEMPO_BPM, TICKS_PER_QUARTER, render_midi
from softloc.formats.plain import render_audacity, render_onsets, render_tsv
from softloc.formats.provenance import Provenance
from softloc.formats.svl import render_svl
from softloc.formats.tables import render_csv
from softloc.vocabulary import nearest_hint, note_of_label

#: What an event may hold beside its time, as `Onset` names it, and in words.
FIELDS: Mapping[str, str] = {
    "label": "label",
    "midi_note": "MIDI note",
    "velocity": "velocity",
    "confidence": "confidence",
    "time_std_s": "spread in time",
    "annotator": "annotator",
    "softness_ms": "softness",
}
_ALL = frozenset(FIELDS)


@dataclass(frozen=True, slots=True)
class WriteContext:
    """What a format may need beside the events.

    Attributes
    ----------
    note_map : Mapping[str, int] or None
        MIDI: notes of labels, before the General MIDI ones.
    comment : str or None
        How the events were made.
    tempo_bpm : float
        MIDI: quarters a minute.
    provenance : Provenance
        Where the events come from.
    """

    note_map: Mapping[str, int] | None = None
    comment: str | None = None
    tempo_bpm: float = DEFAULT_TEMPO_BPM
    provenance: Provenance = field(default_factory=Provenance)


#: Pieces of a file, from sorted events and what else the format may need.
Render = Callable[[Iterable[Onset], WriteContext], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Format:
    """One form that the events of a recording can have in a file.

    Attributes
    ----------
    name : str
        What the user calls it.
    title : str
        What it is.
    suffixes : tuple of str
        File suffixes that mean it; may be empty.
    suffix : str
        Suffix that a result gets, or that such files usually have.
    render : callable or None
        Content of the file, piece by piece, from sorted events, which may be gone through several
        times; None where the form is only read.
    is_text : bool
        Whether it may be printed.
    holds : frozenset of str
        Which of `FIELDS` it holds.
    note_by_class : bool
        It holds a MIDI note where all events of a class and annotator have the same.
    time_step_s : float or None
        Step that times are rounded to, so half of it is the largest error; 0 is exact, None is one
        sample of the recording.
    remark : str
        What else a user must know.
    """

    name: str
    title: str
    suffixes: tuple[str, ...] = ()
    suffix: str = ""
    render: Render | None = None
    is_text: bool = True
    holds: frozenset[str] = frozenset()
    note_by_class: bool = False
    time_step_s: float | None = 0.0
    remark: str = ""


def _text(render: Callable[[Iterable[Onset]], Iterator[str]], *, comments: bool = True) -> Render:
    """Bytes of a text format, the comment as a first line where its readers skip such lines."""

    def content(onsets: Iterable[Onset], context: WriteContext) -> Iterator[bytes]:
        if context.comment and comments:
            yield f"# {context.comment}\n".encode()
        for line in render(onsets):
            yield line.encode()

    return content


def _document(render: Callable[[Sequence[Onset], Provenance, str | None], str]) -> Render:
    """Bytes of a format that has a place for comment and provenance."""

    def content(onsets: Iterable[Onset], context: WriteContext) -> Iterator[bytes]:
        yield render(list(onsets), context.provenance, context.comment).encode()

    return content


def _midi(onsets: Iterable[Onset], context: WriteContext) -> Iterator[bytes]:
    return render_midi(
        onsets, note_map=context.note_map, marker=context.comment, tempo_bpm=context.tempo_bpm
    )


_MICROSECOND_S = 1e-6
_NAMED = "only where --from names it: its names become drum classes"

FORMATS: Mapping[str, Format] = {
    row.name: row
    for row in (
        Format(
            "midi", "Standard MIDI file, General MIDI drums", (".mid", ".midi"), ".mid", _midi,
            is_text=False, holds=frozenset({"label", "midi_note", "velocity"}),
            time_step_s=60.0 / DEFAULT_TEMPO_BPM / TICKS_PER_QUARTER,
            remark="labels are notes: own names need --note-map both ways; nothing before 0 s; "
            "the error is that at 120 BPM",
        ),
        Format("csv", "table with a header", (".csv",), ".csv", _text(render_csv),
               holds=_ALL, time_step_s=_MICROSECOND_S),
        Format(
            "tsv", "`time label`, as mir_eval and MIREX",
            (".tsv", ".txt", ".lab", ".beats", ".notes"), ".tsv", _text(render_tsv),
            holds=frozenset({"label"}), time_step_s=_MICROSECOND_S, remark="no tabs in labels",
        ),
        Format("onsets", "one time a line", (".onsets",), ".onsets", _text(render_onsets),
               time_step_s=_MICROSECOND_S),
        Format(
            "audacity", "Audacity label track", (), ".txt",
            _text(render_audacity, comments=False), holds=frozenset({"label"}),
            time_step_s=_MICROSECOND_S, remark="no tabs in labels",
        ),
        Format("json", "softloc's JSON, with its schema", (".json",), ".json",
               _document(render_events_json), holds=_ALL),
        Format(
            "jams", "JAMS, namespace `onset`", (".jams",), ".jams", _document(render_jams),
            holds=frozenset({"label", "confidence", "annotator"}), note_by_class=True,
            remark="one MIDI note a class; nothing before 0 s",
        ),
        Format(
            "svl", "Sonic Visualiser layer", (".svl",), ".svl", _document(render_svl),
            holds=frozenset({"label"}), time_step_s=None,
            remark="needs the recording's sample rate",
        ),
        Format("idmt", "IDMT-SMT-Drums XML", (".xml",)),
        Format("enst", "ENST-Drums text", (), ".txt", remark=_NAMED),
        Format("mdb", "MDB Drums text, class or subclass", (), ".txt", remark=_NAMED),
        Format("rbma8", "RBMA13 text, eight classes", (), ".txt", remark=_NAMED),
        Format("basic-pitch", "basic-pitch CSV", (), ".csv"),
        Format("madmom", "madmom notes, `onset note duration velocity`", (), ".notes"),
        Format("beats", "beats of beat_this and madmom", (), ".beats"),
    )
}  # fmt: skip

#: Names of the formats that can be written.
WRITABLE: tuple[str, ...] = tuple(row.name for row in FORMATS.values() if row.render is not None)

#: Suffixes of files that may hold labels.
SUFFIXES: tuple[str, ...] = tuple(suffix for row in FORMATS.values() for suffix in row.suffixes)

#: Other names that users give to formats.
ALIASES: Mapping[str, str] = {"mid": "midi", "txt": "tsv"}


def format_of_path(path: Path) -> str | None:
    """Name of the format that the suffix of a path chooses for writing, None if it chooses none."""
    suffix = path.suffix.lower()
    return next((name for name in WRITABLE if suffix in FORMATS[name].suffixes), None)


def format_named(name: str) -> Format:
    """Format of a name or of an alias (``mid``).

    Raises
    ------
    SettingsError
        If there is none; the message gives the nearest name.
    """
    name = ALIASES.get(name, name)
    if name not in FORMATS:
        raise SettingsError(f"unknown format {name!r}{nearest_hint(name, FORMATS)}")
    return FORMATS[name]


def lost_fields(onsets: Sequence[Onset], format: str) -> dict[str, int]:  # noqa: A002 - the option's name
    """Count the events that a format would take something from.

    Parameters
    ----------
    onsets : sequence of Onset
        Events.
    format : str
        A name in `FORMATS`.

    Returns
    -------
    dict
        Number of events for each of `FIELDS` that is lost; empty where all of it is kept. A note
        that the label itself implies is not lost, nor a label that only says "onset".
    """
    row = format_named(format)
    counts = {
        name: sum(_has_own(onset, name) for onset in onsets)
        for name in FIELDS
        if name not in row.holds
    }
    if row.note_by_class:
        counts["midi_note"] = _count_mixed_notes(onsets)
    return {name: count for name, count in counts.items() if count}


def _count_mixed_notes(onsets: Sequence[Onset]) -> int:
    """Events with a note of their own in classes (of an annotator) that have several notes."""
    notes: dict[tuple[str, str | None], set[int | None]] = defaultdict(set)
    for onset in onsets:
        implied = note_of_label(onset.label)
        notes[onset.label, onset.annotator].add(
            implied if onset.midi_note is None else onset.midi_note
        )
    return sum(
        _has_own(onset, "midi_note") and len(notes[onset.label, onset.annotator]) > 1
        for onset in onsets
    )


def _has_own(onset: Onset, name: str) -> bool:
    if name == "label":
        return onset.label != UNNAMED
    if name == "midi_note":
        return onset.midi_note not in (None, note_of_label(onset.label))
    return getattr(onset, name) is not None


def render_text(
    onsets: Sequence[Onset],
    format: str = "tsv",  # noqa: A002 - the option's name
    context: WriteContext | None = None,
) -> str:
    """Text of events, as a file or for a pipe.

    Parameters
    ----------
    onsets : sequence of Onset
        Events in any order.
    format : str
        A name in `FORMATS` of a text format that can be written.
    context : WriteContext, optional
        What the format may need beside the events.

    Returns
    -------
    str
        The text, events sorted by time and label.

    Raises
    ------
    SettingsError
        If there is no such text format.
    AnnotationError
        If a label cannot be held by the format.
    """
    return "".join(text_lines(sort_onsets(onsets), format, context))


def text_lines(
    onsets: Iterable[Onset],
    format: str = "tsv",  # noqa: A002 - the option's name
    context: WriteContext | None = None,
) -> Iterator[str]:
    """Lines of `render_text`, one at a time, from events in order.

    Raises
    ------
    SettingsError, AnnotationError
        As from `render_text`.
    """
    row = format_named(format)
    if not row.is_text:
        texts = [name for name in WRITABLE if FORMATS[name].is_text]
        raise SettingsError(f"{row.name} is no text format: choose {', '.join(texts)}")
    for piece in _render(row, onsets, context or WriteContext()):
        yield from piece.decode().splitlines(keepends=True)


def write_onsets(
    path: Path,
    onsets: Iterable[Onset],
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    note_map: Mapping[str, int] | None = None,
    comment: str | None = None,
    tempo_bpm: float = DEFAULT_TEMPO_BPM,
    provenance: Provenance | None = None,
    is_sorted: bool = False,
) -> None:
    """Write the events of one recording, all or nothing.

    Parameters
    ----------
    path : Path
        File to write or replace.
    onsets : iterable of Onset
        Events in any order. Sorted ones may come from anything that can be gone through several
        times; memory then does not grow with them, but for JSON, JAMS and Sonic Visualiser.
    format : str, optional
        Name in `WRITABLE` (or ``mid``); None lets the suffix choose.
    note_map : mapping, optional
        MIDI only: notes of labels, before the General MIDI ones.
    comment : str, optional
        Where the events come from: a text meta event in MIDI, a ``#`` line in text whose readers
        skip such lines (not in Audacity's), a field of JSON and JAMS, an XML comment.
    tempo_bpm : float
        MIDI only: quarters a minute. Times in seconds do not depend on it.
    provenance : Provenance, optional
        JSON, JAMS and Sonic Visualiser: the model and the recording, of which the last one needs
        the sample rate and JAMS wants the length.
    is_sorted : bool
        The events are in order of time, then of label.

    Raises
    ------
    SettingsError, AnnotationError
        As from `render_file`.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    context = WriteContext(note_map, comment, tempo_bpm, provenance or Provenance())
    pieces = _render(
        _format_for(path, format), onsets if is_sorted else sort_onsets(onsets), context
    )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.writelines(pieces)


def render_file(
    path: Path,
    onsets: Sequence[Onset],
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    note_map: Mapping[str, int] | None = None,
    comment: str | None = None,
    tempo_bpm: float = DEFAULT_TEMPO_BPM,
    provenance: Provenance | None = None,
) -> bytes:
    """Content of the file that `write_onsets` would write, without writing it.

    Parameters
    ----------
    path : Path
        Only its suffix matters, and only where no format is named.
    onsets, format, note_map, comment, tempo_bpm, provenance
        As for `write_onsets`.

    Returns
    -------
    bytes
        All of the file.

    Raises
    ------
    SettingsError
        If the suffix or the name chooses no format that can be written, or the format needs a
        sample rate that is not known.
    AnnotationError
        If an event cannot be held by the format: a time before 0 or a label without a note in MIDI,
        a label with a tab or a line break in TSV.
    """
    context = WriteContext(note_map, comment, tempo_bpm, provenance or Provenance())
    return b"".join(_render(_format_for(Path(path), format), sort_onsets(onsets), context))


def _format_for(path: Path, name: str | None) -> Format:
    name = name or format_of_path(path)
    if name is None:
        suffixes = [suffix for known in WRITABLE for suffix in FORMATS[known].suffixes]
        raise SettingsError(
            f"{path}: the suffix {path.suffix!r} chooses no format; use {', '.join(suffixes)}"
        )
    return format_named(name)


def _render(row: Format, onsets: Iterable[Onset], context: WriteContext) -> Iterator[bytes]:
    if row.render is None:
        raise SettingsError(f"{row.name} is only read, not written: choose {', '.join(WRITABLE)}")
    return row.render(onsets, context)


def formats_table() -> str:
    """Table of all formats in Markdown: suffixes, what each keeps, largest error of a time."""
    head = ["format", "what it is", "suffixes", "read", "write", *list(FIELDS.values())[1:]]
    rows = [[*head, "largest error of a time", "remark"]]
    rows.append(["---"] * len(rows[0]))
    for row in FORMATS.values():
        writes = row.render is not None
        kept = ["yes" if name in row.holds else "" for name in list(FIELDS)[1:]]
        suffixes = " ".join(row.suffixes or (row.suffix,))
        error = _error_in_words(row.time_step_s) if writes else ""
        rows.append(
            [
                row.name,
                row.title,
                suffixes,
                "yes",
                "yes" if writes else "",
                *kept,
                error,
                row.remark,
            ]
        )
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _error_in_words(step_s: float | None) -> str:
    if step_s is None:
        return "half a sample"
    return f"{step_s / 2 * 1000:.2g} ms" if step_s else "none"
