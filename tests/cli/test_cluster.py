"""``softloc transcribe --scheduler``: every recording once, whatever dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import worker_sessions
from clicks import bursts
from distributed import Client
from transcribe_process import entries, started, wait_for_lines
from typer.testing import CliRunner

from softloc.errors import SettingsError, SoftLocError
from softloc.formats import read_onsets
from softloc_cli.app import app
from softloc_cli.cluster import Cluster, Work
from softloc_cli.outputs import Job, Target
from softloc_cli.recordings import Outcome, Recipe

ROOT = Path(__file__).resolve().parents[2]
N_TAKES = 16
RECIPE = Recipe(
    model="drums", device="cpu", formats=("csv",), notes={}, classes=None, tempo_bpm=120.0,
    time_offset_s=0.0,
)  # fmt: skip

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX does")


@contextlib.contextmanager
def dask(kind: str, file: Path, *options: object, **settings: object) -> Iterator[int]:
    """``dask scheduler`` or ``dask worker``, in a process group of its own, whose number is given.

    They meet by the scheduler's file; settings are those of ``distributed.scheduler``.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "models", ROOT, ROOT / "tests"))),
        "OMP_NUM_THREADS": "1",
    }
    for name, value in settings.items():
        environment[f"DASK_DISTRIBUTED__SCHEDULER__{name.upper()}"] = str(value)
    common = ("--scheduler-file", file, "--no-dashboard", "--host", "127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{kind}", *map(str, (*common, *options))],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not file.exists():
            time.sleep(0.05)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def lone_worker(file: Path) -> Iterator[int]:
    """Worker that nobody starts again when it dies."""
    options = ("--no-nanny", "--nthreads", 1, "--local-directory", file.parent)
    with dask("worker", file, *options) as pid:
        yield pid


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster on this machine: two workers that are started again when they die.

    Gives the path of the scheduler's file.
    """
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    workers = ("--nworkers", 2, "--nthreads", 1, "--local-directory", folder)
    with (
        # A recording whose worker has died once has another try.
        dask("scheduler", file, "--port", 0, allowed_failures=1),
        dask("worker", file, *workers),
    ):
        yield str(file)


@pytest.fixture
def client(scheduler: str) -> Iterator[Client]:
    """Somebody else at the same cluster, once it is complete."""
    with Client(scheduler_file=scheduler) as client:
        client.wait_for_workers(2)
        yield client


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("takes")
    first = folder / "take 0.wav"
    soundfile.write(first, bursts([0.25 + 0.5 * n for n in range(159)], 80.0), 44_100)
    for number in range(1, N_TAKES):
        os.link(first, folder / f"take {number}.wav")
    return folder


@pytest.mark.slow
def test_one_killed_in_mid_run_costs_nothing(
    client: Client, scheduler: str, tmp_path: Path, click_model: Path, takes: Path
) -> None:
    """Every recording is done and told of once, nothing is half-written, the sums are right."""
    victim = min(client.run(os.getpid).values())
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    options = ("-o", out, "-f", "csv", "-m", click_model, "--log-json", log)
    with started(takes, *options, "--scheduler", scheduler) as process:
        wait_for_lines(log, 2)
        os.kill(victim, signal.SIGKILL)
        _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert sorted(entry["path"] for entry in entries(log)) == sorted(map(str, takes.iterdir()))
    assert {entry["status"] for entry in entries(log)} == {"ok"}
    assert stderr.splitlines()[-1].split()[:3] == [str(N_TAKES), "0", "0"]
    assert sorted(path.stem for path in out.iterdir()) == sorted(p.stem for p in takes.iterdir())
    for path in out.iterdir():
        assert len(read_onsets(path)) == 318


@pytest.mark.slow
def test_interrupted(scheduler: str, tmp_path: Path, click_model: Path, takes: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    options = ("-o", out, "-f", "csv", "-m", click_model, "--log-json", log)
    with started(takes, *options, "--scheduler", scheduler) as process:
        wait_for_lines(log, 1)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == "interrupted"
    assert len(entries(log)) < N_TAKES


@pytest.mark.slow
def test_bad_recordings_fail_alone_and_names_are_those_given(
    client: Client,
    scheduler: str,
    tmp_path: Path,
    click_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names are relative to where the command is given, which is not where workers are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    soundfile.write("in/good.wav", bursts([0.5]), 44_100)
    Path("in/bad.wav").write_text("not audio")
    Path("clicks.safetensors").write_bytes(click_model.read_bytes())
    options = ("-m", "clicks.safetensors", "-o", "out", "--log-json", "log.jsonl")
    result = CliRunner().invoke(app, ["transcribe", "in", *options, "--scheduler", scheduler])
    assert result.exit_code == 3, result.stderr
    assert "bad.wav: not audio" in result.stderr
    status = {entry["path"]: entry["status"] for entry in entries(tmp_path / "log.jsonl")}
    assert status == {"in/good.wav": "ok", "in/bad.wav": "failed"}
    assert len(read_onsets(tmp_path / "out" / "good.mid")) == 2
    assert [path.name for path in Path("out").iterdir()] == ["good.mid"]


@pytest.mark.slow
def test_a_file_here_does_not_pass_for_a_shipped_model(
    client: Client, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without a cluster, where the names of shipped models come first."""
    monkeypatch.chdir(tmp_path)
    Path("drums").write_text("notes on drums")
    soundfile.write("a.wav", bursts([0.5]), 44_100)
    options = ("-m", "drums", "-o", "a.csv")
    result = CliRunner().invoke(app, ["transcribe", "a.wav", *options, "--scheduler", scheduler])
    assert result.exit_code == 0, result.stderr
    assert Path("a.csv").exists()


def run_jobs(scheduler: str, folder: Path, names: list[str], work: Work) -> dict[str, Outcome]:
    jobs = [Job(folder / n, (Target(folder / "out" / f"{n}.csv", "csv"),)) for n in names]
    with Cluster(scheduler, work) as cluster:
        outcomes = list(cluster.run(jobs, RECIPE))
    assert len(outcomes) == len(jobs), "each is told of once"
    return {job.source.name: outcome for job, outcome in outcomes}


@pytest.mark.slow
def test_what_is_half_written_when_a_worker_dies_is_removed(
    client: Client, scheduler: str, tmp_path: Path
) -> None:
    names = ["once", *(f"take {n}" for n in range(6))]
    outcomes = run_jobs(scheduler, tmp_path, names, worker_sessions.die_writing_once)
    assert {outcome.error for outcome in outcomes.values()} == {None}
    assert (tmp_path / "once.attempts").read_text() == "xx"
    results = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert results == {f"{name}.csv": "whole" for name in names}


@pytest.mark.slow
def test_a_recording_that_kills_its_workers_fails_alone(
    client: Client, scheduler: str, tmp_path: Path
) -> None:
    names = [*(f"take {n}" for n in range(4)), "always"]
    outcomes = run_jobs(scheduler, tmp_path, names, worker_sessions.die_writing_once)
    error = outcomes.pop("always").error
    assert error == (f"{tmp_path / 'always'}: 2 workers died of it; is there too little memory?")
    assert {outcome.error for outcome in outcomes.values()} == {None}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.csv" for name in names[:-1]
    )


@pytest.mark.slow
def test_a_recording_that_waits_behind_one_that_kills_is_done(tmp_path: Path) -> None:
    """Dask takes every recording that a dead worker had for what killed it."""
    file = tmp_path / "scheduler.json"
    with (
        dask("scheduler", file, "--port", 0, allowed_failures=0),
        dask("worker", file, "--nworkers", 1, "--nthreads", 1, "--local-directory", tmp_path),
    ):
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(1)
        names = ["always", "take"]
        outcomes = run_jobs(str(file), tmp_path, names, worker_sessions.die_writing_once)
    assert (tmp_path / "always.attempts").read_text() == "xx"
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["always"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["take.csv"]


@pytest.mark.slow
def test_what_no_worker_can_do_ends_the_run(client: Client, scheduler: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such model"):
        run_jobs(scheduler, tmp_path, ["a", "b"], worker_sessions.refuse_recipe)
    with pytest.raises(SoftLocError, match=r"No module named 'softloc'\); is softloc .* installed"):
        run_jobs(scheduler, tmp_path, ["a", "b"], worker_sessions.fail_unforeseen)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (worker_sessions.old_worker, r"the worker on .* has softloc .*, this is 99\.0: install"),
        (worker_sessions.worker_with_another_model, "has another file by the name of the model"),
    ],
)
def test_workers_that_would_answer_otherwise_end_the_run(
    client: Client, scheduler: str, tmp_path: Path, work: Work, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        run_jobs(scheduler, tmp_path, ["a", "b"], work)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-o", "-"), "--scheduler: workers elsewhere have no standard input and output"),
        (("-j", "2"), "--jobs and --scheduler contradict each other"),
        ((), "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there (Timed out"),
    ],
)
def test_wrong_use_is_named(
    tmp_path: Path, options: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softloc_cli.cluster.CONNECT_S", 0.3)
    soundfile.write(tmp_path / "a.wav", bursts([0.5]), 44_100)
    arguments = ["transcribe", str(tmp_path), *options, "--scheduler", "tcp://127.0.0.1:9"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.slow
@pytest.mark.parametrize("count_every_s", [0.05, 60.0])
def test_a_scheduler_that_dies_ends_the_run(
    tmp_path: Path, count_every_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even while it has no workers, and whether they are being counted or not."""
    monkeypatch.setattr("softloc_cli.cluster.COUNT_EVERY_S", count_every_s)
    file = tmp_path / "scheduler.json"
    with dask("scheduler", file, "--port", 0) as pid:

        def report(_: str) -> None:  # that it has no workers: so it was reached
            threading.Timer(0.5, os.killpg, (pid, signal.SIGKILL)).start()

        monkeypatch.setattr("softloc_cli.cluster.report", report)
        with pytest.raises(SoftLocError, match="the cluster has gone; give the same command again"):
            run_jobs(str(file), tmp_path, ["a"], worker_sessions.fail_unforeseen)


@pytest.mark.slow
def test_a_run_whose_workers_have_all_gone_waits_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they came and went between two counts."""
    monkeypatch.setattr("softloc_cli.cluster.COUNT_EVERY_S", 0.5)
    monkeypatch.setattr("softloc_cli.cluster.MISSED_AFTER_S", 0.3)
    file = tmp_path / "scheduler.json"
    said = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask("scheduler", file, "--port", 0))

        def report(message: str) -> None:
            said.append(message.removeprefix(f"--scheduler {file}: ").partition(",")[0])
            if said[-1] == "has no workers":
                stack.enter_context(lone_worker(file))

        monkeypatch.setattr("softloc_cli.cluster.report", report)
        names = ["a", "once", "b"]
        outcomes = run_jobs(str(file), tmp_path, names, worker_sessions.die_writing_once)
    assert {outcome.error for outcome in outcomes.values()} == {None}
    assert said == ["has no workers", "has workers now"] * 2
    results = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert results == {f"{name}.csv": "whole" for name in names}


@pytest.mark.slow
def test_interrupted_without_workers(tmp_path: Path, click_model: Path, takes: Path) -> None:
    """It ends at once, and the next run goes on from there."""
    file, out, log = (tmp_path / name for name in ("scheduler.json", "out", "log.jsonl"))
    options = ("-o", out, "-f", "csv", "-m", click_model, "--log-json", log, "--scheduler", file)
    with dask("scheduler", file, "--port", 0):
        with lone_worker(file) as worker, started(takes, *options) as process:
            wait_for_lines(log, 2)
            os.kill(worker, signal.SIGKILL)
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert stderr.splitlines()[-1] == "interrupted"
        done = len(entries(log))
        assert 2 <= done < N_TAKES
        with lone_worker(file), started(takes, *options, "--skip-existing") as process:
            _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert stderr.splitlines()[-1].split()[:3] == [str(N_TAKES - done), str(done), "0"]
    assert sorted(path.stem for path in out.iterdir()) == sorted(p.stem for p in takes.iterdir())


@pytest.mark.slow
def test_a_cluster_that_gives_up_on_workers_ends_the_run(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    with (
        dask("scheduler", file, "--port", 0, no_workers_timeout="1s"),
        pytest.raises(SoftLocError, match=r"no workers came in .* --skip-existing to go on"),
    ):
        run_jobs(str(file), tmp_path, ["a"], worker_sessions.die_writing_once)


@contextlib.contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """Address of a server that is not of Dask; it says one thing to everybody."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(answer)
            self.request.recv(1 << 16)
            closed.wait()

    closed = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            closed.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 Bad request\r\n\r\n" * 9])
def test_a_server_of_another_kind_is_no_scheduler(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the port of the dashboard, which is beside that of the scheduler."""
    monkeypatch.setattr("softloc_cli.cluster.CONNECT_S", 0.3)
    with (
        listening(answer) as address,
        pytest.raises(SettingsError, match=f"--scheduler {address}: no Dask scheduler answers"),
    ):
        Cluster(address)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("localhost", "missing port number"),
        ("http://127.0.0.1:8787", "unknown address scheme 'http'"),
        ("tcp://127.0.0.1:many", "many"),
    ],
)
def test_what_is_no_address_is_refused(address: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=rf"--scheduler {address}: no .* \(.*{reason}"):
        Cluster(address)


@pytest.mark.parametrize("content", ["# notes", "[1]", '{"workers": {}}'])
def test_a_file_that_no_scheduler_wrote_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"not a file that a scheduler wrote"):
        Cluster(str(path))


@pytest.mark.slow
def test_a_worker_is_no_scheduler(client: Client) -> None:
    worker = min(client.scheduler_info()["workers"])
    with pytest.raises(SettingsError, match=f"{worker}: a Dask Worker answers there, no scheduler"):
        Cluster(worker)


def test_dask_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"needs Dask: pip install 'softloc\[cluster\]'"):
        Cluster("tcp://127.0.0.1:9")
