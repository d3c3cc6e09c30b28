"""What the C library does with freed memory, which a training takes again at each step."""

from __future__ import annotations

import ctypes
import platform

#: Options of glibc's ``mallopt``: what is kept on top of the heap, taken with it, and mapped apart.
_TRIM_THRESHOLD, _TOP_PAD, _MAPPED_MOST = -1, -2, -4
_KEPT_BYTES = (1 << 31) - 1
_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees, for the next that it takes.

    Else the tens of megabytes of a step go back to the system and come again page by page, each
    cleared anew. The process stays as large as it once was.

    Returns
    -------
    bool
        Whether that was done: glibc alone, the C library of most Linux systems, can be told.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    options = {_TRIM_THRESHOLD: _KEPT_BYTES, _TOP_PAD: _PAD_BYTES, _MAPPED_MOST: 0}
    library = ctypes.CDLL(None)
    return all(library.mallopt(option, value) for option, value in options.items())
