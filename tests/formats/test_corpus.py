"""Corpora: tables, folders, single files."""

from __future__ import annotations

import math
import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import AnnotationError
from softloc.events import Corpus, Onset, sort_onsets
from softloc.formats import (
    corpus_sha256,
    read_corpus,
    read_corpus_and_forms,
    write_corpus_csv,
    write_onsets,
)

TABLE = """# labels of two people
file,time,label,annotator,softness_ms
b/song.wav,1.0,SD,ann,
b/song.wav,0.5,KD,ann,30
a.wav,0.25,KD,bob,inf
silent.wav,,,,
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(TABLE)
    return path


def test_table(table: Path) -> None:
    corpus = read_corpus(table)
    assert (corpus.kind, corpus.root, corpus.path) == ("table", table.parent, table)
    assert list(corpus.recordings) == ["b/song.wav", "a.wav", "silent.wav"]
    assert corpus.recordings["b/song.wav"] == [
        Onset(0.5, "KD", annotator="ann", softness_ms=30.0),
        Onset(1.0, "SD", annotator="ann"),
    ]
    assert corpus.recordings["a.wav"][0].softness_ms == math.inf
    assert corpus.recordings["silent.wav"] == []


def test_table_round_trip_keeps_all_columns(table: Path, tmp_path: Path) -> None:
    corpus = read_corpus(table)
    write_corpus_csv(tmp_path / "again.csv", corpus, comments=["one", "two"])
    text = (tmp_path / "again.csv").read_text()
    assert text.startswith("# one\n# two\nfile,time_s,label,annotator,softness_ms\n")
    assert "\nsilent.wav,,,,\n" in text
    assert read_corpus(tmp_path / "again.csv").recordings == corpus.recordings


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8
).filter(lambda name: "\\" not in name and PurePosixPath(name).as_posix() == name)
# In tables "36.0" is the note 36, as pandas writes it.
LABELS = NAMES.filter(lambda name: not re.fullmatch(r"\d+\.0+", name))
ONSETS = st.lists(
    st.builds(
        Onset,
        st.integers(-10_000_000, 10**9).map(lambda us: us / 1_000_000),
        LABELS,
        annotator=st.none() | NAMES,
        softness_ms=st.none() | st.integers(0, 500).map(float) | st.just(math.inf),
        midi_note=st.none() | st.integers(0, 127),
    ),
    max_size=6,
)


@given(st.dictionaries(NAMES, ONSETS, min_size=1, max_size=3))
def test_any_corpus_survives(
    tmp_path_factory: pytest.TempPathFactory, recordings: dict[str, list[Onset]]
) -> None:
    path = tmp_path_factory.mktemp("corpus") / "a.csv"
    write_corpus_csv(path, Corpus(path, "table", path.parent, recordings))
    read = read_corpus(path)
    expected = {name: sort_onsets(onsets) for name, onsets in recordings.items()}
    assert read.recordings == expected
    assert list(read.recordings) == list(recordings)


def test_names_of_one_recording_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,time,label\n./b/a.wav,0,KD\nb//a.wav,1,SD\nb/a.wav,,\n")
    assert read_corpus(tmp_path / "a.csv").recordings == {
        "b/a.wav": [Onset(0.0, "KD"), Onset(1.0, "SD")]
    }


def test_forms_are_told_apart(tmp_path: Path) -> None:
    for form in ("tsv", "audacity", "onsets"):
        write_onsets(tmp_path / f"{form}.txt", [Onset(0.5, "KD")], format=form)
    corpus, forms = read_corpus_and_forms(tmp_path)
    assert {name: form.name for name, form in forms.items()} == {
        f"{form}.txt": form for form in ("tsv", "audacity", "onsets")
    }
    assert set(forms) == set(corpus.recordings)


DAMAGED = {
    "utf16.csv": ("time,label\n0.5,KD\n".encode("utf-16"), r"line 1: .*it looks like UTF-16"),
    "utf16-bare.txt": ("0.5\tKD\n".encode("utf-16-le"), r"line 1: .*it looks like UTF-16"),
    "latin.csv": ("time,label\n0.5,Gl\xf6ckchen\n".encode("latin-1"), r"line 2: .*not UTF-8"),
    "header.csv": (b"tme_s,label\n0.5,KD\n", r"line 1: .*'tme_s': did you mean 'time_s'"),
    "header.tsv": (b"class\tonsett\nKD\t0.5\n", r"line 1: .*'onsett': did you mean 'onset'"),
    "semicolon.csv": (b"time;label\n0.5;KD\n", r"line 1: .*separate columns by commas"),
    "semicolons.txt": (b"0.5;KD\n", r"line 1: .*separate columns by commas"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_label_files_are_errors_not_skipped(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    (tmp_path / "good.csv").write_text("time,label\n0.5,KD\n")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationError, match=rf"{name}, {message}"):
        read_corpus(tmp_path)


def test_folder(tmp_path: Path) -> None:
    write_onsets(tmp_path / "b" / "x.mid", [Onset(0.5, "KD")])
    write_onsets(tmp_path / "a.csv", [Onset(0.25, "SD")])
    (tmp_path / "empty.txt").touch()
    (tmp_path / "README.txt").write_text("1. This is a readme.\n")
    (tmp_path / "notes.txt").write_text("Some notes on the session.\n")
    (tmp_path / "scores.csv").write_text("system,F\nours,1.0\n")
    (tmp_path / "all.csv").write_text("file,time,label\na.wav,0,KD\n")
    (tmp_path / "song.wav").touch()
    (tmp_path / ".hidden.csv").write_text("broken")
    corpus = read_corpus(tmp_path)
    assert (corpus.kind, corpus.root) == ("folder", tmp_path)
    assert list(corpus.recordings) == ["a.csv", "b/x.mid", "empty.txt"]
    assert corpus.recordings["empty.txt"] == []
    assert corpus.skipped == ("all.csv", "notes.txt", "scores.csv")


def test_label_file_that_breaks_off_is_an_error_in_a_folder_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0.5 KD\nx SD\n")
    with pytest.raises(AnnotationError, match=r"a.txt, line 2"):
        read_corpus(tmp_path)


def test_folder_without_labels(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="holds no label file"):
        read_corpus(tmp_path)


def test_single_file(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.tsv", [Onset(0.5, "KD")])
    corpus = read_corpus(tmp_path / "a.tsv")
    assert corpus.kind == "file"
    assert corpus.recordings == {"a.tsv": [Onset(0.5, "KD")]}


def test_windows_separators(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,time,label\nb\\c.wav,0,KD\n")
    assert list(read_corpus(tmp_path / "a.csv").recordings) == ["b/c.wav"]


def test_hash_follows_the_content(table: Path) -> None:
    before = corpus_sha256(read_corpus(table))
    table.write_text(TABLE + "a.wav,9,KD,,\n")
    assert corpus_sha256(read_corpus(table)) != before


def test_names_that_repeat_are_kept_once(tmp_path: Path) -> None:
    rows = ["file,time_s,label,annotator", *(f"a.wav,{i},snare drum,ann lee" for i in range(3))]
    (tmp_path / "corpus.csv").write_text("\n".join(rows))
    events = read_corpus(tmp_path / "corpus.csv").recordings["a.wav"]
    # Millions of events would otherwise hold millions of strings.
    assert len({id(onset.label) for onset in events}) == 1
    assert len({id(onset.annotator) for onset in events}) == 1
    assert [(onset.label, onset.annotator) for onset in events] == [("snare drum", "ann lee")] * 3
