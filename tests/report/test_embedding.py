"""The audio inside a page: every sample where it was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from softloc.report.embedding import EmbeddedAudio, cut_parts, embed_audio
from softloc.report.recordings import measure_recording
from softloc.report.settings import ReportSettings

RATE_HZ = 44_100


def write_clicks(path: Path, duration_s: float, rate_hz: int = RATE_HZ) -> list[int]:
    """Noise bursts in faint noise; returns their first samples."""
    rng = np.random.default_rng(3)
    samples = 1e-4 * rng.normal(size=round(duration_s * rate_hz))
    starts = list(range(rate_hz // 3, len(samples) - rate_hz // 10, rate_hz // 2))
    for start in starts:
        n = rate_hz // 50
        samples[start : start + n] += 0.4 * rng.normal(size=n) * np.exp(-np.arange(n) / (n / 6))
    soundfile.write(path, np.clip(samples, -1, 1), rate_hz, subtype="FLOAT", format="WAV")
    return starts


def embed(path: Path, **sizes: float) -> EmbeddedAudio | None:
    return embed_audio(measure_recording(path), ReportSettings(**sizes))


def decode(audio: EmbeddedAudio) -> np.ndarray:
    """What the player does: each part without its leads, one after the other."""
    pieces = []
    for index, part in enumerate(audio.parts):
        samples, rate_hz = soundfile.read(io.BytesIO(part))
        assert rate_hz == audio.sample_rate_hz
        lead = min(audio.lead_samples, index * audio.part_samples)
        left = audio.n_samples - index * audio.part_samples
        pieces.append(samples[lead : lead + min(audio.part_samples, left)])
    return np.concatenate(pieces)


def test_flac_gives_every_sample_back(tmp_path: Path) -> None:
    write_clicks(tmp_path / "a.wav", 3.7)
    audio = embed(tmp_path / "a.wav", part_s=1.0)
    assert audio is not None
    assert (audio.codec, len(audio.parts)) == ("FLAC", 4)
    original, _ = soundfile.read(tmp_path / "a.wav")
    decoded = decode(audio)
    assert len(decoded) == len(original) == audio.n_samples
    assert np.abs(decoded - original).max() <= 2**-15


def test_vorbis_does_not_shift(tmp_path: Path) -> None:
    starts = write_clicks(tmp_path / "a.wav", 5.2)
    audio = embed(tmp_path / "a.wav", part_s=1.0, max_audio_bytes=80_000)
    assert audio is not None
    assert audio.codec == "Ogg Vorbis"
    assert sum(map(len, audio.parts)) <= 80_000
    original, _ = soundfile.read(tmp_path / "a.wav")
    decoded = decode(audio)
    assert len(decoded) == len(original)
    for start in starts:
        own, other = original[start - 400 : start + 1_200], decoded[start - 400 : start + 1_200]
        correlation = np.correlate(other, own, "full")
        assert abs(int(correlation.argmax()) - (len(own) - 1)) <= 1


def test_the_seams_of_vorbis_parts_are_not_heard(tmp_path: Path) -> None:
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 441 * time_s), RATE_HZ)
    audio = embed(tmp_path / "a.wav", part_s=1.0, max_audio_bytes=60_000)
    assert audio is not None
    assert audio.codec == "Ogg Vorbis"
    error = np.abs(decode(audio) - 0.5 * np.sin(2 * np.pi * 441 * time_s))
    seams = np.concatenate([error[i * RATE_HZ - 50 : i * RATE_HZ + 50] for i in (1, 2, 3)])
    assert seams.max() < 0.02


def test_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    write_clicks(tmp_path / "a.wav", 3.0)
    assert embed(tmp_path / "a.wav", max_audio_bytes=1_000) is None


@pytest.mark.parametrize(
    ("rate_hz", "expected_hz"), [(192_000, 48_000), (8_000, 8_000), (4_000, 16_000)]
)
def test_rates_that_browsers_play(tmp_path: Path, rate_hz: int, expected_hz: int) -> None:
    write_clicks(tmp_path / "a.wav", 1.0, rate_hz)
    audio = embed(tmp_path / "a.wav")
    assert audio is not None
    assert audio.sample_rate_hz == expected_hz
    assert abs(audio.n_samples - expected_hz) <= 1
    assert len(decode(audio)) == audio.n_samples


def test_float_audio_beyond_full_scale_is_turned_down(tmp_path: Path) -> None:
    samples = np.sin(np.arange(20_000) / 20)
    soundfile.write(tmp_path / "a.wav", 5 * samples, RATE_HZ, subtype="FLOAT")
    audio = embed(tmp_path / "a.wav")
    assert audio is not None
    assert np.abs(decode(audio) - samples).max() < 2**-13


def test_one_sample(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5]), RATE_HZ)
    audio = embed(tmp_path / "a.wav")
    assert audio is not None
    assert decode(audio).tolist() == [0.5]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
    st.integers(1, 50),
    st.integers(0, 20),
)
def test_parts_cover_all_samples_once(lengths: list[int], part: int, lead: int) -> None:
    samples = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(samples, np.cumsum(lengths)[:-1])
    position = 0
    for index, (content, n_own) in enumerate(cut_parts(blocks, part, min(lead, part))):
        assert position == index * part
        start = max(0, position - min(lead, part))
        stop = min(len(samples), position + part + min(lead, part))
        np.testing.assert_array_equal(content, samples[start:stop])
        assert n_own == min(part, len(samples) - position)
        position += n_own
    assert position == len(samples)
