"""The CNN-LSTM: log-mel features to one logit per class and frame.

Conventions
-----------
- Features are (batch, frames, channels, bands), logits (batch, classes, frames).
- Convolutions are not padded in time: for ``T`` frames of output the network is given
  ``look_back_frames`` frames before and ``look_ahead_frames`` after, real audio or the features of
  silence. With the LSTM's state handed on, a recording cut anywhere gives the same logits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from softloc.network.settings import (
    NetworkSettings,
    band_padding,
    bands_after,
    dense_inputs,
    input_shape,
)

#: What an LSTM hands from one block of frames to the next: hidden and cell state.
LSTMState = tuple[Tensor, Tensor]

_MIN_DEVIATION = 1e-3


class OnsetNetwork(nn.Module):
    """Six convolutions, an LSTM and two dense layers (Section 5.1 of the paper).

    Parameters
    ----------
    settings : NetworkSettings
        Its shape.
    """

    feature_mean: Tensor
    feature_deviation: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        # Fixed statistics of the training features: normalisation looks at no other frame.
        self.register_buffer("feature_mean", torch.zeros(2, settings.n_bands))
        self.register_buffer("feature_deviation", torch.ones(2, settings.n_bands))
        self.convolutions, width = _convolutions(settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.lstm = nn.LSTM(
            width, settings.lstm_units, batch_first=True, bidirectional=settings.bidirectional
        )
        self.dense = nn.Linear(dense_inputs(settings, width), settings.dense_units)
        self.output = nn.Linear(settings.dense_units, settings.n_classes)

    def forward(self, features: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """Compute logits.

        Parameters
        ----------
        features : Tensor of shape (batch, look_back + T + look_ahead, 2, n_bands)
            As from `softloc.features.LogMel`.
        state : LSTMState, optional
            What the previous block of the same recordings returned.

        Returns
        -------
        logits : Tensor of shape (batch, n_classes, T)
            Log-odds of an event in each frame.
        state : LSTMState
            To be handed to the next block.
        """
        encoded = self.encode(features)  # (batch, T + delay, width)
        hidden, state = self.remember(encoded, state)  # (batch, T, directions · units)
        return self.read_out(encoded[:, : hidden.shape[1]], hidden), state

    def encode(self, features: Tensor) -> Tensor:
        """Convolutional part: features as in `forward` to (batch, T + delay, width)."""
        x = (features - self.feature_mean) / self.feature_deviation  # (batch, T', 2, bands)
        if self.settings.derivative_beside_bands:
            x = x.flatten(2).unsqueeze(1)  # (batch, 1, T', 2 · bands)
        else:
            x = x.transpose(1, 2)  # (batch, 2, T', bands)
        x = self.convolutions(x.contiguous(memory_format=torch.channels_last))
        encoded: Tensor = x.permute(0, 2, 1, 3).flatten(2)  # (batch, T, channels · bands left)
        dropped: Tensor = self.dropout(encoded)
        return dropped

    def remember(self, encoded: Tensor, state: LSTMState | None) -> tuple[Tensor, LSTMState]:
        """Recurrent part: (batch, T + delay, width) to (batch, T, directions · units).

        The state returned is that after T frames: the next block begins with the delayed ones.
        """
        delay = self.settings.lstm_delay_frames
        n_frames = encoded.shape[1] - delay
        hidden, state = self.lstm(encoded[:, :n_frames], state)
        if delay:
            ahead, _ = self.lstm(encoded[:, n_frames:], state)
            hidden = torch.cat((hidden, ahead), dim=1)[:, delay:]
        return hidden, state

    def read_out(self, encoded: Tensor, hidden: Tensor) -> Tensor:
        """Dense part: outputs of convolutions and LSTM to logits (batch, n_classes, T)."""
        if self.settings.dense_sees_convolutions:
            hidden = torch.cat((encoded, hidden), dim=2)  # (batch, T, width + directions · units)
        bend = torch.sigmoid if self.settings.sigmoid_dense else torch.relu
        logits: Tensor = self.output(bend(self.dense(hidden)))  # (batch, T, n_classes)
        return logits.transpose(1, 2)

    def set_feature_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Fix the normalisation: mean and standard deviation, each of shape (2, n_bands)."""
        self.feature_mean.copy_(mean)
        self.feature_deviation.copy_(deviation.clamp(min=_MIN_DEVIATION))

    def expect_silence(self, window_frames: int, probability: float = 0.8) -> None:
        """Set the output bias so that half a window holds no event with this probability.

        The start of the paper's drum experiment (its authors' code); an unbiased start would first
        have to unlearn an event in every other frame.
        """
        p_event = 1.0 - probability ** (2.0 / window_frames)
        nn.init.constant_(self.output.bias, math.log(p_event / (1.0 - p_event)))


def _convolutions(settings: NetworkSettings) -> tuple[nn.Sequential, int]:
    """Build the stack; return it with the width of its output per frame."""
    channels, bands = input_shape(settings)
    layers: list[nn.Module] = []
    for stage in settings.stages:
        layers += [
            nn.ZeroPad2d((*band_padding(bands, stage), 0, 0)),
            nn.Conv2d(
                channels,
                stage.channels,
                (3, stage.bands),
                stride=(1, stage.stride),
                bias=not settings.batch_norm,
            ),
        ]
        if settings.batch_norm:
            layers.append(nn.BatchNorm2d(stage.channels))
        layers.append(nn.ReLU(inplace=True))
        bands = bands_after(bands, stage)
        if stage.pool > 1:
            layers.append(nn.MaxPool2d((1, stage.pool)))
            bands //= stage.pool
        channels = stage.channels
    return nn.Sequential(*layers), channels * bands
