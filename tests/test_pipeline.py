"""The whole chain with the shipped model, through the Python API."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import softloc
from softloc.errors import AudioError, SettingsError
from softloc.evaluation import EvaluationSettings, evaluate

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "groove.flac"


@pytest.fixture(scope="module")
def drums() -> softloc.Transcriber:
    return softloc.load("drums", device="cpu")


@pytest.fixture(scope="module")
def example() -> tuple[np.ndarray, int]:
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="float32")
    return samples, rate_hz


@pytest.fixture(scope="module")
def events(drums: softloc.Transcriber) -> list[softloc.Onset]:
    return drums.transcribe(EXAMPLE)


def times_s(events: list[softloc.Onset], label: str) -> np.ndarray:
    return np.array([event.time_s for event in events if event.label == label])


def test_the_example_is_transcribed(events: list[softloc.Onset]) -> None:
    reference = softloc.read_onsets(EXAMPLE.with_suffix(".csv"))
    scores = evaluate({"groove": reference}, {"groove": events}, EvaluationSettings("5"))
    kick = scores.per_class["KD"].counts[0.020].ratios
    assert kick is not None
    assert kick.f_measure > 0.8
    assert all(0 < (event.confidence or 0) <= 1 for event in events)
    assert [e.time_s for e in events] == sorted(e.time_s for e in events)


def test_an_array_gives_the_same_events(
    drums: softloc.Transcriber, example: tuple[np.ndarray, int], events: list[softloc.Onset]
) -> None:
    samples, rate_hz = example
    assert drums.transcribe(samples, rate_hz) == events
    stereo = np.stack([samples, samples], axis=1)
    assert drums.transcribe(stereo, rate_hz) == events


def test_how_long_the_recording_was(
    drums: softloc.Transcriber, example: tuple[np.ndarray, int], events: list[softloc.Onset]
) -> None:
    samples, rate_hz = example
    found = drums.listen(EXAMPLE)
    assert found == softloc.Transcription(events, len(samples) / rate_hz, rate_hz)
    found = drums.listen(samples[:8_001], 8_000)
    assert (found.duration_s, found.sample_rate_hz) == (8_001 / 8_000, 8_000)


def test_shifting_the_audio_shifts_the_events(
    drums: softloc.Transcriber, example: tuple[np.ndarray, int], events: list[softloc.Onset]
) -> None:
    samples, rate_hz = example
    hop = drums.settings.features.hop_samples
    later = drums.transcribe(np.concatenate([np.zeros(150 * hop, np.float32), samples]), rate_hz)
    for label in ("KD", "SD"):
        before, after = times_s(events, label), times_s(later, label)
        assert len(before) > 10
        assert len(before) == len(after)
        np.testing.assert_allclose(after - before, 150 * hop / rate_hz, atol=0.002)


def test_silence_gives_no_events(drums: softloc.Transcriber) -> None:
    assert drums.transcribe(np.zeros(5 * 44_100), 44_100) == []
    assert drums.transcribe(np.zeros(1), 44_100) == []


def test_a_hit_at_the_very_start_and_just_before_the_end_is_found(
    drums: softloc.Transcriber, example: tuple[np.ndarray, int], events: list[softloc.Onset]
) -> None:
    samples, rate_hz = example
    kick_s = times_s(events, "KD")
    strong_s = float(kick_s[np.diff(kick_s, prepend=0.0) > 0.3][2])
    from_the_hit = samples[round(strong_s * rate_hz) :][: 2 * rate_hz]
    found = times_s(drums.transcribe(from_the_hit, rate_hz), "KD")
    assert len(found) > 0
    assert found[0] < 0.03
    end = round(strong_s * rate_hz) + round(0.12 * rate_hz)
    before = samples[end - 2 * rate_hz : end]
    found = times_s(drums.transcribe(before, rate_hz), "KD")
    assert len(found) > 0
    assert abs(found[-1] - (2.0 - 0.12)) < 0.03


def test_what_cannot_be_read_says_so(drums: softloc.Transcriber) -> None:
    with pytest.raises(SettingsError, match="needs its sample_rate_hz"):
        drums.transcribe(np.zeros(100))
    with pytest.raises(AudioError, match="no such file"):
        drums.transcribe("missing.wav")
    with pytest.raises(SettingsError, match="neither a model file nor a shipped model"):
        softloc.load("missing")
    with pytest.raises(SettingsError, match="unknown device 'warp'"):
        softloc.load("drums", device="warp")
