"""Tasks in several processes; one that is killed costs its task, not the others.

Conventions
-----------
- Workers are started afresh (not forked: threads and devices do not survive that), each opens its
  session once, and each computes with one thread: there are as many workers as shall be busy.
- A worker gets its next task when it has answered the last, so of any number of tasks only those
  in work are held. Answers come in order of completion.
- Only the parent hears Ctrl-C. It ends the workers: by SIGTERM, upon which they remove what is half
  written, and after `GRACE_S` for good.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Generic, Self, TypeVar

from softloc.errors import CheckpointError, SettingsError, SoftLocError

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Session = Callable[[Task], Answer]

#: How long a worker may take to remove what is half written.
GRACE_S = 0.4

#: Memory that a worker is counted with: PyTorch, a model and a long recording.
WORKER_BYTES = 1 << 30

_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Death:
    """What is left of a task whose worker died.

    Attributes
    ----------
    reason : str
        How it ended.
    seconds : float
        How long it had worked on the task.
    """

    reason: str
    seconds: float


@dataclass(eq=False, slots=True)
class _Worker(Generic[Task]):
    process: BaseProcess
    connection: Connection
    ready: bool = False
    task: Task | None = None
    since_s: float = 0.0

    @property
    def pid(self) -> int:
        assert self.process.pid is not None, "it was started"  # noqa: S101
        return self.process.pid

    def assign(self, task: Task) -> None:
        self.task, self.since_s = task, time.monotonic()
        # A worker that is dying does not take it; its end is seen when it is waited for.
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(task)

    def bury(self) -> str:
        """Wait for the process to be gone; say how it ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == -getattr(signal, "SIGKILL", 9):
            return "its process was killed; is there too little memory?"
        return f"its process died (signal {-code})" if code < 0 else f"its process ended ({code})"


class Workers(Generic[Task, Answer]):
    """Processes that work on tasks; a context manager that ends them.

    Parameters
    ----------
    open_session : callable
        Called once in every worker, without arguments; gives what is called with every task. It
        and all tasks and answers can be pickled; tasks are never None.
    n_workers : int
        How many processes.
    clean_up : callable
        Called with the task and process of a worker that was killed while at it.
    """

    def __init__(
        self,
        open_session: Callable[[], Session[Task, Answer]],
        n_workers: int,
        clean_up: Callable[[Task, int], None],
    ) -> None:
        self._open_session = open_session
        self._clean_up = clean_up
        self._n_wanted = n_workers
        self._workers: list[_Worker[Task]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer | Death]]:
        """Yield every task with its answer, in order of completion.

        Parameters
        ----------
        tasks : iterable
            Asked for the next one when a worker is free.

        Raises
        ------
        SettingsError, CheckpointError
            If a session raises it when it is opened: it would for every worker.
        SoftLocError
            If no worker at all can be started.
        """
        queue = iter(tasks)
        more = True
        for _ in range(self._n_wanted):
            self._start()
        while True:
            for worker in self._workers:
                if more and worker.ready and worker.task is None:
                    task = next(queue, None)
                    if task is None:
                        more = False
                    else:
                        worker.assign(task)
            if not more and all(worker.task is None for worker in self._workers):
                return
            heard = wait([worker.connection for worker in self._workers])
            for worker in [w for w in self._workers if w.connection in heard]:
                yield from self._hear(worker)

    def _hear(self, worker: _Worker[Task]) -> Iterator[tuple[Task, Answer | Death]]:
        try:
            message: Any = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._replace(worker)
            return
        if not worker.ready:
            if isinstance(message, Exception):
                self._give_up(worker, message)
            worker.ready = True
        elif worker.task is not None:
            task, worker.task = worker.task, None
            yield task, message

    def _replace(self, worker: _Worker[Task]) -> Iterator[tuple[Task, Death]]:
        reason = worker.bury()
        if not worker.ready:
            self._give_up(worker, SoftLocError(f"no worker could be started: {reason}"))
            return
        self._workers.remove(worker)
        worker.connection.close()
        self._start()
        if worker.task is not None:
            self._clean_up(worker.task, worker.pid)
            yield worker.task, Death(reason, time.monotonic() - worker.since_s)

    def _give_up(self, worker: _Worker[Task], error: Exception) -> None:
        """Go on without a worker that could not start, if others can."""
        self._workers.remove(worker)
        worker.connection.close()
        is_wrong_for_all = isinstance(error, SettingsError | CheckpointError)
        if is_wrong_for_all or not self._workers:
            raise error

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self._open_session), daemon=True, name="softloc worker"
        )
        with _one_thread(), _deaf_to_interrupts():
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _stop(self) -> None:
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        deadline_s = time.monotonic() + GRACE_S
        for worker in self._workers:
            worker.process.join(max(0.0, deadline_s - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            if worker.task is not None:
                self._clean_up(worker.task, worker.pid)
        self._workers.clear()


def run_here(
    open_session: Callable[[], Session[Task, Answer]], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Answer]]:
    """Yield every task with its answer, worked on in this process, one after another."""
    session = open_session()
    for task in tasks:
        yield task, session(task)


def count_workers(wanted: str) -> int:
    """Read the text of ``-j``: a number, or ``auto`` for what cores and memory allow.

    Raises
    ------
    SettingsError
        If it is neither.
    """
    if wanted == "auto":
        import joblib

        # Heeds affinity and the limits of containers, which os.cpu_count does not.
        n_cores: int = joblib.cpu_count()
        return max(1, min(n_cores, available_bytes() // WORKER_BYTES))
    if not re.fullmatch("[0-9]{1,5}", wanted) or int(wanted) < 1:
        raise SettingsError(f"-j {wanted}: give a number of worker processes, or auto")
    return int(wanted)


def available_bytes(root: Path = Path("/")) -> int:
    """Memory that can be had without swapping; where the system does not say, half of all.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    limits = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        limits.append(int(line.split()[1]) * 1024)
    group = root / "sys/fs/cgroup"
    with contextlib.suppress(OSError, ValueError):  # "max" is no limit
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        limits.append(limit - used + _reclaimable_bytes(group))
    if limits:
        return max(0, min(limits))
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * WORKER_BYTES


def _reclaimable_bytes(group: Path) -> int:
    """Count what a control group has in use only because files were read."""
    with contextlib.suppress(OSError, ValueError):
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        counts = dict(line.split() for line in lines)
        return int(counts.get("inactive_file", 0))
    return 0


def _serve(connection: Connection, open_session: Callable[[], Session[Any, Any]]) -> None:
    """Work in a process of its own until the parent is gone or has no more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    try:
        session = open_session()
    except Exception as error:  # noqa: BLE001 - the parent raises it
        told = error if isinstance(error, SoftLocError) else _unforeseen(error)
        connection.send(told)
        return
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send("ready")
        while True:
            connection.send(session(connection.recv()))
    # Nothing is half written any more: a signal shall not disturb libraries that tidy up.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _unforeseen(error: Exception) -> SoftLocError:
    return SoftLocError(f"a worker could not be started ({type(error).__name__}: {error})")


def _leave(signal_number: int, _frame: FrameType | None) -> None:
    # Goes up through every `finally`, and past every `except Exception`.
    sys.exit(128 + signal_number)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Have processes started in the block compute with one thread: libraries read this once."""
    before = {name: os.environ.get(name) for name in _THREAD_SETTINGS}
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Have processes started in the block never hear Ctrl-C, not even while they start."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: from `_serve` on
        yield
        return
    resource_tracker.ensure_running()  # else started in the block, which would undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
