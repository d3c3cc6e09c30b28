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
        Their output in whatever form the engine keeps it.
    heard : ndarray of float32, shape (n_rows, n_frames)
        Rows made of the band levels: loudness of each class, or none. Of all frames of the stretch,
        those included that only serve as context.
    """

    values: Any
    heard: NDArray[np.float32]


class Engine(Protocol):
    """Computes one model; recordings go through it stretch by stretch.

    What one stretch leaves for the next is returned and handed in again; None begins a recording.
    No frame's features, and no step of the LSTM, are computed twice.
    """

    @property
    def features(self) -> FeatureSettings:
        """What the network sees."""

    @property
    def network(self) -> NetworkSettings:
        """The network's shape; that of each, where several answer together."""

    def encode(self, samples: NDArray[np.float32], before: Any) -> tuple[Encoded, Any]:
        """Compute features and convolutions of the next frames.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            ``features.n_samples_for(n_frames)`` samples; frames follow those of the stretch before.
        before : object
            What the previous stretch of the recording returned; None for the first.

        Returns
        -------
        Encoded
            The convolutions' answer for `n_frames` frames, which lie ``network.look_back_frames``
            before those of the samples; the first stretch must be longer than the context
            (``2 * look_back_frames``), and gives so many less.
        after : object
            For the next stretch.
        """

    def join(self, values: Sequence[Any]) -> Any:
        """Make one of the values of successive stretches, for an LSTM that reads both ways."""

    def read(self, values: Any, before: Any) -> tuple[NDArray[np.float32], Any]:
        """Compute LSTM and dense layers.

        Parameters
        ----------
        values : object
            Of `Encoded`.
        before : object
            What the previous stretch of the recording returned; None for the first.

        Returns
        -------
        logits : ndarray of float32, shape (n_classes, n_frames)
            Log-odds of an event, ``network.lstm_delay_frames`` before the frames of `values`; the
            first stretch must be longer than that, and gives so many less.
        after : object
            For the next stretch.
        """
