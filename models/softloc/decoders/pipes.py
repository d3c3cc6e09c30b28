"""What comes through a pipe, held on disk: decoders jump about in it, and it may be of any length.

Conventions
-----------
- Some megabytes stay in memory, more go to an unnamed temporary file, which disappears with the
  process.
- A pipe may have no end. What cannot be audio is refused once `HEAD_BYTES` have come; of anything
  else at most half of what is free on the disk is taken.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from typing import IO, BinaryIO, cast

from softloc.errors import AudioError, OutputError

#: From here on it must be recognised.
HEAD_BYTES = 4 << 20

_IN_MEMORY_BYTES = 8 << 20
_BLOCK_BYTES = 1 << 20


def hold(pipe: BinaryIO, name: str, check_head: Callable[[BinaryIO], None]) -> BinaryIO:
    """Read a pipe to its end into a file that one can jump about in.

    Parameters
    ----------
    pipe : binary file
        Read from where it stands.
    name : str
        For messages.
    check_head : callable
        Called with a file of the first `HEAD_BYTES`, if so many come; refuses what is no audio.

    Returns
    -------
    binary file
        At its start; whoever asked for it closes it.

    Raises
    ------
    AudioError
        If it is empty, refused, cannot be read, or does not end.
    OutputError
        If it cannot be held.
    """
    held = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115
    try:
        _fill(held, pipe, name, check_head)
    except BaseException:
        held.close()
        raise
    return held


def _fill(
    held: BinaryIO, pipe: BinaryIO, name: str, check_head: Callable[[BinaryIO], None]
) -> None:
    folder = tempfile.gettempdir()
    most_bytes = max(shutil.disk_usage(folder).free // 2, _IN_MEMORY_BYTES)
    n_bytes, is_checked = 0, False
    while block := _read(pipe, name):
        _write(held, block, name, folder)
        n_bytes += len(block)
        if not is_checked and n_bytes >= HEAD_BYTES:
            is_checked = True
            held.seek(0)
            check_head(held)
            held.seek(0, 2)
        if n_bytes > most_bytes:
            raise AudioError(
                f"{name}: no end after {n_bytes / 1e9:.1f} GB, half of what was free in {folder}; "
                f"give the recording as a file, or set TMPDIR to a folder on a larger disk"
            )
    if not n_bytes:
        raise AudioError(f"{name}: is empty (0 bytes)")
    held.seek(0)


def _read(pipe: IO[bytes], name: str) -> bytes:
    try:
        return pipe.read(_BLOCK_BYTES)
    except OSError as error:
        raise AudioError(f"{name}: cannot be read ({error.strerror or error})") from error


def _write(held: IO[bytes], block: bytes, name: str, folder: str) -> None:
    try:
        held.write(block)
    except OSError as error:
        raise OutputError(
            f"{name}: cannot be kept in {folder}: {error.strerror or error}"
        ) from error
