"""``softloc train`` in several processes and with TensorBoard, as its users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
import typer
from clicks import write_corpus
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from typer.testing import CliRunner

from softloc.checkpoints import load_checkpoint
from softloc.curves import read_curve
from softloc_cli.app import app
from softloc_cli.train_processes import run_processes

TINY = (
    "--size", "small", "--steps", "6", "--batch-size", "2", "--window", "0.6", "-d", "cpu",
    "--threads", "1",
)  # fmt: skip


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    return result.exit_code, result.stderr


def run_apart(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own, which is what starts others."""
    command = [sys.executable, "-m", "softloc_cli", "train", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", n_recordings=3, duration_s=3.0)


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path, labels: Path) -> None:
    """Speak once, write once, learn what one process learns."""
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    assert run("--labels", labels, "-o", one, *TINY)[0] == 0
    result = run_apart("--labels", labels, "-o", two, *TINY, "--devices", 2)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert result.stderr.count("6 steps") == 1
    assert result.stderr.splitlines()[-1].startswith(f"{two}: best at step")
    record = json.loads(two.with_suffix(".run.json").read_text())
    assert record["processes"] == 2
    assert record["command"].endswith("--devices 2")
    weights = [load_checkpoint(path).network.state_dict() for path in (one, two)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-2, rtol=1e-2)
    assert not list(tmp_path.glob(".two-*")), "decoded audio is removed"


@pytest.mark.slow
def test_what_goes_wrong_in_processes_is_said_once(tmp_path: Path, labels: Path) -> None:
    model = tmp_path / "m.safetensors"
    options = (*TINY, "--batch-size", 3, "--devices", 2)
    result = run_apart("--labels", labels, "-o", model, *options)
    assert result.returncode == 2
    assert result.stderr == (
        "error: batch_size 3 does not fall into equal parts for 2 processes × 1 accumulated parts\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_interrupted_processes_can_be_resumed(tmp_path: Path, labels: Path) -> None:
    model = tmp_path / "m.safetensors"
    options = ("--labels", labels, "-o", model, *TINY, "--steps", 5_000, "--save-every", 0)
    process = subprocess.Popen(
        [sys.executable, "-m", "softloc_cli", "train", *map(str, options), "--devices", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that run in the background of a script inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    while not model.with_suffix(".state").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-2:] == [
        "--resume goes on from the last saved state",
        "interrupted",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "m.state"}


@pytest.mark.parametrize(
    ("exit_code", "said", "expected"),
    [
        (-9, "error: process 0 was killed (SIGKILL: is there too little memory?)\n", 1),
        (-11, "error: process 0 was killed (SIGSEGV)\n", 1),
        (2, "", 2),
    ],
)
def test_a_process_that_was_killed_is_told_of(
    exit_code: int,
    said: str,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that ends by itself has said why."""
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=exit_code, error_file="<N/A>")

    def fail(_devices: int, _folder: Path) -> None:
        raise ChildFailedError("softloc", {0: failure})

    monkeypatch.setattr("softloc_cli.train_processes._launch", fail)
    with pytest.raises(typer.Exit) as ended:
        run_processes(2, threads=1)
    assert ended.value.exit_code == expected
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({0: (-15, 100), 1: (-6, 101)}, "error: process 1 was killed (SIGABRT)\n"),
        ({0: (-15, 100), 1: (-15, 99)}, "error: process 1 was killed (SIGTERM)\n"),
        ({0: (-9, 100), 1: (-6, 100)}, "error: process 0 was killed (SIGKILL: is there too "),
    ],
)
def test_the_process_that_failed_first_is_told_of(
    ends: dict[int, tuple[int, int]],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The launcher ends the others by SIGTERM; times are in whole seconds."""
    failures = {}
    for rank, (exit_code, time_s) in ends.items():
        failures[rank] = ProcessFailure(rank, pid=rank, exitcode=exit_code, error_file="<N/A>")
        failures[rank].timestamp = time_s

    def fail(_devices: int, _folder: Path) -> None:
        raise ChildFailedError("softloc", failures)

    monkeypatch.setattr("softloc_cli.train_processes._launch", fail)
    with pytest.raises(typer.Exit):
        run_processes(2, threads=1)
    assert capsys.readouterr().err.startswith(expected)


def test_torchrun_and_devices_agree(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    code, stderr = run("--labels", labels, "-o", tmp_path / "m.safetensors", "--devices", 2)
    assert code == 2
    assert stderr == "error: --devices 2: torchrun has started 4 here\n"


def test_precision_and_parts_are_recorded(
    tmp_path: Path, labels: Path, half_precision: str
) -> None:
    model = tmp_path / "m.safetensors"
    common = ("--labels", labels, "-o", model, *TINY)
    assert run(*common, "--precision", half_precision, "--accumulate", 2)[0] == 0
    record = json.loads(model.with_suffix(".run.json").read_text())
    assert (record["settings"]["precision"], record["accumulate"]) == ("bfloat16", 2)
    code, stderr = run(*common, "--overwrite", "--precision", "half")
    assert code == 2
    assert stderr == "error: precision must be one of float32, bfloat16, not 'half'\n"


def scalars(board: Path) -> dict[str, dict[int, float]]:
    events = EventAccumulator(str(board)).Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_shows_what_the_curve_says(tmp_path: Path, labels: Path) -> None:
    model, board = tmp_path / "m.safetensors", tmp_path / "board"
    assert run("--labels", labels, "-o", model, *TINY, "--tensorboard", board)[0] == 0
    shown = scalars(board)
    curve = read_curve(model.with_suffix(".curve.jsonl"))
    assert sorted(shown["loss/step"]) == [1, 2, 3, 4, 5, 6]
    for tag, column in (
        ("loss/training", "train_loss"),
        ("loss/validation", "valid_loss"),
        ("F1/100ms", "f1_100ms"),
    ):
        assert shown[tag] == pytest.approx({row["step"]: row[column] for row in curve})


def test_tensorboard_is_an_extra(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    options = ("--tensorboard", tmp_path / "board")
    code, stderr = run("--labels", labels, "-o", tmp_path / "m.safetensors", *TINY, *options)
    assert code == 2
    assert stderr.endswith("--tensorboard needs TensorBoard: pip install 'softloc[board]'\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders there")
def test_what_a_killed_launcher_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "softloc-other").mkdir()
    wait = (
        "import sys; from pathlib import Path; from softloc_cli import train_processes\n"
        "def launch(devices, folder):\n"
        "    (folder / 'stderr.log').touch(); print(folder.name, flush=True); sys.stdin.read()\n"
        "train_processes._launch = launch; train_processes.run_processes(2, threads=1)\n"
    )

    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", wait],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path)},
        )
        assert process.stdout is not None
        return process, tmp_path / process.stdout.readline().strip()

    killed, left = start()
    killed.kill()
    killed.communicate()
    assert list(left.iterdir())
    # As fresh as it was: on a busy machine the next one takes long to start.
    os.utime(left, (time.time() + 3_600.0, time.time() + 3_600.0))
    alive, in_use = start()
    assert left.exists(), "it might not be locked yet"
    for folder in (left, in_use):
        os.utime(folder, (0.0, 0.0))
    monkeypatch.setattr("softloc_cli.train_processes._launch", lambda _devices, _folder: None)
    run_processes(2, threads=1)
    assert not left.exists()
    assert list(in_use.iterdir())
    alive.communicate("")
    assert alive.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["softloc-other"]
