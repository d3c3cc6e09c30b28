"""The model in PyTorch, on any of its devices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softloc.engines.interface import Encoded
from softloc.engines.members import mean_log_odds
from softloc.errors import SettingsError
from softloc.features import FeatureSettings, LogMel, band_levels
from softloc.network import LSTMState, NetworkSettings, OnsetNetwork

#: Frames whose features are computed at once on a processor: they stay in its cache.
_TILE_FRAMES = 64


class _Memory(NamedTuple):
    """A member's LSTM state, and the frames that it has heard but not yet answered for."""

    state: LSTMState
    waiting: Tensor


class TorchEngine:
    """Features and networks as they are trained.

    Parameters
    ----------
    log_mel : LogMel
        Features; samples go to the device of its filterbank.
    networks : sequence of OnsetNetwork
        Members, of one shape, in evaluation mode and on the same device; their probabilities are
        averaged.
    level_weights : ndarray, shape (n_rows, n_bands), optional
        Rows of ``weights @ band levels`` are wanted of every frame, too.
    """

    def __init__(
        self,
        log_mel: LogMel,
        networks: Sequence[OnsetNetwork],
        level_weights: NDArray[np.floating] | None = None,
    ) -> None:
        self._log_mel, self._networks = log_mel, tuple(networks)
        device = log_mel.filterbank.device
        weights = np.zeros((0, self.features.n_bands)) if level_weights is None else level_weights
        self._level_weights = torch.from_numpy(weights.astype(np.float32)).to(device)
        self._device = device

    @property
    def features(self) -> FeatureSettings:
        """What the network sees."""
        return self._log_mel.settings

    @property
    def network(self) -> NetworkSettings:
        """The network's shape."""
        return self._networks[0].settings

    @torch.inference_mode()
    def encode(self, samples: NDArray[np.float32], before: Tensor | None) -> tuple[Encoded, Tensor]:
        """As `Engine.encode`; hands the features on that the next frames need as context."""
        features = self.compute_features(torch.from_numpy(samples).to(self._device))
        heard = self._level_weights @ band_levels(features[0, :, 0]).T
        if before is not None:
            features = torch.cat((before, features), dim=1)
        context = features[:, -2 * self.network.look_back_frames :]
        return Encoded(self.convolve(features), heard.cpu().numpy()), context

    @torch.inference_mode()
    def convolve(self, features: Tensor) -> tuple[Tensor, ...]:
        """Features (1, n_frames, 2, n_bands) to what the convolutions of each member make of it."""
        return tuple(network.encode(features) for network in self._networks)

    @torch.inference_mode()
    def join(self, values: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
        """As `Engine.join`."""
        return tuple(torch.cat(parts, dim=1) for parts in zip(*values, strict=True))

    @torch.inference_mode()
    def read(
        self, values: Sequence[Tensor], before: Sequence[_Memory] | None
    ) -> tuple[NDArray[np.float32], Any]:
        """As `Engine.read`."""
        memories: Sequence[_Memory | None] = before or [None] * len(self._networks)
        members = zip(self._networks, values, memories, strict=True)
        answers, after = zip(*(_read(*member) for member in members), strict=True)
        return mean_log_odds([logits[0].cpu().numpy() for logits in answers]), after

    def compute_features(self, samples: Tensor) -> Tensor:
        """Compute features of shape (1, n_frames, 2, n_bands)."""
        if samples.device.type != "cpu":
            return self._log_mel(samples.unsqueeze(0))  # type: ignore[no-any-return]
        settings = self.features
        n_frames = (len(samples) - settings.n_samples_for(1)) // settings.hop_samples + 1
        tiles = []
        for start in range(0, n_frames, _TILE_FRAMES):
            n_samples = settings.n_samples_for(min(_TILE_FRAMES, n_frames - start))
            first = start * settings.hop_samples
            tiles.append(self._log_mel(samples[first : first + n_samples].unsqueeze(0)))
        return torch.cat(tiles, dim=1)


def _read(network: OnsetNetwork, values: Tensor, before: _Memory | None) -> tuple[Tensor, _Memory]:
    """LSTM and dense layers of one member: logits (1, n_classes, n_frames)."""
    if before is None:
        hidden, state = network.lstm(values)
        hidden = hidden[:, network.settings.lstm_delay_frames :]
    else:
        hidden, state = network.lstm(values, before.state)
        values = torch.cat((before.waiting, values), dim=1)
    n_frames = hidden.shape[1]
    logits = network.read_out(values[:, :n_frames], hidden)
    return logits, _Memory(state, values[:, n_frames:])


def choose_device(name: str) -> str:
    """Resolve ``"auto"`` and check that this machine has the device.

    Raises
    ------
    SettingsError
        If it has not.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise SettingsError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"device {name!r} cannot be used here: {reason}") from error
    return name


def use_threads(n_threads: int) -> None:
    """Let PyTorch compute with so many threads in this process."""
    torch.set_num_threads(n_threads)
