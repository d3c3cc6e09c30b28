"""What all commands share: errors in words, exit codes, notes and progress on stderr.

Conventions
-----------
- stdout carries data only; everything said to the user goes to stderr.
- An error is one sentence, or several as an indented list; a traceback appears only for what
  softloc did not foresee.
- A progress bar is drawn only where stderr is a terminal. Colours follow ``NO_COLOR``,
  ``FORCE_COLOR`` and ``TERM`` (rich does that).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO

import typer

from softloc.errors import AnnotationError, SettingsError, SoftLocError, printable

if TYPE_CHECKING:
    from softloc.events import Corpus

_NAMES_SHOWN = 20
_MORE = re.compile(r"… and (\d+) more")


class ExitCode(IntEnum):
    """What the exit status of a command means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    THRESHOLD = 4
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_CODES_HELP = (
    "Exit codes: 0 all done · 1 unexpected error, or every input failed · 2 wrong usage, missing "
    "input or bad label file · 3 some inputs failed, the rest is written · 4 a threshold such as "
    "--fail-under or --strict is not met · 130 interrupted · 141 the reader of the output went away"
)


def report(message: str) -> None:
    """Print a line to stderr, above a progress bar if there is one."""
    # Not typer.echo: it writes past the stream that rich puts in place of stderr.
    try:
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()
    except OSError:  # its disk is full, or its reader gone: no reason to leave work undone
        silence(sys.stderr)


def report_skipped(corpus: Corpus) -> None:
    """Name on stderr the files of a folder that were taken for no label files, if any."""
    if corpus.skipped:
        report(f"{corpus.path}: skipped, no label files: {shorten(corpus.skipped)}")


def report_table(header: Sequence[str], *rows: Sequence[str]) -> None:
    """Print a small table to stderr, figures to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(stderr=True, highlight=False).print(table)


def shorten(names: Sequence[str]) -> str:
    """Names in a row; of many the first, and the number of the others."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turn whatever goes wrong in the block into words on stderr and an exit code.

    Raises
    ------
    typer.Exit
        With the code of `ExitCode` that fits.
    """
    try:
        with _handle_log(_Notes()):
            yield
            sys.stdout.flush()
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt as error:
        report("interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    except BrokenPipeError as error:
        silence(sys.stdout)
        raise typer.Exit(ExitCode.BROKEN_PIPE) from error
    except (AnnotationError, SettingsError, FileNotFoundError) as error:
        _report_error(error)
        raise typer.Exit(ExitCode.USAGE) from error
    except (SoftLocError, OSError) as error:
        _report_error(error)
        raise typer.Exit(ExitCode.FAILED) from error
    except Exception as error:
        traceback.print_exc()
        report(
            f"error: softloc failed in a way it did not foresee ({type(error).__name__}: {error})"
        )
        raise typer.Exit(ExitCode.FAILED) from error


def _report_error(error: Exception) -> None:
    """Say what is wrong; a message of several lines holds a problem in each."""
    message = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
    problems = message.splitlines()
    if len(problems) <= 1:
        report(f"error: {message}")
        return
    more = _MORE.fullmatch(problems[-1])
    count = len(problems) - 1 + int(more[1]) if more else len(problems)
    report("\n  ".join([f"error: {count} problems:", *problems]))


def draws_bar() -> bool:
    """Whether stderr is a terminal on which a progress bar can move."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextlib.contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Draw a progress bar on stderr, if that is a terminal.

    Parameters
    ----------
    description : str
        What is being done.
    total : int or None
        Number of steps; None if nobody knows.

    Yields
    ------
    callable
        To be called after each step.
    """
    if not draws_bar():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect what the library remarks in the block, instead of showing it.

    Yields
    ------
    list of str
        One sentence for each remark; filled as they come.
    """
    messages: list[str] = []
    with _handle_log(_Collector(messages)):
        yield messages


@contextlib.contextmanager
def _handle_log(handler: logging.Handler) -> Iterator[None]:
    """Give what the library logs to one handler and to no other."""
    logger = logging.getLogger("softloc")
    others, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = others, propagate


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        report(f"{record.levelname.lower()}: {record.getMessage()}")


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def silence(stream: TextIO) -> None:
    """Let what is written to a stream go nowhere from now on."""
    # Python flushes it once more at its end and would complain about the closed pipe.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
