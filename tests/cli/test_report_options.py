"""``--html`` and ``--sonify`` from the user's side."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clicks import bursts
from typer.testing import CliRunner

from softloc.formats import read_onsets
from softloc_cli.app import app

TIMES_S = [0.25, 0.8, 1.5]
LABELS = "time_s,label\n0.25,KD\n0.8,KD\n1.2,SD\n"


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stderr


def record(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, bursts(TIMES_S), 44_100)
    return path


def data_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'id="softloc-data">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def times_of(page: Path, side: str) -> list[float]:
    return [time_us / 1e6 for time_us in data_of(page)["items"][f"{side}_us"] if time_us]


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_transcribe_shows_and_sounds_what_it_writes(tmp_path: Path, click_model: Path) -> None:
    song = record(tmp_path / "a <b> & c.wav")
    out = tmp_path / "out"
    run(
        *("transcribe", song, "-o", out / "a.csv", "-m", click_model),
        *("--html", out / "a.html", "--sonify", out / "check.flac"),
    )
    onsets = read_onsets(out / "a.csv")
    assert times_of(out / "a.html", "estimate") == pytest.approx([o.time_s for o in onsets])
    assert data_of(out / "a.html")["title"] == "a <b> & c.wav"
    samples, rate_hz = soundfile.read(out / "check.flac")
    heard = np.flatnonzero(np.abs(samples[:, 1]) > 0.4)
    assert heard[0] == round(onsets[0].time_s * rate_hz)


def test_a_folder_keeps_its_sub_folders(tmp_path: Path, click_model: Path) -> None:
    record(tmp_path / "in" / "a.wav")
    record(tmp_path / "in" / "live" / "a.wav")
    command = ("transcribe", tmp_path / "in", "--recursive", "-m", click_model, "-q")
    checks = ("--html", tmp_path / "out", "--sonify", tmp_path / "out")
    run(*command, "-o", tmp_path / "out", *checks)
    names = {"a", "live/a"}
    suffixes = (".mid", ".html", ".clicks.wav")
    expected = {f"{name}{suffix}" for name in names for suffix in suffixes}
    assert files_in(tmp_path / "out") == expected
    (tmp_path / "out" / "a.mid").unlink()
    (tmp_path / "out" / "live" / "a.mid").unlink()
    stderr = run(*command, "-o", tmp_path / "out", *checks, code=2)
    assert "results exist already" in stderr
    assert "a.html" in stderr
    assert "give --overwrite or --skip-existing" in stderr
    run(*command, "-o", tmp_path / "out", *checks, "--overwrite")


def test_what_is_named_is_replaced_and_what_a_folder_holds_is_not(
    tmp_path: Path, click_model: Path
) -> None:
    song, page, folder = record(tmp_path / "a.wav"), tmp_path / "p.html", tmp_path / "pages"
    command = ("transcribe", song, "-m", click_model)
    page.write_text("old")
    run(*command, "--html", page)
    assert page.read_text() != "old"
    assert "a.mid; give --overwrite" in run(*command, "--html", page, code=2)
    folder.mkdir()
    (folder / "a.html").write_text("old")
    named = ("-o", tmp_path / "a.mid", "--html", folder)
    assert "a.html; give --overwrite or --skip-existing" in run(*command, *named, code=2)
    assert (folder / "a.html").read_text() == "old"
    run(*command, *named, "--overwrite")
    assert (folder / "a.html").read_text() != "old"


def test_standard_input_is_read_twice(tmp_path: Path, click_model: Path) -> None:
    song = record(tmp_path / "a.wav")
    command = [sys.executable, "-m", "softloc_cli", "transcribe", "-", "-m", str(click_model)]
    with song.open("rb") as stdin:
        result = subprocess.run(
            [*command, "--html", "p.html", "--sonify", "check.wav"],
            stdin=stdin,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
    listed = [float(line.split("\t")[0]) for line in result.stdout.splitlines()]
    assert times_of(tmp_path / "p.html", "estimate") == pytest.approx(listed, abs=1e-6)
    assert soundfile.info(tmp_path / "check.wav").frames == soundfile.info(song).frames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--html", "x.txt"), "--html x.txt: the file needs the suffix .html or .htm"),
        (("--sonify", "x.mp3"), "--sonify x.mp3: the file needs the suffix .wav or .flac"),
        (("--html", "-"), "--html needs a file or a folder, not standard output"),
        (("--sonify", "a.wav"), "a.wav: is a recording, it would be overwritten"),
    ],
)
def test_wrong_names_are_refused_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "a.wav")
    assert message in run("transcribe", "a.wav", *arguments, code=2)
    assert files_in(tmp_path) == {"a.wav"}


def test_several_recordings_need_a_folder(tmp_path: Path) -> None:
    record(tmp_path / "in" / "a.wav")
    stderr = run("transcribe", tmp_path / "in", "--html", tmp_path / "x.html", code=2)
    assert "x.html: several recordings need a folder" in stderr
    record(tmp_path / "in" / "a.flac")
    stderr = run(
        "transcribe", tmp_path / "in", "-o", tmp_path / "o", "--html", tmp_path / "o", code=2
    )
    assert "would both be written to" in stderr


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    record(tmp_path / "a.wav")
    (tmp_path / "a.csv").write_text(LABELS)
    (tmp_path / "estimate").mkdir()
    (tmp_path / "estimate" / "a.csv").write_text("time_s,label\n0.26,KD\n1.7,SD\n")
    return tmp_path


def test_evaluate_shows_verdicts_and_sounds_the_estimate(labelled: Path) -> None:
    page, sound = labelled / "page.html", labelled / "check.wav"
    estimate = labelled / "estimate" / "a.csv"
    run("evaluate", labelled / "a.csv", estimate, "--html", page, "--sonify", sound)
    data = data_of(page)
    verdicts = [data["verdicts"][index] for index in data["items"]["verdict"]]
    assert verdicts == ["hit", "miss", "miss", "false alarm"]
    assert data["media"]["audio"]["codec"] == "FLAC"
    samples, rate_hz = soundfile.read(sound)
    assert np.flatnonzero(samples[:, 1])[0] == round(0.26 * rate_hz)


@pytest.mark.parametrize("option", [("--audio", "."), ("--combine", "30"), ()])
def test_pages_count_what_the_table_counts(labelled: Path, option: tuple[str, ...]) -> None:
    reference = "time_s,label\n0.25,KD\n0.27,KD\n0.5,HH\n0.51,OT\n1.7,SD\n99,SD\n99.5,OT\n"
    (labelled / "a.csv").write_text(reference)
    (labelled / "estimate" / "a.csv").write_text("time_s,label\n0.26,KD\n1.7,SD\n99,SD\n")
    page, scores = labelled / "page.html", labelled / "scores.json"
    options = [labelled if text == "." else text for text in option]
    arguments = ("evaluate", labelled / "a.csv", labelled / "estimate" / "a.csv", *options)
    run(*arguments, "--html", page, "--json", scores)
    (result,) = json.loads(scores.read_text())["results"]
    (total, *_) = result["sum"]["windows"]
    data = data_of(page)
    verdicts = [data["verdicts"][index] for index in data["items"]["verdict"]]
    shown = [verdicts.count(verdict) for verdict in ("hit", "false alarm", "miss")]
    assert shown == [total["tp"], total["fp"], total["fn"]]
    assert data["unscored"] == result["unscored"]["reference"]


def test_evaluate_does_not_write_over_the_recording(labelled: Path) -> None:
    before = (labelled / "a.wav").read_bytes()
    arguments = ("evaluate", labelled / "a.csv", labelled / "estimate" / "a.csv")
    stderr = run(*arguments, "--sonify", labelled / "a.wav", code=2)
    assert "a.wav: is a recording, it would be overwritten" in stderr
    assert (labelled / "a.wav").read_bytes() == before


def test_evaluate_refuses_wrong_names_before_scoring(labelled: Path) -> None:
    arguments = ("evaluate", labelled / "a.csv", labelled / "estimate" / "a.csv")
    scores = labelled / "scores.json"
    stderr = run(*arguments, "--html", labelled / "x.txt", "--json", scores, code=2)
    assert "x.txt: the file needs the suffix .html or .htm" in stderr
    assert not scores.exists()


def test_evaluate_without_recording_is_silent(labelled: Path) -> None:
    (labelled / "a.wav").unlink()
    page = labelled / "page.html"
    arguments = ("evaluate", labelled / "a.csv", labelled / "estimate" / "a.csv")
    stderr = run(*arguments, "--html", page)
    assert "no sound: a.csv: no recording of this name" in stderr
    assert data_of(page)["media"] is None
    stderr = run(*arguments, "--sonify", labelled / "check.wav", code=2)
    assert "--sonify" in stderr
    assert "holds no recording of these names" in stderr
    assert not (labelled / "check.wav").exists()


def test_audio_may_stand_elsewhere(labelled: Path) -> None:
    (labelled / "audio").mkdir()
    (labelled / "a.wav").rename(labelled / "audio" / "a.wav")
    page = labelled / "page.html"
    arguments = ("evaluate", labelled / "a.csv", labelled / "estimate" / "a.csv", "--html", page)
    assert run(*arguments, "--audio", labelled / "audio") == ""
    assert data_of(page)["media"] is not None


def test_evaluate_of_many_makes_an_index(labelled: Path) -> None:
    rows = ["file,time_s,label", "a.wav,0.25,KD", "a.flac,0.25,KD", "../../evil.wav,0.5,SD"]
    (labelled / "all.csv").write_text("\n".join([*rows, "index.wav,0.1,KD"]) + "\n")
    (labelled / "one.csv").write_text("file,time_s,label\nindex.wav,0.1,KD\n")
    out = labelled / "pages" / "deep"
    run("evaluate", labelled / "all.csv", labelled / "one.csv", "--html", out)
    expected = {"a.html", "a.flac.html", "evil.html", "index.wav.html", "index.html"}
    assert files_in(labelled / "pages") == {f"deep/{name}" for name in expected}
    index = (out / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'href="([^"]*)"', index)) == expected - {"index.html"}


def test_several_estimates_get_a_folder_each(labelled: Path) -> None:
    estimate = labelled / "estimate" / "a.csv"
    out = labelled / "pages"
    run("evaluate", labelled / "a.csv", estimate, labelled / "a.csv", "--html", out)
    assert files_in(out) == {f"{n}-a/{name}.html" for n in (1, 2) for name in ("a", "index")}
