r"""White-space separated text: ``time label``, times alone, madmom, beat_this, Audacity labels.

Conventions
-----------
- One event a line; columns are separated by tabs, or else by any white space. Stray spaces around
  a column are dropped; a label may hold spaces and commas, but no tab or line break.
- ``time`` alone, or a region without a name, is an onset of any instrument: label ``ON``.
- ``time label``: the MIREX and mir_eval form. A whole number is a label of its own (a note, a class
  id, a beat_this position), kept as text.
- ``start end label`` is Audacity's; the event is at the start. The second line of its extended form
  (``\``, low, high) is skipped; the two-column form of old versions is ``time label``.
- ``onset note [duration [velocity]]`` is madmom's. What tells it from Audacity: the note is a whole
  number without decimals, and no name follows.
- So a label that is itself a number with decimals cannot be told from an end: name the form, or use
  CSV for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from softloc.errors import AnnotationError
from softloc.events import Onset
from softloc.formats.lines import (
    UNNAMED,
    Line,
    fail,
    has_decimal_comma,
    is_number,
    located,
    looks_like_number,
    parse_number,
)
from softloc.vocabulary import is_note_label

_AUDACITY_EXTENSION = "\\"


def parse_plain(
    lines: Sequence[Line],
    path: Path,
    *,
    form: str | None = None,
    rename: Callable[[Onset], Onset] | None = None,
) -> tuple[str, list[Onset]]:
    """Read events from white-space separated lines.

    Parameters
    ----------
    lines : sequence of Line
        Lines with content.
    path : Path
        Where they come from, for messages.
    form : str, optional
        ``"tsv"``, ``"onsets"``, ``"audacity"``, ``"madmom"`` or ``"beats"``: what the columns are;
        None tells them apart line by line.
    rename : callable, optional
        Gives an event the label that it shall have.

    Returns
    -------
    form : str
        ``"tsv"``, ``"onsets"`` (times alone) or ``"audacity"``: the form to write them in again.
    onsets : list of Onset
        Events in the order of the file.

    Raises
    ------
    AnnotationError
        If a line cannot be read; the message names file and line.
    """
    forms: set[str] = set()
    onsets = []
    parse = _parse_fields if form is None else _PARSERS[form]
    for line in lines:
        fields = _split(line.text)
        if fields[0] == _AUDACITY_EXTENSION:
            continue
        if has_decimal_comma(line.text):
            fail(path, line.number, f"{fields[0]!r}: decimals need a point, not a comma")
        found, onset = parse(fields, path, line.number)
        if rename is not None:
            with located(path, line.number):
                onset = rename(onset)
        forms.add(found)
        onsets.append(onset)
    return (forms.pop() if len(forms) == 1 else "tsv"), onsets


def _split(text: str) -> list[str]:
    if "\t" in text:
        return [field.strip() for field in text.strip(" ").split("\t")]
    return text.split()


def _parse_fields(fields: list[str], path: Path, line: int) -> tuple[str, Onset]:
    time_s = parse_number(fields[0], "the time", path, line)
    rest = [field for field in fields[1:] if field]
    if not rest:
        return "onsets", Onset(time_s, UNNAMED)
    if not looks_like_number(rest[0]):
        return "tsv", Onset(time_s, " ".join(rest))
    if rest[0].isdigit() and all(is_number(field) for field in rest[1:]):
        return "tsv", _madmom_note(time_s, rest, path, line)
    end_s = parse_number(rest[0], "the second column", path, line)
    if end_s < time_s:
        fail(path, line, f"the region ends at {rest[0]} s, before it starts at {fields[0]} s")
    return "audacity", Onset(time_s, " ".join(rest[1:]) or UNNAMED)


def _parse_tsv(fields: list[str], path: Path, line: int) -> tuple[str, Onset]:
    time_s = parse_number(fields[0], "the time", path, line)
    return "tsv", Onset(time_s, " ".join(field for field in fields[1:] if field) or UNNAMED)


def _parse_time(fields: list[str], path: Path, line: int) -> tuple[str, Onset]:
    return "onsets", Onset(parse_number(fields[0], "the time", path, line), UNNAMED)


def _parse_audacity(fields: list[str], path: Path, line: int) -> tuple[str, Onset]:
    if len(fields) < 2 or not looks_like_number(fields[1]):
        return _parse_tsv(fields, path, line)  # the two columns of old versions
    time_s = parse_number(fields[0], "the start", path, line)
    parse_number(fields[1], "the end", path, line)
    return "audacity", Onset(time_s, " ".join(field for field in fields[2:] if field) or UNNAMED)


def _parse_madmom(fields: list[str], path: Path, line: int) -> tuple[str, Onset]:
    time_s = parse_number(fields[0], "the onset", path, line)
    rest = [field for field in fields[1:] if field]
    if not rest or not is_note_label(rest[0]):
        fail(path, line, "a note of madmom is written as: onset note [duration [velocity]]")
    return "tsv", _madmom_note(time_s, rest, path, line)


_PARSERS: dict[str, Callable[[list[str], Path, int], tuple[str, Onset]]] = {
    "tsv": _parse_tsv,
    "onsets": _parse_time,
    "audacity": _parse_audacity,
    "madmom": _parse_madmom,
    "beats": _parse_tsv,
}


def _madmom_note(time_s: float, rest: list[str], path: Path, line: int) -> Onset:
    label, *extra = rest
    velocity = None
    if len(extra) >= 2:  # duration, velocity
        velocity = int(parse_number(extra[1], "the velocity", path, line))
    with located(path, line):
        return Onset(time_s, label, velocity=velocity)


def render_tsv(onsets: Iterable[Onset]) -> Iterator[str]:
    """Lines in the MIREX and mir_eval form: ``time<TAB>label``, seconds with six digits.

    Raises
    ------
    AnnotationError
        If a label holds a tab or a line break.
    """
    for onset in _checked_labels(onsets):
        yield f"{format_time(onset.time_s)}\t{onset.label}\n"


def render_onsets(onsets: Iterable[Onset]) -> Iterator[str]:
    """Lines with one time each, seconds with six digits; labels are not kept."""
    for onset in onsets:
        yield f"{format_time(onset.time_s)}\n"


def render_audacity(onsets: Iterable[Onset]) -> Iterator[str]:
    """Lines of an Audacity label track: ``start<TAB>end<TAB>label`` with start = end.

    Raises
    ------
    AnnotationError
        If a label holds a tab or a line break.
    """
    for onset in _checked_labels(onsets):
        time = format_time(onset.time_s)
        yield f"{time}\t{time}\t{onset.label}\n"


def _checked_labels(onsets: Iterable[Onset]) -> Iterator[Onset]:
    for number, onset in enumerate(onsets, start=1):
        if any(mark in onset.label for mark in "\t\r\n"):
            raise AnnotationError(
                f"line {number}: the label {onset.label!r} at {onset.time_s:.6f} s has a tab or a "
                "line break, which this format cannot hold: write CSV"
            )
        yield onset


def format_time(time_s: float) -> str:
    """Seconds with six digits; never ``-0.000000``."""
    text = f"{time_s:.6f}"
    return "0.000000" if text == "-0.000000" else text
