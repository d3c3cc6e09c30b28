"""Audio through the network, block by block: the same answer however a recording is cut.

Conventions
-----------
- Before the first sample and after the last there is silence. The network hears `LEAD_IN_S` of it
  first, and its output for that is dropped, but for the last frames before the recording: a network
  that is not quite sure spreads an event over a few frames, and the mass that it puts just outside
  the recording belongs to the first and the last frame. Frame 0 of the result is at 0 s.
- Memory for samples and features does not grow with the recording. A network whose LSTM reads both
  ways keeps the output of its convolutions for the whole recording instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softloc.errors import AudioError
from softloc.features import LogMel, band_levels
from softloc.network import LSTMState, OnsetNetwork

#: Frames that pass through the network at once.
CHUNK_FRAMES = 2_000

#: Mass this near outside a recording belongs to it.
EDGE_S = 0.05

#: What else is wanted of every frame: band levels (n_frames, n_bands) to rows (n_rows, n_frames).
Listener = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Frames:
    """What is known of every frame of a recording.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (n_classes, n_frames)
        Probability of an event of each class; the first and the last frame also hold what lies
        just outside, and may exceed 1.
    heard : ndarray of float32, shape (n_rows, n_frames)
        What the listener made of the band levels; no rows without one.
    """

    probabilities: NDArray[np.float32]
    heard: NDArray[np.float32]


def compute_frames(
    log_mel: LogMel,
    network: OnsetNetwork,
    blocks: Iterable[NDArray[np.float32]],
    listener: Listener | None = None,
    chunk_frames: int = CHUNK_FRAMES,
) -> Frames:
    """Probabilities of events in every frame of one recording, and what a listener hears there.

    Parameters
    ----------
    log_mel, network, blocks, chunk_frames
        As in `compute_probabilities`.
    listener : callable, optional
        Turns band levels into rows, frame by frame: a `softloc.velocity.VelocityReadOut`.

    Raises
    ------
    AudioError
        If the network's answer is not finite.
    """
    edge = edge_frames(log_mel)
    rows: list[Tensor] = []
    chunks = _feature_chunks(log_mel, network, blocks, chunk_frames)
    logits = _logits(log_mel, network, _overhear(chunks, network, listener or _hear_nothing, rows))
    first = log_mel.settings.lead_in_frames
    heard = torch.cat(rows, dim=1)[:, first : first + logits.shape[1] - 2 * edge]
    return Frames(fold_edges(logits, edge), np.asarray(heard.cpu().numpy()))


def compute_probabilities(
    log_mel: LogMel,
    network: OnsetNetwork,
    blocks: Iterable[NDArray[np.float32]],
    chunk_frames: int = CHUNK_FRAMES,
) -> NDArray[np.float32]:
    """Probabilities of events in every frame of one recording.

    Parameters
    ----------
    log_mel, network
        A model, in evaluation mode.
    blocks : iterable of ndarray, shape (n,)
        The recording at the features' sample rate, in pieces of any length.
    chunk_frames : int
        Frames computed at once; changes speed and memory, not the answer.

    Returns
    -------
    ndarray of float32, shape (n_classes, n_frames)
        Probability of an event of each class in each frame; the first and the last frame also
        hold what lies just outside, and may exceed 1.

    Raises
    ------
    AudioError
        If the network's answer is not finite.
    """
    return compute_frames(log_mel, network, blocks, chunk_frames=chunk_frames).probabilities


def fold_edges(logits: NDArray[np.float32], edge: int) -> NDArray[np.float32]:
    """Turn logits with `edge` frames more at both ends into probabilities of the recording."""
    probabilities: NDArray[np.float32] = torch.from_numpy(logits).sigmoid().numpy()
    inside = probabilities[:, edge:-edge].copy()
    inside[:, 0] += probabilities[:, :edge].sum(axis=1)
    inside[:, -1] += probabilities[:, -edge:].sum(axis=1)
    return inside


def edge_frames(log_mel: LogMel) -> int:
    """Frames outside a recording, at each end, whose mass belongs to it."""
    return round(log_mel.settings.grid.seconds_to_frames(EDGE_S).item())


def compute_logits(
    log_mel: LogMel,
    network: OnsetNetwork,
    blocks: Iterable[NDArray[np.float32]],
    chunk_frames: int = CHUNK_FRAMES,
) -> NDArray[np.float32]:
    """Like `compute_probabilities`, before the logistic function and before folding.

    Returns
    -------
    ndarray of float32, shape (n_classes, edge + n_frames + edge)
        Log-odds, `edge_frames` of them before and after the recording.
    """
    return _logits(log_mel, network, _feature_chunks(log_mel, network, blocks, chunk_frames))


@torch.inference_mode()
def _logits(
    log_mel: LogMel, network: OnsetNetwork, chunks: Iterable[Tensor]
) -> NDArray[np.float32]:
    if network.settings.bidirectional:
        encoded = torch.cat([network.encode(chunk) for chunk in chunks], dim=1)
        hidden, _ = network.lstm(encoded)
        logits = network.read_out(encoded, hidden)
    else:
        logits = torch.cat(list(_forward(network, chunks)), dim=2)
    if not torch.isfinite(logits).all():
        raise AudioError("the network's answer is not finite: is the recording or model damaged?")
    first = log_mel.settings.lead_in_frames - edge_frames(log_mel)
    return np.asarray(logits[0, :, first:].cpu().numpy())


def _overhear(
    chunks: Iterable[Tensor], network: OnsetNetwork, listener: Listener, rows: list[Tensor]
) -> Iterator[Tensor]:
    """Pass features on, and add what the listener makes of the frames inside their context."""
    before, after = network.settings.look_back_frames, network.settings.look_ahead_frames
    for chunk in chunks:
        rows.append(listener(band_levels(chunk[0, before : chunk.shape[1] - after, 0])))
        yield chunk


def _hear_nothing(levels: Tensor) -> Tensor:
    return levels.new_zeros(0, len(levels))


def _forward(network: OnsetNetwork, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    state: LSTMState | None = None
    for chunk in chunks:
        logits, state = network(chunk, state)
        yield logits


def _feature_chunks(
    log_mel: LogMel,
    network: OnsetNetwork,
    blocks: Iterable[NDArray[np.float32]],
    chunk_frames: int,
) -> Iterator[Tensor]:
    """Yield features of shape (1, look_back + n + look_ahead, 2, bands).

    `n` is `chunk_frames`, and what is left in the end: at most the context more than that.
    """
    settings, shape = log_mel.settings, network.settings
    hop = settings.hop_samples
    context = shape.look_back_frames + shape.look_ahead_frames
    lead_in = settings.lead_in_frames
    silence_before = (lead_in + shape.look_back_frames) * hop + settings.look_back_samples
    edge = edge_frames(log_mel)
    silence_after = (edge + 1 + shape.look_ahead_frames) * hop + settings.look_ahead_samples

    pending = [np.zeros(silence_before, dtype=np.float32)]
    n_pending, n_audio, n_done = silence_before, 0, 0
    chunk_samples = settings.n_samples_for(chunk_frames + context)
    for piece in _cut(blocks, chunk_frames * hop):
        pending.append(piece)
        n_pending += len(piece)
        n_audio += len(piece)
        while n_pending >= chunk_samples:
            samples = np.concatenate(pending)
            yield _features(log_mel, samples[:chunk_samples])
            pending = [samples[chunk_frames * hop :]]
            n_pending -= chunk_frames * hop
            n_done += chunk_frames
    n_left = lead_in + settings.grid.n_frames(n_audio) + edge - n_done
    if n_left > 0:
        samples = np.concatenate([*pending, np.zeros(silence_after, dtype=np.float32)])
        yield _features(log_mel, samples[: settings.n_samples_for(n_left + context)])


def _cut(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Pieces of at most `size`: what is left over is then copied once, not with every chunk."""
    for block in blocks:
        for start in range(0, len(block), size):
            yield block[start : start + size]


def _features(log_mel: LogMel, samples: NDArray[np.float32]) -> Tensor:
    device = log_mel.filterbank.device
    features: Tensor = log_mel(torch.from_numpy(samples).to(device).unsqueeze(0))
    return features
