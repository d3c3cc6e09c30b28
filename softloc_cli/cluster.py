"""A batch on an existing Dask cluster (``--scheduler``): the work of `softloc_cli.workers`, afar.

Conventions
-----------
- Dask, not Ray: its client and workers are small Python packages that any scheduler of machines can
  start, and a task whose worker dies is given to another by itself.
- Recordings, results and a model of one's own lie where all machines find them under one name.
- Every recording is told of once. It is worked on again only if its worker died; results come into
  place whole, so that doing it twice leaves what doing it once leaves. What a dead worker left
  half-written bears the task's name and is removed when the task is done.
- A recording at which workers die, as often as Dask allows, has another try when all others are
  done, so that only the one that kills them fails.
- A worker process does one recording at a time, whatever its number of threads.
- All workers do the same: one that has another softloc, or another file by the model's name, ends
  the run before it writes anything.
- Only as many tasks as keep the workers busy are held, however long the batch is.
- Where no workers are left, the run says so and waits: those of a queueing system may take hours.
  A cluster that shall give up says so itself (Dask's ``distributed.scheduler.no-workers-timeout``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from softloc.errors import SettingsError, SoftLocError
from softloc.files import file_sha256, unfinished_as
from softloc.model_files import pretrained_index, verified_path
from softloc_cli import __version__
from softloc_cli.console import report
from softloc_cli.outputs import Job
from softloc_cli.recordings import Outcome, Recipe, Session, remove_half_written

#: How long to try to reach a scheduler.
CONNECT_S = 10.0

#: Workers come and go: how often they are counted.
COUNT_EVERY_S = 2.0

#: A worker that died is started again sooner, if it is at all; longer is worth telling.
MISSED_AFTER_S = 10.0

#: What Dask gives up with when workers stay away; which of them depends on its version.
_NOBODY_CAME = ("NoWorkerError", "NoValidWorkerError")


@dataclass(frozen=True, slots=True)
class Run:
    """A batch that a cluster works on; all its workers must have the same of it.

    Attributes
    ----------
    name : str
        Unique among all that ever use the cluster, so that none takes another's model or files.
    version : str
        Of softloc, where the command was given.
    model_sha256 : str
        Of the model's file there.
    """

    name: str
    version: str
    model_sha256: str


Work = Callable[[Run, Recipe, Job, str], Outcome]

_SESSIONS_KEPT = 2
_sessions: dict[str, Session] = {}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Sent:
    """A recording that the cluster has."""

    job: Job
    future: Any
    since_s: float


@dataclass(frozen=True, slots=True)
class _Killed:
    """A recording at which so many workers died; others may have died of another beside it."""

    n_workers: int
    seconds: float


class Cluster:
    """A Dask cluster that transcribes; a context manager that takes leave of it.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://host:8786``, or the path of its scheduler file.
    work : callable
        What a worker does, `transcribe_one`: it is given this run, a recipe, a job and the owner of
        what is half written.

    Raises
    ------
    SettingsError
        If Dask is not installed or no scheduler answers.
    """

    def __init__(self, address: str, work: Work | None = None) -> None:
        self._address = address
        self._work = work or transcribe_one
        self._client = _connect(address)
        self._name = uuid.uuid4().hex[:12]
        self._numbers = itertools.count()
        self._n_workers = 0
        self._counted_s = -COUNT_EVERY_S
        self._had_some_s = -MISSED_AFTER_S
        self._is_missing_all = False
        self._disturbed: set[str] = set()
        self._client.subscribe_topic("all", self._hear)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def run(self, jobs: Iterable[Job], recipe: Recipe) -> Iterator[tuple[Job, Outcome]]:
        """Yield every recording with its outcome, in order of completion.

        Parameters
        ----------
        jobs : iterable of Job
            Asked for the next one when there is room.
        recipe : Recipe
            What to do with them.

        Raises
        ------
        SettingsError, CheckpointError
            If the recipe cannot be followed on a worker.
        SoftLocError
            If the cluster goes away, or its workers cannot do this work.
        """
        recipe = _recipe_anywhere(recipe)
        run = Run(self._name, __version__, _model_sha256(recipe))
        suspects: list[Job] = []
        for job, outcome in self._work_through(jobs, run, recipe, self._room):
            if isinstance(outcome, _Killed):
                suspects.append(job)
            else:
                yield job, outcome
        # Who had waited behind it at the same worker is innocent, and is now kept apart from it.
        for job, outcome in self._work_through(suspects, run, recipe, self._room_apart):
            if isinstance(outcome, _Killed):
                reason = f"{outcome.n_workers} workers died of it; is there too little memory?"
                yield job, Outcome(seconds=outcome.seconds, error=f"{job.source}: {reason}")
            else:
                yield job, outcome

    def _work_through(
        self, jobs: Iterable[Job], run: Run, recipe: Recipe, room: Callable[[], int]
    ) -> Iterator[tuple[Job, Outcome | _Killed]]:
        """Yield every recording with what came of it, working on as many as there is room for."""
        queue = iter(jobs)
        sent: dict[str, _Sent] = {}
        completed: SimpleQueue[Any] = SimpleQueue()
        while True:
            for job in itertools.islice(queue, max(0, room() - len(sent))):
                key = f"softloc-{self._name}.{next(self._numbers)}"
                task = (run, recipe, _anywhere(job), _owner(key))
                future = self._client.submit(self._work, *task, key=key, pure=False)
                sent[key] = _Sent(job, future, time.monotonic())
                future.add_done_callback(completed.put)
            if not sent:
                return
            key = self._next(completed).key
            done = sent.pop(key)
            outcome = self._outcome(done)
            if key in self._disturbed:
                remove_half_written(done.job, _owner(key))
                self._disturbed.discard(key)
            yield done.job, outcome

    def _outcome(self, done: _Sent) -> Outcome | _Killed:
        from distributed import KilledWorker

        try:
            outcome: Outcome = done.future.result()
        except KilledWorker as error:
            return _Killed(error.allowed_failures + 1, time.monotonic() - done.since_s)
        except SoftLocError:
            raise  # nothing can be done before the recipe is mended
        except (CancelledError, OSError) as error:
            raise self._ended("the cluster has gone") from error
        except Exception as error:
            if type(error).__name__ in _NOBODY_CAME:
                raise self._ended("no workers came in the time that the cluster allows") from error
            raise SoftLocError(
                f"--scheduler {self._address}: its workers cannot do this "
                f"({type(error).__name__}: {error}); is softloc {__version__} installed there?"
            ) from error
        return outcome

    def _ended(self, what: str) -> SoftLocError:
        return SoftLocError(
            f"--scheduler {self._address}: {what}; give the same command again with "
            "--skip-existing to go on"
        )

    def _room(self) -> int:
        """Tasks that keep all workers busy, and a few more, so that none waits for the next."""
        self._count_workers()
        return max(1, self._n_workers + -(-self._n_workers // 8))

    def _room_apart(self) -> int:
        """Tasks so few that each finds a worker at rest, and none waits behind another."""
        self._count_workers()
        return max(1, self._n_workers // 2)

    def _next(self, completed: SimpleQueue[Any]) -> Any:
        """Wait for a recording that is done, and watch whether there is anybody to do one."""
        while True:
            with contextlib.suppress(Empty):
                future = completed.get(timeout=COUNT_EVERY_S)
                if future.status == "finished":  # by a worker that nobody may have counted
                    self._note_presence()
                return future
            self._count_workers()

    def _count_workers(self) -> None:
        now_s = time.monotonic()
        if now_s - self._counted_s < COUNT_EVERY_S:
            return
        try:
            self._n_workers = len(self._client.nthreads())
        except OSError as error:
            raise self._ended("the cluster has gone") from error
        self._counted_s = now_s
        if self._n_workers:
            self._note_presence()
        elif now_s - self._had_some_s >= MISSED_AFTER_S and not self._is_missing_all:
            self._is_missing_all = True
            report(
                f"--scheduler {self._address}: has no workers, waiting for some (Ctrl-C ends this, "
                "--skip-existing goes on later)"
            )

    def _note_presence(self) -> None:
        if self._is_missing_all:
            report(f"--scheduler {self._address}: has workers now")
        self._had_some_s, self._is_missing_all = time.monotonic(), False

    def _hear(self, event: tuple[float, Any]) -> None:
        """Remember the tasks of a worker that has gone."""
        _, message = event
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            self._disturbed.update(map(str, message.get("processing-tasks", ())))


def transcribe_one(run: Run, recipe: Recipe, job: Job, owner: str) -> Outcome:
    """Transcribe a recording on a worker, with the model of this run loaded once.

    Raises
    ------
    SettingsError, CheckpointError
        If this worker would not do what others do, or cannot follow the recipe.
    """
    with _one_at_a_time, unfinished_as(owner):
        if run.name not in _sessions:
            _refuse_another(run, recipe)
            while len(_sessions) >= _SESSIONS_KEPT:
                del _sessions[next(iter(_sessions))]
            _sessions[run.name] = Session(recipe)
        return _sessions[run.name](job)


def _refuse_another(run: Run, recipe: Recipe) -> None:
    """Refuse what would make some results of a batch differ from the others."""
    here = f"the worker on {platform.node()}"
    if __version__ != run.version:
        raise SettingsError(
            f"{here} has softloc {__version__}, this is {run.version}: "
            "install the same on all machines"
        )
    if _model_sha256(recipe) != run.model_sha256:
        raise SettingsError(f"{here} has another file by the name of the model {recipe.model}")


def _model_sha256(recipe: Recipe) -> str:
    with verified_path(recipe.model) as path:
        return file_sha256(path)


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise SettingsError("--scheduler needs Dask: pip install 'softloc[cluster]'") from error
    # What it logs of connections that come and go is told in other words, if it matters.
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        where = _address_in(Path(address)) if Path(address).is_file() else address
        kind = _kind_of_server(where)
        if kind != "Scheduler":
            raise SettingsError(f"--scheduler {address}: a Dask {kind} answers there, no scheduler")
        return Client(where, timeout=CONNECT_S, name="softloc", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"--scheduler {address}: no Dask scheduler answers there ({reason})"
        ) from error


def _address_in(scheduler_file: Path) -> str:
    """Address that a scheduler wrote for those who look for it.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    try:
        address = json.loads(scheduler_file.read_bytes())["address"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("not a file that a scheduler wrote") from error
    return str(address)


def _kind_of_server(address: str) -> str:
    """Ask what listens at an address: Dask's own client waits forever for what is not of Dask.

    Raises
    ------
    OSError, ValueError
        If nothing answers, or nothing that is of Dask, or the address is none.
    """
    from distributed import Security
    from distributed.core import rpc

    async def ask() -> str:
        options = {"connection_args": Security().get_connection_args("client")}
        async with rpc(address, timeout=CONNECT_S, **options) as server:
            return str((await server.identity())["type"])

    try:
        return asyncio.run(asyncio.wait_for(ask(), 2 * CONNECT_S))
    except (TimeoutError, MemoryError) as error:  # it takes any words for the length of a message
        raise ValueError("what listens there is not of Dask; is it the dashboard?") from error


def _owner(key: str) -> str:
    """Whose half-written files are those of a task."""
    return key.removeprefix("softloc-")


def _anywhere(job: Job) -> Job:
    """Name files so that they are found from any folder."""
    here = Path.cwd()
    targets = tuple(replace(target, path=here / target.path) for target in job.targets)
    return Job(here / job.source, targets)


def _recipe_anywhere(recipe: Recipe) -> Recipe:
    path = Path(recipe.model)
    is_own = recipe.model not in pretrained_index() and path.is_file()
    model = str(Path.cwd() / path) if is_own else recipe.model
    return replace(recipe, model=model, n_threads=1)
