"""Waveform and spectrogram: right places, bounded size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from softloc.report.pictures import draw_spectrogram, draw_waveform
from softloc.report.recordings import MeasuredRecording, measure_recording
from softloc.report.settings import ReportSettings

RATE_HZ = 44_100


def record(tmp_path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> MeasuredRecording:
    soundfile.write(tmp_path / "a.wav", samples, rate_hz, subtype="FLOAT")
    return measure_recording(tmp_path / "a.wav")


def test_waveform_is_minimum_and_maximum_of_each_bin(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    samples = rng.uniform(-0.4, 0.5, size=50_007)
    picture = draw_waveform(record(tmp_path, samples), ReportSettings())
    size = picture.bin_samples
    assert size == 44
    expected = [
        [samples[i : i + size].min(), samples[i : i + size].max()]
        for i in range(0, len(samples), size)
    ]
    scaled = np.rint(127 * np.array(expected) / np.abs(samples).max())
    assert np.abs(picture.extremes - scaled).max() <= 1
    assert np.abs(picture.extremes).max() == 127


def test_size_is_bounded(tmp_path: Path, rng: np.random.Generator) -> None:
    settings = ReportSettings(max_waveform_bins=100, max_spectrogram_frames=50)
    recording = record(tmp_path, rng.normal(size=30 * RATE_HZ) * 0.1)
    assert len(draw_waveform(recording, settings).extremes) == 100
    assert len(draw_spectrogram(recording, settings).levels) <= 50


@pytest.mark.parametrize("max_frames", [60_000, 80])
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 8_000, 192_000])
def test_a_burst_is_seen_where_it_is(tmp_path: Path, rate_hz: int, max_frames: int) -> None:
    # Blocks are 10 s long: one burst on either side of a seam.
    samples = np.zeros(12 * rate_hz)
    for time_s in (3.0, 10.5):
        start = round(time_s * rate_hz)
        n = rate_hz // 500
        samples[start : start + n] = np.random.default_rng(0).normal(size=n) * 0.2
    settings = ReportSettings(max_spectrogram_frames=max_frames)
    picture = draw_spectrogram(record(tmp_path, samples, rate_hz), settings)
    cell_s = picture.hop_samples / rate_hz
    assert len(picture.levels) == -(-len(samples) // picture.hop_samples)
    loudness = picture.levels.astype(float).mean(axis=1)
    for time_s in (3.0, 10.5):
        own = int(time_s / cell_s)
        near = loudness[max(own - 10, 0) : own + 11]
        centre_s = (max(own - 10, 0) + int(near.argmax()) + 0.5) * cell_s
        assert abs(centre_s - (time_s + 0.001)) <= cell_s
    quiet = loudness[int(5.0 / cell_s) : int(9.0 / cell_s)]
    assert quiet.max() == 0


def test_a_tone_is_in_its_band(tmp_path: Path) -> None:
    picture = {}
    for hz in (100.0, 1_000.0, 8_000.0):
        tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ)
        levels = draw_spectrogram(record(tmp_path, tone), ReportSettings()).levels
        picture[hz] = int(levels[20:180].astype(float).mean(axis=0).argmax())
    assert picture[100.0] < picture[1_000.0] < picture[8_000.0]


def test_every_band_is_filled(tmp_path: Path, rng: np.random.Generator) -> None:
    for rate_hz in (8_000, RATE_HZ, 192_000):
        noise = 0.1 * rng.normal(size=2 * rate_hz)
        levels = draw_spectrogram(record(tmp_path, noise, rate_hz), ReportSettings()).levels
        assert levels.mean(axis=0).min() > 10


@pytest.mark.parametrize("n_samples", [1, 30, 1_000])
def test_silence_and_shortness(tmp_path: Path, n_samples: int) -> None:
    recording = record(tmp_path, np.zeros(n_samples))
    assert not draw_spectrogram(recording, ReportSettings()).levels.any()
    assert not draw_waveform(recording, ReportSettings()).extremes.any()
