"""The features in PyTorch, for training and for devices other than a processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from softloc.features.settings import LEVEL_FLOOR, LOG_GAIN, FeatureSettings, analysis_window


class LogMel(nn.Module):
    """Samples to log-mel features; its filterbank is part of the checkpoint.

    Parameters
    ----------
    settings : FeatureSettings
        Frames and bands.
    filterbank : Tensor of shape (fft_samples // 2 + 1, n_bands), optional
        As from `mel_filterbank`; zeros, to be loaded from a checkpoint, without it.
    """

    window: Tensor
    filterbank: Tensor

    def __init__(self, settings: FeatureSettings, filterbank: Tensor | None = None) -> None:
        super().__init__()
        self.settings = settings
        if filterbank is None:
            filterbank = torch.zeros(settings.fft_samples // 2 + 1, settings.n_bands)
        self.register_buffer("filterbank", filterbank)
        window = torch.from_numpy(analysis_window(settings))
        self.register_buffer("window", window, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Compute the features of successive frames.

        Parameters
        ----------
        samples : Tensor of shape (batch, n_samples)
            ``settings.n_samples_for(n_frames)`` samples; the first frame of the result is centred
            on sample ``settings.look_back_samples``.

        Returns
        -------
        Tensor of shape (batch, n_frames, 2, n_bands)
            Log-mel-spectrogram and its difference to the previous frame.
        """
        frames = samples.unfold(-1, self.settings.fft_samples, self.settings.hop_samples)
        return compress(self.band_magnitudes(frames, self.filterbank))

    def band_magnitudes(self, frames: Tensor, filterbank: Tensor) -> Tensor:
        """Window, transform and filter: (…, fft_samples) to mean magnitudes (…, n_bands)."""
        magnitudes: Tensor = torch.fft.rfft(frames * self.window).abs() @ filterbank
        return magnitudes


def compress(magnitudes: Tensor) -> Tensor:
    """Band magnitudes (batch, 1 + T, n_bands) to features (batch, T, 2, n_bands).

    The first frame only serves the derivative of the second.
    """
    log_mel = torch.log1p(LOG_GAIN * magnitudes)
    return torch.stack((log_mel[:, 1:], log_mel.diff(dim=1)), dim=2)


def band_levels(log_mel: Tensor) -> Tensor:
    """Log-mel-spectrogram, as in the features, to levels in neper: ``log(m + 10^-6)``.

    Unlike the features these change by the same amount in all bands when a recording is turned up
    or down, as long as they are above `LEVEL_FLOOR`.
    """
    return torch.log(torch.expm1(log_mel) / LOG_GAIN + LEVEL_FLOOR)
