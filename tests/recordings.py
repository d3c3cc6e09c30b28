"""Recordings in every wrapping (`benchmarks.recordings`), and their headers damaged on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import recordings
from benchmarks.recordings import RATE_HZ, clicks, encode, mpeg_frames, shift_ms, without_tag

__all__ = [
    "RATE_HZ",
    "clicks",
    "encode",
    "encode_by_ffmpeg",
    "mpeg_frames",
    "patch",
    "shift_ms",
    "without_tag",
]


def encode_by_ffmpeg(path: Path, samples: np.ndarray, *coding: Any, **more: Any) -> Path:
    """Write a file with PyAV; skip the test where that is not installed."""
    pytest.importorskip("av", reason="PyAV (softloc[av]) is not installed")
    return recordings.encode_by_ffmpeg(path, samples, *coding, **more)


def patch(data: bytes, offset: int, content: bytes) -> bytes:
    """Bytes with some of them replaced."""
    return data[:offset] + content + data[offset + len(content) :]
