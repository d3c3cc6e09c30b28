"""Writing files so that nothing is lost: all or nothing, never half.

Conventions
-----------
- What is half written is hidden, ``.softloc-OWNER-MACHINE-RANDOM.SUFFIX``, and locked by the
  process that writes it: the lock ends with the process, however that ends.
- Whoever next writes into the folder removes what nobody locks. Files of another machine, whose
  locks may not be seen here, stay for a day.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import platform
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from softloc.errors import OutputError

#: Whose the files are that are half written; None: this process's.
_owner: ContextVar[str | None] = ContextVar("_owner", default=None)

_MACHINE = hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()
_TEMPORARY = re.compile(r"\.softloc-.+-(?P<machine>[0-9a-f]{8})-[a-z0-9_]{8}(\..*)?", re.DOTALL)

_MOST_SETTINGS_BYTES = 1 << 20

#: What another machine has not touched for so long is not being written.
_FORGOTTEN_S = 86_400.0


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the place of `path`.

    The old file stays untouched until the new one is complete and on disk. On any exception,
    Ctrl-C included, the temporary file is removed. A symbolic link stays one: the file that it
    points to is replaced. The permissions of an old file stay. Devices and pipes, such as
    ``/dev/stdout``, are written to directly.

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
        remove_abandoned(target.parent)
        with _temporary_file(target.parent, path.suffix) as temporary:
            yield temporary
            _flush_to_disk(temporary)
            temporary.chmod(_mode_for(target))
            temporary.replace(target)


@contextlib.contextmanager
def _temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    """Make a file that bears the name of its owner and is locked, and remove it in the end."""
    # A name of its own, because that of the file with something added may be too long.
    prefix = f"{_temporary_prefix(_owner.get() or os.getpid())}{_MACHINE}-"
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
        temporary = Path(name)
        locks = _lock(handle, wait=True)
        if not locks or temporary.exists():
            break
        os.close(handle)  # it was removed before it was locked
    with contextlib.ExitStack() as stack:
        if locks:
            stack.callback(os.close, handle)
        else:
            os.close(handle)  # Windows does not replace files that are open
        stack.callback(temporary.unlink, missing_ok=True)
        yield temporary


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


@functools.lru_cache(maxsize=1024)
def remove_abandoned(folder: Path) -> None:
    """Remove, once in a process, what processes that were killed left half-written in a folder.

    What a living process writes stays, and so does all where files cannot be locked.

    Parameters
    ----------
    folder : Path
        May be missing.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                _remove_unlocked(Path(entry.path), is_ours=match["machine"] == _MACHINE)


def _remove_unlocked(path: Path, *, is_ours: bool) -> None:
    with contextlib.suppress(OSError):
        if not is_ours and time.time() - path.stat().st_mtime < _FORGOTTEN_S:
            return
        handle = os.open(path, os.O_RDWR)  # what locks may need on network file systems
        try:
            if _lock(handle, wait=False):
                path.unlink()
        finally:
            os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file; False where another process has, or where there are no locks."""
    try:
        return _lock_unless_held(handle, wait=wait)
    except BlockingIOError:
        return False


def _lock_unless_held(handle: int, *, wait: bool) -> bool:
    """Lock an open file or folder; False where there are no locks; raises if it is held."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return True


def lock_folder(folder: Path) -> int | None:
    """Lock a folder for as long as this process lives; None where that cannot be done.

    Returns
    -------
    int or None
        A handle; closing it ends the lock.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    """
    if sys.platform == "win32":  # which does not open folders
        return None
    handle = os.open(folder, os.O_RDONLY)
    is_locked = False
    try:
        is_locked = _lock_unless_held(handle, wait=False)
    finally:
        if not is_locked:
            os.close(handle)
    return handle if is_locked else None


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, all or nothing (see `atomic_path`).

    What is no UTF-8 in the name of a file, and so in the text, stands there as an escape.
    """
    write_bytes_atomic(path, text.encode(errors="backslashreplace"))


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write bytes, all or nothing (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Text of a value as JSON; infinity and NaN, which it lacks, become ``"inf"`` and null."""
    return json.dumps(_without_odd_numbers(value), indent=indent, allow_nan=False)


def _without_odd_numbers(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_odd_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_odd_numbers(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def read_settings_file(path: Path) -> str:
    """Read a small text file, UTF-8, that a user wrote by hand.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no UTF-8 text, or larger than any file of settings: a device may have no end.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_SETTINGS_BYTES + 1)
    if len(content) > _MOST_SETTINGS_BYTES:
        raise ValueError(f"larger than {_MOST_SETTINGS_BYTES >> 20} MiB")
    return content.decode("utf-8-sig")


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
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()


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


def _mode_for(target: Path) -> int:
    """Permissions that the old file has, or that a new one gets; mkstemp made it private."""
    try:
        return stat.S_IMODE(target.stat().st_mode) & 0o777
    except FileNotFoundError:
        return 0o666 & ~_umask()


def _umask() -> int:
    # It can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
