"""IDMT-SMT-Drums' XML: ``<event>`` with ``<onsetSec>`` and ``<instrument>`` or ``<pitch>``.

Conventions
-----------
- The instrument (KD, SD, HH) is the label. Only where there is none the pitch says the class, as a
  General MIDI note; beside an instrument it is not looked at.
- The set is for evaluation (CC BY-NC-ND 4.0), so its form is read and never written.
"""

from __future__ import annotations

from pathlib import Path

from softloc.events import Onset
from softloc.formats.lines import NotLabelsError, fail, parse_number
from softloc.formats.markup import Element, read_xml
from softloc.vocabulary import is_note_label, label_of_note

_ROOT = "instrumentRecording"


def read_idmt(path: Path) -> list[Onset]:
    """Read the events of an annotation.

    Parameters
    ----------
    path : Path
        An ``.xml`` file.

    Returns
    -------
    list of Onset
        Events in the order of the file.

    Raises
    ------
    NotLabelsError
        If it is some other XML.
    AnnotationError
        If it cannot be read, or an event lacks its time or its instrument.
    """
    root = read_xml(path)
    events = list(root.descendants("event"))
    if root.name != _ROOT and not any(event.child("onsetSec") for event in events):
        raise NotLabelsError(
            f"{path}, line {root.line}: this XML has no <event> with <onsetSec>, as IDMT-SMT-Drums "
            "has"
        )
    return [_parse_event(event, path) for event in events]


def _parse_event(event: Element, path: Path) -> Onset:
    time_s = parse_number(_text(event, "onsetSec"), "onsetSec", path, event.line)
    instrument, pitch = _text(event, "instrument"), _text(event, "pitch")
    if instrument:
        return Onset(time_s, instrument)
    if not is_note_label(pitch):
        fail(path, event.line, f"the event has no <instrument>, and its <pitch> is {pitch!r}")
    return Onset(time_s, label_of_note(int(pitch)), midi_note=int(pitch))


def _text(event: Element, name: str) -> str:
    child = event.child(name)
    return "" if child is None else child.text.strip()
