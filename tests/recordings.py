"""Recordings in every wrapping, made on the fly, and their headers damaged on purpose."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from softloc.decoders.mpeg import parse_header

RATE_HZ = 44_100


def clicks(
    times_s: tuple[float, ...] = (0.25, 0.8, 1.37),
    duration_s: float = 1.8,
    rate_hz: int = RATE_HZ,
    n_channels: int = 1,
) -> np.ndarray:
    """Short decaying tones that start at these times; shape (n_samples, n_channels)."""
    samples = 1e-4 * np.random.default_rng(0).normal(size=round(duration_s * rate_hz))
    for time_s in times_s:
        start = round(time_s * rate_hz)
        place_s = np.arange(round(0.012 * rate_hz)) / rate_hz
        tone = np.exp(-place_s / 0.002) * np.cos(2 * np.pi * 0.07 * rate_hz * place_s)
        samples[start : start + len(tone)] += 0.5 * tone
    return np.tile(samples.astype(np.float32)[:, None], (1, n_channels))


def shift_ms(decoded: np.ndarray, original: np.ndarray, rate_hz: int = RATE_HZ) -> float:
    """How much later the decoded sound is, by its correlation with the original."""
    size = 1 << (len(decoded) + len(original)).bit_length()
    spectra = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
    lag = int(np.argmax(np.fft.irfft(spectra, size)))
    return (lag if lag < size // 2 else lag - size) / rate_hz * 1000


def encode(
    samples: np.ndarray,
    format_: str,
    subtype: str | None = None,
    rate_hz: int = RATE_HZ,
    **more: Any,
) -> bytes:
    """Content of a file that libsndfile writes."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=format_, subtype=subtype, **more)
    return file.getvalue()


def encode_by_ffmpeg(
    path: Path,
    samples: np.ndarray,
    codec: str,
    format_: str | None = None,
    *,
    rate_hz: int = RATE_HZ,
    options: Mapping[str, str] | None = None,
    picture: bool = False,
) -> Path:
    """Write a file with PyAV; skip the test where that is not installed."""
    av = pytest.importorskip("av", reason="PyAV (softloc[av]) is not installed")
    with av.open(str(path), "w", format=format_, options=dict(options or {})) as container:
        video = container.add_stream("mpeg4", rate=25) if picture else None
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        if video is not None:
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            for _ in range(3):
                image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                container.mux(video.encode(image))
        frame = av.AudioFrame.from_ndarray(
            samples.T.astype(np.float32).copy(), format="flt", layout="mono"
        )
        frame.rate, frame.pts = rate_hz, 0
        wanted = stream.codec_context.codec.audio_formats[0].name
        resampler = av.AudioResampler(format=wanted, layout="mono", rate=rate_hz)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
        if video is not None:
            container.mux(video.encode(None))
    return path


def mpeg_frames(data: bytes) -> list[bytes]:
    """All frames of an MPEG stream without junk."""
    frames = []
    while (header := parse_header(data[:4])) and len(data) >= header.n_bytes:
        frames.append(data[: header.n_bytes])
        data = data[header.n_bytes :]
    return frames


def without_tag(mp3: bytes) -> bytes:
    """An MP3 stream without its first frame, which holds the Xing and LAME tags."""
    first, *others = mpeg_frames(mp3)
    assert b"Xing" in first or b"Info" in first
    return b"".join(others)


def patch(data: bytes, offset: int, content: bytes) -> bytes:
    """Bytes with some of them replaced."""
    return data[:offset] + content + data[offset + len(content) :]
