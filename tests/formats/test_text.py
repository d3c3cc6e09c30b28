"""Text formats: everything users bring is read, everything broken is refused by line."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import mir_eval
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset, sort_onsets
from softloc.formats import read_label_file, read_onsets, render_text, write_onsets

KD_SD = [(0.5, "KD"), (1.25, "SD")]

HEADER = "time_s,label,midi_note,velocity,confidence,time_std_s"

ACCEPTED = {
    "default": f"{HEADER}\n0.5,KD,36,,,\n1.25,SD,38,,,\n",
    "synonyms": "onset,class\n0.5,KD\n1.25,SD\n",
    "more_synonyms": "Onset_S,Instrument\n0.5,KD\n1.25,SD\n",
    "start_time": "start_time_s,end_time_s,note\n0.5,0.6,KD\n1.25,1.3,SD\n",
    "other_order": "label,extra,time\nKD,x,0.5\nSD,y,1.25\n",
    "unsorted": "time,label\n1.25,SD\n0.5,KD\n",
    "spaces": " time , label \n 0.5 , KD \n 1.25 , SD \n",
    "crlf": "time,label\r\n0.5,KD\r\n1.25,SD\r\n",
    "bom": "\ufefftime,label\n0.5,KD\n1.25,SD\n",
    "bom_plain": "\ufeff0.5\tKD\n1.25\tSD\n",
    "comments": "# made by hand\n\n# twice\ntime,label\n0.5,KD\n  # middle\n1.25,SD\n\n",
    "no_last_newline": "time,label\n0.5,KD\n1.25,SD",
    "quoted": 'time,label\n0.5,"KD"\n"1.25",SD\n',
    "headerless_csv": "0.5,KD\n1.25,SD\n",
    "tabbed_header": "time\tlabel\n0.5\tKD\n1.25\tSD\n",
    "mirex": "0.5\tKD\n1.25\tSD\n",
    "mirex_spaces": "0.5 KD\n1.25   SD\n",
    "mdb": "0.500000 \t KD \n1.250000 \t SD \n",
    "exponent": "5e-1 KD\n.125E1 SD\n",
    "audacity": "0.500000\t0.500000\tKD\n1.250000\t1.250000\tSD\n",
    "audacity_regions": "0.5\t0.75\tKD\n1.25\t2\tSD\n",
    "audacity_extended": "0.5\t0.5\tKD\n\\\t100.0\t200.0\n1.25\t1.25\tSD\n\\\t-1\t-1\n",
}


def pairs(onsets: list[Onset]) -> list[tuple[float, str]]:
    return [(onset.time_s, onset.label) for onset in onsets]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_text(text: str, name: str = "labels.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8"))
        return path

    return write_text


@pytest.mark.parametrize("name", ["labels.csv", "labels.txt"])
@pytest.mark.parametrize("form", ACCEPTED)
def test_every_form_is_read_alike(form: str, name: str, write: Callable[..., Path]) -> None:
    assert pairs(read_onsets(write(ACCEPTED[form], name))) == KD_SD


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5\n1.0\n", [(0.5, "ON"), (1.0, "ON")]),
        ("time\n0.5\n", [(0.5, "ON")]),
        ("0.5\t0.6\t\n", [(0.5, "ON")]),
        ("0.5 0.6\n", [(0.5, "ON")]),
        ("0.5\t60\n", [(0.5, "60")]),
        ("0.5 60 0.25 100\n", [(0.5, "60")]),
        ("0.5\t60\t0.25\n", [(0.5, "60")]),
        ("0.5\t1\n1.0\t2\n", [(0.5, "1"), (1.0, "2")]),
        ("0.5\thi hat\n", [(0.5, "hi hat")]),
        ("0.5\t0.5\thi hat\n", [(0.5, "hi hat")]),
        ("0.5\tkick, loud\n", [(0.5, "kick, loud")]),
        ("0.5 kick, loud\n", [(0.5, "kick, loud")]),
        ("time\tlabel\n0.5\tkick, loud\n", [(0.5, "kick, loud")]),
        ("time\tlabel, as heard\tclass\n0.5\tx, y\tKD\n", [(0.5, "KD")]),
        ("0.5 , kick\n", [(0.5, "kick")]),
        ("time,label\n0.5,36.0\n0.6,36.5\n0.7,200.0\n",
         [(0.5, "36"), (0.6, "36.5"), (0.7, "200.0")]),
        ("time,label,,\n0.5,KD,,\n", [(0.5, "KD")]),
        ("0.5 1 snare\n", [(0.5, "snare")]),
        ("0.5\t0.5\t60\n", [(0.5, "60")]),
        ("0.0 KD\n", [(0.0, "KD")]),
        ("-0.25 KD\n", [(-0.25, "KD")]),
        ("time_s,midi_note\n0.5,60\n", [(0.5, "60")]),
        ("start_time_s,end_time_s,pitch_midi,velocity,pitch_bend\n0.5,1,60,90,0,1,2,3\n",
         [(0.5, "60")]),
        ("", []),
        ("# nothing\n\n", []),
        ("time_s,label\n", []),
    ],
)  # fmt: skip
def test_peers_and_edges(
    text: str, expected: list[tuple[float, str]], write: Callable[..., Path]
) -> None:
    assert pairs(read_onsets(write(text))) == expected


def test_madmom_and_basic_pitch_velocities(write: Callable[..., Path]) -> None:
    assert read_onsets(write("0.5 60 0.25 99\n"))[0].velocity == 99
    ragged = (
        "start_time_s,end_time_s,pitch_midi,velocity,pitch_bend\n0.5,1,60,90,0,1\n0.6,1,61,91\n"
    )
    assert [onset.velocity for onset in read_onsets(write(ragged))] == [90, 91]


REFUSED = {
    "nan": ("time,label\n0.5,KD\nnan,SD\n", r"line 3: the time is 'nan', not a finite number"),
    "inf": ("0.5 KD\ninf SD\n", r"line 2: the time is 'inf'"),
    "huge": ("1e999 KD\n", r"line 1: the time is 1e999, too large"),
    "word": ("0.5 KD\nfoo SD\n", r"line 2: the time is 'foo'"),
    "underscore": ("time,label\n1_000,KD\n", r"line 2: the time is '1_000'"),
    "after_comments": ("# a\n\ntime,label\n# b\nx,KD\n", r"line 5: the time is 'x'"),
    "headerless_line": ("# a\n0.5,KD\nx,SD\n", r"line 3: the time is 'x'"),
    "no_time": ("time,label\n,KD\n", r"line 2: the time is ''"),
    "no_label": ("time,label\n0.5,\n", r"line 2: the label is empty"),
    "no_time_column": ("seconds,label\n0.5,KD\n", r"line 1: no column of times among seconds"),
    "semicolon": ("time;label\n0.5;KD\n", r"line 1: 'time;label' is .* separate columns by commas"),
    "decimal_comma": ("0,512 KD\n", r"line 1: .* decimals need a point"),
    "decimal_comma_tab": ("0,512\tKD\n", r"line 1: .* decimals need a point"),
    "decimal_comma_late": ("0.5\tKD\n0,6\tKD\n", r"line 2: '0,6': decimals need a point"),
    "prose": ("Drum labels of a song\n", r"line 1: 'Drum labels of a song' is neither"),
    "velocity": ("time,label,velocity\n0.5,KD,200\n", r"line 2: a MIDI velocity lies in 1-127"),
    "half_velocity": ("time,label,velocity\n0.5,KD,9.5\n", r"line 2: velocity is 9.5, not a whole"),
    "confidence": ("time,label,confidence\n0.5,KD,7\n", r"line 2: a confidence lies in 0-1, not 7"),
    "quote": ('time,label\n0.5,"KD\n0.6,SD\n', r"line 2: .*quotation mark"),
    "backwards": ("0.9\t0.5\tKD\n", r"line 1: the region ends at 0.5 s, before it starts"),
    "two_recordings": ("file,time,label\na,0,KD\nb,0,KD\n", r"holds the labels of 2 recordings"),
    "twice": ("time,label,Label\n0,KD,SD\n", r"line 1: the header names the column 'label' twice"),
    "file_empty": ("file,time,label\n,0,KD\n", r"line 2: the file column is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_broken_files_are_refused_by_line(case: str, write: Callable[..., Path]) -> None:
    text, message = REFUSED[case]
    path = write(text)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_onsets(path)
    assert str(path) in str(caught.value)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"cannot read .*nope.csv: No such file"):
        read_onsets(tmp_path / "nope.csv")
    (tmp_path / "excel.csv").write_bytes("time,label\n".encode("utf-16"))
    with pytest.raises(AnnotationError, match=r"not UTF-8 text .*CSV UTF-8"):
        read_onsets(tmp_path / "excel.csv")


def test_duplicates_are_said_once_per_file(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    text = "time,label\n0.5,KD\n0.5004,KD\n0.5005,SD\n1.0,KD\n1.0,KD\n2.0,KD\n2.0011,KD\n"
    with caplog.at_level(logging.WARNING, logger="softloc"):
        assert len(read_onsets(write(text))) == 7
    assert len(caplog.records) == 1
    assert "2 labels repeat" in caplog.text
    assert "KD at 0.500400 s" in caplog.text


def test_drum_labels_in_other_case_are_noted(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="softloc"):
        assert pairs(read_onsets(write("0.5 kd\n0.7 kd\n0.9 verse\n"))) == [
            (0.5, "kd"), (0.7, "kd"), (0.9, "verse"),
        ]  # fmt: skip
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "the label 'kd' is not the drum class 'KD': case matters"
    ]


@pytest.mark.parametrize("form", ["tsv", "audacity"])
@pytest.mark.parametrize("label", ["a\tb", "a\nb", "a\rb"])
def test_labels_that_break_a_line_are_refused(label: str, form: str, tmp_path: Path) -> None:
    events = [Onset(0.5, "KD"), Onset(0.75, label)]
    with pytest.raises(AnnotationError, match=r"line 2: the label .* at 0.750000 s has a tab"):
        write_onsets(tmp_path / "a.txt", events, format=form)
    assert not (tmp_path / "a.txt").exists()


# In tables "36.0" is the note 36, as pandas writes it.
LABELS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6
).filter(lambda label: not re.fullmatch(r"\d+\.0+", label))
SIX_DIGITS = st.integers(0, 3_600_000_000).map(lambda us: us / 1_000_000)
ONSETS = st.lists(
    st.builds(
        Onset,
        SIX_DIGITS,
        LABELS,
        midi_note=st.none() | st.integers(0, 127),
        velocity=st.none() | st.integers(1, 127),
        confidence=st.none() | st.integers(0, 1_000_000).map(lambda n: n / 1_000_000),
        time_std_s=st.none() | SIX_DIGITS,
        annotator=st.none() | LABELS,
    )
)


@given(ONSETS)
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, onsets: list[Onset]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_onsets(path, onsets, comment="from a test")
    assert read_onsets(path) == sort_onsets(onsets)


@given(st.lists(st.builds(Onset, SIX_DIGITS, st.sampled_from(["KD", "hi hat", "OT", "x9"]))))
@pytest.mark.parametrize("form", ["tsv", "audacity"])
def test_text_round_trips(
    tmp_path_factory: pytest.TempPathFactory, form: str, onsets: list[Onset]
) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    write_onsets(path, onsets, format=form)
    assert read_onsets(path) == sort_onsets(onsets)
    if onsets:
        assert read_label_file(path).form == form


def test_times_alone_round_trip(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.onsets", [Onset(0.5, "KD"), Onset(0.25, "SD")])
    assert (tmp_path / "a.onsets").read_text() == "0.250000\n0.500000\n"
    assert read_label_file(tmp_path / "a.onsets").form == "onsets"


def test_header_and_digits_are_exact() -> None:
    onset = Onset(0.1234567, "KD", velocity=99, confidence=0.5, time_std_s=0.001)
    assert render_text([onset], "csv") == (f"{HEADER}\n0.123457,KD,36,99,0.500000,0.001000\n")
    assert render_text([Onset(-1e-9, "KD")]) == "0.000000\tKD\n"
    assert render_text([Onset(2.0, "KD")], "audacity") == "2.000000\t2.000000\tKD\n"


def test_mir_eval_reads_what_is_written(tmp_path: Path) -> None:
    onsets = [Onset(0.0, "KD"), Onset(1.5, "SD")]
    write_onsets(tmp_path / "a.tsv", onsets, comment="made by a test")
    times, labels = mir_eval.io.load_labeled_events(str(tmp_path / "a.tsv"))
    assert (times.tolist(), labels) == ([0.0, 1.5], ["KD", "SD"])
    write_onsets(tmp_path / "a.onsets", onsets)
    assert mir_eval.io.load_events(str(tmp_path / "a.onsets")).tolist() == [0.0, 1.5]


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"suffix '.xyz' chooses no format; use .mid"):
        write_onsets(tmp_path / "a.xyz", [])
    with pytest.raises(SettingsError, match="unknown format 'cvs': did you mean 'csv'"):
        render_text([], "cvs")
    with pytest.raises(SettingsError, match="midi is no text format"):
        render_text([], "midi")


@pytest.mark.parametrize("label", ["a\n#b", "#\n#", '"\n# "', "a\n\n# b"])
def test_a_line_of_a_label_is_no_comment(label: str, tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.csv", [Onset(0.5, label), Onset(1.0, "KD")])
    assert [onset.label for onset in read_onsets(tmp_path / "a.csv")] == [label, "KD"]
