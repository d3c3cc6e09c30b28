"""The model in ONNX Runtime, with features by NumPy: no PyTorch, on a processor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softloc.engines.choice import default_threads
from softloc.engines.interface import Encoded
from softloc.engines.members import mean_log_odds
from softloc.engines.onnx_graphs import (
    ANSWERED,
    STATE,
    Weights,
    convolution_graph,
    memory_graph,
)
from softloc.features import (
    FeatureSettings,
    NumpyLogMel,
    compress_magnitudes,
    magnitude_levels,
)
from softloc.model_files import ModelFile
from softloc.network import NetworkSettings

# Builds (seen with 1.32) report their use to Microsoft, and keep a database of events in the
# user's cache; it counts what the variable says when the library is loaded, not later.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

_ERRORS_ONLY = 3

State = tuple[NDArray[np.float32], NDArray[np.float32]]


class _Context(NamedTuple):
    """What the next frames need of those before."""

    magnitudes: NDArray[np.float32]
    features: NDArray[np.float32]


class _Memory(NamedTuple):
    """The LSTM's state, and the frames that it has heard but not yet answered for."""

    state: State
    waiting: NDArray[np.float32]


class OnnxNetwork:
    """One member of a model.

    Parameters
    ----------
    shape : NetworkSettings
        Its shape.
    weights : Weights
        Its weights.
    n_threads : int or None
        As for `OnnxEngine`.

    Attributes
    ----------
    convolutions, memory : onnxruntime.InferenceSession
        What computes the two graphs of `softloc.engines.onnx_graphs`.
    """

    def __init__(self, shape: NetworkSettings, weights: Weights, n_threads: int | None) -> None:
        self._shape = shape
        self.convolutions = _open(convolution_graph(shape, weights), n_threads)
        self.memory = _open(memory_graph(shape, weights), n_threads)

    def convolve(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (frames, 2, bands) to what the convolutions make of them."""
        (encoded,) = self.convolutions.run(None, {"features": features})
        return np.asarray(encoded)

    def read(
        self, values: NDArray[np.float32], before: _Memory | None
    ) -> tuple[NDArray[np.float32], _Memory]:
        """LSTM and dense layers, as `Engine.read` says."""
        if before is None:
            before, values = self._begin(values)
        heard = np.concatenate((before.waiting, values)) if len(before.waiting) else values
        logits, state = self.remember(values, heard[: len(values)], before.state)
        return logits.T, _Memory(state, heard[len(values) :])

    def remember(
        self, values: NDArray[np.float32], answered: NDArray[np.float32], state: State
    ) -> tuple[NDArray[np.float32], State]:
        """Logits (frames, classes) and the LSTM's state after frames that follow a state."""
        inputs = {"encoded": values, **dict(zip(STATE, state, strict=True))}
        if self._shape.dense_sees_convolutions:
            inputs[ANSWERED] = answered
        logits, hidden, cell = self.memory.run(None, inputs)
        return logits, (hidden, cell)

    def _begin(self, values: NDArray[np.float32]) -> tuple[_Memory, NDArray[np.float32]]:
        """Let the LSTM hear the frames by which it is late; return those that are left, too."""
        delay = self._shape.lstm_delay_frames
        directions = 2 if self._shape.bidirectional else 1
        rest = np.zeros((directions, 1, self._shape.lstm_units), np.float32)
        state: State = (rest, rest)
        waiting = values[:delay]
        if delay:
            _, state = self.remember(waiting, waiting, state)
        return _Memory(state, waiting), values[delay:]


class OnnxEngine:
    """A model file, made into ONNX graphs when it is opened.

    That takes a few milliseconds; there is no second file that could disagree with the first.

    Parameters
    ----------
    model : ModelFile
        As from `softloc.model_files.read_model`.
    n_threads : int or None
        Threads to compute with; None takes `softloc.engines.choice.default_threads`. The answer
        does not depend on it.

    Attributes
    ----------
    members : list of OnnxNetwork
        The networks, whose probabilities are averaged.

    Raises
    ------
    ValueError
        If the weights do not fit the settings.
    """

    def __init__(self, model: ModelFile, n_threads: int | None = None) -> None:
        self._features, self._shape = model.settings.features, model.settings.network
        filterbank = model.tensors.get("log_mel.filterbank")
        expected = (self._features.fft_samples // 2 + 1, self._features.n_bands)
        if filterbank is None or filterbank.shape != expected:
            raise ValueError(f"log_mel.filterbank is not of shape {expected}")
        self._log_mel = NumpyLogMel(self._features, filterbank)
        self.members = [
            OnnxNetwork(self._shape, Weights(part), n_threads) for part in model.members
        ]
        velocity = model.velocity
        self._level_weights = None if velocity is None else velocity.weight

    @property
    def features(self) -> FeatureSettings:
        """What the network sees."""
        return self._features

    @property
    def network(self) -> NetworkSettings:
        """The network's shape."""
        return self._shape

    def encode(
        self, samples: NDArray[np.float32], before: _Context | None
    ) -> tuple[Encoded, _Context]:
        """As `Engine.encode`."""
        magnitudes = self._log_mel.band_magnitudes(
            samples, None if before is None else before.magnitudes
        )
        n_context = 2 * self._shape.look_back_frames
        n_before = 0 if before is None else n_context
        features = np.empty(
            (n_before + len(magnitudes) - 1, 2, magnitudes.shape[1]), dtype=np.float32
        )
        if before is not None:
            features[:n_before] = before.features
        compress_magnitudes(magnitudes, out=features[n_before:])
        after = _Context(magnitudes[-1], features[len(features) - n_context :])
        return Encoded(self.convolve(features), self._hear(magnitudes[1:])), after

    def convolve(self, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Features (frames, 2, bands) to what the convolutions of each member make of them."""
        return [member.convolve(features) for member in self.members]

    def join(self, values: Sequence[Sequence[NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
        """As `Engine.join`."""
        return [np.concatenate(parts) for parts in zip(*values, strict=True)]

    def read(
        self, values: Sequence[NDArray[np.float32]], before: Sequence[_Memory] | None
    ) -> tuple[NDArray[np.float32], Any]:
        """As `Engine.read`."""
        memories: Sequence[_Memory | None] = before or [None] * len(self.members)
        heard = zip(self.members, values, memories, strict=True)
        logits, after = zip(*(one.read(part, memory) for one, part, memory in heard), strict=True)
        return mean_log_odds(logits), after

    def _hear(self, magnitudes: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._level_weights is None:
            return np.zeros((0, len(magnitudes)), np.float32)
        return self._level_weights @ magnitude_levels(magnitudes).T


def _open(graph: bytes, n_threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = default_threads() if n_threads is None else n_threads
    # Threads that spin while they wait take the cores from whoever has work to do.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
