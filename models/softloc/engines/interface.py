"""What computes a model: PyTorch, or something lighter with the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softloc.features import FeatureSettings
from softloc.network import NetworkSettings


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the convolutions make of a stretch of audio.

    Attributes
    ----------
    values : object
        Their output, (look-ahead of the LSTM included) in whatever form the engine keeps it.
    heard : ndarray of float32, shape (n_rows, n_frames)
        Rows made of the band levels: loudness of each class, or none.
    """

    values: Any
    heard: NDArray[np.float32]


class Engine(Protocol):
    """Computes one model; recordings go through it stretch by stretch."""

    @property
    def features(self) -> FeatureSettings:
        """What the network sees."""

    @property
    def network(self) -> NetworkSettings:
        """The network's shape."""

    def encode(self, samples: NDArray[np.float32]) -> Encoded:
        """Compute features and convolutions.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            ``features.n_samples_for(look_back + n_frames + look_ahead)`` samples, with the
            network's look-back and look-ahead.
        """

    def join(self, values: Sequence[Any]) -> Any:
        """Make one of the values of successive stretches, for an LSTM that reads both ways."""

    def read(self, values: Any, state: Any) -> tuple[NDArray[np.float32], Any]:
        """Compute LSTM and dense layers.

        Parameters
        ----------
        values : object
            Of `Encoded`.
        state : object
            What the previous stretch of the recording returned; None for the first.

        Returns
        -------
        logits : ndarray of float32, shape (n_classes, n_frames)
            Log-odds of an event in each frame.
        state : object
            For the next stretch.
        """
