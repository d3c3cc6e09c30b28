"""What is said about a recording is what is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import RATE_HZ, clicks, encode, without_tag

from softloc.diagnosis import Diagnosis, diagnose
from softloc.errors import AudioError


def diagnosed(tmp_path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Diagnosis:
    path = tmp_path / "a.wav"
    path.write_bytes(encode(samples, "WAV", "FLOAT", rate_hz))
    return diagnose(path)


def test_levels_of_a_sine(tmp_path: Path) -> None:
    sine = 0.5 * np.sin(2 * np.pi * 441 * np.arange(RATE_HZ) / RATE_HZ)
    level = diagnosed(tmp_path, np.stack([sine, sine], axis=1)).level
    assert level.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert level.rms_dbfs == pytest.approx(-9.03, abs=0.01)
    assert level.dc == pytest.approx(0, abs=1e-6)
    assert level.clipped_samples == 0
    assert level.mono_loss_db == pytest.approx(0, abs=1e-4)


def test_a_sound_recording_is_found_sound(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, clicks(n_channels=2))
    assert (found.container, found.codec, found.n_channels) == ("WAV", "FLOAT", 2)
    assert found.header_s == found.decoded_s == pytest.approx(1.8)
    assert (found.shift_ms, found.shift_assumed) == (0, False)
    assert found.warnings == found.remarks == ()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda x: 0 * x, "it is silent"),
        (lambda x: 1e-5 * x, "it is silent"),
        (lambda x: np.clip(30 * x, -1, 1), "samples are clipped at full scale"),
        (lambda x: x * [1, -1], "the channels cancel each other"),
        (lambda x: x * [1, -0.95], "the channels cancel each other"),
    ],
)
def test_what_hides_events_is_a_warning(tmp_path: Path, make: object, sentence: str) -> None:
    assert callable(make)
    found = diagnosed(tmp_path, make(clicks(n_channels=2)))
    assert len(found.warnings) == 1
    assert sentence in found.warnings[0]


@pytest.mark.parametrize(
    ("make", "rate_hz", "sentence"),
    [
        (lambda x: 4 * x, RATE_HZ, "dB beyond full scale, and is kept"),
        (lambda x: np.clip(9 * x, -3, 3), RATE_HZ, "9.5 dB beyond full scale, and is kept"),
        (lambda x: x + 0.1, RATE_HZ, "DC offset of +0.1"),
        (lambda x: x, 8_000, "nothing above 4 kHz"),
    ],
)
def test_what_is_odd_is_a_remark(tmp_path: Path, make: object, rate_hz: int, sentence: str) -> None:
    assert callable(make)
    found = diagnosed(tmp_path, make(clicks(rate_hz=rate_hz)), rate_hz)
    assert found.warnings == ()
    assert len(found.remarks) == 1
    assert sentence in found.remarks[0]


def test_an_mp3_with_its_tag_and_without(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    tagged = encode(clicks(), "MP3")
    path.write_bytes(tagged)
    found = diagnose(path)
    assert found.header_s == found.decoded_s == pytest.approx(1.8)
    assert found.shift_ms == pytest.approx(1105 / 44.1)
    assert not found.shift_assumed
    assert found.tags["delay_samples"] == 576
    assert found.warnings == ()
    path.write_bytes(without_tag(tagged))
    found = diagnose(path)
    assert found.header_s is None
    assert (found.shift_ms, found.shift_assumed) == (pytest.approx(1105 / 44.1), True)
    assert "delay_samples" not in found.tags
    assert len(found.warnings) == 1


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        diagnose(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="sample 0 is nan"):
        diagnosed(tmp_path, np.full((10, 1), np.nan))
