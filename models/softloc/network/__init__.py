"""The CNN-LSTM: log-mel features to one logit per class and frame.

This folder imports nothing of ours but itself, and PyTorch when the layers are first used: it can
be lifted out.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from softloc.network.settings import (
    NORM_EPSILON,
    ConvStage,
    NetworkSettings,
    band_padding,
    bands_after,
    convolution_places,
    dense_inputs,
    encoded_width,
    input_shape,
    multiplications_per_frame,
    tensor_shapes,
)

if TYPE_CHECKING:
    from softloc.network.layers import LSTMState, OnsetNetwork

__all__ = [
    "NORM_EPSILON",
    "ConvStage",
    "LSTMState",
    "NetworkSettings",
    "OnsetNetwork",
    "band_padding",
    "bands_after",
    "convolution_places",
    "dense_inputs",
    "encoded_width",
    "input_shape",
    "multiplications_per_frame",
    "tensor_shapes",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'softloc.network' has no attribute {name!r}")
    return getattr(importlib.import_module("softloc.network.layers"), name)
