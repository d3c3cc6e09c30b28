"""``softloc convert`` from the user's side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from softloc.events import Corpus, Onset
from softloc.formats import (
    formats_table,
    read_label_file,
    read_onsets,
    write_corpus_csv,
    write_onsets,
)
from softloc_cli.app import app

runner = CliRunner()
GOLDEN = Path(__file__).parents[1] / "golden"
EVENTS = [Onset(0.5, "KD", confidence=0.75, annotator="ann"), Onset(1.0, "SD", velocity=90)]


def run(*arguments: object, code: int = 0) -> tuple[str, str]:
    result = runner.invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "song.csv"
    write_onsets(path, EVENTS)
    return path


def times(path: Path) -> list[tuple[float, str]]:
    return [(onset.time_s, onset.label) for onset in read_onsets(path)]


PAIRS = [(0.5, "KD"), (1.0, "SD")]


@pytest.mark.parametrize("suffix", ["mid", "csv", "tsv", "txt", "json", "jams", "lab"])
def test_suffixes_say_what_is_what(suffix: str, labels: Path, tmp_path: Path) -> None:
    stdout, stderr = run(labels, tmp_path / f"new/b.{suffix}")
    assert times(tmp_path / f"new/b.{suffix}") == PAIRS
    assert stdout == ""
    assert f"{labels}: 2 events" in stderr


def test_losses_are_one_line(labels: Path, tmp_path: Path) -> None:
    _, stderr = run(labels, tmp_path / "b.mid")
    assert stderr.splitlines() == [
        f"{labels}: 2 events",
        "midi cannot hold, so not kept: confidence of 1, annotator of 1 events",
    ]
    _, stderr = run(labels, tmp_path / "b.json")
    assert stderr.splitlines() == [f"{labels}: 2 events"]
    _, stderr = run(labels, tmp_path / "b.mid", "-q")
    assert stderr == ""


def test_a_single_named_file_is_replaced(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tsv").write_text("old")
    run(labels, tmp_path / "b.tsv")
    assert times(tmp_path / "b.tsv") == PAIRS


def test_several_inputs_and_formats_into_a_folder(labels: Path, tmp_path: Path) -> None:
    write_onsets(tmp_path / "two.softloc.csv", EVENTS)
    run(labels, tmp_path / "two.softloc.csv", "-o", tmp_path / "out", "-f", "mid,json,audacity")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "song.json", "song.mid", "song.txt", "two.json", "two.mid", "two.txt",
    ]  # fmt: skip
    assert read_label_file(tmp_path / "out" / "song.txt").form == "audacity"


def test_beside_the_input_without_an_output(labels: Path) -> None:
    run(labels, "-f", "mid")
    assert times(labels.with_suffix(".mid")) == PAIRS


def test_a_folder_keeps_its_folders_and_skips_what_is_no_label_file(tmp_path: Path) -> None:
    write_onsets(tmp_path / "in" / "a.csv", EVENTS)
    write_onsets(tmp_path / "in" / "deep" / "b.tsv", EVENTS)
    (tmp_path / "in" / "scores.json").write_text('{"F": 1}')
    (tmp_path / "in" / "README.txt").write_text("prose")
    _, stderr = run(tmp_path / "in", "-o", tmp_path / "out", "-f", "jams")
    assert (
        times(tmp_path / "out" / "a.jams") == times(tmp_path / "out" / "deep" / "b.jams") == PAIRS
    )
    assert "skipped, no label files: " in stderr
    assert "scores.json" in stderr


def test_a_table_gives_a_file_for_each_recording(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    recordings = {"a/x.wav": EVENTS, "b/x.wav": EVENTS[:1], "silence.wav": []}
    write_corpus_csv(table, Corpus(table, "table", tmp_path, recordings))
    _, stderr = run(table, "-o", tmp_path / "out", "-f", "json")
    assert f"{table}: 3 events" in stderr
    assert times(tmp_path / "out" / "a" / "x.json") == PAIRS
    assert times(tmp_path / "out" / "b" / "x.json") == PAIRS[:1]
    assert times(tmp_path / "out" / "silence.json") == []
    document = json.loads((tmp_path / "out" / "a" / "x.json").read_text())
    assert document["recording"]["file"] == "a/x.wav"
    _, stderr = run(table, tmp_path / "b.mid", code=2)
    assert "holds the labels of 3 recordings: name the folder of the results with -o" in stderr
    _, stderr = run(table, "-o", tmp_path / "out", "-f", "json", code=2)
    assert "exists already; give --overwrite or --skip-existing" in stderr
    _, stderr = run(table, "-o", tmp_path / "out", "-f", "json", "--skip-existing")
    assert "skipped, its results exist" in stderr


@pytest.mark.parametrize("name", ["../x.wav", "/tmp/x.wav", "C:\\x.wav", "."])
def test_a_table_cannot_write_outside_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"file,time,label\na.wav,0,KD\n{name},0,KD\n")
    _, stderr = run(tmp_path / "t.csv", "-o", tmp_path / "out", "-f", "tsv", code=2)
    assert "lies outside of the table's folder" in stderr
    assert not (tmp_path / "out").exists()


def test_tables_that_cannot_be_split(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,time,label\na.wav,0,KD\na.flac,0,KD\n")
    _, stderr = run(tmp_path / "t.csv", "-o", tmp_path / "out", "-f", "tsv", code=2)
    assert "two recordings would be written to" in stderr
    (tmp_path / "t.csv").write_text("file,time,label\n")
    _, stderr = run(tmp_path / "t.csv", "-o", tmp_path / "out", "-f", "tsv", code=2)
    assert "names no recording" in stderr


def test_a_table_does_not_hit_the_result_of_another_input(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,time,label\nsong.wav,0.25,KD\n")
    for inputs in ((tmp_path / "t.csv", labels), (labels, tmp_path / "t.csv")):
        out = tmp_path / inputs[0].stem
        run(*inputs, "-o", out, "-f", "tsv", code=3)
        assert times(out / "song.tsv") == ([(0.25, "KD")] if inputs[0].stem == "t" else PAIRS)


def test_a_named_file_that_is_no_label_file_fails_alone(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "prose.txt").write_text("prose\n")
    _, stderr = run(tmp_path / "prose.txt", labels, "-o", tmp_path / "out", "-f", "tsv", code=3)
    assert "prose.txt, line 1: 'prose' is neither" in stderr
    assert times(tmp_path / "out" / "song.tsv") == PAIRS


def test_existing_results_are_kept_unless_told(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(labels, "-o", out, "-f", "tsv")
    (out / "song.tsv").write_text("0.1\tmine\n")
    _, stderr = run(labels, "-o", out, "-f", "tsv", code=2)
    assert "song.tsv exist already; give --overwrite or --skip-existing" in stderr
    _, stderr = run(labels, "-o", out, "-f", "tsv,csv", "--skip-existing")
    assert (out / "song.tsv").read_text() == "0.1\tmine\n"
    assert times(out / "song.csv") == PAIRS
    run(labels, "-o", out, "-f", "tsv", "--overwrite")
    assert times(out / "song.tsv") == PAIRS


def test_to_standard_output(labels: Path) -> None:
    stdout, stderr = run(labels, "-o", "-", "-q")
    assert stdout == "0.500000\tKD\n1.000000\tSD\n"
    assert stderr == ""
    assert json.loads(run(labels, "-", "-f", "json")[0])["format"] == "softloc-events"
    _, stderr = run(labels, "-", "-f", "mid", code=2)
    assert "standard output takes one table" in stderr


def test_one_bad_file_does_not_stop_the_others(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("0.5 KD\nnan SD\n")
    _, stderr = run(tmp_path / "bad.tsv", labels, "-o", tmp_path / "out", "-f", "mid", code=3)
    assert "bad.tsv, line 2: the time is 'nan'" in stderr
    assert "1 of 2 files converted" in stderr
    assert times(tmp_path / "out" / "song.mid") == PAIRS
    (tmp_path / "worse.tsv").write_text("inf SD\n")
    _, stderr = run(
        tmp_path / "bad.tsv", tmp_path / "worse.tsv", "-o", tmp_path / "out", "-f", "mid", code=1
    )
    assert "0 of 2 files converted" in stderr


def test_what_cannot_be_written_is_named_by_its_input(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "early.csv").write_text("time_s,label\n-0.5,KD\n")
    _, stderr = run(labels, tmp_path / "early.csv", "-o", tmp_path / "out", "-f", "mid", code=3)
    assert f"error: {tmp_path / 'early.csv'}: MIDI has no time before 0" in stderr


def test_a_single_bad_file_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("nan SD\n")
    _, stderr = run(tmp_path / "bad.tsv", tmp_path / "b.mid", code=2)
    assert stderr.startswith("error: ")
    assert not (tmp_path / "b.mid").exists()


def usage_cases() -> dict[str, tuple[list[str], str]]:
    return {
        "missing": (["nope.csv", "b.mid"], "no such file or folder: nope.csv"),
        "no_format": (["song.csv"], "no format is named"),
        "no_format_for_a_folder": (["song.csv", "-o", "out"], "no format is named"),
        "unknown_format": (["song.csv", "-f", "midii"], "unknown format 'midii': did you mean"),
        "unknown_from": (["song.csv", "b.mid", "--from", "x1"], "unknown format 'x1'"),
        "only_read": (["song.csv", "-f", "idmt"], "idmt is only read: -f takes midi, csv"),
        "suffix": (["song.csv", "b.xyz"], "no format has the suffix .xyz"),
        "contradiction": (["song.csv", "b.csv", "-f", "mid"], "its suffix means csv, -f asks for"),
        "several": (["song.csv", "b.mid", "-f", "mid,csv"], "is one file, -f asks for several"),
        "itself": (["song.csv", "-f", "csv"], "is an input, it would be overwritten"),
        "onto_itself": (["song.csv", "song.csv"], "is an input, it would be overwritten"),
        "collision": (["song.csv", "song.tsv", "-o", "out", "-f", "mid"], "would both be written"),
        "stdout_of_many": (["song.csv", "song.tsv", "-o", "-"], "-o - prints one label file"),
        "file_as_folder": (["song.csv", "song.tsv", "-o", "song.csv", "-f", "mid"],
                           "several results need a folder"),
        "both": (["song.csv", "b.mid", "--overwrite", "--skip-existing"], "contradict each other"),
        "note_map": (["song.csv", "b.mid", "--note-map", "gmm"], "unknown note map 'gmm'"),
        "note_map_file": (["song.csv", "b.mid", "--note-map", "kit.toml"], "cannot read the note"),
        "no_rate": (["song.csv", "b.svl"], "sample rate must be known"),
        "missing_audio": (["song.csv", "b.jams", "--audio", "x.wav"], "x.wav: no such file"),
        "no_audio": (["song.csv", "b.svl", "--audio", "empty"], "no recording of this name"),
        "bad_audio": (["song.csv", "b.svl", "--audio", "song.tsv"], "song.tsv"),
        "empty_folder": (["empty", "-o", "out", "-f", "mid"], "empty: holds no label file"),
        "from": (["song.csv", "b.mid", "--from", "json"], "song.csv, line 1: this is not JSON"),
    }  # fmt: skip


@pytest.mark.parametrize("case", usage_cases())
def test_wrong_usage_is_one_sentence(
    case: str, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_onsets(tmp_path / "song.tsv", EVENTS)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    arguments, message = usage_cases()[case]
    _, stderr = run(*arguments, code=1 if case == "bad_audio" else 2)
    assert message in stderr
    assert len(stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert read_onsets(labels)[0].label == "KD"


def test_from_names_the_form(tmp_path: Path) -> None:
    run(GOLDEN / "foreign" / "enst.txt", tmp_path / "a.csv", "--from", "enst")
    assert [onset.label for onset in read_onsets(tmp_path / "a.csv")][:3] == ["KD", "HH", "SD"]
    run(tmp_path / "a.csv", tmp_path / "a.mid", "--overwrite")
    # Side stick and floor tom keep their notes.
    notes = [onset.midi_note for onset in read_onsets(tmp_path / "a.mid")]
    assert {37, 41, 52} <= set(notes)


def test_note_map_goes_both_ways(tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text("KD = [12]\nclap = 39\n")
    write_onsets(tmp_path / "a.csv", [Onset(0.5, "KD"), Onset(1.0, "clap")])
    run(tmp_path / "a.csv", tmp_path / "a.mid", "--note-map", tmp_path / "kit.toml")
    assert [onset.midi_note for onset in read_onsets(tmp_path / "a.mid")] == [12, 39]
    run(tmp_path / "a.mid", tmp_path / "b.tsv", "--note-map", tmp_path / "kit.toml")
    assert times(tmp_path / "b.tsv") == [(0.5, "KD"), (1.0, "clap")]
    run(tmp_path / "b.tsv", tmp_path / "c.mid", "--note-map", "adtof5", code=2)


@pytest.mark.parametrize("by", ["file", "folder", "rate"])
def test_layers_count_samples_of_the_recording(by: str, labels: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.flac", np.zeros(96_000), 48_000)
    options = {
        "file": ("--audio", tmp_path / "song.flac"),
        "folder": ("--audio", tmp_path),
        "rate": ("--sample-rate", 48_000),
    }[by]
    run(labels, tmp_path / "a.svl", *options)
    text = (tmp_path / "a.svl").read_text()
    assert 'sampleRate="48000"' in text
    assert '<point frame="24000" label="KD"/>' in text


def test_the_recording_is_described(labels: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", np.zeros(96_000), 48_000)
    run(labels, "-o", tmp_path / "out", "-f", "json,jams", "--audio", tmp_path)
    recording = json.loads((tmp_path / "out" / "song.json").read_text())["recording"]
    assert (recording["file"], recording["duration_s"], recording["sample_rate_hz"]) == (
        "song.wav", 2.0, 48_000.0,
    )  # fmt: skip
    assert len(recording["sha256"]) == 64
    # What one file knows the next one knows, too.
    run(tmp_path / "out" / "song.json", tmp_path / "again.jams")
    assert read_label_file(tmp_path / "again.jams").provenance.duration_s == 2.0
    run(tmp_path / "again.jams", tmp_path / "again.svl")
    assert 'sampleRate="48000"' in (tmp_path / "again.svl").read_text()


def test_formats_are_listed() -> None:
    stdout, stderr = run("--formats")
    assert stdout == formats_table()
    assert stderr == ""


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Two tables of the same name, of other recordings."""
    paths = [tmp_path / folder / "labels.csv" for folder in "ab"]
    for path, names in zip(paths, (("1.wav", "2.wav"), ("3.wav", "4.wav")), strict=True):
        corpus = Corpus(path, "table", path.parent, dict.fromkeys(names, EVENTS))
        write_corpus_csv(path, corpus)
    return paths


def test_tables_are_not_in_the_way_of_each_other(tables: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "labels.mid").write_bytes(b"somebody's")
    run(*tables, "-f", "mid", "-o", out)
    assert sorted(path.name for path in out.iterdir()) == [
        "1.mid", "2.mid", "3.mid", "4.mid", "labels.mid"
    ]  # fmt: skip
    assert (out / "labels.mid").read_bytes() == b"somebody's"
    _, stderr = run(*tables, "-f", "mid", "-o", out, code=1)
    assert stderr.count("exists already") == 2


def test_a_recording_of_a_table_does_not_overwrite_an_input(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    recordings = {"song.wav": EVENTS, "labels.wav": EVENTS}
    write_corpus_csv(table, Corpus(table, "table", tmp_path, recordings))
    before = table.read_bytes()
    _, stderr = run(table, "-f", "csv", "-o", tmp_path, "--overwrite", code=2)
    assert "is an input, it would be overwritten" in stderr
    assert table.read_bytes() == before
