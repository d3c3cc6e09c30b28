"""The network as two ONNX graphs: what hears the moment, and what remembers.

Conventions
-----------
- `convolution_graph`: ``features`` (frames, 2, bands) to ``encoded`` (frames, 1, width).
- `memory_graph`: ``encoded`` and the LSTM's state to ``logits`` (frames, classes) and the state
  after them. What the dense layer sees beside the LSTM comes as ``answered``: as many frames as
  those of ``encoded``, but earlier ones if the LSTM is delayed.
- Normalisations with fixed statistics are folded into the convolutions before them, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softloc.engines.onnx_file import GraphWriter
from softloc.network import (
    NORM_EPSILON,
    ConvStage,
    NetworkSettings,
    band_padding,
    bands_after,
    convolution_places,
    dense_inputs,
    encoded_width,
    input_shape,
)

#: What the LSTM hands from one stretch to the next; each comes out as ``…_after``.
STATE = ("hidden", "cell")

#: Frames that are answered for, where the dense layer sees them.
ANSWERED = "answered"

Array = NDArray[Any]


class Weights:
    """Weights by name, each checked for the shape that the settings ask for.

    Parameters
    ----------
    tensors : Mapping[str, ndarray]
        Of one member of a model file.
    """

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors

    def __call__(self, name: str, *shape: int) -> NDArray[np.float32]:
        """Return one.

        Raises
        ------
        ValueError
            If it is missing or of another shape.
        """
        tensor = self._tensors.get(name)
        if tensor is None or tensor.shape != shape:
            found = "missing" if tensor is None else f"of shape {tensor.shape}"
            raise ValueError(f"{name} is {found}, the settings ask for {shape}")
        return tensor.astype(np.float32, copy=False)


def convolution_graph(settings: NetworkSettings, weights: Weights) -> bytes:
    """Write the convolutional part.

    Raises
    ------
    ValueError
        If the weights do not fit the settings.
    """
    graph = GraphWriter("convolutions")
    shape = (2, settings.n_bands)
    x = graph.add_input("features", ("frames", *shape))
    x = graph.add("Sub", (x, graph.add_constant(weights("feature_mean", *shape))))
    x = graph.add("Div", (x, graph.add_constant(weights("feature_deviation", *shape))))
    channels, bands = input_shape(settings)
    if settings.derivative_beside_bands:
        x = graph.add("Reshape", (x, graph.add_constant(np.array([1, 1, -1, bands]))))
    else:
        x = graph.add("Transpose", (x,), perm=(1, 0, 2))
        x = graph.add("Unsqueeze", (x, graph.add_constant(np.array([0]))))
    for place, stage in zip(convolution_places(settings), settings.stages, strict=True):
        constants = fold_convolution(settings, weights, place, channels, stage)
        x = add_convolution(graph, x, constants, bands, stage)
        bands, channels = bands_after(bands, stage), stage.channels
        if stage.pool > 1:
            pool = (1, stage.pool)
            x = graph.add("MaxPool", (x,), kernel_shape=pool, strides=pool)
            bands //= stage.pool
    x = graph.add("Transpose", (x,), perm=(2, 0, 1, 3))  # (frames, 1, channels, bands)
    width = graph.add_constant(np.array([-1, 1, channels * bands]))
    graph.add("Reshape", (x, width), ("encoded",))
    graph.add_output("encoded", ("frames without context", 1, channels * bands))
    return graph.to_bytes()


def add_convolution(
    graph: GraphWriter, x: str, constants: tuple[Array, Array], bands: int, stage: ConvStage
) -> str:
    """Add a convolution, cut off at 0, to a graph; `bands` enter it. Gives its output's name."""
    below, above = band_padding(bands, stage)
    x = graph.add(
        "Conv",
        (x, *map(graph.add_constant, constants)),
        kernel_shape=(3, stage.bands),
        strides=(1, stage.stride),
        pads=(0, below, 0, above),
    )
    return graph.add("Relu", (x,))


def memory_graph(settings: NetworkSettings, weights: Weights) -> bytes:
    """Write LSTM and dense layers.

    Raises
    ------
    ValueError
        If the weights do not fit the settings.
    """
    graph = GraphWriter("memory")
    width, units = encoded_width(settings), settings.lstm_units
    directions = 2 if settings.bidirectional else 1
    encoded = graph.add_input("encoded", ("frames", 1, width))
    state = [graph.add_input(name, (directions, 1, units)) for name in STATE]
    constants = [graph.add_constant(array) for array in _lstm_weights(settings, weights, width)]
    after = [f"{name}_after" for name in STATE]

    hidden = graph.add(
        "LSTM",
        (encoded, *constants, "", *state),  # between them lengths of sequences could be given
        ("hidden_now", *after),
        hidden_size=units,
        direction="bidirectional" if settings.bidirectional else "forward",
    )
    flat = graph.add_constant(np.array([-1, directions * units]))
    hidden = graph.add("Reshape", (hidden, flat))
    if settings.dense_sees_convolutions:
        answered = graph.add_input(ANSWERED, ("frames", 1, width))
        flat = graph.add_constant(np.array([-1, width]))
        hidden = graph.add("Concat", (graph.add("Reshape", (answered, flat)), hidden), axis=1)
    n_inputs, n_units = dense_inputs(settings, width), settings.dense_units
    dense = _dense(graph, weights, "dense", n_inputs, n_units)
    hidden = graph.add("Gemm", (hidden, *dense), transB=1)
    hidden = graph.add("Sigmoid" if settings.sigmoid_dense else "Relu", (hidden,))
    output = _dense(graph, weights, "output", n_units, settings.n_classes)
    graph.add("Gemm", (hidden, *output), ("logits",), transB=1)
    graph.add_output("logits", ("frames", settings.n_classes))
    for name in after:
        graph.add_output(name, (directions, 1, units))
    return graph.to_bytes()


def fold_convolution(
    settings: NetworkSettings, weights: Weights, place: int, channels: int, stage: ConvStage
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make kernel and bias of a stage, its normalisation included."""
    size = stage.channels
    kernel = weights(f"convolutions.{place}.weight", size, channels, 3, stage.bands)
    if not settings.batch_norm:
        return kernel, weights(f"convolutions.{place}.bias", size)
    weight, bias, mean, variance = (
        weights(f"convolutions.{place + 1}.{name}", size).astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    gain = weight / np.sqrt(variance + NORM_EPSILON)
    scaled = kernel * gain[:, None, None, None]
    return scaled.astype(np.float32), (bias - gain * mean).astype(np.float32)


def _lstm_weights(
    settings: NetworkSettings, weights: Weights, width: int
) -> tuple[NDArray[np.float32], ...]:
    """Weights of inputs (directions, 4 · units, width), of the state, and both biases."""
    units = settings.lstm_units
    rows: tuple[list[Array], list[Array], list[Array]] = ([], [], [])
    for suffix in ("", "_reverse") if settings.bidirectional else ("",):
        rows[0].append(_reorder(weights(f"lstm.weight_ih_l0{suffix}", 4 * units, width)))
        rows[1].append(_reorder(weights(f"lstm.weight_hh_l0{suffix}", 4 * units, units)))
        biases = (weights(f"lstm.bias_{side}_l0{suffix}", 4 * units) for side in ("ih", "hh"))
        rows[2].append(np.concatenate([_reorder(bias) for bias in biases]))
    return tuple(np.stack(parts) for parts in rows)


def _reorder(gates: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gates as PyTorch orders them (input, forget, cell, output) to ONNX's order."""
    into, forget, cell, out = np.split(gates, 4)
    return np.concatenate((into, out, forget, cell))


def _dense(
    graph: GraphWriter, weights: Weights, name: str, n_inputs: int, n_outputs: int
) -> tuple[str, str]:
    """Kernel and bias of a dense layer as constants."""
    kernel = weights(f"{name}.weight", n_outputs, n_inputs)
    return graph.add_constant(kernel), graph.add_constant(weights(f"{name}.bias", n_outputs))
