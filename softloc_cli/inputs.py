"""Which recordings there are: files, folders, patterns and lists, found one after another.

Conventions
-----------
- A name that exists is taken literally; else one with ``*``, ``?`` or ``[`` is a pattern, expanded
  here for shells that do not (``**`` goes down sub-folders). What is hidden is not matched.
- Every recording comes with its place below the folder that was given, below the part of a pattern
  that has no wildcard, or, for a relative name in a list, below the current folder.
- Nothing is kept: of one folder at a time the names, so that they come in order.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from softloc.errors import SettingsError

#: What stands for standard input or output.
DASH = "-"
STANDARD_STREAM = Path(DASH)

_READ_BYTES = 1 << 16
#: No path is longer, and no list of recordings goes on for so long without one.
_MOST_BYTES_WITHOUT_NAME = 1 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """One recording.

    Attributes
    ----------
    source : Path
        The file, or `STANDARD_STREAM`; may be missing.
    folder : Path
        Its place below what it was found by, kept below ``-o``.
    """

    source: Path
    folder: Path = Path()

    @property
    def stem(self) -> str:
        """Name without folders and suffix."""
        return "stdin" if self.source == STANDARD_STREAM else self.source.stem


def as_path(name: str) -> Path:
    """Path of a name as the user wrote it; ``./-`` is a file, ``-`` alone a standard stream."""
    path = Path(name)
    return Path.cwd() / path if path == STANDARD_STREAM and name != DASH else path


def is_alone(names: Iterable[str]) -> bool:
    """Whether these inputs are one recording by name: no folder, no pattern, no other."""
    names = list(names)
    return len(names) == 1 and not _is_folder(as_path(names[0])) and not _is_pattern(names[0])


def find_items(names: Iterable[str], *, recursive: bool) -> Iterator[Item]:
    """Yield the recordings that names on the command line stand for.

    Parameters
    ----------
    names : iterable of str
        Files, folders, patterns, or ``-``.
    recursive : bool
        Search sub-folders of folders.

    Yields
    ------
    Item
        Folders in order of their names; a file that is missing, or a pattern without a match, as
        it was written.

    Raises
    ------
    SettingsError
        If a folder cannot be searched or holds no recording.
    """
    for name in names:
        if _is_pattern(name):
            yield from _matches(name, recursive=recursive)
        else:
            yield from _expand(as_path(name), Path(), recursive=recursive)


def find_listed(lists: BinaryIO, *, recursive: bool) -> Iterator[Item]:
    """Yield the recordings that a list names: one path a line, or each ended by a NUL byte.

    Parameters
    ----------
    lists : binary file
        Read as it goes; empty lines do not count, nothing is a pattern.
    recursive : bool
        Search sub-folders of folders.

    Yields
    ------
    Item
        In the order of the list.

    Raises
    ------
    SettingsError
        As from `find_items`; if a name is longer than any path, or none comes for as long.
    """
    for name in _read_names(lists):
        path = as_path(name)
        if path == STANDARD_STREAM:  # a list names files only
            path = Path.cwd() / path
        yield from _expand(path, _below_here(path), recursive=recursive)


def _read_names(lists: BinaryIO) -> Iterator[str]:
    block = lists.read(_READ_BYTES).removeprefix(b"\xef\xbb\xbf")
    by_line = b"\0" not in block
    rest = b""
    n_without = 0
    while block:
        *names, rest = (rest + block).split(b"\n" if by_line else b"\0")
        n_without += len(block)
        for name in _decode(names, by_line=by_line):
            n_without = len(rest)
            yield name
        if n_without > _MOST_BYTES_WITHOUT_NAME:
            raise SettingsError(
                f"the list goes on for {n_without:,} bytes without the end of a name: "
                f"it needs one path a line"
            )
        block = lists.read(_READ_BYTES)
    yield from _decode([rest], by_line=by_line)


def _decode(names: Iterable[bytes], *, by_line: bool) -> Iterator[str]:
    for name in names:
        stripped = name.removesuffix(b"\r") if by_line else name
        if stripped.strip():
            yield os.fsdecode(stripped)


def _below_here(path: Path) -> Path:
    """Folder of a path below the current one; none if it lies elsewhere."""
    folder = Path(os.path.normpath(path.parent))
    here = Path.cwd()
    if folder.is_absolute():
        return folder.relative_to(here) if folder.is_relative_to(here) else Path()
    return Path() if ".." in folder.parts else folder


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not exists(Path(name))


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; what is too long for a name is neither."""
    return os.path.exists(path)  # noqa: PTH110 - Path's raises for such a name


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - as above


def _matches(pattern: str, *, recursive: bool) -> Iterator[Item]:
    root = _fixed_folder(pattern)
    found = False
    for name in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path's finds hidden files
        path = Path(name)
        if path.is_dir() and "**" in pattern:
            continue  # what it holds is matched by itself
        found = True
        yield from _expand(path, path.parent.relative_to(root), recursive=recursive)
    if not found:
        yield Item(Path(pattern))


def _fixed_folder(pattern: str) -> Path:
    """Folders at the start of a pattern that have no wildcard."""
    fixed = Path()
    for part in Path(pattern).parent.parts:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _expand(path: Path, place: Path, *, recursive: bool) -> Iterator[Item]:
    if not _is_folder(path):
        yield Item(path, place)
        return
    found = False
    for child in _walk(path, recursive=recursive):
        found = True
        yield Item(child, place / child.parent.relative_to(path))
    if not found:
        where = "" if recursive else "; sub-folders are searched with --recursive"
        raise SettingsError(f"{path}: holds no recording{where}")


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file; a link that leads nowhere, or to itself, is none."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _walk(folder: Path, *, recursive: bool) -> Iterator[Path]:
    from softloc.audio import AUDIO_SUFFIXES

    try:
        with os.scandir(folder) as entries:
            names = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".")
                and (
                    recursive
                    if entry.is_dir(follow_symlinks=False)
                    else entry.name.lower().endswith(tuple(AUDIO_SUFFIXES)) and _is_file(entry)
                )
            )
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be searched ({error.strerror})") from error
    for name, is_folder in names:
        if is_folder:
            yield from _walk(folder / name, recursive=recursive)
        else:
            yield folder / name
