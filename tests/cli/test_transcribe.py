"""``softloc transcribe``: files, folders, streams, what exists, what is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mido
import pytest
import soundfile
from click_model import make_click_model
from clicks import bursts
from typer.testing import CliRunner

from softloc.checkpoints import save_checkpoint
from softloc.formats import read_onsets
from softloc_cli.app import app

TIMES_S = [0.25, 0.8, 1.5]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["transcribe", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def write(path: Path, times_s: list[float] = TIMES_S, rate_hz: int = 44_100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, bursts(times_s, rate_hz=rate_hz), rate_hz)
    return path


def found(path: Path) -> list[float]:
    return [onset.time_s for onset in read_onsets(path) if onset.label == "KD"]


@pytest.mark.parametrize("suffix", ["mid", "csv", "tsv"])
def test_one_recording_to_one_file(tmp_path: Path, click_model: Path, suffix: str) -> None:
    song, out = write(tmp_path / "my song.wav"), tmp_path / f"out.{suffix}"
    code, stdout, stderr = run(song, "-o", out, "-m", click_model)
    assert (code, stdout) == (0, "")
    assert "6 events" in stderr
    assert found(out) == pytest.approx(TIMES_S, abs=0.012)


def test_midi_is_what_a_daw_expects(tmp_path: Path, click_model: Path) -> None:
    out = tmp_path / "a.mid"
    run(write(tmp_path / "a.wav"), "-o", out, "-m", click_model)
    midi = mido.MidiFile(out)
    notes = [message for track in midi.tracks for message in track if message.type == "note_on"]
    assert midi.ticks_per_beat == 960
    assert {message.channel for message in notes} == {9}
    assert {message.note for message in notes} == {36, 42}
    texts = [m.text for track in midi.tracks for m in track if m.type in ("marker", "text")]
    assert any(text.startswith("softloc ") and "clicks" in text for text in texts)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000, 96_000])
def test_every_sample_rate_gives_the_same_times(
    tmp_path: Path, click_model: Path, rate_hz: int
) -> None:
    out = tmp_path / "a.csv"
    code, _, _ = run(write(tmp_path / "a.wav", rate_hz=rate_hz), "-o", out, "-m", click_model)
    assert code == 0
    assert found(out) == pytest.approx(TIMES_S, abs=0.015)


def test_beside_the_recording(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    assert run(song, "-m", click_model)[0] == 0
    assert (tmp_path / "a.mid").exists()
    assert run(song, "-f", "csv", "-m", click_model)[0] == 0
    assert (tmp_path / "a.softloc.csv").exists()


def test_a_folder_with_good_and_bad_files(tmp_path: Path, click_model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "good.wav")
    write(folder / "sub" / "deep.flac")
    (folder / "text.wav").write_text("not audio")
    (folder / "empty.wav").touch()
    (folder / "notes.txt").write_text("no recording")
    code, stdout, stderr = run(folder, "-o", out, "-f", "mid,csv", "--recursive", "-m", click_model)
    assert (code, stdout) == (3, "")
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "good.csv",
        "good.mid",
        "sub/deep.csv",
        "sub/deep.mid",
    ]
    assert "text.wav: not audio" in stderr
    assert "empty.wav: is empty" in stderr
    assert stderr.splitlines()[-1].split()[:3] == ["2", "0", "2"], "ok, skipped, failed"


def test_only_bad_files_fail(tmp_path: Path, click_model: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    code, _, stderr = run(tmp_path / "text.wav", "-o", tmp_path / "a.mid", "-m", click_model)
    assert code == 1
    assert stderr.count("error:") == 1
    assert not (tmp_path / "a.mid").exists()


def test_what_exists_is_not_overwritten_in_a_folder(tmp_path: Path, click_model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "a.wav")
    write(folder / "b.wav")
    out.mkdir()
    (out / "a.mid").write_text("precious")
    code, _, stderr = run(folder, "-o", out, "-m", click_model)
    assert code == 2
    assert "--overwrite" in stderr
    assert "--skip-existing" in stderr
    assert not (out / "b.mid").exists()
    assert run(folder, "-o", out, "-m", click_model, "--skip-existing")[0] == 0
    assert (out / "a.mid").read_text() == "precious"
    assert (out / "b.mid").exists()
    assert run(folder, "-o", out, "-m", click_model, "--overwrite")[0] == 0
    assert (out / "a.mid").read_bytes().startswith(b"MThd")


def test_a_single_named_file_is_replaced(tmp_path: Path, click_model: Path) -> None:
    song, out = write(tmp_path / "a.wav"), tmp_path / "a.csv"
    out.write_text("old")
    assert run(song, "-o", out, "-m", click_model)[0] == 0
    assert found(out) != []


def test_usage_errors_come_before_work(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    write(tmp_path / "a.flac")
    write(tmp_path / "one" / "x.wav")
    (tmp_path / "nothing").mkdir()
    for arguments, sentence in (
        ([song, tmp_path / "missing.wav"], "no such file or folder"),
        ([song, tmp_path / "a.flac"], "would both be written to"),
        ([song, "-o", tmp_path / "a.docx"], "no format has the suffix .docx"),
        ([song, "-f", "mdi"], "did you mean 'midi'"),
        ([tmp_path / "nothing"], "holds no recording"),
        ([song, "-o", tmp_path / "x.mid", "-f", "mid,csv"], "asks for several"),
        ([song, tmp_path / "one" / "x.wav", "-o", tmp_path / "a.flac"], "need a folder"),
    ):
        code, stdout, stderr = run(*arguments, "-m", click_model)
        assert (code, stdout) == (2, ""), arguments
        assert sentence in stderr
    assert not list(tmp_path.glob("*.mid"))


def test_no_recording_is_overwritten(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    before = song.read_bytes()
    for arguments, sentence in (
        ([song, "-o", song, "-f", "csv"], "is a recording, it would be overwritten"),
        ([song, "-o", tmp_path / "a.mid", "-f", "csv"], "its suffix means midi"),
        ([song, "-o", "-", "-f", "mid"], "standard output takes one table"),
        ([song, write(tmp_path / "b.wav"), "-o", "-"], "one recording to standard output"),
        ([song, "-o", tmp_path / "x.mid", "--note-map", "kikc=36"], "no class 'kikc'"),
    ):
        code, _, stderr = run(*arguments, "-m", click_model)
        assert code == 2, arguments
        assert sentence in stderr
    assert song.read_bytes() == before
    assert not list(tmp_path.glob("*.mid"))


def test_skipping_keeps_every_result_that_exists(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    (tmp_path / "a.mid").write_text("precious")
    assert run(song, "-f", "mid,csv", "--skip-existing", "-m", click_model)[0] == 0
    assert (tmp_path / "a.mid").read_text() == "precious"
    assert found(tmp_path / "a.softloc.csv") == pytest.approx(TIMES_S, abs=0.012)


def test_a_slash_makes_a_folder(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    assert run(song, "-o", f"{tmp_path}/results.v2/", "-m", click_model)[0] == 0
    assert (tmp_path / "results.v2" / "a.mid").exists()


def test_hits_at_both_ends_are_found(tmp_path: Path, click_model: Path) -> None:
    out = tmp_path / "a.csv"
    for first in (0.0, 1 / 44_100, 0.005):
        song = write(tmp_path / "a.wav", [first, 1.0, 1.98])
        assert run(song, "-o", out, "-m", click_model)[0] == 0
        times_s = found(out)
        assert len(times_s) == 3
        assert times_s == pytest.approx([first, 1.0, 1.98], abs=0.015)


def test_own_classes_need_notes_for_midi(tmp_path: Path) -> None:
    model = tmp_path / "own.safetensors"
    save_checkpoint(model, make_click_model(("KD", "door slam")))
    song = write(tmp_path / "a.wav")
    code, _, stderr = run(song, "-m", model)
    assert code == 2
    assert "the class 'door slam' has no MIDI note" in stderr
    assert run(song, "-m", model, "--note-map", "door slam=60")[0] == 0
    assert run(song, "-m", model, "-f", "csv")[0] == 0


def test_an_unknown_model_or_device_is_named(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    code, _, stderr = run(song, "-m", "drumz")
    assert code == 2
    assert "neither a model file nor a shipped model" in stderr
    code, _, stderr = run(song, "-m", click_model, "-d", "cuda:99")
    assert code == 2
    assert "cuda:99" in stderr


def test_through_a_pipe(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    result = subprocess.run(
        [sys.executable, "-m", "softloc_cli", "transcribe", "-", "-m", str(click_model)],
        input=song.read_bytes(),
        capture_output=True,
        check=True,
    )
    lines = result.stdout.decode().splitlines()
    assert len(lines) == 6
    assert [float(line.split("\t")[0]) for line in lines[::2]] == pytest.approx(TIMES_S, abs=0.012)


def test_note_maps(tmp_path: Path, click_model: Path) -> None:
    out = tmp_path / "a.mid"
    run(write(tmp_path / "a.wav"), "-o", out, "-m", click_model, "--note-map", "KD=35,HH=60")
    notes = {m.note for track in mido.MidiFile(out).tracks for m in track if m.type == "note_on"}
    assert notes == {35, 60}
