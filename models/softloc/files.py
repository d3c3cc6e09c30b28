"""Writing files so that nothing is lost: all or nothing, never half."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from softloc.errors import OutputError

#: Whose the files are that are half written; None: this process's.
_owner: ContextVar[str | None] = ContextVar("_owner", default=None)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the place of `path`.

    The old file stays untouched until the new one is complete and on disk. On any exception,
    Ctrl-C included, the temporary file is removed. A symbolic link stays one: the file that it
    points to is replaced. Devices and pipes, such as ``/dev/stdout``, are written to directly.

    Parameters
    ----------
    path : Path
        Where the finished file shall be. Missing parent folders are made.

    Yields
    ------
    Path
        A path with the same suffix to write to, in the folder of the finished file.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written, or `path` is a folder.
    """
    path = Path(path)
    with _output_errors(path):
        if _is_stream(path):
            yield path
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, because that of the file with something added may be too long.
        # It says whose it is, so that it can be removed after a process that was killed.
        handle, name = tempfile.mkstemp(
            prefix=_temporary_prefix(_owner.get() or os.getpid()),
            suffix=path.suffix,
            dir=target.parent,
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush_to_disk(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def unfinished_as(owner: str) -> Iterator[None]:
    """Mark what is half-written in the block by this name instead of that of the process.

    The numbers of processes on several machines are not unique; `owner` has to be, and may be
    part of the name of a file.
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def remove_unfinished(folder: Path, owner: int | str) -> None:
    """Remove what a process left half-written in a folder when it was killed.

    Parameters
    ----------
    folder : Path
        Folder of the files that the process was to write; may be missing.
    owner : int or str
        A process that has ended, or what `unfinished_as` was given in one.
    """
    prefix = _temporary_prefix(owner)
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                Path(entry.path).unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, all or nothing (see `atomic_path`)."""
    write_bytes_atomic(path, text.encode())


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write bytes, all or nothing (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def readable_name(path: Path) -> str:
    """Name of a file as text for documents: what is no UTF-8 in it becomes U+FFFD."""
    return os.fsencode(path.name).decode(errors="replace")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(root: Path, names: Iterable[str]) -> str:
    """Hash of files and of their names below `root`, independent of the order given.

    A single file has the plain hash of its bytes, as ``sha256sum`` prints it.

    Parameters
    ----------
    root : Path
        Folder that the names are relative to.
    names : iterable of str
        Relative names with ``/``.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    digests = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names}
    if len(digests) == 1:
        return next(iter(digests.values()))
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


@contextlib.contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _temporary_prefix(owner: int | str) -> str:
    return f".softloc-{owner}-"


def _is_stream(path: Path) -> bool:
    """Whether a path is a device or a pipe, which takes what is written but cannot be replaced."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise OutputError(f"cannot write {path}: it is a folder")
    # /dev/stdout may lead to a regular file, which the shell holds open and must keep.
    return not stat.S_ISREG(mode) or path.absolute().is_relative_to("/dev")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    # The mask can only be read by setting it; mkstemp made the file private, which is not wanted.
    mask = os.umask(0)
    os.umask(mask)
    return mask
