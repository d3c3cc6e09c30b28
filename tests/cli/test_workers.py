"""Workers: one that is killed costs its task, all of them end with the parent's block."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import worker_sessions

from softloc.errors import SettingsError, SoftLocError
from softloc.files import remove_unfinished
from softloc_cli.workers import Death, Workers, available_bytes, count_workers, run_here

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX does")


def nothing(task: object, process_id: int) -> None:
    pass


def remove(path: Path, process_id: int) -> None:
    remove_unfinished(path.parent, process_id)


def test_every_task_is_answered_once_and_a_killed_one_named() -> None:
    tasks = [*range(8), 13, *range(20, 24), 13]
    with Workers[int, int](worker_sessions.square, 2, nothing) as workers:
        answers = list(workers.run(iter(tasks)))
    assert sorted(task for task, _ in answers) == sorted(tasks)
    for task, answer in answers:
        if task == 13:
            assert isinstance(answer, Death)
            assert "killed" in answer.reason
        else:
            assert answer == task * task


def test_tasks_are_asked_for_when_a_worker_is_free() -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        for number in itertools.count(20):
            taken += 1
            yield number

    with Workers[int, int](worker_sessions.square, 2, nothing) as workers:
        for n_answers, _ in enumerate(workers.run(endless()), start=1):
            assert taken <= n_answers + 2
            if n_answers == 10:
                break


def test_workers_are_processes_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with Workers[int, Any](worker_sessions.process_and_threads, 2, nothing) as workers:
        answers = [answer for _, answer in workers.run(range(1, 5))]
    assert {threads for _, threads in answers} == {"1"}
    assert os.getpid() not in {process for process, _ in answers}
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(
    ("session", "kind", "message"),
    [
        (worker_sessions.refuse, SettingsError, "no such model"),
        (worker_sessions.fail_to_open, SoftLocError, "out of luck"),
        (worker_sessions.die_when_opened, SoftLocError, "too little memory"),
    ],
)
def test_sessions_that_cannot_be_opened(session: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message), Workers(session, 2, nothing) as workers:
        list(workers.run([1, 2, 3]))


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """Tests that run in the background of a script inherit that Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_interrupts")
def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with (
        pytest.raises(KeyboardInterrupt),
        Workers[Path, None](worker_sessions.write_slowly, 1, remove) as workers,
    ):
        list(workers.run([tmp_path / "a.mid"]))
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_nothing_half_written_stays_of_a_killed_worker(tmp_path: Path) -> None:
    (tmp_path / ".softloc-1-abc.mid").touch()
    with Workers[Path, None](worker_sessions.die_writing, 1, remove) as workers:
        ((_, answer),) = workers.run([tmp_path / "a.mid"])
    assert isinstance(answer, Death)
    assert [path.name for path in tmp_path.iterdir()] == [".softloc-1-abc.mid"], "another process's"


def test_a_worker_that_is_ended_while_it_leaves_does_not_complain(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Slow(Workers[Path, None]):
        def _stop(self) -> None:
            (worker,) = self._workers
            worker.connection.close()  # it hears of its end, and begins to leave
            while not (tmp_path / "leaving").exists():
                time.sleep(0.01)
            super()._stop()
            assert worker.process.exitcode == -signal.SIGTERM

    with Slow(worker_sessions.slow_to_leave, 1, nothing) as workers:
        assert len(list(workers.run([tmp_path / "leaving"]))) == 1
    assert capfd.readouterr().err == ""


def test_here_gives_the_same() -> None:
    assert list(run_here(worker_sessions.square, range(5))) == [(n, n * n) for n in range(5)]


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "", "²"])
def test_bad_numbers_of_workers(text: str) -> None:
    with pytest.raises(SettingsError, match="-j"):
        count_workers(text)


def test_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_workers("3") == 3
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    for gibibytes, n_workers in ((0, 1), (3, 3), (100, 8)):
        monkeypatch.setattr(
            "softloc_cli.workers.available_bytes", lambda gibibytes=gibibytes: gibibytes << 30
        )
        assert count_workers("auto") == n_workers


def test_available_memory_heeds_the_container(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    assert available_bytes(tmp_path) == 5000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1024\n")
    assert available_bytes(tmp_path) == 5000 * 1024
    (group / "memory.max").write_text("3072\n")
    assert available_bytes(tmp_path) == 2048
    # What was read from files is in use only until something needs the place.
    (group / "memory.stat").write_text("anon 500\ninactive_file 512\nactive_file 12\n")
    assert available_bytes(tmp_path) == 2560
    assert available_bytes(tmp_path / "nowhere") > 1 << 20
