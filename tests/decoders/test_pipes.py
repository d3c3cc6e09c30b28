"""Recordings through pipes: of any kind and length, and pipes without end."""

from __future__ import annotations

import io
import os
import resource
import shutil
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from recordings import RATE_HZ, clicks, encode, encode_by_ffmpeg

from softloc.audio import read_audio, read_blocks
from softloc.decoders import hold_pipe, open_stream, pipes
from softloc.errors import AudioError, OutputError

MIB = 1 << 20


class Pipe(io.RawIOBase):
    """Gives these bytes and then zeros, so many in all."""

    def __init__(self, start: bytes, n_bytes: int = 1 << 60) -> None:
        super().__init__()
        self.start, self.n_bytes, self.n_given = start, n_bytes, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        n = min(len(view), self.n_bytes - self.n_given)
        data = self.start[self.n_given : self.n_given + n]
        view[: len(data)] = data
        view[len(data) : n] = bytes(n - len(data))
        self.n_given += n
        return n


def through_pipe(data: bytes) -> Any:
    return io.BufferedReader(Pipe(data, len(data)))


@pytest.fixture
def small_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have streams looked at after their first blocks."""
    monkeypatch.setattr(pipes, "HEAD_BYTES", 8192)
    monkeypatch.setattr(pipes, "_BLOCK_BYTES", 4096)


@pytest.mark.usefixtures("small_head")
@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
        ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("NIST", "PCM_16"), ("VOC", "PCM_16"),
    ],
)  # fmt: skip
def test_every_wrapping_is_recognised_by_its_start(
    form: str, subtype: str | None, tmp_path: Path
) -> None:
    rate_hz = 48_000 if subtype == "OPUS" else RATE_HZ
    data = encode(clicks(duration_s=4.0, rate_hz=rate_hz), form, subtype, rate_hz)
    path = tmp_path / "click"
    path.write_bytes(data)
    assert len(data) > 2 * 8192
    np.testing.assert_array_equal(
        read_audio(through_pipe(data), rate_hz).samples, read_audio(path, rate_hz).samples
    )


@pytest.mark.usefixtures("small_head")
@pytest.mark.parametrize(
    ("codec", "form"),
    [
        ("aac", "mp4"),
        ("aac", "adts"),
        ("aac", "matroska"),
        ("mp2", "mpegts"),
        ("libmp3lame", "avi"),
    ],
)
def test_so_is_what_ffmpeg_reads(codec: str, form: str, tmp_path: Path) -> None:
    """MP4 has its index at its end."""
    path = encode_by_ffmpeg(tmp_path / "click", clicks(duration_s=4.0), codec, form)
    assert path.stat().st_size > 2 * 8192
    np.testing.assert_array_equal(
        read_audio(through_pipe(path.read_bytes()), RATE_HZ).samples,
        read_audio(path, RATE_HZ).samples,
    )


def test_picture_before_the_sound_may_be_larger_than_what_is_looked_at(tmp_path: Path) -> None:
    n_bytes = 5 * MIB
    size = bytes((n_bytes >> shift) & 0x7F for shift in (21, 14, 7, 0))
    data = b"ID3\x04\x00\x00" + size + bytes(n_bytes) + encode(clicks(), "MP3")
    path = tmp_path / "click.mp3"
    path.write_bytes(data)
    np.testing.assert_array_equal(
        read_audio(through_pipe(data), RATE_HZ).samples, read_audio(path, RATE_HZ).samples
    )


@pytest.mark.parametrize(
    "start",
    [b"", b"y\n" * 8 * MIB, np.random.default_rng(0).bytes(8 * MIB)],
    ids=["zeros", "text", "noise"],
)
def test_endless_pipe_that_is_no_audio_is_refused_at_once(start: bytes) -> None:
    pipe = Pipe(start)
    with pytest.raises(AudioError, match="<standard input>: not audio that can be read"):
        open_stream(io.BufferedReader(pipe))
    assert pipe.n_given <= pipes.HEAD_BYTES + MIB


def test_endless_audio_takes_half_of_the_disk_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=40 * MIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    pipe = Pipe(encode(clicks(), "WAV", "PCM_16"))
    with pytest.raises(AudioError, match=r"no end after 0\.0 GB, half of .* set TMPDIR"):
        open_stream(io.BufferedReader(pipe))
    assert 20 * MIB < pipe.n_given <= 22 * MIB


def test_memory_is_flat() -> None:
    n_samples = 16 * MIB
    header = encode(np.zeros((n_samples, 1), dtype=np.int16), "WAV", "PCM_16")[:44]
    tracemalloc.start()
    try:
        pipe: Any = io.BufferedReader(Pipe(header, 44 + 2 * n_samples))
        tracemalloc.reset_peak()
        assert sum(len(block.samples) for block in read_blocks(pipe)) == n_samples
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_full_disk_is_told() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12 * MIB, before[1]))
    try:
        with pytest.raises(OutputError, match="<standard input>: cannot be kept in"):
            open_stream(io.BufferedReader(Pipe(encode(clicks(), "WAV", "PCM_16"))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_pipe_that_breaks_is_told() -> None:
    class Broken(Pipe):
        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(AudioError, match=r"cannot be read \(Input/output error\)"):
        open_stream(io.BufferedReader(Broken(b"")))


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """A named pipe that somebody writes a recording of six megabytes into, once."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("named pipes")
    path = tmp_path / "click.wav"
    os.mkfifo(path)
    data = encode(clicks(duration_s=70.0), "WAV", "PCM_16")
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    yield path
    writer.join()


def test_named_pipe_is_held(fifo: Path) -> None:
    with hold_pipe(fifo) as held:
        for _ in range(2):
            held.seek(0)
            assert len(read_audio(held, RATE_HZ).samples) == 70 * RATE_HZ


def test_nothing_is_left_on_disk(
    fifo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(pipes, "_IN_MEMORY_BYTES", MIB)
    with open_stream(fifo) as stream:
        assert stream.n_samples == 70 * RATE_HZ
    assert list(folder.iterdir()) == []
