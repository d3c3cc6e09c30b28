"""``softloc transcribe`` as its users run it: with workers, interrupted, killed, in pipes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import soundfile
from clicks import bursts
from transcribe_process import entries, started, wait_for_lines
from typer.testing import CliRunner

from softloc.formats import read_onsets
from softloc_cli.app import app

RATE_HZ = 44_100
N_TAKES = 12


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `N_TAKES` recordings of two minutes; enough to be caught at work."""
    folder = tmp_path_factory.mktemp("takes")
    first = folder / "take 0.wav"
    soundfile.write(first, bursts([0.25 + 0.5 * n for n in range(239)], 120.0), RATE_HZ)
    for number in range(1, N_TAKES):
        os.link(first, folder / f"take {number}.wav")
    return folder


def wait_until_gone(group: int) -> None:
    """Wait until no process of a group is left."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            time.sleep(0.01)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Its workers: not the process that multiprocessing keeps for itself."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(pid)
        for pid in listed
        if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("n_workers", [1, 2])
def test_interrupted(tmp_path: Path, click_model: Path, takes: Path, n_workers: int) -> None:
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    arguments = (takes, "-o", out, "-f", "csv,mid", "-j", n_workers, "-m", click_model)
    with started(*arguments, "--log-json", log) as process:
        wait_for_lines(log, 2)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate()
        assert process.returncode == 130
        wait_until_gone(process.pid)
    assert stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in stderr
    n_done = len(entries(log))
    assert 2 <= n_done < N_TAKES
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    for path in out.iterdir():
        assert len(read_onsets(path)) == 478


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers as Linux does")
def test_a_killed_worker_costs_its_recording_only(
    tmp_path: Path, click_model: Path, takes: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    with started(takes, "-o", out, "-j", 2, "-m", click_model, "--log-json", log) as process:
        wait_for_lines(log, 2)
        os.kill(children(process)[0], signal.SIGKILL)
        _, stderr = process.communicate()
    assert process.returncode == 3
    failed = [entry for entry in entries(log) if entry["status"] == "failed"]
    assert len(failed) == 1
    assert failed[0]["path"].startswith(str(takes))
    assert "killed; is there too little memory?" in failed[0]["error"]
    assert f"error: {failed[0]['path']}: " in stderr
    assert sum(entry["status"] == "ok" for entry in entries(log)) == N_TAKES - 1
    assert len(list(out.iterdir())) == N_TAKES - 1


def test_workers_give_what_one_process_gives(tmp_path: Path, click_model: Path) -> None:
    folder = tmp_path / "in"
    for number in range(5):
        path = folder / f"s{number % 2}" / f"{number}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, bursts([0.1 * (n + 1 + number / 7) for n in range(15)]), RATE_HZ)
    (folder / "bad.wav").write_text("not audio")
    (folder / "s1" / "empty.wav").touch()
    names = {}
    for n_workers in (1, 2):
        out = tmp_path / f"out{n_workers}"
        options = ("-o", out, "--recursive", "-f", "mid,csv", "-j", n_workers, "-m", click_model)
        result = CliRunner().invoke(app, ["transcribe", str(folder), *map(str, options)])
        assert result.exit_code == 3
        assert re.search("bad.wav: not audio", result.stderr)
        assert re.search("empty.wav: is empty", result.stderr)
        found = (path for path in out.rglob("*.*") if path.is_file())
        names[n_workers] = {path.relative_to(out): path.read_bytes() for path in found}
    assert len(names[1]) == 10
    assert names[1] == names[2]
    for path in sorted(folder.rglob("*.flac")):
        alone = tmp_path / "alone.csv"
        CliRunner().invoke(app, ["transcribe", str(path), "-o", str(alone), "-m", str(click_model)])
        name = path.relative_to(folder).with_suffix(".csv")
        assert alone.read_bytes() == names[1][name]


def test_a_reader_that_goes_away_is_no_failure(takes: Path, click_model: Path) -> None:
    with started(takes / "take 0.wav", "-o", "-", "-m", click_model) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")
def test_names_that_are_no_unicode(tmp_path: Path, click_model: Path) -> None:
    takes = tmp_path / "takes"
    takes.mkdir()
    soundfile.write(takes / "a.wav", bursts([0.5]), 44_100)
    odd = takes / os.fsdecode(b"caf\xe9.wav")
    (takes / "a.wav").rename(odd)
    options = ["-m", click_model, "-o", takes, "-f", "csv,json,jams", "--html", takes, "-v"]
    command = [sys.executable, "-m", "softloc_cli"]
    result = subprocess.run(
        [*command, "transcribe", takes, *options], check=False, capture_output=True
    )
    assert result.returncode == 0, result.stderr
    assert b"caf\\udce9.wav: " in result.stderr
    assert len(read_onsets(odd.with_suffix(".csv"))) == 2
    for suffix in (".json", ".jams", ".html"):
        assert "caf\ufffd" in odd.with_suffix(suffix).read_text(encoding="utf-8")
    for as_json in ([], ["--json"]):
        result = subprocess.run(
            [*command, "doctor", takes, *as_json], check=False, capture_output=True
        )
        assert (result.returncode, b"caf\\udce9.wav" in result.stdout) == (0, True)


def test_a_name_too_long_for_a_result_fails_alone(tmp_path: Path, click_model: Path) -> None:
    for name in ("a", "x" * 250):
        soundfile.write(tmp_path / f"{name}.wav", bursts([0.5]), 44_100)
    result = CliRunner().invoke(
        app, ["transcribe", str(tmp_path), "-f", "csv", "-m", str(click_model)]
    )
    assert result.exit_code == 3
    assert "File name too long" in result.stderr
    assert (tmp_path / "a.softloc.csv").exists()


def test_lists_and_recordings_on_standard_input(
    tmp_path: Path, click_model: Path, takes: Path
) -> None:
    common = ["transcribe", "-m", str(click_model), "-q"]
    names = b"".join(f"{takes}/take {number}.wav\0".encode() for number in range(3))
    listed = [*common, "--files-from", "-", "-o", str(tmp_path), "-f", "tsv"]
    result = CliRunner().invoke(app, listed, input=names)
    assert (result.exit_code, result.output) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"take {n}.tsv" for n in range(3)]
    flac = tmp_path / "a.flac"
    soundfile.write(flac, bursts([0.25, 0.8]), RATE_HZ)
    piped = [*common, "-", "-o", "-", "--classes", "KD", "-j", "2"]
    result = CliRunner().invoke(app, piped, input=flac.read_bytes())
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == ["KD", "KD"]


def feed(writer: list[str], *arguments: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """Transcribe what another program writes; also how that one ended."""
    command = [sys.executable, "-m", "softloc_cli", "transcribe", *arguments]
    with subprocess.Popen(writer, stdout=subprocess.PIPE) as endless:
        assert endless.stdout is not None
        fed = subprocess.run(
            command, stdin=endless.stdout, capture_output=True, text=True, check=False
        )
        endless.stdout.close()
    return fed, endless.returncode


@pytest.mark.skipif(sys.platform == "win32", reason="pipes as POSIX has them")
def test_endless_pipe_is_refused(click_model: Path) -> None:
    """Whoever writes into it is told by SIGPIPE."""
    fed, writer_ended = feed(["cat", "/dev/zero"], "-", "-m", str(click_model))
    assert (fed.returncode, fed.stdout) == (1, "")
    assert fed.stderr.startswith("error: <standard input>: not audio that can be read")
    assert fed.stderr.count("\n") == 1
    assert writer_ended == -signal.SIGPIPE


@pytest.mark.skipif(sys.platform == "win32", reason="pipes as POSIX has them")
def test_endless_list_is_refused() -> None:
    fed, _ = feed(["yes"], "--files-from", "-", "-q")
    assert (fed.returncode, fed.stdout) == (2, "")
    assert fed.stderr == "error: no such file or folder: y (of the first 32,768 names)\n"


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes")
def test_named_pipe_with_everything_that_reads_it_again(tmp_path: Path, click_model: Path) -> None:
    """Documents name recordings by their hash, pages and sonifications read them twice."""
    song, pipe = tmp_path / "song.wav", tmp_path / "pipe.wav"
    soundfile.write(song, bursts([0.25, 0.8]), RATE_HZ)
    os.mkfifo(pipe)
    for source in (song, pipe):
        writer = threading.Thread(target=lambda: pipe.write_bytes(song.read_bytes()))
        if source is pipe:
            writer.start()
        extra = ["--html", f"{tmp_path}/a.html", "--sonify", f"{tmp_path}/a.wav", "-f", "json"]
        out = tmp_path / f"{source.stem}.json"
        options = [*extra, "-o", str(out), "-m", str(click_model)]
        result = CliRunner().invoke(app, ["transcribe", str(source), *options])
        assert result.exit_code == 0, result.stderr
    writer.join()
    assert read_onsets(tmp_path / "pipe.json") == read_onsets(tmp_path / "song.json")
    assert '"sha256": null' in (tmp_path / "pipe.json").read_text()
