"""The network's shape: what its layers are, without computing with them."""

from __future__ import annotations

from dataclasses import dataclass

#: What a normalisation adds to a variance before it divides by its root (PyTorch's default).
NORM_EPSILON = 1e-5


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


def multiplications_per_frame(settings: NetworkSettings) -> int:
    """Multiply-accumulates that one frame costs, convolutions, LSTM and dense layers together."""
    channels, bands = input_shape(settings)
    total = 0
    for stage in settings.stages:
        bands = bands_after(bands, stage)
        total += channels * stage.channels * 3 * stage.bands * bands
        channels, bands = stage.channels, bands // stage.pool
    width, units = channels * bands, settings.lstm_units
    directions = 2 if settings.bidirectional else 1
    total += directions * 4 * units * (width + units)
    return total + settings.dense_units * (dense_inputs(settings, width) + settings.n_classes)


def encoded_width(settings: NetworkSettings) -> int:
    """Values per frame that the convolutions give."""
    channels, bands = input_shape(settings)
    for stage in settings.stages:
        channels, bands = stage.channels, bands_after(bands, stage) // stage.pool
    return channels * bands


def tensor_shapes(settings: NetworkSettings) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that the layers hold, before they are made."""
    statistics = (2, settings.n_bands)
    shapes: dict[str, tuple[int, ...]] = {
        "feature_mean": statistics,
        "feature_deviation": statistics,
    }
    channels, bands = input_shape(settings)
    for place, stage in zip(convolution_places(settings), settings.stages, strict=True):
        per_channel: tuple[int, ...] = (stage.channels,)
        shapes[f"convolutions.{place}.weight"] = (stage.channels, channels, 3, stage.bands)
        if settings.batch_norm:
            for name in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"convolutions.{place + 1}.{name}"] = per_channel
            shapes[f"convolutions.{place + 1}.num_batches_tracked"] = ()
        else:
            shapes[f"convolutions.{place}.bias"] = per_channel
        channels, bands = stage.channels, bands_after(bands, stage) // stage.pool
    width, gates = channels * bands, 4 * settings.lstm_units
    for suffix in ("", "_reverse") if settings.bidirectional else ("",):
        shapes[f"lstm.weight_ih_l0{suffix}"] = (gates, width)
        shapes[f"lstm.weight_hh_l0{suffix}"] = (gates, settings.lstm_units)
        shapes[f"lstm.bias_ih_l0{suffix}"] = shapes[f"lstm.bias_hh_l0{suffix}"] = (gates,)
    shapes["dense.weight"] = (settings.dense_units, dense_inputs(settings, width))
    shapes["dense.bias"] = (settings.dense_units,)
    shapes["output.weight"] = (settings.n_classes, settings.dense_units)
    shapes["output.bias"] = (settings.n_classes,)
    return shapes


def convolution_places(settings: NetworkSettings) -> list[int]:
    """Place of each stage's convolution among the layers that the convolutional part is made of.

    A stage is padding, convolution, normalisation if there is any, cut at 0, pooling if it pools.
    """
    places, first = [], 0
    for stage in settings.stages:
        places.append(first + 1)
        first += 3 + settings.batch_norm + (stage.pool > 1)
    return places


def input_shape(settings: NetworkSettings) -> tuple[int, int]:
    """Channels and bands that enter the first convolution."""
    return (1, 2 * settings.n_bands) if settings.derivative_beside_bands else (2, settings.n_bands)


def dense_inputs(settings: NetworkSettings, width: int) -> int:
    """Values per frame that enter the first dense layer; `width` come from the convolutions."""
    directions = 2 if settings.bidirectional else 1
    beside = width if settings.dense_sees_convolutions else 0
    return directions * settings.lstm_units + beside


def bands_after(bands: int, stage: ConvStage) -> int:
    """Bands after a convolution: every step of the stride that begins inside gives one."""
    return (bands - 1) // stage.stride + 1


def band_padding(bands: int, stage: ConvStage) -> tuple[int, int]:
    """Zeros below and above the bands: just as many as let the kernels reach all of them."""
    reached = (bands_after(bands, stage) - 1) * stage.stride + stage.bands
    missing = max(0, reached - bands)
    return missing // 2, missing - missing // 2
