"""Features: agreement with librosa, silence, cutting."""

from __future__ import annotations

import ctypes
import signal
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from softloc.errors import SettingsError
from softloc.features import LOG_GAIN, FeatureSettings, LogMel, mel_filterbank

SETTINGS = FeatureSettings()


def make_log_mel(settings: FeatureSettings = SETTINGS) -> LogMel:
    return LogMel(settings, torch.from_numpy(mel_filterbank(settings)))


def padded(samples: np.ndarray, n_frames: int, settings: FeatureSettings) -> torch.Tensor:
    """Samples with silence around, so that frame 0 is centred on sample 0."""
    after = max(0, settings.n_samples_for(n_frames) - settings.look_back_samples - len(samples))
    whole = np.concatenate([np.zeros(settings.look_back_samples), samples, np.zeros(after)])
    return torch.from_numpy(whole[: settings.n_samples_for(n_frames)]).float().unsqueeze(0)


@pytest.mark.parametrize(
    "settings", [SETTINGS, FeatureSettings(window_samples=1102, fft_samples=4096, n_bands=72)]
)
def test_agrees_with_librosa(settings: FeatureSettings, rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.1, size=20 * settings.hop_samples)
    spectrum = librosa.stft(
        samples,
        n_fft=settings.fft_samples,
        hop_length=settings.hop_samples,
        win_length=settings.window_samples,
        center=True,
        pad_mode="constant",
    )
    scale = 2.0 / librosa.filters.get_window("hann", settings.window_samples).sum()
    expected = np.log1p(LOG_GAIN * scale * np.abs(spectrum).T @ mel_filterbank(settings))
    n_frames = expected.shape[0] - 1
    features = make_log_mel(settings)(padded(samples, n_frames, settings))[0].numpy()
    np.testing.assert_allclose(features[:, 0], expected[:n_frames], atol=2e-4)
    np.testing.assert_allclose(features[1:, 1], np.diff(expected[:n_frames], axis=0), atol=4e-4)


def test_a_full_scale_sine_has_magnitude_one() -> None:
    bin_hz = SETTINGS.sample_rate_hz / SETTINGS.fft_samples
    time_s = np.arange(20 * SETTINGS.hop_samples) / SETTINGS.sample_rate_hz
    sine = np.sin(2 * np.pi * 100 * bin_hz * time_s)
    frames = torch.from_numpy(sine[: SETTINGS.fft_samples]).float().unsqueeze(0)
    log_mel = make_log_mel()
    one_to_one = torch.eye(SETTINGS.fft_samples // 2 + 1)
    assert log_mel.band_magnitudes(frames, one_to_one)[0, 100].item() == pytest.approx(1, abs=1e-4)


def test_silence_is_exactly_zero() -> None:
    features = make_log_mel()(torch.zeros(1, SETTINGS.n_samples_for(7)))
    assert features.shape == (1, 7, 2, SETTINGS.n_bands)
    assert not features.any()


def test_shifting_audio_by_hops_shifts_features(rng: np.random.Generator) -> None:
    samples = torch.from_numpy(rng.normal(size=SETTINGS.n_samples_for(30))).float().unsqueeze(0)
    log_mel = make_log_mel()
    whole, later = log_mel(samples), log_mel(samples[:, 5 * SETTINGS.hop_samples :])
    torch.testing.assert_close(whole[:, 5:], later, atol=1e-5, rtol=0)


def test_filters_sum_to_one_and_follow_the_speed() -> None:
    plain, faster = mel_filterbank(SETTINGS), mel_filterbank(SETTINGS, speed=9 / 8)
    np.testing.assert_allclose(plain.sum(axis=0), 1, atol=1e-5)
    # A recording read faster has its partials higher: the filters look lower in the original.
    centre = (np.arange(len(plain))[:, None] * plain).sum(axis=0)
    faster_centre = (np.arange(len(faster))[:, None] * faster).sum(axis=0)
    np.testing.assert_allclose(centre / faster_centre, 9 / 8, rtol=0.06)


def test_an_interrupt_is_not_lost_in_a_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba, which librosa's import runs, has LLVM call Python back."""
    mel, heard = librosa.filters.mel, signal.getsignal(signal.SIGINT)

    @ctypes.CFUNCTYPE(None)
    def called_back() -> None:
        signal.raise_signal(signal.SIGINT)

    def interrupted(**settings: Any) -> np.ndarray:
        called_back()
        return mel(**settings)

    monkeypatch.setattr("librosa.filters.mel", interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            mel_filterbank(SETTINGS)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, heard)


def test_impossible_settings_are_refused() -> None:
    for wrong, sentence in (
        ({"fft_samples": 1024}, "fft_samples"),
        ({"max_hz": 30_000.0}, "bands must lie"),
        ({"window_samples": 1}, "window_samples must be at least 2"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            FeatureSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="too narrow"):
        mel_filterbank(FeatureSettings(window_samples=256, fft_samples=256, n_bands=120))
