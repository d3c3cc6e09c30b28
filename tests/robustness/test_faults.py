"""Full disks, vanishing folders, killed processes: nothing is half-written, the old file stays."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click_model import make_click_model

from benchmarks.recordings import RATE_HZ, clicks
from benchmarks.robustness.faults import ended_before_us, run_faults
from softloc.audio import open_recording, read_audio, read_blocks
from softloc.audio_store import AudioStore
from softloc.checkpoints import (
    load_checkpoint,
    load_training_state,
    save_checkpoint,
    save_training_state,
)
from softloc.errors import (
    AnnotationError,
    AudioError,
    CheckpointError,
    OutputError,
    SettingsError,
    SoftLocError,
)
from softloc.events import Onset
from softloc.files import atomic_path, write_bytes_atomic, write_text_atomic
from softloc.formats import WRITABLE, Provenance, read_corpus, read_onsets, write_onsets
from softloc.report import write_sonification
from softloc_cli.job_log import JobLog
from softloc_cli.train import _work_folder

OLD = b"old"
ONSETS = [Onset(0.01 * number, "KD") for number in range(200)]

posix = pytest.mark.skipif(os.name != "posix", reason="limits of files and signals of POSIX")


def write_model(path: Path) -> None:
    save_checkpoint(path, make_click_model())


def write_state(path: Path) -> None:
    save_training_state(path, {"weights": torch.zeros(2_000)})


def write_clicks(path: Path) -> None:
    write_sonification(path, path.with_name("song.wav"), ONSETS)


WRITERS: dict[str, Callable[[Path], None]] = {
    "model.safetensors": write_model,
    "model.state": write_state,
    "clicks.wav": write_clicks,
    "clicks.flac": write_clicks,
    **{
        f"events.{name}": (
            lambda path, name=name: write_onsets(
                path, ONSETS, format=name, provenance=Provenance(sample_rate_hz=44_100)
            )
        )
        for name in WRITABLE
    },
}


@posix
@pytest.mark.parametrize("name", WRITERS)
def test_full_disk_leaves_the_old_file_and_is_told_in_a_sentence(name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", clicks((0.1,), 0.5), RATE_HZ)
    path = tmp_path / name
    path.write_bytes(OLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file cannot grow beyond it: what a full disk does, without one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        with pytest.raises(OutputError, match=f"cannot write .*{name}") as caught:
            WRITERS[name](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == OLD
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, "song.wav"])


@posix
def test_full_disk_while_audio_is_decoded_for_training(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", clicks((0.1,), 0.5), RATE_HZ)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot keep decoded audio in"):
            AudioStore([tmp_path / "song.wav"], RATE_HZ, tmp_path / "train.pcm")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix
def test_full_disk_under_a_log_is_told_and_the_next_run_starts_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = JobLog(path)
    log.write(number=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, before[1]))
    try:
        with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
            log.write(number=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        log.close()
    again = JobLog(path)
    again.write(number=3)
    again.close()
    first, torn, last = path.read_text().splitlines()
    assert (json.loads(first), json.loads(last)) == ({"number": 1}, {"number": 3})
    assert len(torn) == 5


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
def test_disk_that_fails_at_the_last_moment(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)

    def fail(_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=os.strerror(error)):
        write_text_atomic(path, "new")
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_vanishes_while_a_file_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def write_and_lose(path: Path) -> None:
        with atomic_path(path) as half:
            half.write_text("half")
            shutil.rmtree(folder)

    with pytest.raises(OutputError, match="cannot write"):
        write_and_lose(folder / "a.csv")
    assert list(tmp_path.iterdir()) == []


def as_somebody_else(task: Callable[[], bool], folder: Path) -> bool:
    """Do something as a user without rights (root may do anything); say whether it was right."""
    temporary = Path(tempfile.gettempdir())
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and temporary in path.parents:
            path.chmod(0o755)
    child = os.fork()
    if not child:
        code = 1
        try:
            if os.getuid() == 0:
                os.setgid(65_534)
                os.setuid(65_534)
            code = 0 if task() else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


@posix
def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.csv").write_bytes(OLD)
    folder.chmod(0o555)

    def is_refused() -> bool:
        with pytest.raises(OutputError, match=os.strerror(errno.EACCES)):
            write_text_atomic(folder / "a.csv", "new")
        return True

    assert as_somebody_else(is_refused, tmp_path)
    folder.chmod(0o755)
    assert [path.read_bytes() for path in folder.iterdir()] == [OLD]


READERS: dict[str, tuple[Callable[[Path], object], type[SoftLocError]]] = {
    "song.wav": (lambda path: read_audio(path, RATE_HZ), AudioError),
    "labels.csv": (read_corpus, AnnotationError),
    "labels.mid": (read_onsets, AnnotationError),
    "model.safetensors": (load_checkpoint, CheckpointError),
    "model.state": (load_training_state, CheckpointError),
}


@posix
@pytest.mark.parametrize("name", READERS)
def test_file_that_may_not_be_read(name: str, tmp_path: Path) -> None:
    read, error = READERS[name]
    path = tmp_path / name
    path.write_bytes(OLD)
    path.chmod(0o000)

    def is_refused() -> bool:
        with pytest.raises(error) as caught:
            read(path)
        told = str(caught.value)
        return os.strerror(errno.EACCES) in told and name in told and "\n" not in told

    assert as_somebody_else(is_refused, tmp_path)


_WRITE_AGAIN_AND_AGAIN = """
import sys
from pathlib import Path
from softloc.files import write_bytes_atomic
for _ in range(50):
    write_bytes_atomic(Path(sys.argv[1]), bytes([int(sys.argv[2])]) * 200_000)
"""


def test_two_processes_that_write_one_file(tmp_path: Path) -> None:
    """Whoever is last wins, and the file is always one of the two, whole."""
    path = tmp_path / "a.bin"
    contents = {number: bytes([number]) * 200_000 for number in (1, 2)}
    write_bytes_atomic(path, contents[1])
    processes = [
        subprocess.Popen([sys.executable, "-c", _WRITE_AGAIN_AND_AGAIN, path, str(number)])
        for number in contents
    ]
    seen: set[bytes] = set()
    while any(process.poll() is None for process in processes):
        seen.add(path.read_bytes())
    assert [process.returncode for process in processes] == [0, 0]
    assert seen <= set(contents.values())
    assert path.read_bytes() in contents.values()
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_second_training_of_one_model_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    with _work_folder(output) as folder:
        (folder / "train.pcm").write_bytes(b"audio")
        with pytest.raises(SettingsError, match="another softloc is training this model"):
            _work_folder(output).__enter__()
        assert (folder / "train.pcm").exists()
    assert list(tmp_path.iterdir()) == []


@posix
def test_cache_stays_where_nothing_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can tell whether a training still reads it."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    output = tmp_path / "model.safetensors"
    with _work_folder(output) as first:
        (first / "train.pcm").write_bytes(b"audio")
        with _work_folder(output) as second:
            assert second != first
        assert (first / "train.pcm").read_bytes() == b"audio"
    assert f"note: {first} stays" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_training_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".model-abcd_123.softloc-cache"
    left.mkdir()
    (left / "train.pcm").write_bytes(b"audio")
    with _work_folder(tmp_path / "model.safetensors"):
        assert not left.exists()


@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16")])
def test_recording_that_is_cut_while_it_is_read(form: str, subtype: str, tmp_path: Path) -> None:
    """What was there is heard or the damage is told; no crash, no sound out of nothing."""
    path = tmp_path / f"song.{form.lower()}"
    soundfile.write(path, clicks((0.1, 2.0), 4.0), RATE_HZ, format=form, subtype=subtype)
    blocks = read_blocks(path, 0.5)
    n_samples = len(next(blocks).samples)
    os.truncate(path, path.stat().st_size // 2)
    with contextlib.suppress(AudioError):
        n_samples += sum(len(block.samples) for block in blocks)
    assert n_samples <= 4 * RATE_HZ


def test_recording_that_grows_while_it_is_read(tmp_path: Path) -> None:
    """A recorder is still at it: as much is read as there was when it was opened."""
    path = tmp_path / "song.wav"
    soundfile.write(path, clicks((0.1,), 1.0), RATE_HZ)
    with open_recording(path) as stream:
        with path.open("ab") as file:
            file.write(bytes(RATE_HZ))
        assert len(stream.read(10 * RATE_HZ)) == RATE_HZ


@posix
def test_pipe_as_recording(tmp_path: Path) -> None:
    sound = tmp_path / "song.wav"
    soundfile.write(sound, clicks((0.1,), 0.5), RATE_HZ)
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(sound.read_bytes()))
    writer.start()
    piped = read_audio(pipe, RATE_HZ).samples
    writer.join()
    np.testing.assert_array_equal(piped, read_audio(sound, RATE_HZ).samples)


@posix
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_signal_within_a_write(signal_number: int, tmp_path: Path) -> None:
    """The process is stopped while half a file is written: the old one stands."""
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)
    code = (
        "import signal, time\n"
        # Tests that run in the background of a script inherit that Ctrl-C is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\n"
        "from softloc.files import atomic_path\n"
        f"with atomic_path(Path({str(path)!r})) as half:\n"
        "    half.write_text('half')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal_number)
        process.wait(30)
    assert path.read_bytes() == OLD
    left = {each.name for each in tmp_path.iterdir()} - {"a.csv"}
    if signal_number == signal.SIGINT:
        assert not left
    assert all(name.startswith(".softloc-") for name in left)


@pytest.mark.parametrize(("at_start", "code"), [("raise KeyboardInterrupt", "1"), ("", "1 / 0")])
def test_python_that_is_interrupted_while_it_starts_is_known(
    at_start: str, code: str, tmp_path: Path
) -> None:
    """And what fails later is not taken for it."""
    (tmp_path / "sitecustomize.py").write_text(at_start)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert ended_before_us(done.returncode, done.stderr) == bool(at_start)


@posix
@pytest.mark.slow
def test_transcription_survives_random_moments() -> None:
    """One moment each; ``python -m benchmarks.robustness faults`` takes many, of all commands."""
    # As in the background of a shell, where Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # The seed's moments lie in the first half of what an undisturbed run takes.
        counts, problems = run_faults("transcription", ("kill", "interrupt"), 1, seed=9)
    finally:
        signal.signal(signal.SIGINT, before)
    assert problems == []
    assert all(count["landed"] == count["survived"] == 1 for count in counts.values())
