"""Sonic Visualiser's annotation layers (``.svl``): time instants with labels.

Conventions
-----------
- Times are samples of the recording at its own rate: ``frame = round(time * sampleRate)``, so a
  layer for another rate would be drawn at other times, and the rate must be known to write one.
- Every sparse data set of a file is read, with the rate of its model.
- A point without a label, or with the one that the program itself gives (``New Point``), is an
  onset of any instrument: ``ON``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset
from softloc.formats.lines import UNNAMED, NotLabelsError, fail, located, parse_number
from softloc.formats.markup import Element, read_xml
from softloc.formats.provenance import Provenance

_PLACEHOLDER = "New Point"
_MAX_FRAME = 1 << 53  # beyond it samples are counted no longer

_LAYER = (
    '    <layer id="2" type="timeinstants" name="softloc" model="1" plotStyle="0" '
    'colourName="Purple" colour="#c832ff" darkBackground="false"/>'
)

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_svl(onsets: Sequence[Onset], provenance: Provenance, comment: str | None = None) -> str:
    """Text of a layer of time instants.

    Parameters
    ----------
    onsets : sequence of Onset
        Sorted events.
    provenance : Provenance
        Must know the sample rate of the recording.
    comment : str, optional
        How the events were made: an XML comment.

    Raises
    ------
    SettingsError
        If the sample rate is unknown.
    AnnotationError
        If a label holds a character that XML has no place for, or a time is beyond all recordings.
    """
    rate_hz = provenance.sample_rate_hz
    if not rate_hz:
        raise SettingsError(
            "a Sonic Visualiser layer counts in samples of the recording: its sample rate must be "
            "known (softloc convert --audio or --sample-rate)"
        )
    frames = [_frame(onset, rate_hz) for onset in onsets]
    points = [
        f'      <point frame="{frame}" label={_attribute(onset)}/>'
        for frame, onset in zip(frames, onsets, strict=True)
    ]
    remark = [] if comment is None else [f"<!-- {_in_comment(comment)} -->"]
    rate = f"{rate_hz:.0f}" if rate_hz == int(rate_hz) else repr(rate_hz)
    model = (
        f'    <model id="1" name="" sampleRate="{rate}" start="{min(frames, default=0)}" '
        f'end="{max(frames, default=0)}" type="sparse" dimensions="1" resolution="1" '
        'notifyOnAdd="true" dataset="0"/>'
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<!DOCTYPE sonic-visualiser>",
        *remark,
        "<sv>",
        "  <data>",
        model,
        '    <dataset id="0" dimensions="1">',
        *points,
        "    </dataset>",
        "  </data>",
        "  <display>",
        _LAYER,
        "  </display>",
        "</sv>",
    ]
    return "\n".join(lines) + "\n"


def _in_comment(text: str) -> str:
    """Text as an XML comment can hold it: no two hyphens on end, no control characters."""
    return re.sub("-(?=-)", "- ", _NOT_XML.sub("\ufffd", text))


def _frame(onset: Onset, rate_hz: float) -> int:
    frame = onset.time_s * rate_hz
    if not abs(frame) < _MAX_FRAME:
        raise AnnotationError(
            f"the {onset.label} at {onset.time_s:.6g} s is too late for a Sonic Visualiser layer: "
            "are the times in milliseconds?"
        )
    return round(frame)


def _attribute(onset: Onset) -> str:
    if _NOT_XML.search(onset.label):
        raise AnnotationError(
            f"the label {onset.label!r} at {onset.time_s:.6f} s has a character that XML cannot "
            "hold: write CSV"
        )
    # Pulls in half of the network modules, which reading and every other format do without.
    from xml.sax.saxutils import quoteattr  # noqa: PLC0415

    return quoteattr(onset.label)


def read_svl(path: Path) -> tuple[list[Onset], Provenance]:
    """Read the points of all sparse layers of a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    onsets : list of Onset
        Events in the order of the file.
    provenance : Provenance
        With the sample rate of the first layer.

    Raises
    ------
    NotLabelsError
        If it is some other XML.
    AnnotationError
        If it cannot be read, or holds no layer of points.
    """
    root = read_xml(path)
    if root.name != "sv":
        raise NotLabelsError(
            f"{path}, line {root.line}: this XML is no Sonic Visualiser layer (its root is "
            f"<{root.name}>, not <sv>)"
        )
    models = [each for each in root.descendants("model") if each.attributes.get("type") == "sparse"]
    datasets = {each.attributes.get("id"): each for each in root.descendants("dataset")}
    onsets = []
    rates_hz = []
    for model in models:
        dataset = datasets.get(model.attributes.get("dataset", ""))
        if dataset is not None:
            rates_hz.append(_rate_hz(model, path))
            onsets += [_parse_point(point, rates_hz[-1], path) for point in _points(dataset)]
    if not rates_hz:
        raise AnnotationError(f"{path} holds no layer of points with its data")
    return onsets, Provenance(sample_rate_hz=rates_hz[0])


def _points(dataset: Element) -> list[Element]:
    return [child for child in dataset.children if child.name == "point"]


def _rate_hz(model: Element, path: Path) -> float:
    field = model.attributes.get("sampleRate", "")
    rate_hz = parse_number(field, "sampleRate", path, model.line)
    if rate_hz <= 0:
        fail(path, model.line, f"sampleRate is {field}, not more than 0")
    return rate_hz


def _parse_point(point: Element, rate_hz: float, path: Path) -> Onset:
    frame = parse_number(point.attributes.get("frame", ""), "frame", path, point.line)
    label = point.attributes.get("label", "").strip()
    with located(path, point.line):
        return Onset(frame / rate_hz, UNNAMED if label in ("", _PLACEHOLDER) else label)
