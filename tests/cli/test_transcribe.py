"""``softloc transcribe``: files, folders, streams, what exists, what is broken."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from click_model import make_click_model
from clicks import bursts
from typer.testing import CliRunner

import softloc.pipeline
from softloc.checkpoints import save_checkpoint
from softloc.files import atomic_path, remove_abandoned
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


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
@pytest.mark.parametrize("existing", ["--skip-existing", "--overwrite"])
def test_what_a_killed_run_left_is_removed(
    tmp_path: Path, click_model: Path, existing: str
) -> None:
    """Also where every result exists already."""
    song, out = write(tmp_path / "a.wav"), tmp_path / "out"
    with atomic_path(out / "a.mid") as half:
        pass
    half.write_text("half")
    remove_abandoned.cache_clear()
    assert run(song, "-o", f"{out}/", existing, "-m", click_model)[0] == 0
    assert [path.name for path in out.iterdir()] == ["a.mid"]


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


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_either_engine_writes_the_same(tmp_path: Path, click_model: Path, jobs: str) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    songs = [write(tmp_path / name) for name in ("a.wav", "b.wav")]
    written = {}
    for engine in ("torch", "onnx"):
        out = tmp_path / engine
        more = ("--engine", engine, "-j", jobs, "-f", "onsets", "-o", f"{out}/")
        assert run(*songs, "-m", click_model, *more)[0] == 0
        written[engine] = [
            [float(line.split()[0]) for line in path.read_text().splitlines()]
            for path in sorted(out.iterdir())
        ]
    assert [len(times_s) for times_s in written["onnx"]] == [6, 6]
    np.testing.assert_allclose(written["onnx"], written["torch"], atol=1e-4)


def test_an_engine_that_does_not_fit_is_named(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    code, _, stderr = run(song, "-m", click_model, "--engine", "tensorflow")
    assert code == 2
    assert "unknown engine 'tensorflow' (known: auto, torch, onnx)" in stderr
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    code, _, stderr = run(song, "-m", click_model, "--engine", "onnx", "-d", "cuda")
    assert code == 2
    assert "the engine onnx computes on the processor, not on cuda" in stderr


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
    tables = ("-f", "csv,json", "-o", tmp_path / "out", "--note-map", "KD=35,HH=60")
    run(tmp_path / "a.wav", "-m", click_model, *tables)
    for table in ("a.csv", "a.json"):
        onsets = read_onsets(tmp_path / "out" / table)
        assert {(o.label, o.midi_note) for o in onsets} == {("KD", 35), ("HH", 60)}


def entries(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_log_has_a_line_for_each_recording(tmp_path: Path, click_model: Path) -> None:
    folder, log = tmp_path / "in", tmp_path / "logs" / "a.jsonl"
    write(folder / "good.wav")
    write(folder / "done.wav")
    (folder / "done.mid").touch()
    (folder / "text.wav").write_text("not audio")
    odd = folder / os.fsdecode(b"odd \xff.wav")
    odd.touch()
    arguments = (folder, "--skip-existing", "--log-json", log, "-m", click_model)
    assert run(*arguments)[0] == 3
    lines = {Path(str(entry["path"])).name: entry for entry in entries(log)}
    assert {name: line["status"] for name, line in lines.items()} == {
        "good.wav": "ok",
        "done.wav": "skipped",
        "text.wav": "failed",
        odd.name: "failed",
    }
    for line in lines.values():
        assert line["event"] == "file"
        assert isinstance(line["seconds"], float)
        assert (line["error"] is None) == (line["status"] != "failed")
    assert lines["good.wav"]["n_events"] == 6
    assert lines["good.wav"]["audio_s"] == pytest.approx(2.0, abs=0.02)
    assert lines["good.wav"]["outputs"] == [str(folder / "good.mid")]
    assert "not audio" in str(lines["text.wav"]["error"])
    assert run(*arguments)[0] == 3
    assert len(entries(log)) == 8, "a second run is added"


def test_a_log_that_cannot_be_written_comes_before_work(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    code, _, stderr = run(song, "--log-json", tmp_path, "-m", click_model)
    assert code == 1
    assert f"cannot write {tmp_path}" in stderr
    assert not (tmp_path / "a.mid").exists()


def test_the_sums(tmp_path: Path, click_model: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a", "b", "c"):
        write(folder / f"{name}.wav")
    (folder / "a.mid").touch()
    (folder / "d.wav").touch()
    code, _, stderr = run(folder, "--skip-existing", "-m", click_model)
    assert code == 3
    header, sums = stderr.splitlines()[-2:]
    assert header.split() == [
        "ok",
        "skipped",
        "failed",
        "audio",
        "hours",
        "took",
        "x",
        "real",
        "time",
    ]
    assert sums.split()[:4] == ["2", "1", "1", "0.001"]
    assert float(sums.split()[-1]) > 0


def test_how_much_is_said(tmp_path: Path, click_model: Path) -> None:
    folder = tmp_path / "in"
    write(folder / "a.wav")
    write(folder / "b.wav")
    common = (folder, "-o", tmp_path / "out", "--overwrite", "-m", click_model)
    assert run(*common, "-q") == (0, "", "")
    assert "a.wav: 6 events\n" in run(*common)[2]
    loud = run(*common, "-v")[2]
    assert f"written to {tmp_path / 'out' / 'a.mid'}" in loud
    assert "6 events in 2.0 s of audio" in loud
    (folder / "c.wav").touch()
    assert run(*common, "-q")[2] == f"error: {folder / 'c.wav'}: is empty (0 bytes)\n"
    assert run(*common, "-q", "-v")[0] == 2


def test_strict(tmp_path: Path, click_model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "a.wav")
    write(folder / "b.wav")
    common = (folder, "-o", out, "--strict", "-m", click_model)
    assert run(*common)[0] == 0
    (out / "b.mid").unlink()
    assert run(*common, "--skip-existing")[0] == 4, "one skipped"
    (folder / "b.wav").write_text("not audio")
    assert run(*common, "--overwrite")[0] == 4, "one failed"
    (folder / "a.wav").write_text("not audio")
    assert run(*common, "--overwrite")[0] == 1, "all failed"


def test_what_vanishes_does_not_stop_the_others(
    tmp_path: Path, click_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording that is deleted while the one before is transcribed; then the folder, too."""
    songs = [write(tmp_path / "takes" / f"{name}.wav") for name in "abc"]
    out = tmp_path / "out"
    listen = softloc.pipeline.Transcriber.listen_long

    def lose_the_second(transcriber: softloc.pipeline.Transcriber, source: Path) -> object:
        songs[1].unlink(missing_ok=True)
        if source == songs[2]:
            shutil.rmtree(out)
        return listen(transcriber, source)

    monkeypatch.setattr(softloc.pipeline.Transcriber, "listen_long", lose_the_second)
    code, stdout, stderr = run(tmp_path / "takes", "-o", out, "-f", "csv", "-m", click_model)
    assert (code, stdout) == (3, "")
    assert f"{songs[1]}: no such file" in stderr
    assert "Traceback" not in stderr
    # What was written before went with the folder; what came after is there, whole.
    assert [path.name for path in out.iterdir()] == ["c.csv"]
    assert found(out / "c.csv") == pytest.approx(TIMES_S, abs=0.012)


def test_strict_minds_warnings(
    tmp_path: Path, click_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = write(tmp_path / "a.wav")
    listen = softloc.pipeline.Transcriber.listen_long

    def with_remark(self: softloc.pipeline.Transcriber, source: Path) -> object:
        logging.getLogger("softloc.audio").warning("%s: odd header", source)
        return listen(self, source)

    monkeypatch.setattr(softloc.pipeline.Transcriber, "listen_long", with_remark)
    common = (song, "--overwrite", "-m", click_model)
    code, _, stderr = run(*common)
    assert code == 0
    assert stderr.count(f"warning: {song}: odd header") == 1
    assert run(*common, "--strict")[0] == 4
    assert run(*common, "--strict", "-q") == (4, "", "")


def test_all_skipped_is_done_and_needs_no_model(tmp_path: Path) -> None:
    song = write(tmp_path / "a.wav")
    (tmp_path / "a.mid").touch()
    code, _, stderr = run(song, "--skip-existing", "-m", "nowhere")
    assert code == 0
    assert "skipped" in stderr


def test_classes_are_folded(tmp_path: Path) -> None:
    model, song, out = tmp_path / "m.safetensors", write(tmp_path / "a.wav"), tmp_path / "a.csv"
    save_checkpoint(model, make_click_model(("KD", "OH", "RD")))
    for classes, labels, notes in (
        ("3", {"KD", "HH"}, {36, 42}),
        ("5", {"KD", "HH", "CY"}, {36, 42, 49}),
        ("9", {"KD", "OH", "RD"}, {36, 46, 51}),
        ("CY,KD", {"KD", "CY"}, {36, 49}),
        ("RD", {"RD"}, {51}),
    ):
        assert run(song, "-o", out, "-m", model, "--classes", classes)[0] == 0
        onsets = read_onsets(out)
        assert {onset.label for onset in onsets} == labels, classes
        assert {onset.midi_note for onset in onsets} == notes, classes
        assert len(onsets) == 3 * len(labels)
    for classes, sentence in (
        ("TT", "the model has no class for 'TT'"),
        ("KD,KD", "listed twice"),
        ("4", "the model has no class for '4'"),
    ):
        code, _, stderr = run(song, "-o", out, "-m", model, "--classes", classes)
        assert code == 2
        assert sentence in stderr
    own = tmp_path / "own.safetensors"
    save_checkpoint(own, make_click_model(("RD", "BE")))
    assert "leaves none" in run(song, "-o", out, "-m", own, "--classes", "3")[2]


def test_a_class_that_is_left_out_needs_no_note(tmp_path: Path) -> None:
    model, song = tmp_path / "own.safetensors", write(tmp_path / "a.wav")
    save_checkpoint(model, make_click_model(("KD", "door slam")))
    assert run(song, "-m", model, "--classes", "KD")[0] == 0


def test_times_are_moved_but_not_before_the_start(tmp_path: Path, click_model: Path) -> None:
    song, out = write(tmp_path / "a.wav"), tmp_path / "a.csv"
    run(song, "-o", out, "-m", click_model)
    plain = found(out)
    for offset_ms in (12.5, -300.0):
        assert run(song, "-o", out, "-m", click_model, "--time-offset", offset_ms)[0] == 0
        expected = [max(0.0, time_s + offset_ms / 1000) for time_s in plain]
        assert found(out) == pytest.approx(expected, abs=1e-6)
    assert run(song, "-o", tmp_path / "a.mid", "-m", click_model, "--time-offset", -300)[0] == 0
    assert run(song, "-m", click_model, "--time-offset", "nan")[0] == 2


def test_tempo(tmp_path: Path, click_model: Path) -> None:
    song, out = write(tmp_path / "a.wav"), tmp_path / "a.mid"
    assert run(song, "-o", out, "-m", click_model, "--tempo", 90)[0] == 0
    tempos = [
        m.tempo for track in mido.MidiFile(out).tracks for m in track if m.type == "set_tempo"
    ]
    assert tempos == [round(60_000_000 / 90)]
    assert found(out) == pytest.approx(TIMES_S, abs=0.012)
    for tempo in ("0", "-3", "nan", "1e9"):
        code, _, stderr = run(song, "-o", out, "-m", "nowhere", "--tempo", tempo)
        assert code == 2
        assert "tempo" in stderr


def test_a_file_for_each_class(tmp_path: Path, click_model: Path) -> None:
    song, out = write(tmp_path / "in" / "a.wav"), tmp_path / "out"
    common = (song, "-o", f"{out}/", "-m", click_model, "-f", "mid,csv")
    assert run(*common, "--name", "{class}/{stem}.{ext}")[0] == 0
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert names == ["HH/a.csv", "HH/a.mid", "KD/a.csv", "KD/a.mid"]
    assert {onset.label for onset in read_onsets(out / "HH" / "a.csv")} == {"HH"}
    assert found(out / "KD" / "a.mid") == pytest.approx(TIMES_S, abs=0.012)
    (out / "HH" / "a.mid").unlink()
    before = (out / "KD" / "a.mid").stat().st_mtime_ns
    code, _, _ = run(*common, "--name", "{class}/{stem}.{ext}", "--skip-existing")
    assert code == 0
    assert (out / "HH" / "a.mid").exists()
    assert (out / "KD" / "a.mid").stat().st_mtime_ns == before


def test_lists_of_recordings(
    tmp_path: Path, click_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("x/a.wav"))
    write(Path("y/a.wav"))
    Path("list.txt").write_text("x/a.wav\ny/a.wav\n")
    assert run("--files-from", "list.txt", "-o", "out", "-m", click_model)[0] == 0
    assert found(Path("out/x/a.mid")) == found(Path("out/y/a.mid"))
    Path("list.txt").write_text("x/a.wav\ny/b.wav\n")
    code, _, stderr = run("--files-from", "list.txt", "-o", "other", "-m", click_model)
    assert code == 2
    assert "no such file or folder: y/b.wav" in stderr
    assert not Path("other").exists()
    for arguments, sentence in (
        (["--files-from", "none.txt"], "no such file"),
        ([], "no recording is given"),
        (["-", "--files-from", "-"], "not both"),
        (["-", "x/a.wav"], "needs -o FOLDER"),
        (["x/a.wav", "-j", "many"], "-j many"),
    ):
        code, _, stderr = run(*arguments, "-m", click_model)
        assert code == 2, arguments
        assert sentence in stderr


def test_shards_make_all_together(tmp_path: Path, click_model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for number in range(6):
        write(folder / f"{number}.wav", [0.25])
    made = []
    for part in ("1/2", "2/2"):
        assert run(folder, "-o", out, "-m", click_model, "--shard", part)[0] == 0
        made.append(len(list(out.glob("*.mid"))))
    assert 0 < made[0] < 6
    assert made[1] == 6


def test_only_a_log_is_appended_to(tmp_path: Path, click_model: Path) -> None:
    model = tmp_path / "m.safetensors"
    shutil.copy(click_model, model)
    before = model.read_bytes()
    song = write(tmp_path / "a.wav")
    code, _, stderr = run(song, "-o", tmp_path / "a.mid", "-m", model, "--log-json", model)
    assert code == 2
    assert "no log of softloc" in stderr
    assert model.read_bytes() == before
    assert not (tmp_path / "a.mid").exists()


def test_a_name_that_no_file_can_have_is_a_missing_file(tmp_path: Path, click_model: Path) -> None:
    code, _, stderr = run(
        write(tmp_path / "a.wav"), tmp_path / f"{300 * 'x'}.wav", "-m", click_model
    )
    assert code == 2
    assert "no such file" in stderr


@pytest.mark.parametrize("option", [("--shard", f"1/{5000 * '9'}"), ("-j", 5000 * "9")])
def test_numbers_without_end_are_refused(option: tuple[str, str], tmp_path: Path) -> None:
    code, _, stderr = run(write(tmp_path / "a.wav"), "-o", tmp_path / "out", *option)
    assert code == 2
    assert len(stderr.splitlines()) == 1


def test_a_warning_is_said_once(tmp_path: Path, click_model: Path) -> None:
    song = write(tmp_path / "a.wav")
    song.write_bytes(song.read_bytes()[:-1000])
    checks = ("--html", tmp_path / "a.html", "--sonify", tmp_path / "clicks.wav")
    code, _, stderr = run(song, "-o", tmp_path / "a.mid", "-m", click_model, *checks)
    assert code == 0
    assert stderr.count("cut off") == 1
