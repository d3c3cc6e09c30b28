"""How late decoders return a click, before and after correction, and what reading costs.

``python -m benchmarks.decoders`` writes ``benchmarks/results/decoders.json``.

"Before" is what the decoder returns that a program would call: libsndfile through soundfile, or
FFmpeg through PyAV with its defaults, which already use whatever the file tells. "After" is
`softloc.audio.read_audio`. Shifts are lags of the largest correlation with the original. "Read"
is the length returned over the length encoded. Speed is the median of several runs over the same
recording, taking turns: soundfile block by block with the mean over channels, as softloc did
before it looked at headers, and `softloc.audio.read_blocks`.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.recordings import (
    RATE_HZ,
    Samples,
    clicks,
    encode,
    encode_by_ffmpeg,
    shift_ms,
    without_tag,
)
from softloc.audio import BLOCK_S, read_audio, read_blocks
from softloc.decoders import open_stream

av: Any = importlib.import_module("av")

RESULTS = Path(__file__).parent / "results" / "decoders.json"
COMMAND = "python -m benchmarks.decoders"
SPEED_S = 600.0
REPEATS = 9
OPUS_RATE_HZ = 48_000

#: Name to suffix, codec of FFmpeg, its format and options.
BY_FFMPEG: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "M4A (AAC, edit list)": ("m4a", "aac", "mp4", {}),
    "MP4 (AAC, no edit list)": ("mp4", "aac", "mp4", {"use_editlist": "0"}),
    "MP4 (AAC, fragmented)": ("mp4", "aac", "mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "AAC (ADTS)": ("aac", "aac", "adts", {}),
    "MKA (AAC)": ("mka", "aac", "matroska", {}),
    "WebM (Opus)": ("webm", "libopus", "webm", {}),
    "MP4 (Opus)": ("mp4", "libopus", "mp4", {}),
    "AVI (MP3)": ("avi", "libmp3lame", "avi", {}),
    "MPEG-TS (MP2)": ("ts", "mp2", "mpegts", {}),
    "MP2": ("mp2", "mp2", "mp2", {}),
    "AC3": ("ac3", "ac3", "ac3", {}),
}


def main() -> None:
    """Measure all and write the record."""
    with tempfile.TemporaryDirectory() as folder:
        shifts = {
            name: _measure(path, original, rate_hz)
            for name, path, original, rate_hz in _cases(Path(folder))
        }
        speed = _speed(Path(folder))
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {
            "libsndfile": soundfile.__libsndfile_version__,
            "soundfile": soundfile.__version__,
            "av": av.__version__,
        },
        "shifts": shifts,
        "speed": speed,
    }
    RESULTS.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _cases(folder: Path) -> Iterator[tuple[str, Path, Samples, int]]:
    """Every wrapping: name, file, what was encoded, sample rate."""
    original = clicks()
    for name, form, subtype in (
        ("WAV", "WAV", "PCM_16"),
        ("FLAC", "FLAC", "PCM_16"),
        ("Ogg Vorbis", "OGG", "VORBIS"),
        ("MP3 with its tag", "MP3", None),
    ):
        path = folder / name
        path.write_bytes(encode(original, form, subtype))
        yield name, path, original, RATE_HZ
    opus = clicks(rate_hz=OPUS_RATE_HZ)
    path = folder / "Ogg Opus"
    path.write_bytes(encode(opus, "OGG", "OPUS", OPUS_RATE_HZ))
    yield "Ogg Opus", path, opus, OPUS_RATE_HZ
    for mode in ("CONSTANT", "VARIABLE"):
        # Quiet first, so that the first frames tell little of the others.
        sound = np.concatenate([clicks((), 2.0), clicks(duration_s=6.0) + _noise(6.0)])
        path = folder / f"MP3 {mode}"
        path.write_bytes(
            without_tag(encode(sound, "MP3", bitrate_mode=mode, compression_level=0.5))
        )
        yield f"MP3 without its tag, {mode.lower()} bit rate", path, sound, RATE_HZ
    for index, (name, (suffix, codec, form, options)) in enumerate(BY_FFMPEG.items()):
        rate_hz = OPUS_RATE_HZ if codec == "libopus" else RATE_HZ
        sound = clicks(rate_hz=rate_hz)
        path = folder / f"{index}.{suffix}"
        encode_by_ffmpeg(path, sound, codec, form, rate_hz=rate_hz, options=options)
        yield name, path, sound, rate_hz


def _noise(duration_s: float) -> Samples:
    return 0.1 * np.random.default_rng(1).normal(size=(round(duration_s * RATE_HZ), 1))


def _measure(path: Path, original: Samples, rate_hz: int) -> dict[str, object]:
    try:
        before = soundfile.read(path, always_2d=True)[0][:, 0]
    except soundfile.SoundFileError:
        before = _by_pyav(path)
    after = read_audio(path, rate_hz).samples
    with open_stream(path) as stream:
        decoder, assumed = stream.decoder, stream.container.shift_assumed
    return {
        "decoder": decoder,
        "before_ms": round(shift_ms(before, original[:, 0], rate_hz), 2),
        "after_ms": round(shift_ms(after, original[:, 0], rate_hz), 2),
        "assumed": assumed,
        "read_before": round(len(before) / len(original), 3),
        "read_after": round(len(after) / len(original), 3),
    }


def _by_pyav(path: Path) -> Samples:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt")
        frames = [
            part.to_ndarray().reshape(-1, part.layout.nb_channels).mean(axis=1)
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    return np.concatenate(frames)


def _speed(folder: Path) -> dict[str, object]:
    rng = np.random.default_rng(2)
    sound = 0.1 * rng.normal(size=(round(SPEED_S * RATE_HZ), 2)).astype(np.float32)
    found: dict[str, object] = {}
    for form in ("WAV", "FLAC", "MP3"):
        path = folder / f"long.{form.lower()}"
        soundfile.write(path, sound, RATE_HZ, format=form)
        ways = {"soundfile_s": _read_by_soundfile, "softloc_s": _read_by_softloc}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(REPEATS):
            for name, read in ways.items():
                times[name].append(_timed(read, path))
        found[form] = {name: round(statistics.median(values), 4) for name, values in times.items()}
    return {"duration_s": SPEED_S, "repeats": REPEATS, "median": found}


def _timed(read: Callable[[Path], None], path: Path) -> float:
    begin = time.process_time()
    read(path)
    return time.process_time() - begin


def _read_by_soundfile(path: Path) -> None:
    with soundfile.SoundFile(path) as file:
        while len(block := file.read(round(BLOCK_S * RATE_HZ), "float32", always_2d=True)):
            mono = block.mean(axis=1, dtype=np.float32)
            (np.abs(mono) <= 1e6).all()


def _read_by_softloc(path: Path) -> None:
    for _ in read_blocks(path):
        pass


if __name__ == "__main__":
    main()
