"""``softloc`` in processes forked from one that has imported what it needs.

Most of what a short training takes is importing PyTorch. A moment drawn from the time of a fork
falls into the work, and the work is what may be left half done.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Self

_READY = "ready\n"


class ForkedCommand:
    """A command line that runs in a fork, with what is used of `subprocess.Popen`.

    A context manager that waits for its end.

    Parameters
    ----------
    arguments : sequence of str
        Of ``softloc``.
    imported : sequence of str
        Modules that the process that is forked has imported; the same for all commands.
    max_bytes : int or None
        Of a file that it writes.

    Attributes
    ----------
    pid : int
        Of the process, which leads a session of its own.
    """

    def __init__(
        self, arguments: Sequence[str], imported: Sequence[str], max_bytes: int | None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, *imported])
        reader, writer = context.Pipe(duplex=False)
        self._process = context.Process(target=_run, args=(list(arguments), max_bytes, writer))
        self._process.start()
        writer.close()
        assert self._process.pid is not None, "it was started"  # noqa: S101
        self.pid = self._process.pid
        self._said = os.fdopen(os.dup(reader.fileno()), encoding="utf-8", errors="replace")
        reader.close()
        if self._said.readline() != _READY:
            raise RuntimeError(f"a fork could not start: {self._said.read()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.join()
        self._said.close()

    @property
    def returncode(self) -> int:
        """Exit code, or the signal that ended it as a negative number, once it has ended."""
        assert self._process.exitcode is not None, "it goes on"  # noqa: S101
        return self._process.exitcode

    def kill(self) -> None:
        """End it without asking."""
        self._process.kill()

    def communicate(self, timeout: float) -> tuple[None, str]:
        """Wait for the end, and return what was written to stderr.

        Raises
        ------
        TimeoutError
            If it goes on for longer than these seconds.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self.pid} goes on after {timeout:g} s")
        return None, self._said.read()


def _run(arguments: list[str], max_bytes: int | None, stderr: Connection) -> None:
    from softloc_cli.app import main  # noqa: PLC0415 - imported in the process that is forked

    os.setsid()
    os.dup2(stderr.fileno(), sys.stderr.fileno())
    stderr.close()
    if max_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    sys.argv[1:] = arguments
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with _ends_as_python_does():
        sys.stderr.write(_READY)
        sys.stderr.flush()
        main()


@contextlib.contextmanager
def _ends_as_python_does() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
