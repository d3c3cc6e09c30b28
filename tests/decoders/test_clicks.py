"""A click comes back at its time: through every decoder, and through every writer of events."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from click_model import make_click_model
from clicks import bursts
from recordings import RATE_HZ, clicks, encode, encode_by_ffmpeg, shift_ms, without_tag

from softloc.audio import audio_duration_s, read_audio
from softloc.decoders import open_stream
from softloc.events import Onset
from softloc.formats import FORMATS, WRITABLE, Provenance, read_onsets, write_onsets
from softloc.pipeline import from_checkpoint

TOLERANCE_MS = 1.0

#: Suffix, format and subtype of libsndfile, sample rate, channels.
BY_LIBSNDFILE = [
    ("wav", "WAV", "PCM_16", 44_100, 1),
    ("wav", "WAV", "PCM_U8", 44_100, 1),
    ("wav", "WAV", "PCM_24", 44_100, 8),
    ("wav", "WAV", "PCM_32", 192_000, 2),
    ("wav", "WAV", "FLOAT", 8_000, 1),
    ("wav", "WAV", "DOUBLE", 48_000, 2),
    ("wav", "WAV", "ALAW", 44_100, 1),
    ("wav", "WAV", "ULAW", 44_100, 1),
    ("wav", "WAV", "IMA_ADPCM", 44_100, 1),
    ("wav", "WAVEX", "PCM_24", 44_100, 8),
    ("rf64", "RF64", "PCM_16", 44_100, 1),
    ("w64", "W64", "PCM_16", 44_100, 1),
    ("aiff", "AIFF", "PCM_24", 44_100, 2),
    ("aiff", "AIFF", "FLOAT", 44_100, 1),
    ("au", "AU", "PCM_16", 44_100, 1),
    ("caf", "CAF", "ALAC_16", 44_100, 1),
    ("flac", "FLAC", "PCM_24", 44_100, 8),
    ("ogg", "OGG", "VORBIS", 44_100, 1),
    ("opus", "OGG", "OPUS", 48_000, 1),
    ("mp3", "MP3", None, 44_100, 2),
    ("mp3", "MP3", None, 48_000, 1),
    ("mp3", "MP3", None, 22_050, 1),
    ("mp3", "MP3", None, 8_000, 1),
]

#: Suffix, codec of FFmpeg, its format, sample rate, options; the shift that is told or assumed.
BY_FFMPEG = [
    ("m4a", "aac", "mp4", 44_100, {}, 1024, False),
    ("mp4", "aac", "mp4", 44_100, {"use_editlist": "0"}, 1024, True),
    ("mp4", "aac", "mp4", 44_100, {"movflags": "frag_keyframe+empty_moov"}, 1024, True),
    ("aac", "aac", "adts", 44_100, {}, 1024, True),
    ("mka", "aac", "matroska", 44_100, {}, 1024, False),
    ("mov", "pcm_s16le", "mov", 44_100, {}, 0, False),
    ("m4a", "alac", "mp4", 44_100, {}, 0, False),
    ("webm", "libopus", "webm", 48_000, {}, 312, False),
    ("mp4", "libopus", "mp4", 48_000, {}, 312, False),
    ("ts", "mp2", "mpegts", 44_100, {}, 481, True),
    ("avi", "libmp3lame", "avi", 44_100, {}, 1105, True),
    ("ac3", "ac3", "ac3", 44_100, {}, 256, True),
]


def decoded(path: Path, rate_hz: int) -> np.ndarray:
    return read_audio(path, rate_hz).samples


@pytest.mark.parametrize(("suffix", "form", "subtype", "rate_hz", "n_channels"), BY_LIBSNDFILE)
def test_through_libsndfile(
    *,
    tmp_path: Path,
    suffix: str,
    form: str,
    subtype: str | None,
    rate_hz: int,
    n_channels: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    original = clicks(rate_hz=rate_hz, n_channels=n_channels)
    path = tmp_path / f"click.{suffix}"
    path.write_bytes(encode(original, form, subtype, rate_hz))
    samples = decoded(path, rate_hz)
    assert abs(shift_ms(samples, original[:, 0], rate_hz)) < TOLERANCE_MS
    assert audio_duration_s(path) == pytest.approx(len(original) / rate_hz, abs=0.06)
    assert len(samples) == pytest.approx(audio_duration_s(path) * rate_hz, abs=2)
    assert caplog.records == []


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_through_mp3_without_its_tag(
    tmp_path: Path, rate_hz: int, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    original = clicks(rate_hz=rate_hz)
    path = tmp_path / "click.mp3"
    # Without a level libsndfile ignores the mode.
    data = encode(original, "MP3", rate_hz=rate_hz, bitrate_mode=mode, compression_level=0.5)
    assert (b"Info" in data[:100]) == (mode == "CONSTANT")
    path.write_bytes(without_tag(data))
    samples = decoded(path, rate_hz)
    assert abs(shift_ms(samples, original[:, 0], rate_hz)) < TOLERANCE_MS
    assert len(original) <= len(samples) <= len(original) + 3 * 1152
    [record] = caplog.records
    assert f"corrected by {1105 / rate_hz * 1000:.1f} ms, assuming LAME's" in record.getMessage()
    assert record.levelno == logging.WARNING


@pytest.mark.parametrize(
    ("suffix", "codec", "form", "rate_hz", "options", "shift_samples", "assumed"), BY_FFMPEG
)
def test_through_ffmpeg(
    *,
    tmp_path: Path,
    suffix: str,
    codec: str,
    form: str,
    rate_hz: int,
    options: dict[str, str],
    shift_samples: int,
    assumed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    original = clicks(rate_hz=rate_hz)
    path = tmp_path / f"click.{suffix}"
    encode_by_ffmpeg(path, original, codec, form, rate_hz=rate_hz, options=options)
    samples = decoded(path, rate_hz)
    assert abs(shift_ms(samples, original[:, 0], rate_hz)) < TOLERANCE_MS
    assert audio_duration_s(path) == pytest.approx(len(original) / rate_hz, abs=0.06)
    with open_stream(path) as stream:
        container = stream.container
        assert (container.shift_samples, container.shift_assumed) == (shift_samples, assumed)
    sentence = f"assuming {shift_samples} samples"
    assert [sentence in record.getMessage() for record in caplog.records] == [True] * assumed


def test_through_a_video(tmp_path: Path) -> None:
    original = clicks()
    path = encode_by_ffmpeg(tmp_path / "v.mp4", original, "aac", picture=True)
    assert abs(shift_ms(decoded(path, RATE_HZ), original[:, 0])) < TOLERANCE_MS


def test_layer_ii_alone(tmp_path: Path) -> None:
    original = clicks()
    path = encode_by_ffmpeg(tmp_path / "click.mp2", original, "mp2")
    assert abs(shift_ms(decoded(path, RATE_HZ), original[:, 0])) < TOLERANCE_MS


@pytest.mark.parametrize("name", WRITABLE)
def test_through_every_writer(tmp_path: Path, name: str) -> None:
    times_s = [0.0, 0.25, 1.0 / 3.0, 0.8000004, 1.37, 59.999_999, 3_599.123_456]
    path = tmp_path / f"events{FORMATS[name].suffix}"
    provenance = Provenance(sample_rate_hz=44_100, duration_s=3_600.0)
    onsets = [Onset(time_s, "KD") for time_s in times_s]
    write_onsets(path, onsets, format=name, provenance=provenance)
    found_s = [onset.time_s for onset in read_onsets(path)]
    np.testing.assert_allclose(found_s, times_s, atol=TOLERANCE_MS / 1000)


@pytest.mark.parametrize("kind", ["flac", "tagged", "bare"])
def test_from_sound_to_events(tmp_path: Path, kind: str) -> None:
    """The whole chain: what an MP3 without its tag gives is what the original gives."""
    samples = bursts([0.35, 0.9, 1.45])
    transcriber = from_checkpoint(make_click_model())
    expected_s = [onset.time_s for onset in transcriber.transcribe(samples, RATE_HZ)]
    path = tmp_path / f"a.{kind}"
    data = encode(samples, "FLAC" if kind == "flac" else "MP3")
    path.write_bytes(without_tag(data) if kind == "bare" else data)
    found_s = [onset.time_s for onset in transcriber.transcribe(path)]
    assert len(expected_s) == 6
    np.testing.assert_allclose(found_s, expected_s, atol=TOLERANCE_MS / 1000)
