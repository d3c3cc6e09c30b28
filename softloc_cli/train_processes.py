"""``softloc train --devices N``: this command once more for each device, by torchrun's launcher.

torchrun comes with PyTorch, is what clusters start trainings with, and ends all processes when one
of them dies. ``torchrun --nproc-per-node N -m softloc_cli train …`` does the same, on several
machines, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from softloc.errors import SettingsError
from softloc.files import lock_folder
from softloc_cli.console import ExitCode, report

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

_LINES_SHOWN = 5
_PREFIX = "softloc-processes-"
#: Whoever has just made a folder may not have locked it yet.
_UNLOCKED_YET_S = 60.0


def is_for_launching(devices: int) -> bool:
    """Whether this process is to start others, rather than being one of those started.

    Raises
    ------
    SettingsError
        If whoever started it has started another number.
    """
    started = os.environ.get("LOCAL_WORLD_SIZE", "1")
    if "WORLD_SIZE" not in os.environ:
        return devices > 1
    if devices > 1 and devices != int(started):
        raise SettingsError(f"--devices {devices}: torchrun has started {started} here")
    return False


def run_processes(devices: int, *, threads: int) -> None:
    """Run this very command in several processes and wait for them.

    Parameters
    ----------
    devices : int
        How many.
    threads : int
        Threads that each computes with; 0 shares the cores among them.

    Raises
    ------
    typer.Exit
        If one fails, with its exit code; after Ctrl-C, when all have ended.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    with _log_folder() as folder, _threads(devices, threads):
        try:
            _launch(devices, folder)
        except ChildFailedError as error:
            rank = _first_to_fail(error.failures)
            if rank:  # the first process speaks for itself
                _show_end(folder, rank)
            code = error.failures[rank].exitcode
            if code < 0:
                report(f"error: process {rank} was killed ({_signal_name(-code)})")
            raise typer.Exit(code if code > 0 else ExitCode.FAILED) from error
        except SignalException as error:  # the first process has said so
            raise typer.Exit(128 + error.sigval) from error


@contextlib.contextmanager
def _log_folder() -> Iterator[Path]:
    """Give a folder for what processes say; what launchers that were killed left is removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # One that is locked is in use, one of another user or machine is not ours to judge.
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime < _UNLOCKED_YET_S:
                continue
            if (lock := lock_folder(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        lock = lock_folder(Path(name))
        try:
            yield Path(name)
        finally:
            if lock is not None:
                os.close(lock)


def leave_team(code: str | int | None) -> None:
    """End a process that torchrun has started; return from any other.

    Threads of Gloo outlive their process group where `DistributedDataParallel` has held it, and at
    times abort an interpreter that takes its time to end.

    Parameters
    ----------
    code : str, int or None
        Of a `SystemExit`; a text has been written to stderr by whoever raised it.
    """
    if "WORLD_SIZE" not in os.environ:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _first_to_fail(failures: Mapping[int, ProcessFailure]) -> int:
    """Rank of the process that failed by itself: the launcher then ends all others by SIGTERM."""

    def order(rank: int) -> tuple[bool, int, int]:
        failure = failures[rank]
        return failure.exitcode == -signal.SIGTERM, failure.timestamp, rank

    return min(failures, key=order)


def _launch(devices: int, folder: Path) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id="softloc",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(
            log_dir=str(folder), redirects=dict.fromkeys(range(1, devices), Std.ALL)
        ),
    )
    logging.disable()  # what it logs is of no use to who trains
    try:
        elastic_launch(config, sys.executable)("-m", "softloc_cli", *sys.argv[1:])
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _threads(devices: int, threads: int) -> Iterator[None]:
    """Have processes started in the block share the cores."""
    import joblib

    before = os.environ.get("OMP_NUM_THREADS")
    share = threads or max(1, joblib.cpu_count() // devices)
    os.environ["OMP_NUM_THREADS"] = str(share) if threads or before is None else before
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _signal_name(number: int) -> str:
    known = number in {known.value for known in signal.Signals}
    name = signal.Signals(number).name if known else f"signal {number}"
    return f"{name}: is there too little memory?" if name == "SIGKILL" else name


def _show_end(folder: Path, rank: int) -> None:
    """Show the last lines of what a process that nobody heard had to say."""
    for path in folder.rglob(f"{rank}/stderr.log"):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_SHOWN:]:
            report(f"process {rank}: {line}")
