"""A disk in memory that is full before its time."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: What a file's length is rounded up to there.
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class NoDiskError(Exception):
    """Whoever runs this may not mount."""


@contextlib.contextmanager
def mounted_disk(folder: Path, n_bytes: int) -> Iterator[Path]:
    """Mount a new disk of so many bytes on an empty folder.

    Parameters
    ----------
    folder : Path
        Made here.
    n_bytes : int
        Its size.

    Yields
    ------
    Path
        The folder.

    Raises
    ------
    NoDiskError
        If this user may not mount.
    """
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={n_bytes},mode=700", "tmpfs"]
    done = subprocess.run(  # noqa: S603
        ["mount", *options, folder],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise NoDiskError(f"a full disk needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)  # noqa: S603, S607


@contextlib.contextmanager
def only_pages_left(disk: Path, n_pages: int) -> Iterator[None]:
    """Fill a disk but for so many pages; afterwards it has room again."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize // PAGE_BYTES
    try:
        filler.write_bytes(bytes((free - n_pages) * PAGE_BYTES))
        yield
    finally:
        filler.unlink()
