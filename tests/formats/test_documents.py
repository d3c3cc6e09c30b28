"""JSON, JAMS and Sonic Visualiser layers: layout, loss, other people's files, damage."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jams
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc import formats
from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset, sort_onsets
from softloc.formats import (
    Provenance,
    WriteContext,
    read_corpus,
    read_label_file,
    read_onsets,
    render_file,
    render_text,
    write_onsets,
)
from softloc.vocabulary import WRITE_NOTES

FOREIGN = Path(__file__).parents[1] / "golden" / "foreign"
SCHEMA = json.loads((Path(formats.__file__).parent / "softloc-events.schema.json").read_text())
KNOWN = Provenance(
    model_id="drums",
    vocabulary="5",
    recording="a song.wav",
    sha256="ab" * 32,
    duration_s=10_000.0,
    sample_rate_hz=44_100.0,
    data_source="program",
)

# What a label can be, but for what XML has no place for and for spaces that no reader keeps.
CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufffe\uffff"
)
LABELS = st.text(CHARACTERS, min_size=1, max_size=6).filter(lambda text: text == text.strip())
DRUMS = st.sampled_from(["KD", "SD", "HH", "OT", "ON"])


def onsets_of(times: st.SearchStrategy[float]) -> st.SearchStrategy[list[Onset]]:
    return st.lists(
        st.builds(
            Onset,
            times,
            LABELS | DRUMS,
            midi_note=st.none() | st.integers(0, 127),
            velocity=st.none() | st.integers(1, 127),
            confidence=st.none() | st.floats(0, 1),
            time_std_s=st.none() | st.floats(0, 10),
            annotator=st.none() | LABELS,
            softness_ms=st.none() | st.floats(0, 500) | st.just(math.inf),
        ),
        max_size=12,
    )


def with_note(onset: Onset) -> Onset:
    """Add the note that a drum class implies, which JSON writes out."""
    note = WRITE_NOTES.get(onset.label)
    return replace(onset, midi_note=note) if onset.midi_note is None else onset


@given(onsets_of(st.floats(-10, 1e6)))
def test_json_keeps_everything_and_follows_its_schema(
    tmp_path_factory: pytest.TempPathFactory, onsets: list[Onset]
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_onsets(path, onsets, provenance=KNOWN, comment="from a test")
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    content = read_label_file(path)
    assert content.recordings[None] == sort_onsets(map(with_note, onsets))
    assert content.provenance == KNOWN


def test_json_schema_takes_a_file_that_knows_nothing() -> None:
    document = json.loads(render_text([], "json"))
    jsonschema.validate(document, SCHEMA)
    assert document["events"] == []
    assert document["recording"]["sha256"] is None


def test_json_has_an_event_a_line() -> None:
    lines = render_text([Onset(0.5, "KD"), Onset(1.0, "SD")], "json").splitlines()
    assert [json.loads(line.rstrip(","))["label"] for line in lines if "time_s" in line] == [
        "KD", "SD",
    ]  # fmt: skip


@given(onsets_of(st.floats(0, 1e4)))
def test_jams_keeps_what_it_says_and_passes_the_library(
    tmp_path_factory: pytest.TempPathFactory, onsets: list[Onset]
) -> None:
    path = tmp_path_factory.mktemp("jams") / "a.jams"
    write_onsets(path, onsets, provenance=KNOWN, comment="from a test")
    document = jams.load(str(path), validate=True, strict=True)
    assert document.validate(strict=True)
    groups = {(onset.label, onset.annotator) for onset in onsets}
    assert len(document.annotations) == len(groups)
    content = read_label_file(path)
    kept = [
        Onset(o.time_s, o.label, confidence=o.confidence, annotator=o.annotator) for o in onsets
    ]
    bare = [replace(onset, midi_note=None) for onset in content.recordings[None]]
    key = lambda onset: (onset.time_s, onset.label, onset.annotator or "", onset.confidence or -1.0)  # noqa: E731
    assert sorted(bare, key=key) == sorted(kept, key=key)
    assert content.provenance == KNOWN


def test_jams_is_laid_out_for_its_tools(tmp_path: Path) -> None:
    path = tmp_path / "a.jams"
    onsets = [
        Onset(0.5, "KD", confidence=0.75), Onset(1.5, "KD"), Onset(1.0, "TT", midi_note=50),
        Onset(1.25, "TT"), Onset(1.0, "clap"),
    ]  # fmt: skip
    write_onsets(path, onsets, provenance=KNOWN, comment="how")
    document = jams.load(str(path), strict=True)
    assert document.file_metadata.duration == 10_000.0
    assert document.file_metadata.title == "a song.wav"
    assert document.sandbox.softloc["comment"] == "how"
    kick, toms, clap = document.annotations
    assert [each.namespace for each in document.annotations] == ["onset"] * 3
    assert kick.annotation_metadata.data_source == "program"
    assert kick.annotation_metadata.annotation_tools == f"softloc {KNOWN.softloc_version}"
    assert dict(kick.sandbox.softloc) == {
        "class": "KD", "midi_note": 36, "vocabulary": "5", "model_id": "drums",
    }  # fmt: skip
    assert [(o.time, o.duration, o.value, o.confidence) for o in kick.data] == [
        (0.5, 0.0, "KD", 0.75), (1.5, 0.0, "KD", None),
    ]  # fmt: skip
    # Toms of two pitches have no common note.
    assert [each.sandbox.softloc["midi_note"] for each in (toms, clap)] == [None, None]
    assert jams.eval.onset(kick, kick)["F-measure"] == 1.0


def test_jams_of_two_annotators_are_apart_as_in_a_table(tmp_path: Path) -> None:
    onsets = [Onset(0.5, "KD", annotator="ann"), Onset(0.51, "KD", annotator="bob")]
    write_onsets(tmp_path / "a.jams", onsets)
    document = jams.load(str(tmp_path / "a.jams"), strict=True)
    names = [each.annotation_metadata.annotator.name for each in document.annotations]
    assert names == ["ann", "bob"]
    assert document.annotations[0].annotation_metadata.data_source == "manual"
    read = read_onsets(tmp_path / "a.jams")
    assert [(onset.time_s, onset.annotator) for onset in read] == [(0.5, "ann"), (0.51, "bob")]


def test_jams_keeps_the_note_of_a_class(tmp_path: Path) -> None:
    toms = [Onset(0.5, "TT", midi_note=50), Onset(1.0, "TT", midi_note=50)]
    write_onsets(tmp_path / "a.jams", toms)
    assert read_onsets(tmp_path / "a.jams") == toms
    write_onsets(tmp_path / "b.jams", [*toms, Onset(2.0, "TT", midi_note=41)])
    assert {onset.midi_note for onset in read_onsets(tmp_path / "b.jams")} == {None}


def test_jams_without_a_length_says_what_stands_for_it(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.jams", [Onset(0.5, "KD")])
    document = jams.load(str(tmp_path / "a.jams"), strict=True)
    assert document.file_metadata.duration == 0.5
    assert document.sandbox.softloc["duration_is"] == "time of the last event"
    assert read_label_file(tmp_path / "a.jams").provenance.duration_s is None


@pytest.mark.parametrize("name", ["two_annotators.jams", "two_annotators.json"])
def test_jams_of_others(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((FOREIGN / "two_annotators.jams").read_bytes())
    content = read_label_file(path)
    assert content.form == "jams"
    assert content.provenance.duration_s == 3.0
    assert content.recordings[None] == [
        Onset(0.5, "KD", confidence=1.0, annotator="ann"),
        Onset(0.51, "KD", confidence=0.5, annotator="bob"),
        Onset(1.0, "SD", annotator="ann"),
        Onset(1.02, "ON", annotator="bob"),
        Onset(2.0, "60", midi_note=60),
    ]


@pytest.mark.parametrize("rate_hz", [8_000.0, 44_100.0, 192_000.0, 2_822_400.0])
@given(onsets=onsets_of(st.floats(-10, 7_200)))
def test_svl_keeps_labels_and_times_to_half_a_sample(
    rate_hz: float, onsets: list[Onset], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("svl") / "a.svl"
    write_onsets(path, onsets, provenance=Provenance(sample_rate_hz=rate_hz), comment="a -- b-")
    content = read_label_file(path)
    assert content.provenance.sample_rate_hz == rate_hz
    read = content.recordings[None]
    for label in {onset.label for onset in onsets}:
        before = sorted(onset.time_s for onset in onsets if onset.label == label)
        after = sorted(onset.time_s for onset in read if onset.label == label)
        assert len(before) == len(after)
        for written_s, read_s in zip(before, after, strict=True):
            assert abs(written_s - read_s) <= 0.5 / rate_hz + 1e-9


def test_svl_of_others() -> None:
    content = read_label_file(FOREIGN / "layer.svl")
    assert content.form == "svl"
    assert content.provenance.sample_rate_hz == 48_000.0
    assert content.recordings[None] == [
        Onset(0.5, "KD"), Onset(1.0, "ON"), Onset(1.5, "rock & roll"),
    ]  # fmt: skip


def test_svl_needs_the_rate_of_the_recording(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"sample rate must be known .*--sample-rate"):
        write_onsets(tmp_path / "a.svl", [Onset(0.5, "KD")])
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"JAMS has no time before 0: the KD at -0.010000"):
        write_onsets(tmp_path / "a.jams", [Onset(-0.01, "KD")])
    rate = Provenance(sample_rate_hz=44_100)
    with pytest.raises(AnnotationError, match=r"label 'a\\x01' at 0.5.* XML cannot hold"):
        write_onsets(tmp_path / "a.svl", [Onset(0.5, "a\x01")], provenance=rate)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("label", ['"', "<KD>", "a&b", "'", "a\tb", "a\nb", "a\r\nb", "]]>"])
def test_svl_labels_are_escaped(label: str, tmp_path: Path) -> None:
    rate = Provenance(sample_rate_hz=1000)
    write_onsets(tmp_path / "a.svl", [Onset(0.5, label)], provenance=rate)
    assert read_onsets(tmp_path / "a.svl") == [Onset(0.5, label)]


def events_json(**changes: Any) -> str:
    """Text of a JSON file whose only event is changed."""
    document = json.loads(render_text([Onset(0.5, "KD")], "json"))
    document["events"][0].update(changes)
    return json.dumps(document, indent=1)


def jams_json(namespace: str = "onset", **changes: Any) -> str:
    document = json.loads(render_text([Onset(0.5, "KD")], "jams"))
    document["annotations"][0]["namespace"] = namespace
    document["annotations"][0]["data"][0].update(changes)
    return json.dumps(document)


COLUMNS = """{"file_metadata": {}, "annotations": [
{"namespace": "onset", "data": {"time": [1], "value": [], "confidence": [1]}}]}"""
SVL = (FOREIGN / "layer.svl").read_text()
IDMT = (FOREIGN / "idmt.xml").read_text()
BOMB = '<!DOCTYPE sv [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'

REFUSED = {
    "text.json": ("time,label\n", r"text\.json, line 1: this is not JSON"),
    "cut.json": ('{"format":\n "soft', r"cut\.json, line 2: this is not JSON"),
    "deep.json": ("[" * 100_000, r"deep\.json: its values are nested too deeply"),
    "other.json": ('{"name": "x"}', r'does not say "format": "softloc-events"'),
    "list.json": ("[1, 2]", r"does not say"),
    "newer.json": (events_json().replace('"format_version": 1', '"format_version": 2'),
                   r"format_version is 2; this softloc reads up to 1: a newer one wrote"),
    "nan.json": (events_json(label="NaN").replace("0.5", "NaN"),
                 r"nan\.json, line 17: NaN is not a finite number"),
    "inf.json": (events_json().replace("0.5", "-Infinity"), r"line 17: -Infinity is not a finite"),
    "huge.json": (events_json().replace("0.5", "1e999"), r"events\[0\]\.time_s is too large a"),
    "long.json": (events_json().replace("0.5", "9" * 5000), r"a number in it is too large"),
    "whole.json": (events_json().replace("0.5", "9" * 400), r"events\[0\]\.time_s is too large"),
    "string.json": (events_json(time_s="0.5"), r'events\[0\]\.time_s must be a number, not "0.5"'),
    "bool.json": (events_json(time_s=True), r"events\[0\]\.time_s must be a number, not true"),
    "missing.json": (events_json(label=None), r"events\[0\] needs time_s and label"),
    "velocity.json": (events_json(velocity=0), r"events\[0\]: a MIDI velocity lies in 1-127"),
    "half.json": (events_json(midi_note=36.5), r"events\[0\]\.midi_note is 36.5, not a whole"),
    "confident.json": (events_json(confidence=7), r"events\[0\]: a confidence lies in 0-1"),
    "surrogate.json": (events_json(label="\ud800"), r"events\[0\]\.label .*surrogate"),
    "events.json": (events_json().replace('"events": [', '"event": ['), r"events must be a list"),
    "event.json": ('{"format": "softloc-events", "format_version": 1, "events": [3]}',
                   r"events\[0\] must be an object, not 3"),
    "text.jams": ('{"events": []}', r"is no JAMS file"),
    "chords.jams": (jams_json("chord"), r"no annotation of namespace onset .* but chord"),
    "time.jams": (jams_json(time=None), r"annotations\[0\]\.data\[0\]\.time is missing"),
    "confident.jams": (jams_json(confidence=3), r"data\[0\]: a confidence lies in 0-1, not 3"),
    "pitch.jams": (jams_json("note_midi", value=200), r"data\[0\]\.value is 200.0, no MIDI note"),
    "digit.json": ('["NaN",\n-Infinity1]', r"line 2: -Infinity is not a finite number"),
    "nan.jams": (jams_json().replace("0.5", "NaN"), r"line 1: NaN is not a finite number"),
    "columns.jams": (COLUMNS, r"equally long"),
    "text.svl": ("0.5 KD\n", r"text\.svl, line 1: this is not readable XML"),
    "cut.svl": (SVL[:300], r"cut\.svl, line \d+: this is not readable XML"),
    "empty.svl": ("", r"this is not readable XML: no element found"),
    "html.svl": ("<html/>", r"html\.svl, line 1: this XML is no Sonic Visualiser layer .*<html>"),
    "encoding.svl": (SVL.replace("UTF-8", "AUTF-8"), r"line 1: .*unknown encoding: AUTF-8"),
    "bytes.svl": (SVL.replace("UTF-8", "shift_jis"), r"line 1: this is not readable XML: .*multi"),
    "bare.svl": ("<sv><data/></sv>", r"bare\.svl holds no layer of points"),
    "rate.svl": (SVL.replace("48000", "0", 1), r"rate\.svl, line 5: sampleRate is 0"),
    "norate.svl": (SVL.replace(' sampleRate="48000"', ""), r"line 5: sampleRate is ''"),
    "nan.svl": (SVL.replace('frame="48000"', 'frame="nan"'), r"nan\.svl, line 8: frame is 'nan'"),
    "huge.svl": (SVL.replace('frame="48000"', 'frame="1e999"'), r"line 8: frame is 1e999, too lar"),
    "bomb.svl": (BOMB + SVL.split("\n", 2)[2].replace("KD", "&b;"), r"line 1: the entity 'a'"),
    "outside.svl": ('<!DOCTYPE sv [<!ENTITY x SYSTEM "file:///etc/passwd">]><sv>&x;</sv>',
                    r"line 1: the entity 'x' is declared"),
    "parameter.svl": ('<!DOCTYPE sv [<!ENTITY % x "y">]><sv/>', r"the entity 'x' is declared"),
    "skipped.svl": ('<!DOCTYPE sv SYSTEM "http://localhost/x.dtd"><sv>&x;</sv>', r"entity 'x'"),
    "bomb.xml": (BOMB + "<instrumentRecording/>", r"the entity 'a' is declared"),
    "feed.xml": ("<rss><event/></rss>", r"feed\.xml, line 1: this XML has no <event>"),
    "nan.xml": (IDMT.replace("0.75", "nan"), r"nan\.xml, line 14: onsetSec is 'nan', not a finite"),
    "notime.xml": (IDMT.replace("<onsetSec>0.75</onsetSec>", ""), r"line 14: onsetSec is ''"),
    "pitch.xml": (IDMT.replace("<pitch>42<", "<pitch>snare<"), r"line 20: .*<pitch> is 'snare'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_documents_are_refused(name: str, tmp_path: Path) -> None:
    text, message = REFUSED[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=message) as caught:
        read_onsets(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.json", "a.jams", "a.svl", "a.xml", "a.mid"])
def test_missing_documents_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=rf"cannot read .*{name}: No such file"):
        read_onsets(tmp_path / name)


def test_compressed_sessions_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.svl").write_bytes(b"BZh91AY&SY")
    with pytest.raises(AnnotationError, match="export the layer"):
        read_onsets(tmp_path / "a.svl")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings_of_xml(encoding: str, tmp_path: Path) -> None:
    text = SVL.split("\n", 1)[1]
    (tmp_path / "a.svl").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert len(read_onsets(tmp_path / "a.svl")) == 3


def test_encodings_of_json(tmp_path: Path) -> None:
    text = render_text([Onset(0.5, "Glöckchen")], "json").replace("\n", "\r\n")
    (tmp_path / "a.json").write_bytes(text.encode("utf-8-sig"))
    assert read_onsets(tmp_path / "a.json") == [Onset(0.5, "Glöckchen")]
    (tmp_path / "a.json").write_bytes(text.encode("utf-16"))
    with pytest.raises(AnnotationError, match=r"line 1: this is not UTF-8 text.*UTF-16"):
        read_onsets(tmp_path / "a.json")


SAMPLES = {
    "a.json": render_text([Onset(0.5, "KD"), Onset(1.0, "SD", velocity=3)], "json").encode(),
    "a.jams": (FOREIGN / "two_annotators.jams").read_bytes(),
    "a.svl": SVL.encode(),
    "a.xml": IDMT.encode(),
    "a.csv": (FOREIGN.parent / "events.csv").read_bytes(),
    "a.txt": (FOREIGN.parent / "events.audacity.txt").read_bytes(),
    "a.notes": (FOREIGN / "madmom.notes").read_bytes(),
    "a.mid": (FOREIGN.parent / "events.mid").read_bytes(),
}


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_whatever_is_damaged_is_said_in_a_sentence(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = SAMPLES[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 20)))
    junk = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"nan", b"1e999", b"-1", b'"', b"<", b"[" * 2000])
    )
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content[:start] + junk + content[end:])
    # Any other error than ours fails the test.
    with contextlib.suppress(AnnotationError):
        read_onsets(path)


def test_a_folder_takes_documents_and_skips_what_is_none(tmp_path: Path) -> None:
    context = WriteContext(provenance=Provenance(sample_rate_hz=1000))
    for suffix in ("json", "jams", "svl"):
        text = render_text([Onset(0.5, "KD")], suffix, context)
        (tmp_path / f"{suffix}.{suffix}").write_text(text)
    (tmp_path / "idmt.xml").write_text(IDMT)
    (tmp_path / "scores.json").write_text('{"F": 1.0}')
    (tmp_path / "feed.xml").write_text("<rss/>")
    corpus = read_corpus(tmp_path)
    assert list(corpus.recordings) == ["idmt.xml", "jams.jams", "json.json", "svl.svl"]
    assert corpus.skipped == ("feed.xml", "scores.json")


@pytest.mark.parametrize("comment", ["a---b", "----", "-", "a\x01b"])
def test_any_comment_stands_in_a_layer(comment: str, tmp_path: Path) -> None:
    text = render_file(
        tmp_path / "a.svl", [Onset(0.5, "KD")], comment=comment,
        provenance=Provenance(sample_rate_hz=44_100.0),
    )  # fmt: skip
    (tmp_path / "a.svl").write_bytes(text)
    assert [onset.label for onset in read_onsets(tmp_path / "a.svl")] == ["KD"]
