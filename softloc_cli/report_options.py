"""``--html`` and ``--sonify``: options, and which file belongs to which recording.

Conventions
-----------
- One recording and a name with a suffix: that file, replaced if it exists. Several recordings, or
  a name without suffix: a folder, in which sub-folders are kept.
- Inside a folder: ``<stem>.html`` and ``<stem>.clicks.wav``, which nobody takes for the recording.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from softloc.errors import SettingsError

Html = Annotated[
    str | None,
    typer.Option(
        "--html",
        metavar="PATH",
        help="Write a page to see and hear it: one offline file with player, spectrogram and "
        "events; for several recordings a folder.",
    ),
]

Sonify = Annotated[
    str | None,
    typer.Option(
        "--sonify",
        metavar="PATH",
        help="Write the recording (left) with a click for each estimated event (right) as WAV or "
        "FLAC; for several recordings a folder.",
    ),
]

Audio = Annotated[
    Path | None,
    typer.Option(
        "--audio",
        metavar="DIR",
        help="Folder of the recordings for --html and --sonify; else where the reference is.",
    ),
]

_STANDARD_STREAM = "-"
_SUFFIXES = {"--html": (".html", ".htm"), "--sonify": (".wav", ".flac")}


@dataclass(frozen=True, slots=True)
class CheckFiles:
    """Where page and sonification of one recording go; None for what is not asked for."""

    html: Path | None = None
    sonified: Path | None = None

    def paths(self) -> list[Path]:
        """Those that are asked for."""
        return [path for path in (self.html, self.sonified) if path is not None]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What ``--html`` and ``--sonify`` say.

    Attributes
    ----------
    html, sonify : str or None
        As written by the user: a slash at the end makes a folder.
    several : bool
        There may be more than one recording, so both name folders.

    Raises
    ------
    SettingsError
        If one names a file where a folder is needed, or has a suffix that it cannot have.
    """

    html: str | None
    sonify: str | None
    several: bool

    def __post_init__(self) -> None:
        for option, text in (("--html", self.html), ("--sonify", self.sonify)):
            if text is not None:
                self._check(option, text)

    def _check(self, option: str, text: str) -> None:
        if text == _STANDARD_STREAM:
            raise SettingsError(f"{option} needs a file or a folder, not standard output")
        path = Path(text)
        fits = path.suffix.lower() in _SUFFIXES[option]
        if self.several and not path.is_dir() and (path.exists() or (fits and _may_be_file(text))):
            raise SettingsError(f"{option} {text}: several recordings need a folder")
        if not self.several and _may_be_file(text) and not fits:
            raise SettingsError(
                f"{option} {text}: the file needs the suffix {' or '.join(_SUFFIXES[option])}"
            )

    @property
    def wanted(self) -> bool:
        """Whether anything is asked for."""
        return self.html is not None or self.sonify is not None

    def files(self, place: PurePosixPath) -> CheckFiles:
        """Files of a recording; `place` is its path below the folder, without suffix."""
        return CheckFiles(
            self._file(self.html, place, ".html"), self._file(self.sonify, place, ".clicks.wav")
        )

    def _file(self, text: str | None, place: PurePosixPath, suffix: str) -> Path | None:
        if text is None:
            return None
        if not self.several and _may_be_file(text):
            return Path(text)
        return Path(text) / place.parent / f"{place.name}{suffix}"


def plan_checks(
    inputs: Sequence[Path],
    sources: Iterable[Path],
    html: str | None,
    sonify: str | None,
    *,
    may_exist: bool,
) -> dict[Path, CheckFiles]:
    """Settle where pages and sonifications of recordings go, before any work.

    Parameters
    ----------
    inputs : sequence of Path
        What the user named: recordings and folders.
    sources : iterable of Path
        The recordings.
    html, sonify : str or None
        The options.
    may_exist : bool
        Files of a folder may exist already: they are replaced, or their recordings are skipped.

    Returns
    -------
    dict
        Files by recording; empty where nothing is asked for.

    Raises
    ------
    SettingsError
        If two recordings would share a file, a file is a recording, a file exists in a folder, or
        what a page needs is not installed.
    """
    options = CheckOptions(html, sonify, len(inputs) > 1 or any(path.is_dir() for path in inputs))
    if not options.wanted:
        return {}
    if html is not None:
        from softloc.report import load_chart_library

        load_chart_library()  # what is missing shall be said before hours of work
    planned = {source: options.files(_place(source, inputs)) for source in sources}
    recordings = {source.resolve() for source in planned}
    named = {Path(text) for text in (html, sonify) if text is not None}
    taken: dict[Path, Path] = {}
    for source, files in planned.items():
        for path in files.paths():
            if path.resolve() in recordings:
                raise SettingsError(f"{path}: is a recording, it would be overwritten")
            if path in taken:
                raise SettingsError(f"{taken[path]} and {source} would both be written to {path}")
            if path not in named and path.exists() and not may_exist:
                raise SettingsError(f"{path} exists already; give --overwrite or --skip-existing")
            taken[path] = source
    return planned


def _place(source: Path, inputs: Sequence[Path]) -> PurePosixPath:
    """Path of a recording below the folder that was given, without suffix."""
    if str(source) == _STANDARD_STREAM:
        return PurePosixPath("stdin")
    for folder in inputs:
        if folder.is_dir() and source.is_relative_to(folder):
            return PurePosixPath(source.relative_to(folder).with_suffix("").as_posix())
    return PurePosixPath(source.stem)


def _may_be_file(text: str) -> bool:
    """Whether a name can mean a file: it has a suffix, and is no folder."""
    return Path(text).suffix != "" and not Path(text).is_dir() and not text.endswith(("/", os.sep))
