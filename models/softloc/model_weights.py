"""What the tensors of a model file must be: their names, shapes, types and values.

A file from a stranger may hold anything. What would show only later, as answers that are not
finite or that differ between engines, is refused when the file is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softloc.features import FeatureSettings
from softloc.network import NORM_EPSILON, NetworkSettings, convolution_places, tensor_shapes

Array = NDArray[Any]
Shape = tuple[int, ...]

_SINGLE_MAX = float(np.finfo(np.float32).max)

#: What values by the last part of their tensor's name may be; all others are finite.
_RANGES: Mapping[str, tuple[float, float]] = {
    "filterbank": (0.0, 1e6),  # ours sum to 1
    "feature_deviation": (1e-6, _SINGLE_MAX),  # ours are 1e-3 or more
    "running_var": (0.0, _SINGLE_MAX),
}

#: Networks that one model may have.
MAX_MEMBERS = 64

#: Kinds of numbers other than real ones.
_KINDS = {"num_batches_tracked": "i", "known": "b"}

#: No logarithm of a finite number in single precision is larger.
_LARGEST_FEATURE = float(np.log(_SINGLE_MAX))

#: Values on the way through the network may grow to this: single precision, with some room.
_LARGEST_VALUE = 1e37


def member_parts(n_members: int) -> tuple[str, ...]:
    """Names of the parts of a model file that hold its networks: ``network``, ``network2``, …."""
    return ("network", *(f"network{number}" for number in range(2, n_members + 1)))


def check_tensors(
    tensors: Mapping[str, Array],
    features: FeatureSettings,
    network: NetworkSettings,
    n_members: int = 1,
) -> None:
    """Refuse tensors that are not exactly those that a model of these settings has.

    Parameters
    ----------
    tensors : Mapping[str, ndarray]
        All of a model file.
    features : FeatureSettings
        What the network sees.
    network : NetworkSettings
        Its shape.
    n_members : int
        Networks of that shape in the file.

    Raises
    ------
    ValueError
        Naming the tensor and what is wrong with it: missing or unknown, of another shape or type,
        not finite, outside of the values that it may hold, or so large that loud sound would get
        no finite answer.
    """
    parts = member_parts(n_members)
    shapes = _shapes(tensors, features, network, parts)
    for name, shape in shapes.items():
        found = tensors.get(name)
        if found is None or found.shape != shape:
            what = "missing" if found is None else f"of shape {found.shape}"
            raise ValueError(f"{name} is {what}, the settings ask for {shape}")
    for name, tensor in tensors.items():
        if name not in shapes:
            raise ValueError(f"a model of these settings has no tensor {name!r}")
        _check_values(name, tensor)
    layers = chain.from_iterable(_largest_values(tensors, network, part) for part in parts)
    for names, bound in chain(layers, _largest_loudness(tensors)):
        if not bound <= _LARGEST_VALUE:
            extremes = {name: float(np.abs(tensors[name]).max()) for name in names}
            name = max(extremes, key=extremes.__getitem__)
            raise ValueError(f"{name} holds ±{extremes[name]:g}: loud sound gets no finite answer")


def _shapes(
    tensors: Mapping[str, Array],
    features: FeatureSettings,
    network: NetworkSettings,
    parts: Sequence[str],
) -> dict[str, Shape]:
    """All tensors by name; those of velocities only where there is one of them."""
    n_classes, n_bands = network.n_classes, features.n_bands
    shapes: dict[str, Shape] = {"log_mel.filterbank": (features.fft_samples // 2 + 1, n_bands)}
    for part in parts:
        shapes |= {f"{part}.{name}": shape for name, shape in tensor_shapes(network).items()}
    if any(name.startswith("velocity.") for name in tensors):
        shapes["velocity.weight"] = (n_classes, n_bands)
        shapes["velocity.mean"] = shapes["velocity.known"] = (n_classes,)
    return shapes


def _check_values(name: str, tensor: Array) -> None:
    last = name.rpartition(".")[2]
    kind = _KINDS.get(last, "f")
    if tensor.dtype.kind != kind:
        raise ValueError(f"{name} is of type {tensor.dtype}")
    if kind != "f":
        return
    # Both engines compute in single precision: what lies beyond is infinite there.
    low, high = _RANGES.get(last, (-_SINGLE_MAX, _SINGLE_MAX))
    if low <= float(tensor.min()) and float(tensor.max()) <= high:
        return
    odd_one = next(value for value in tensor.flat if not low <= float(value) <= high)
    if abs(float(odd_one)) <= _SINGLE_MAX:
        raise ValueError(f"{name} holds {odd_one:g}, not {low:g} to {high:g}")
    raise ValueError(f"{name} holds {odd_one:g}, which is not finite")


def _largest_values(
    tensors: Mapping[str, Array], network: NetworkSettings, part: str
) -> Iterator[tuple[Sequence[str], float]]:
    """Bound what leaves each layer of a member, whatever the sound: weights times what enters.

    Yields
    ------
    names : sequence of str
        Of the tensors that the layer is made of.
    bound : float
        No value that leaves it is larger.
    """

    def absolute(name: str) -> NDArray[np.float64]:
        return np.abs(tensors[name], dtype=np.float64)

    names = [f"{part}.feature_mean"]
    deviation = absolute(f"{part}.feature_deviation")
    values = ((_LARGEST_FEATURE + absolute(names[0])) / deviation).max(axis=1)
    if network.derivative_beside_bands:
        values = values.max(keepdims=True)
    yield names, values.max()
    for place in convolution_places(network):
        names = [f"{part}.convolutions.{place}.weight"]
        values = absolute(names[0]).sum(axis=(2, 3)) @ values
        yield names, values.max()
        if network.batch_norm:
            norm = f"{part}.convolutions.{place + 1}"
            names = [f"{norm}.{name}" for name in ("weight", "bias", "running_mean")]
            gain, bias, mean = map(absolute, names)
            gain /= np.sqrt(absolute(f"{norm}.running_var") + NORM_EPSILON)
            values = np.maximum(gain, gain * (values + mean) + bias)
        else:
            names = [f"{part}.convolutions.{place}.bias"]
            values = values + absolute(names[0])
        yield names, values.max()
    width = tensors[f"{part}.lstm.weight_ih_l0"].shape[1]
    encoded = np.repeat(values, width // len(values))
    suffixes = ("", "_reverse") if network.bidirectional else ("",)
    for suffix in suffixes:
        of_layer = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        names = [f"{part}.lstm.{name}{suffix}" for name in of_layer]
        inward, around, *biases = map(absolute, names)
        # What an LSTM says and hears of itself lies between -1 and 1.
        yield names, (inward @ encoded + around.sum(axis=1) + sum(biases)).max()
    values = np.ones(len(suffixes) * network.lstm_units)
    if network.dense_sees_convolutions:
        values = np.concatenate((encoded, values))
    for layer in ("dense", "output"):
        names = [f"{part}.{layer}.weight", f"{part}.{layer}.bias"]
        weight, bias = map(absolute, names)
        values = weight @ values + bias
        yield names, values.max()


def _largest_loudness(tensors: Mapping[str, Array]) -> Iterator[tuple[Sequence[str], float]]:
    """Bound the loudness of every class, as `_largest_values` does for layers."""
    if "velocity.weight" in tensors:
        weight = np.abs(tensors["velocity.weight"], dtype=np.float64)
        yield ["velocity.weight"], (weight.sum(axis=1) * _LARGEST_FEATURE).max()
