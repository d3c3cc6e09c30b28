"""The table of formats: what each is called, its suffixes, and how it is written.

Another format is another file here and another row in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softloc.errors import SettingsError
from softloc.events import Onset, sort_onsets
from softloc.files import write_bytes_atomic
from softloc.formats.midi import DEFAULT_TEMPO_BPM, render_midi
from softloc.formats.plain import render_audacity, render_onsets, render_tsv
from softloc.formats.tables import render_csv
from softloc.vocabulary import nearest_hint


@dataclass(frozen=True, slots=True)
class Format:
    """One way of writing the events of a recording.

    Attributes
    ----------
    name : str
        What the user calls it.
    suffixes : tuple of str
        File suffixes that choose it when writing; may be empty.
    render : callable or None
        Text of sorted events; None for MIDI, which is not text.
    comments : bool
        Whether readers of this format skip lines that start with ``#``.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    render: Callable[[Sequence[Onset]], str] | None = None
    comments: bool = True


FORMATS: Mapping[str, Format] = {
    row.name: row
    for row in (
        Format("midi", (".mid", ".midi"), comments=False),
        Format("csv", (".csv",), render_csv),
        Format("tsv", (".tsv", ".txt", ".lab", ".beats", ".notes"), render_tsv),
        Format("onsets", (".onsets",), render_onsets),
        Format("audacity", (), render_audacity, comments=False),
    )
}

#: Suffixes of files that may hold labels.
SUFFIXES: tuple[str, ...] = tuple(suffix for row in FORMATS.values() for suffix in row.suffixes)


def format_of_path(path: Path) -> str | None:
    """Name of the format that the suffix of a path chooses, None if it chooses none."""
    suffix = path.suffix.lower()
    return next((row.name for row in FORMATS.values() if suffix in row.suffixes), None)


def render_text(onsets: Sequence[Onset], format: str = "tsv") -> str:  # noqa: A002 - the option's name
    """Text of events, as a file or for a pipe.

    Parameters
    ----------
    onsets : sequence of Onset
        Events in any order.
    format : str
        ``"csv"``, ``"tsv"``, ``"onsets"`` or ``"audacity"``.

    Returns
    -------
    str
        One event a line, sorted by time and label.

    Raises
    ------
    SettingsError
        If there is no such text format.
    AnnotationError
        If a label cannot be held by the format.
    """
    render = _format_named(format).render
    if render is None:
        raise SettingsError(f"{format} is no text format: choose csv, tsv, onsets or audacity")
    return render(sort_onsets(onsets))


def write_onsets(
    path: Path,
    onsets: Sequence[Onset],
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    note_map: Mapping[str, int] | None = None,
    comment: str | None = None,
    tempo_bpm: float = DEFAULT_TEMPO_BPM,
) -> None:
    """Write the events of one recording, all or nothing.

    Parameters
    ----------
    path : Path
        File to write or replace.
    onsets : sequence of Onset
        Events in any order.
    format : str, optional
        Name in `FORMATS`; None lets the suffix choose.
    note_map : mapping, optional
        MIDI only: notes of labels, before the General MIDI ones.
    comment : str, optional
        Where the events come from: a text meta event in MIDI, a ``#`` line in text whose readers
        skip such lines (not in Audacity's).
    tempo_bpm : float
        MIDI only: quarters a minute. Times in seconds do not depend on it.

    Raises
    ------
    SettingsError, AnnotationError
        As from `render_file`.
    OutputError
        If the file cannot be written.
    """
    content = render_file(
        path, onsets, format=format, note_map=note_map, comment=comment, tempo_bpm=tempo_bpm
    )
    write_bytes_atomic(path, content)


def render_file(
    path: Path,
    onsets: Sequence[Onset],
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    note_map: Mapping[str, int] | None = None,
    comment: str | None = None,
    tempo_bpm: float = DEFAULT_TEMPO_BPM,
) -> bytes:
    """Content of the file that `write_onsets` would write, without writing it.

    Parameters
    ----------
    path : Path
        Only its suffix matters, and only where no format is named.
    onsets, format, note_map, comment, tempo_bpm
        As for `write_onsets`.

    Returns
    -------
    bytes
        All of the file.

    Raises
    ------
    SettingsError
        If the suffix or the name chooses no format.
    AnnotationError
        If an event cannot be held by the format: a time before 0 or a label without a note in MIDI,
        a label with a tab or a line break in TSV.
    """
    name = format or format_of_path(path)
    if name is None:
        raise SettingsError(
            f"{path}: the suffix {path.suffix!r} chooses no format; use {', '.join(SUFFIXES)}"
        )
    row = _format_named(name)
    events = sort_onsets(onsets)
    if row.render is None:
        return render_midi(events, note_map=note_map, marker=comment, tempo_bpm=tempo_bpm)
    head = f"# {comment}\n" if comment and row.comments else ""
    return (head + row.render(events)).encode()


def _format_named(name: str) -> Format:
    if name not in FORMATS:
        raise SettingsError(f"unknown format {name!r}{nearest_hint(name, FORMATS)}")
    return FORMATS[name]
