"""``--html`` and ``--sonify``: options, and which file belongs to which recording.

Conventions
-----------
- One recording and a name with a suffix: that file, replaced if it exists. Several recordings, or
  a name without suffix: a folder, in which sub-folders are kept.
- Inside a folder: ``<stem>.html`` and ``<stem>.clicks.wav``, which nobody takes for the recording.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from softloc.errors import SettingsError
from softloc_cli.inputs import DASH

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
        If one names a file where a folder is needed, has a suffix that it cannot have, or what a
        page needs is not installed.
    """

    html: str | None = None
    sonify: str | None = None
    several: bool = False

    def __post_init__(self) -> None:
        for option, text in (("--html", self.html), ("--sonify", self.sonify)):
            if text is not None:
                self._check(option, text)
        if self.html is not None:
            from softloc.report import load_chart_library

            load_chart_library()  # what is missing shall be said before hours of work

    def _check(self, option: str, text: str) -> None:
        if text == DASH:
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

    def named_files(self) -> tuple[Path, ...]:
        """Those that the user named as files, not by a folder."""
        texts = () if self.several else (self.html, self.sonify)
        return tuple(Path(text) for text in texts if text is not None and _may_be_file(text))

    def _file(self, text: str | None, place: PurePosixPath, suffix: str) -> Path | None:
        if text is None:
            return None
        if not self.several and _may_be_file(text):
            return Path(text)
        return Path(text) / place.parent / f"{place.name}{suffix}"


#: Neither a page nor a sonification.
NO_CHECKS = CheckOptions()


def _may_be_file(text: str) -> bool:
    """Whether a name can mean a file: it has a suffix, and is no folder."""
    return Path(text).suffix != "" and not Path(text).is_dir() and not text.endswith(("/", os.sep))
