"""What computes a model: PyTorch on any device, or ONNX Runtime on a processor.

samples ─> `Engine.encode` (features, convolutions) ─> `Engine.read` (LSTM, dense) ─> logits

`TorchEngine` and `OnnxEngine` give the same events; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from softloc.engines.choice import AUTO, ENGINES, ONNX, TORCH, choose_engine
from softloc.engines.interface import Encoded, Engine

if TYPE_CHECKING:
    from softloc.engines.onnx_engine import OnnxEngine
    from softloc.engines.torch_engine import TorchEngine, choose_device

_HOMES = {
    "OnnxEngine": "onnx_engine",
    "TorchEngine": "torch_engine",
    "choose_device": "torch_engine",
}

__all__ = [
    "AUTO",
    "ENGINES",
    "ONNX",
    "TORCH",
    "Encoded",
    "Engine",
    "OnnxEngine",
    "TorchEngine",
    "choose_device",
    "choose_engine",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softloc.engines' has no attribute {name!r}")
    return getattr(importlib.import_module(f"softloc.engines.{_HOMES[name]}"), name)
