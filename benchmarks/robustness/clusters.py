"""A Dask cluster on this machine, whose workers are started again when they die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
N_WORKERS = 2


class LocalCluster:
    """A scheduler and workers in processes of their own; a context manager that ends them.

    Parameters
    ----------
    folder : Path
        For their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._nannies: psutil.Process | None = None
        self.scheduler_file = folder / "scheduler.json"

    def __enter__(self) -> LocalCluster:
        common = ("--scheduler-file", str(self.scheduler_file), "--no-dashboard")
        local = ("--host", "127.0.0.1")
        workers = ("--nworkers", str(N_WORKERS), "--nthreads", "1")
        self._start("distributed.cli.dask_scheduler", *common, *local, "--port", "0")
        nannies = self._start(
            "distributed.cli.dask_worker", *common, *local, *workers,
            "--local-directory", str(self._folder),
        )  # fmt: skip
        self._nannies = psutil.Process(nannies.pid)
        self.wait_until_complete()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait_until_complete(self) -> None:
        """Wait for the scheduler, and for workers that are started again."""
        while not self.scheduler_file.exists() or len(self.workers()) < N_WORKERS:
            time.sleep(0.1)

    def workers(self) -> list[psutil.Process]:
        """List the processes that work now."""
        assert self._nannies is not None, "it was entered"  # noqa: S101
        return [
            process
            for process in self._nannies.children(recursive=True)
            if "spawn_main" in _command_of(process)
        ]

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join((str(ROOT / "models"), str(ROOT)))
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *command], env=os.environ | {"PYTHONPATH": paths},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._stack.callback(_end, process)
        return process


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
