"""Memory does not grow with the recording."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recordings import encode_by_ffmpeg, patch, without_tag

from softloc.audio import read_blocks

RATE_HZ = 8_000


def peak_bytes(path: Path) -> int:
    tracemalloc.start()
    try:
        for _ in read_blocks(path):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write(path: Path, kind: str, duration_s: int) -> Path:
    samples = 0.1 * np.random.default_rng(0).normal(size=(duration_s * RATE_HZ, 1))
    if kind == "AAC":
        return encode_by_ffmpeg(path, samples, "aac", "mp4", rate_hz=RATE_HZ)
    soundfile.write(path, samples, RATE_HZ, format=kind.split(maxsplit=1)[0])
    if kind == "WAV of 0":
        data = path.read_bytes()
        path.write_bytes(patch(data, data.index(b"data") + 4, bytes(4)))
    if kind == "MP3 without its tag":
        path.write_bytes(without_tag(path.read_bytes()))
    return path


@pytest.mark.parametrize("kind", ["WAV", "WAV of 0", "FLAC", "MP3", "MP3 without its tag", "AAC"])
def test_memory_is_flat(tmp_path: Path, kind: str) -> None:
    short = peak_bytes(write(tmp_path / "short", kind, 20))
    long = peak_bytes(write(tmp_path / "long", kind, 200))
    assert long < 1.5 * short
