"""What is told of a batch: a line and a log entry for each recording, sums at the end."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from softloc.errors import OutputError, SettingsError
from softloc_cli.console import ExitCode, report, report_table
from softloc_cli.outputs import Job
from softloc_cli.recordings import Outcome


class JobLog:
    """JSON Lines, one object for each recording, appended to a file in one piece each.

    Parameters
    ----------
    path : Path or None
        The file, made if missing and never emptied; None writes nothing.

    Raises
    ------
    SettingsError
        If it is a file that is no log.
    OutputError
        If it cannot be opened, or later written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._handle: int | None = None
        if path is not None:
            with self._errors():
                _refuse_other_files(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                if not _ends_whole(path):
                    os.write(self._handle, b"\n")  # else the next line would be no JSON, either

    def write(self, **entry: object) -> None:
        """Append an object; it is with the system when this returns."""
        if self._handle is not None:
            line = (json.dumps(entry) + "\n").encode()
            with self._errors():
                if os.write(self._handle, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error


def _refuse_other_files(path: Path) -> None:
    """Refuse to append to what is no log, such as the model: it would be damaged."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(1) not in (b"", b"{"):
                raise SettingsError(f"--log-json {path}: is a file already, and no log of softloc")


def _ends_whole(path: Path) -> bool:
    """Whether a log ends with a whole line, as it does not after a full disk."""
    if not path.is_file() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


@dataclass(slots=True)
class Tally:
    """Tells what becomes of each recording, and counts.

    Attributes
    ----------
    log : JobLog
        Where every recording is noted.
    quiet : bool
        Say errors only.
    verbose : bool
        Say more of each recording, also beside a progress bar.
    has_bar : bool
        A bar shows how far the work is, so recordings that went well need no line.
    n_ok, n_skipped, n_failed, n_warnings : int
        What was counted so far; warnings apart.
    audio_s : float
        Audio that was transcribed, seconds.
    """

    log: JobLog
    quiet: bool = False
    verbose: bool = False
    has_bar: bool = False
    n_ok: int = 0
    n_skipped: int = 0
    n_failed: int = 0
    n_warnings: int = 0
    audio_s: float = 0.0
    _start_s: float = field(default_factory=time.monotonic)

    def skipped(self, job: Job) -> None:
        """Note a recording whose results exist."""
        self.n_skipped += 1
        self.log.write(
            event="file", path=str(job.source), status="skipped", seconds=0.0, error=None
        )
        if self.verbose or not (self.quiet or self.has_bar):
            report(f"{job.source}: skipped, its results exist")

    def done(self, job: Job, outcome: Outcome) -> None:
        """Note a recording that was worked on."""
        self.n_warnings += len(outcome.warnings)
        if not self.quiet:
            for warning in outcome.warnings:
                report(f"warning: {warning}")
        if outcome.error is not None:
            self._failed(job, outcome)
            return
        self.n_ok += 1
        self.audio_s += outcome.audio_s
        self.log.write(
            event="file",
            path=str(job.source),
            status="ok",
            seconds=round(outcome.seconds, 3),
            error=None,
            audio_s=round(outcome.audio_s, 3),
            n_events=outcome.n_events,
            outputs=[str(target.path) for target in job.targets],
        )
        if self.verbose:
            written = ", ".join(str(target.path) for target in job.targets)
            report(
                f"{job.source}: {outcome.n_events} events in {outcome.audio_s:.1f} s of audio, "
                f"took {outcome.seconds:.1f} s, written to {written}"
            )
        elif not (self.quiet or self.has_bar):
            report(f"{job.source}: {outcome.n_events} events")

    def _failed(self, job: Job, outcome: Outcome) -> None:
        self.n_failed += 1
        self.log.write(
            event="file",
            path=str(job.source),
            status="failed",
            seconds=round(outcome.seconds, 3),
            error=outcome.error,
        )
        report(f"error: {outcome.error}")

    def summarise(self) -> None:
        """Print the sums, unless there is nothing to sum up."""
        if self.quiet or self.n_ok + self.n_skipped + self.n_failed < 2:
            return
        took_s = time.monotonic() - self._start_s
        report_table(
            ("ok", "skipped", "failed", "audio hours", "took", "x real time"),
            (
                str(self.n_ok),
                str(self.n_skipped),
                str(self.n_failed),
                f"{self.audio_s / 3600:.3f}",
                _clock(took_s),
                f"{self.audio_s / took_s:.1f}" if self.n_ok else "–",
            ),
        )

    def exit_code(self, *, strict: bool) -> ExitCode:
        """Exit code that the counts mean.

        Parameters
        ----------
        strict : bool
            Anything skipped, failed or remarked is too much.
        """
        if self.n_failed and not self.n_ok and not self.n_skipped:
            return ExitCode.FAILED
        if strict and (self.n_failed or self.n_skipped or self.n_warnings):
            return ExitCode.THRESHOLD
        return ExitCode.PARTIAL if self.n_failed else ExitCode.DONE


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
