"""The CNN-LSTM: log-mel features to one logit per class and frame.

Conventions
-----------
- Features are (batch, frames, channels, bands), logits (batch, classes, frames).
- Convolutions are not padded in time: for ``T`` frames of output the network is given
  ``look_back_frames`` frames before and ``look_ahead_frames`` after, real audio or the features of
  silence. With the LSTM's state handed on, a recording cut anywhere gives the same logits.
- This module imports torch alone and can be lifted out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: What an LSTM hands from one block of frames to the next: hidden and cell state.
LSTMState = tuple[Tensor, Tensor]

_MIN_DEVIATION = 1e-3


@dataclass(frozen=True, slots=True)
class ConvStage:
    """One convolution over (time, bands), followed by a reduction along the bands.

    Attributes
    ----------
    channels : int
        Output channels.
    bands : int
        Extent of the kernel along the bands; along time it is always 3.
    stride : int
        Step of the convolution along the bands.
    pool : int
        Max-pooling along the bands afterwards.
    """

    channels: int
    bands: int = 3
    stride: int = 1
    pool: int = 1


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The network's shape; travels in the checkpoint and rebuilds it.

    Attributes
    ----------
    n_classes : int
        Outputs per frame.
    n_bands : int
        Bands per channel of the features.
    stages : tuple of ConvStage
        The convolutions, in order.
    lstm_units : int
        Units of the LSTM (per direction).
    dense_units : int
        Units of the first dense layer.
    derivative_beside_bands : bool
        Stack the derivative along the bands, as the paper does, instead of as a channel.
    batch_norm : bool
        Normalise after each convolution; while transcribing with fixed statistics.
    dense_sees_convolutions : bool
        Give the first dense layer the output of the convolutions beside that of the LSTM: what is
        heard now needs no memory to be answered, and training starts much faster.
    sigmoid_dense : bool
        Bend the first dense layer's output by a logistic function, as the paper does, instead of
        cutting it off at 0, which trains faster.
    dropout : float
        Share of the convolutions' outputs that is silenced while training.
    lstm_delay_frames : int
        Read the LSTM's answer so many frames later: it has then heard how a sound goes on, which
        tells hats from cymbals, at the price of as much latency.
    bidirectional : bool
        Let the LSTM read both ways. Such a model needs the whole recording at once.

    Raises
    ------
    ValueError
        If the delay is negative, or the LSTM reads both ways and is delayed.
    """

    n_classes: int
    n_bands: int
    stages: tuple[ConvStage, ...]
    lstm_units: int
    dense_units: int
    derivative_beside_bands: bool = False
    batch_norm: bool = True
    dense_sees_convolutions: bool = True
    sigmoid_dense: bool = False
    dropout: float = 0.0
    lstm_delay_frames: int = 0
    bidirectional: bool = False

    def __post_init__(self) -> None:
        if self.lstm_delay_frames < 0 or (self.bidirectional and self.lstm_delay_frames):
            raise ValueError(
                f"lstm_delay_frames must be 0 or more, and 0 for a bidirectional network, "
                f"not {self.lstm_delay_frames}"
            )

    @property
    def look_back_frames(self) -> int:
        """Frames before an output that the convolutions depend on."""
        return len(self.stages)

    @property
    def look_ahead_frames(self) -> int:
        """Frames after an output that it depends on (without the LSTM's other direction)."""
        return len(self.stages) + self.lstm_delay_frames


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
        self.dense = nn.Linear(_dense_inputs(settings, width), settings.dense_units)
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


def multiplications_per_frame(settings: NetworkSettings) -> int:
    """Multiply-accumulates that one frame costs, convolutions, LSTM and dense layers together."""
    channels, bands = _input_shape(settings)
    total = 0
    for stage in settings.stages:
        bands = _conv_bands(bands, stage)
        total += channels * stage.channels * 3 * stage.bands * bands
        channels, bands = stage.channels, bands // stage.pool
    width, units = channels * bands, settings.lstm_units
    directions = 2 if settings.bidirectional else 1
    total += directions * 4 * units * (width + units)
    return total + settings.dense_units * (_dense_inputs(settings, width) + settings.n_classes)


def count_weights(settings: NetworkSettings) -> int:
    """Count the weights of all layers (without biases and normalisation) before they are made."""
    channels, bands = _input_shape(settings)
    total = 0
    for stage in settings.stages:
        total += channels * stage.channels * 3 * stage.bands
        channels, bands = stage.channels, _conv_bands(bands, stage) // stage.pool
    width, units = channels * bands, settings.lstm_units
    directions = 2 if settings.bidirectional else 1
    total += directions * 4 * units * (width + units)
    return total + settings.dense_units * (_dense_inputs(settings, width) + settings.n_classes)


def _input_shape(settings: NetworkSettings) -> tuple[int, int]:
    """Channels and bands that enter the first convolution."""
    return (1, 2 * settings.n_bands) if settings.derivative_beside_bands else (2, settings.n_bands)


def _dense_inputs(settings: NetworkSettings, width: int) -> int:
    """Values per frame that enter the first dense layer; `width` come from the convolutions."""
    directions = 2 if settings.bidirectional else 1
    beside = width if settings.dense_sees_convolutions else 0
    return directions * settings.lstm_units + beside


def _conv_bands(bands: int, stage: ConvStage) -> int:
    """Bands after a convolution: every step of the stride that begins inside gives one."""
    return (bands - 1) // stage.stride + 1


def _band_padding(bands: int, stage: ConvStage) -> tuple[int, int]:
    """Zeros below and above the bands: just as many as let the kernels reach all of them."""
    reached = (_conv_bands(bands, stage) - 1) * stage.stride + stage.bands
    missing = max(0, reached - bands)
    return missing // 2, missing - missing // 2


def _convolutions(settings: NetworkSettings) -> tuple[nn.Sequential, int]:
    """Build the stack; return it with the width of its output per frame."""
    channels, bands = _input_shape(settings)
    layers: list[nn.Module] = []
    for stage in settings.stages:
        layers += [
            nn.ZeroPad2d((*_band_padding(bands, stage), 0, 0)),
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
        bands = _conv_bands(bands, stage)
        if stage.pool > 1:
            layers.append(nn.MaxPool2d((1, stage.pool)))
            bands //= stage.pool
        channels = stage.channels
    return nn.Sequential(*layers), channels * bands
