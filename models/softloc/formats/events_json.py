"""softloc's own JSON: all that is known of the events of one recording, times exact.

Conventions
-----------
- ``softloc-events.schema.json`` beside this file is the schema; ``format_version`` counts up when
  an old reader could not read a file any more.
- Every field of an event is there; null is an unknown value. Infinite softness is ``"inf"``, as
  JSON has no infinity.
- Numbers are written with all their digits: reading gives back the same floating-point times.
- One event a line, so that two files can be compared by eye and by ``diff``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from softloc.errors import AnnotationError
from softloc.events import Onset
from softloc.formats.json_values import Values
from softloc.formats.lines import NotLabelsError
from softloc.formats.provenance import Provenance, as_data_source
from softloc.vocabulary import WRITE_NOTES

FORMAT = "softloc-events"
FORMAT_VERSION = 1

_EVENT_FIELDS = tuple(field.name for field in fields(Onset))


def render_events_json(
    onsets: Sequence[Onset], provenance: Provenance, comment: str | None = None
) -> str:
    """Text of a JSON file of events, one event a line.

    Parameters
    ----------
    onsets : sequence of Onset
        Sorted events.
    provenance : Provenance
        What is known beside them.
    comment : str, optional
        How the events were made.
    """
    recording = {
        "file": provenance.recording,
        "sha256": provenance.sha256,
        "duration_s": provenance.duration_s,
        "sample_rate_hz": provenance.sample_rate_hz,
    }
    head = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "softloc_version": provenance.softloc_version,
        "model_id": provenance.model_id,
        "vocabulary": provenance.vocabulary,
        "data_source": provenance.data_source,
        "comment": comment,
        "recording": recording,
    }
    lines = [f"  {_dump(key)}: {_dump(value)}," for key, value in head.items()]
    events = ",\n".join(f"    {_dump(_event_values(onset))}" for onset in onsets)
    body = f"[\n{events}\n  ]" if events else "[]"
    return "\n".join(["{", *lines, f'  "events": {body}', "}"]) + "\n"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _event_values(onset: Onset) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(onset, name) for name in _EVENT_FIELDS}
    if onset.midi_note is None:
        values["midi_note"] = WRITE_NOTES.get(onset.label)
    if onset.softness_ms == math.inf:
        values["softness_ms"] = "inf"
    return values


def is_events_json(document: object) -> bool:
    """Whether a JSON document says that it is one of softloc's."""
    return isinstance(document, dict) and document.get("format") == FORMAT


def parse_events_json(document: object, path: Path) -> tuple[list[Onset], Provenance]:
    """Read the events of a JSON document.

    Parameters
    ----------
    document : object
        As from `softloc.formats.json_values.load_json`.
    path : Path
        Where it comes from, for messages.

    Returns
    -------
    onsets : list of Onset
        Events in the order of the file.
    provenance : Provenance
        What the file says beside them.

    Raises
    ------
    NotLabelsError
        If it is some other JSON.
    AnnotationError
        If a value is missing or makes no sense, or a newer softloc wrote it.
    """
    if not is_events_json(document):
        raise NotLabelsError(f'{path}: this JSON does not say "format": "{FORMAT}"')
    values = Values(document, "", path)
    version = values.whole("format_version")
    if version is None or version > FORMAT_VERSION:
        values.fail(
            "format_version",
            f"is {version}; this softloc reads up to {FORMAT_VERSION}: a newer one wrote the file",
        )
    onsets = [_parse_event(event) for event in values.parts("events")]
    return onsets, _parse_provenance(values)


def _parse_provenance(values: Values) -> Provenance:
    recording = values.part("recording")
    return Provenance(
        model_id=values.text("model_id"),
        vocabulary=values.text("vocabulary"),
        recording=recording.text("file"),
        sha256=recording.text("sha256"),
        duration_s=recording.number("duration_s"),
        sample_rate_hz=recording.number("sample_rate_hz"),
        data_source=as_data_source(values.text("data_source")),
    )


def _parse_event(event: Values) -> Onset:
    time_s = event.number("time_s")
    label = event.text("label")
    if time_s is None or label is None:
        event.fail("", "needs time_s and label")
    infinite = event.get("softness_ms") == "inf"
    midi_note, velocity = event.whole("midi_note"), event.whole("velocity")
    confidence, time_std_s = event.number("confidence"), event.number("time_std_s")
    annotator = event.text("annotator")
    softness_ms = math.inf if infinite else event.number("softness_ms")
    try:
        return Onset(
            time_s,
            label,
            midi_note=midi_note,
            velocity=velocity,
            confidence=confidence,
            time_std_s=time_std_s,
            annotator=annotator,
            softness_ms=softness_ms,
        )
    except AnnotationError as error:
        raise AnnotationError(f"{event.path}: {event.place}: {error}") from error
