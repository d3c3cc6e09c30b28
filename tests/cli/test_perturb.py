"""``softloc perturb`` from the user's side."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from softloc.events import Corpus, Onset
from softloc.formats import (
    Provenance,
    read_corpus,
    read_label_file,
    read_onsets,
    write_corpus_csv,
    write_onsets,
)
from softloc_cli.perturb import perturb

app = typer.Typer()
app.command()(perturb)
runner = CliRunner()

EVENTS = [Onset(round(0.01 + 0.25 * step, 6), "KD" if step % 2 else "SD") for step in range(16)]
NOISE = ("--noise", "normal:25ms")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    recordings = {"a.wav": EVENTS, "b/c.wav": EVENTS, "silence.wav": []}
    write_corpus_csv(path, Corpus(path, "table", tmp_path, recordings))
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result.stderr


def test_table(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "noisy.csv"
    stderr = run(table, "-o", out, *NOISE, "--seed", "7")
    head, header = out.read_text().splitlines()[:2]
    assert re.fullmatch(
        r"# softloc perturb noise=normal:25ms offset=0ms drift=0ppm drop=0 insert=0 swap=0 "
        r"per=label bounds=clip seed=7 sha256=[0-9a-f]{64}",
        head,
    )
    assert header == "file,time_s,label"
    noisy = read_corpus(out).recordings
    assert list(noisy) == ["a.wav", "b/c.wav", "silence.wav"]
    assert noisy["a.wav"] != EVENTS
    assert re.search(r"32 labels of 3 recordings: 0 dropped.* 32 written", stderr)
    errors_ms = [
        (after.time_s - before.time_s) * 1000
        for name in ("a.wav", "b/c.wav")
        for before, after in zip(EVENTS, noisy[name], strict=True)
    ]
    bias, sigma = re.search(r"bias ([+-][\d.]+) ms, sigma ([\d.]+) ms", stderr).groups()  # type: ignore[union-attr]
    assert float(bias) == pytest.approx(np.mean(errors_ms), abs=1e-3)
    assert float(sigma) == pytest.approx(np.std(errors_ms), abs=1e-3)


def test_same_seed_same_bytes_under_any_name(table: Path, tmp_path: Path) -> None:
    for name, seed in (("one.csv", 1), ("two.csv", 1), ("other.csv", 2)):
        run(table, "-o", tmp_path / name, *NOISE, "--drop", "0.1", "--seed", seed)
    one, two, other = ((tmp_path / f"{name}.csv").read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


@pytest.mark.parametrize("suffix", ["json", "jams", "svl"])
def test_documents_keep_what_they_know(suffix: str, tmp_path: Path) -> None:
    known = Provenance(sample_rate_hz=48_000.0)
    write_onsets(tmp_path / f"a.{suffix}", EVENTS, provenance=known)
    run(tmp_path / f"a.{suffix}", "-o", tmp_path / f"b.{suffix}", *NOISE)
    content = read_label_file(tmp_path / f"b.{suffix}")
    assert content.provenance.sample_rate_hz == 48_000.0
    assert len(content.recordings[None]) == len(EVENTS)
    assert "softloc perturb noise=normal:25ms" in (tmp_path / f"b.{suffix}").read_text()


def test_what_is_only_read_is_not_perturbed(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        "<instrumentRecording><event><onsetSec>1</onsetSec><instrument>KD</instrument></event>"
        "</instrumentRecording>"
    )
    assert "idmt is only read" in run(tmp_path / "a.xml", "-o", tmp_path / "b.xml", code=2)
    run(tmp_path / "a.xml", "-o", tmp_path / "b.csv")
    assert read_onsets(tmp_path / "b.csv")[0].time_s == 1.0


def test_no_noise_changes_only_the_comment(table: Path, tmp_path: Path) -> None:
    run(table, "-o", tmp_path / "same.csv")
    assert (tmp_path / "same.csv").read_text().split("\n", 1)[1] == table.read_text()


@pytest.mark.parametrize("form", ["audacity", "tsv", "onsets"])
def test_single_text_file_keeps_its_form(form: str, tmp_path: Path) -> None:
    write_onsets(tmp_path / "in.txt", EVENTS, format=form)
    run(tmp_path / "in.txt", "-o", tmp_path / "out.txt", "--offset", "10ms")
    assert read_label_file(tmp_path / "out.txt").form == form
    assert read_onsets(tmp_path / "out.txt")[0].time_s == 0.02
    has_comment = (tmp_path / "out.txt").read_text().startswith("# softloc perturb")
    assert has_comment == (form != "audacity")


def test_folder_keeps_names_and_sub_folders(tmp_path: Path) -> None:
    write_onsets(tmp_path / "in" / "a" / "x.mid", EVENTS)
    write_onsets(tmp_path / "in" / "y.csv", EVENTS)
    (tmp_path / "in" / "notes.txt").write_text("Played on Monday.")
    out = tmp_path / "out"
    stderr = run(tmp_path / "in", "-o", out, "--offset", "-5ms")
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == ["a/x.mid", "y.csv"]
    assert read_onsets(out / "a" / "x.mid")[0].time_s == pytest.approx(0.005, abs=0.53e-3)
    assert b"softloc perturb noise=" in (out / "a" / "x.mid").read_bytes()
    assert f"{tmp_path / 'in'}: skipped, no label files: notes.txt" in stderr
    before = (out / "y.csv").read_bytes()
    stderr = run(tmp_path / "in", "-o", out, code=2)
    assert "already holds a/x.mid and 1 more: nothing was written; give --overwrite" in stderr
    assert (out / "y.csv").read_bytes() == before
    run(tmp_path / "in", "-o", out, "--overwrite")
    assert (out / "y.csv").read_bytes() != before


def test_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_onsets(tmp_path / "in" / "a.csv", EVENTS)
    write_onsets(tmp_path / "in" / "sub" / "b.mid", EVENTS)
    arguments = ("-o", tmp_path / "out", "--offset", "-100ms", "--bounds", "keep")
    stderr = run(tmp_path / "in", *arguments, code=2)
    assert "error: sub/b.mid: " in stderr
    assert "MIDI has no time before 0" in stderr
    assert not (tmp_path / "out").exists()


def test_every_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("0.5\tKD\n0.5\tKD\n")
    stderr = run(tmp_path / "in", "-o", tmp_path / "out")
    assert stderr.count("repeat another") == 1


def test_audio_gives_the_upper_bound(table: Path, tmp_path: Path) -> None:
    for name in ("a.wav", "b/c.wav", "silence.wav"):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "audio" / name, np.zeros(30_000), 8000)  # 3.75 s
    out = tmp_path / "out.csv"
    stderr = run(table, "-o", out, "--offset", "1s", code=2)
    assert "cannot read --offset '1s': write it as 5ms" in stderr
    stderr = run(table, "-o", out, "--offset", "1000", "--audio", tmp_path / "audio")
    assert "0 before the start, 10 after the end, moved to it" in stderr
    assert read_corpus(out).recordings["a.wav"][-1].time_s == 3.75


def test_lower_bound(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert "2 before the start" in run(table, "-o", out, "--offset", "-100")
    assert read_corpus(out).recordings["a.wav"][0].time_s == 0.0
    run(table, "-o", out, "--offset", "-100", "--bounds", "drop")
    assert len(read_corpus(out).recordings["a.wav"]) == 15
    run(table, "-o", out, "--offset", "-100", "--bounds", "keep")
    assert read_corpus(out).recordings["a.wav"][0].time_s == -0.09


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("labels.csv", "-o", "labels.csv"), "the input itself"),
        (("labels.csv", "-o", "sub/../labels.csv"), "the input itself"),
        (("labels.csv", "-o", "out.mid"), "labels of a corpus are written as .csv"),
        (("labels.csv", "-o", "sub"), "sub is a folder"),
        (("sub", "-o", "sub/out"), "the input itself"),
        (("nope.csv", "-o", "out.csv"), "cannot read nope.csv"),
        (("labels.csv", "-o", "out.csv", "--noise", "gauss:2ms"), "unknown noise 'gauss'"),
        (("labels.csv", "-o", "out.csv", "--noise", "rounded:2ms"), "give --step MS"),
        (("labels.csv", "-o", "out.csv", "--step", "x"), "cannot read --step 'x'"),
        (("labels.csv", "-o", "out.csv", "--per", "annotator"), "names no annotator"),
        (("labels.csv", "-o", "out.csv", "--drop", "2"), "drop is a probability"),
        (("labels.csv",), "Missing option"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    arguments: tuple[str, ...],
    message: str,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_onsets(tmp_path / "sub" / "x.csv", EVENTS)
    before = table.read_bytes()
    monkeypatch.chdir(tmp_path)
    stderr = run(*arguments, code=2)
    assert message in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "out.csv").exists()
    assert table.read_bytes() == before


def test_time_before_zero_cannot_go_into_midi(tmp_path: Path) -> None:
    write_onsets(tmp_path / "a.mid", EVENTS)
    arguments = ("-o", tmp_path / "b.mid", "--offset", "-100ms", "--bounds", "keep")
    assert "MIDI has no time before 0" in run(tmp_path / "a.mid", *arguments, code=2)
    assert not (tmp_path / "b.mid").exists()


def test_missing_audio_is_named(table: Path, tmp_path: Path) -> None:
    stderr = run(table, "-o", tmp_path / "out.csv", "--audio", tmp_path / "audio", code=2)
    assert "a.wav: no such recording in" in stderr


@pytest.mark.parametrize("linked", ["the result", "the input"])
def test_a_link_between_input_and_result_loses_no_labels(linked: str, tmp_path: Path) -> None:
    true, other = tmp_path / "true", tmp_path / "other"
    write_onsets(true / "a.csv", EVENTS)
    before = (true / "a.csv").read_bytes()
    other.mkdir()
    (other / "a.csv").symlink_to(true / "a.csv")
    source, out = (true, other) if linked == "the result" else (other, true)
    assert "leads to an input" in run(source, "-o", out, "--overwrite", *NOISE, code=2)
    assert (true / "a.csv").read_bytes() == before


def test_names_need_not_be_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xffd.csv")
    write_onsets(tmp_path / "in" / name, EVENTS)
    run(tmp_path / "in", "-o", tmp_path / "out", "--offset", "10ms")
    assert read_onsets(tmp_path / "out" / name)[0].time_s == pytest.approx(0.02)
