"""``softloc transcribe`` in a process of its own, watched by its log while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """``softloc transcribe`` in a process group of its own, as a shell gives it one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "softloc_cli", "transcribe", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that run in the background of a script inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_lines(log: Path, n_lines: int) -> None:
    """Wait until a log of JSON lines has so many."""
    while not log.exists() or log.read_bytes().count(b"\n") < n_lines:
        time.sleep(0.01)


def entries(log: Path) -> list[dict[str, Any]]:
    """Lines of a log."""
    return [json.loads(line) for line in log.read_text().splitlines()]
