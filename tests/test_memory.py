"""Memory that is freed stays with the process, where the C library can be told."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: Takes, fills and frees as much ten times, and prints how many pages the system gave.
CODE = """
import ctypes, resource, sys
from softloc.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    block = library.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    library.free(block)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() >> 20)
"""


def mebibytes_taken(memory: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CODE, memory], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not the C library that can be told")
def test_what_is_freed_is_taken_again() -> None:
    assert mebibytes_taken("as it is") > 600
    assert mebibytes_taken("keep") < 80
