"""Recordings in every wrapping, made on the fly, for tests and for `benchmarks.decoders`."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from softloc.decoders.mpeg import parse_header

RATE_HZ = 44_100

Samples = NDArray[Any]


def clicks(
    times_s: tuple[float, ...] = (0.25, 0.8, 1.37),
    duration_s: float = 1.8,
    rate_hz: int = RATE_HZ,
    n_channels: int = 1,
) -> Samples:
    """Make short decaying tones that start at these times; shape (n_samples, n_channels)."""
    samples = 1e-4 * np.random.default_rng(0).normal(size=round(duration_s * rate_hz))
    for time_s in times_s:
        start = round(time_s * rate_hz)
        place_s = np.arange(round(0.012 * rate_hz)) / rate_hz
        tone = np.exp(-place_s / 0.002) * np.cos(2 * np.pi * 0.07 * rate_hz * place_s)
        samples[start : start + len(tone)] += 0.5 * tone
    return np.tile(samples.astype(np.float32)[:, None], (1, n_channels))


def shift_ms(decoded: Samples, original: Samples, rate_hz: int = RATE_HZ) -> float:
    """Measure how much later the decoded sound is, by its correlation with the original."""
    size = 1 << (len(decoded) + len(original)).bit_length()
    spectra = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
    lag = int(np.argmax(np.fft.irfft(spectra, size)))
    return (lag if lag < size // 2 else lag - size) / rate_hz * 1000


def encode(
    samples: Samples, form: str, subtype: str | None = None, rate_hz: int = RATE_HZ, **more: Any
) -> bytes:
    """Make the content of a file with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=form, subtype=subtype, **more)
    return file.getvalue()


def encode_by_ffmpeg(
    path: Path,
    samples: Samples,
    codec: str,
    form: str | None = None,
    *,
    rate_hz: int = RATE_HZ,
    options: Mapping[str, str] | None = None,
    picture: bool = False,
) -> Path:
    """Write a file with PyAV, with a moving picture on request."""
    av: Any = importlib.import_module("av")  # an optional extra
    with av.open(str(path), "w", format=form, options=dict(options or {})) as container:
        video = container.add_stream("mpeg4", rate=25) if picture else None
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        if video is not None:
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            black = np.zeros((32, 32, 3), np.uint8)
            for _ in range(3):
                container.mux(video.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
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
    """List all frames of an MPEG stream without junk."""
    frames = []
    while (header := parse_header(data[:4])) and len(data) >= header.n_bytes:
        frames.append(data[: header.n_bytes])
        data = data[header.n_bytes :]
    return frames


def without_tag(mp3: bytes) -> bytes:
    """Take the first frame, which holds the Xing and LAME tags, from an MP3 stream."""
    first, *others = mpeg_frames(mp3)
    if not (b"Xing" in first or b"Info" in first):
        raise ValueError("the stream has no tag to take away")
    return b"".join(others)
