"""A batch: settled and checked before any work starts, however many recordings there are.

Conventions
-----------
- The recordings found are kept in a temporary file, not in memory; names of results are made again
  whenever they are needed. To find two results of one name, eight bytes of each name are kept.
- What is refused is refused before anything is written: a missing input, two results of one name,
  a result that would replace a recording, or, unless told otherwise, one that exists.
- All recordings are found before any is worked on. What is wrong with those found so far is told on
  the way as well, whenever their number has doubled: a list without end is refused, too.
- A shard takes every recording whose name, hashed, falls to it: the same on every machine, and
  whatever else is in the batch.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
import tempfile
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from softloc.errors import SettingsError
from softloc_cli.inputs import STANDARD_STREAM, Item, exists
from softloc_cli.outputs import Job, Naming

_IN_MEMORY_BYTES = 1 << 20
_NAMES_SHOWN = 20
_FIRST_LOOK = 1 << 15


class Existing(Enum):
    """What becomes of results that exist."""

    REFUSE = "refuse"
    REPLACE = "replace"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a batch that several machines share.

    Attributes
    ----------
    index, count : int
        Which part, from 1, of how many.
    """

    index: int = 1
    count: int = 1

    def holds(self, item: Item) -> bool:
        """Whether a recording falls to this part."""
        if self.count == 1:
            return True
        name = (item.folder / item.source.name).as_posix()
        return _hash(name) % self.count == self.index - 1


def parse_shard(text: str) -> Shard:
    """Read the text of ``--shard``, such as ``2/8``.

    Raises
    ------
    SettingsError
        If it is no part of a whole.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise SettingsError(f"--shard {text}: write I/N with I from 1 to N, such as 2/8")
    return Shard(int(match[1]), int(match[2]))


class Batch:
    """The recordings to be worked on, and where their results go.

    A context manager: what it keeps on disk goes with it.

    Parameters
    ----------
    items : iterable of Item
        Recordings; read once.
    naming : Naming
        Names their results.
    existing : Existing
        What becomes of results that exist.
    shard : Shard
        Which part of the recordings to take. All of them are checked against each other.
    reserved : iterable of Path
        Files besides that are written to, such as a log.

    Raises
    ------
    SettingsError
        If anything is refused (see above).
    """

    def __init__(
        self,
        items: Iterable[Item],
        naming: Naming,
        existing: Existing = Existing.REFUSE,
        shard: Shard | None = None,
        reserved: Iterable[Path] = (),
    ) -> None:
        self.existing = existing
        self.n_jobs = 0
        self._naming = naming
        self._shard = shard or Shard()
        self._reserved = tuple(reserved)
        self._spool: IO[str] = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed by __exit__
            max_size=_IN_MEMORY_BYTES, mode="w+", encoding="ascii", newline="\n"
        )
        try:
            self._settle(items)
        except BaseException:
            self._spool.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spool.close()

    def jobs(self) -> Iterator[Job]:
        """Yield what is to be done, in the order it was found."""
        return (self._naming.job(item) for item in self._items() if self._shard.holds(item))

    def _settle(self, items: Iterable[Item]) -> None:
        survey = _Survey()
        for path in self._reserved:
            survey.targets.append(_hash(_key(path)))
        look_at = _FIRST_LOOK
        for item in items:
            # JSON escapes line breaks and what is no UTF-8 in a name.
            self._spool.write(json.dumps([str(item.source), str(item.folder)]) + "\n")
            job = self._naming.job(item)
            is_ours = self._shard.holds(item)
            survey.add(job, look_for_results=is_ours and self.existing is Existing.REFUSE)
            self.n_jobs += is_ours
            if survey.n_inputs == look_at:
                look_at *= 2
                self._refuse(survey, f" (of the first {survey.n_inputs:,} names)")
                self._spool.seek(0, os.SEEK_END)
        if not survey.n_inputs:
            raise SettingsError("the list names no recording")
        self._refuse(survey)

    def _refuse(self, survey: _Survey, of: str = "") -> None:
        """Raise for what is wrong with all recordings that have been surveyed."""
        survey.missing.refuse(f"no such file or folder: {{names}}{of}")
        suspects = survey.suspects()
        if suspects:
            self._refuse_collisions(suspects)
        survey.existing.refuse(
            f"results exist already: {{names}}{of}; give --overwrite or --skip-existing"
        )

    def _items(self) -> Iterator[Item]:
        self._spool.seek(0)
        for line in self._spool:
            source, folder = json.loads(line)
            yield Item(Path(source), Path(folder))

    def _refuse_collisions(self, suspects: frozenset[int]) -> None:
        """Tell real collisions from hashes that agree by accident, and name the first."""
        sources: set[str] = set()
        for item in self._items():
            key = _key(item.source)
            if _hash(key) in suspects:
                if key in sources:
                    raise SettingsError(f"{item.source}: is given twice")
                sources.add(key)
        writers: dict[str, str] = {}
        for writer, path in self._writes():
            key = _key(path)
            if key in sources:
                raise SettingsError(f"{path}: is a recording, it would be overwritten")
            if key in writers:
                raise SettingsError(
                    f"{writers[key]} and {writer} would both be written to {path}; one of "
                    f"them needs another name or folder"
                )
            if _hash(key) in suspects:
                writers[key] = writer

    def _writes(self) -> Iterator[tuple[str, Path]]:
        """Every file that will be written, with what is written to it."""
        yield from (("the log", path) for path in self._reserved)
        for job in map(self._naming.job, self._items()):
            yield from ((str(job.source), target.path) for target in job.targets)


@dataclass(slots=True)
class _Names:
    """The first few of many names, each once, and how many there are."""

    first: list[str] = field(default_factory=list)
    n: int = 0

    def add(self, name: Path) -> None:
        if str(name) in self.first:
            return
        self.n += 1
        if self.n <= _NAMES_SHOWN:
            self.first.append(str(name))

    def refuse(self, message: str) -> None:
        if self.n:
            more = f" and {self.n - len(self.first)} more" if self.n > len(self.first) else ""
            raise SettingsError(message.format(names=", ".join(self.first) + more))


@dataclass(slots=True)
class _Survey:
    """What is kept of all recordings while a batch is checked."""

    n_inputs: int = 0
    sources: array[int] = field(default_factory=lambda: array("Q"))
    targets: array[int] = field(default_factory=lambda: array("Q"))
    missing: _Names = field(default_factory=_Names)
    existing: _Names = field(default_factory=_Names)

    def add(self, job: Job, *, look_for_results: bool) -> None:
        self.n_inputs += 1
        self.sources.append(_hash(_key(job.source)))
        if job.source != STANDARD_STREAM and not exists(job.source):
            self.missing.add(job.source)
        for target in job.targets:
            if target.path == STANDARD_STREAM:
                continue
            self.targets.append(_hash(_key(target.path)))
            if look_for_results and not target.is_named and target.exists():
                self.existing.add(target.path)

    def suspects(self) -> frozenset[int]:
        """Hashes that sources or targets share."""
        sources, targets = (
            np.sort(np.frombuffer(keys, dtype=np.uint64)) if keys else np.zeros(0, dtype=np.uint64)
            for keys in (self.sources, self.targets)
        )
        repeated = [keys[1:][keys[1:] == keys[:-1]] for keys in (sources, targets)]
        shared = np.intersect1d(sources, targets)
        return frozenset(np.concatenate([*repeated, shared]).tolist())


def _key(path: Path) -> str:
    """Text that two paths share if they are one file."""
    if path == STANDARD_STREAM:
        return "-"
    text = (
        os.path.realpath(path)
        if os.path.islink(path)  # noqa: PTH114 - Path's raises for a name too long
        else f"{_real_folder(Path.cwd() / path.parent)}/{path.name}"
    )
    if sys.platform in ("darwin", "win32"):  # where names that differ only in case are one file
        text = unicodedata.normalize("NFC", text).casefold()
    return text


@functools.lru_cache(maxsize=1024)
def _real_folder(folder: Path) -> str:
    return os.path.realpath(folder)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "big")
