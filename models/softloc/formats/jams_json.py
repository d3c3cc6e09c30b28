"""JAMS 0.3 (Humphrey et al., ISMIR 2014): one annotation for each class and annotator.

Conventions
-----------
- Namespace ``onset``: JAMS has none for drums, and its tools score, play and draw ``onset``. The
  value of an observation is the label, its duration is 0.
- Several annotators are several annotations; reading puts ``annotation_metadata.annotator.name``
  into `Onset.annotator`, as a corpus table does.
- ``sandbox.softloc`` of an annotation holds ``class``, ``midi_note``, ``vocabulary`` and
  ``model_id``; that of the file holds the comment and what is known of the recording.
- JAMS demands the length of the recording. Where it is unknown the time of the last event stands
  for it, and ``sandbox.softloc.duration_is`` of the file says so.
- Read, too: ``onset`` annotations of others, and ``note_midi``, whose pitches become labels.
- Written as plain JSON by the schema, so that writing needs no other package.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from softloc.errors import AnnotationError
from softloc.events import Onset
from softloc.formats.json_values import Values
from softloc.formats.lines import UNNAMED, NotLabelsError
from softloc.formats.provenance import Provenance, as_data_source
from softloc.vocabulary import is_note_label, label_order, note_of_label

JAMS_VERSION = "0.3.5"

_LAST_EVENT = "time of the last event"


def render_jams(onsets: Sequence[Onset], provenance: Provenance, comment: str | None = None) -> str:
    """Text of a JAMS file.

    Parameters
    ----------
    onsets : sequence of Onset
        Sorted events at 0 s or later.
    provenance : Provenance
        What is known beside them.
    comment : str, optional
        How the events were made.

    Raises
    ------
    AnnotationError
        If an event lies before 0, which JAMS cannot hold.
    """
    early = next((onset for onset in onsets if onset.time_s < 0), None)
    if early is not None:
        raise AnnotationError(
            f"JAMS has no time before 0: the {early.label} at {early.time_s:.6f} s cannot be "
            "written (CSV can hold it)"
        )
    known = provenance.duration_s
    duration_s = max((onset.time_s for onset in onsets), default=0.0) if known is None else known
    groups: dict[tuple[str, str | None], list[Onset]] = defaultdict(list)
    for onset in onsets:
        groups[onset.label, onset.annotator].append(onset)
    ordered = sorted(groups, key=lambda group: (label_order(group[0]), group[1] or ""))
    source = provenance.data_source or _guess_source(onsets, provenance)
    document = {
        "annotations": [
            _annotation(groups[group], provenance, duration_s, source) for group in ordered
        ],
        "file_metadata": {
            "title": provenance.recording or "",
            "artist": "",
            "release": "",
            "duration": duration_s,
            "identifiers": {},
            "jams_version": JAMS_VERSION,
        },
        "sandbox": {
            "softloc": {
                "comment": comment,
                "duration_is": _LAST_EVENT if known is None else "length of the recording",
                "sample_rate_hz": provenance.sample_rate_hz,
                "sha256": provenance.sha256,
                "model_id": provenance.model_id,
                "vocabulary": provenance.vocabulary,
                "data_source": source,
            }
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _guess_source(onsets: Sequence[Onset], provenance: Provenance) -> str:
    scored = any(onset.confidence is not None for onset in onsets)
    return "program" if scored or provenance.model_id else "manual"


def _annotation(
    onsets: Sequence[Onset], provenance: Provenance, duration_s: float, source: str
) -> dict[str, Any]:
    label, annotator = onsets[0].label, onsets[0].annotator
    return {
        "namespace": "onset",
        "annotation_metadata": {
            "annotator": {} if annotator is None else {"name": annotator},
            "annotation_tools": f"softloc {provenance.softloc_version}",
            "data_source": source,
        },
        "data": [
            {
                "time": onset.time_s,
                "duration": 0.0,
                "value": label,
                "confidence": onset.confidence,
            }
            for onset in onsets
        ],
        "sandbox": {
            "softloc": {
                "class": label,
                "midi_note": _common_note(onsets),
                "vocabulary": provenance.vocabulary,
                "model_id": provenance.model_id,
            }
        },
        "time": 0.0,
        "duration": duration_s,
    }


def _common_note(onsets: Sequence[Onset]) -> int | None:
    """Note of a class, where all its events have the same."""
    notes = {
        note_of_label(onset.label) if onset.midi_note is None else onset.midi_note
        for onset in onsets
    }
    return notes.pop() if len(notes) == 1 else None


def is_jams(document: object) -> bool:
    """Whether a JSON document is laid out as JAMS."""
    return isinstance(document, dict) and {"annotations", "file_metadata"} <= set(document)


def parse_jams(document: object, path: Path) -> tuple[list[Onset], Provenance]:
    """Read the events of a JAMS document.

    Parameters
    ----------
    document : object
        As from `softloc.formats.json_values.load_json`.
    path : Path
        Where it comes from, for messages.

    Returns
    -------
    onsets : list of Onset
        Events of all its ``onset`` and ``note_midi`` annotations.
    provenance : Provenance
        What the file says beside them.

    Raises
    ------
    NotLabelsError
        If it is some other JSON, or JAMS without such an annotation; the message lists what it has.
    AnnotationError
        If a value is missing or makes no sense.
    """
    if not is_jams(document):
        raise NotLabelsError(f"{path}: this JSON is no JAMS file (no annotations, file_metadata)")
    values = Values(document, "", path)
    annotations = values.parts("annotations")
    wanted = [each for each in annotations if each.get("namespace") in ("onset", "note_midi")]
    if annotations and not wanted:
        present = sorted({" ".join(str(each.get("namespace")).split()) for each in annotations})
        raise NotLabelsError(
            f"{path}: holds no annotation of namespace onset or note_midi, but {', '.join(present)}"
        )
    onsets = [onset for each in wanted for onset in _parse_annotation(each)]
    return onsets, _parse_provenance(values)


def _parse_provenance(values: Values) -> Provenance:
    metadata, ours = values.part("file_metadata"), values.part("sandbox").part("softloc")
    guessed = ours.get("duration_is") == _LAST_EVENT
    return Provenance(
        model_id=ours.text("model_id"),
        vocabulary=ours.text("vocabulary"),
        recording=metadata.text("title"),
        sha256=ours.text("sha256"),
        duration_s=None if guessed else metadata.number("duration"),
        sample_rate_hz=ours.number("sample_rate_hz"),
        data_source=as_data_source(ours.text("data_source")),
    )


def _parse_annotation(annotation: Values) -> Iterator[Onset]:
    who = annotation.part("annotation_metadata").part("annotator")
    annotator = who.text("name") if isinstance(who.get("name"), str) else who.get("name")
    ours = annotation.part("sandbox").part("softloc")
    label, note = ours.text("class"), ours.whole("midi_note")
    pitched = annotation.get("namespace") == "note_midi"
    for observation in _observations(annotation):
        time_s, confidence = observation.number("time"), observation.number("confidence")
        if time_s is None:
            observation.fail("time", "is missing")
        if pitched:
            own = str(_pitch(observation))
        else:
            value = observation.get("value")
            own = (observation.text("value") or "") if isinstance(value, str) else ""
        try:
            yield Onset(
                time_s,
                own or label or UNNAMED,
                midi_note=int(own) if pitched else note,
                confidence=confidence,
                annotator=str(annotator) if annotator not in (None, "") else None,
            )
        except AnnotationError as error:
            raise AnnotationError(f"{observation.path}: {observation.place}: {error}") from error


def _observations(annotation: Values) -> list[Values]:
    """Observations as objects; a dense annotation holds lists of equal length instead."""
    if isinstance(annotation.get("data"), list):
        return annotation.parts("data")
    columns = annotation.part("data")
    names = ("time", "value", "confidence")
    lists = [columns.get(name) for name in names]
    if not all(isinstance(column, list) for column in lists) or len(set(map(len, lists))) != 1:
        columns.fail("", "must hold the lists time, duration, value and confidence, equally long")
    return [
        Values(dict(zip(names, row, strict=True)), f"{columns.place}[{index}]", columns.path)
        for index, row in enumerate(zip(*lists, strict=True))
    ]


def _pitch(observation: Values) -> int:
    """Note number nearest to a pitch, which may be between two of them."""
    pitch = observation.number("value")
    if pitch is None or not is_note_label(str(round(pitch))):
        observation.fail("value", f"is {pitch}, no MIDI note 0-127")
    return round(pitch)
