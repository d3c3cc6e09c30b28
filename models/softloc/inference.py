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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softloc.engines import Encoded, Engine
from softloc.errors import AudioError
from softloc.features import FeatureSettings

#: Frames that pass through the network at once.
CHUNK_FRAMES = 2_000

#: Mass this near outside a recording belongs to it.
EDGE_S = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine says of a stretch of a recording, lead-in and edges included.

    Attributes
    ----------
    logits : ndarray of float32, shape (n_classes, n_frames)
        Log-odds of an event of each class.
    heard : ndarray of float32, shape (n_rows, n_frames)
        Rows made of the band levels.
    """

    logits: NDArray[np.float32]
    heard: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frames:
    """What is known of every frame of a recording.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (n_classes, n_frames)
        Probability of an event of each class; the first and the last frame also hold what lies
        just outside, and may exceed 1.
    heard : ndarray of float32, shape (n_rows, n_frames)
        What the engine makes of the band levels; no rows if it is not asked for any.
    """

    probabilities: NDArray[np.float32]
    heard: NDArray[np.float32]


def compute_frames(
    engine: Engine, blocks: Iterable[NDArray[np.float32]], chunk_frames: int = CHUNK_FRAMES
) -> Frames:
    """Probabilities of events in every frame of one recording, and what else is heard there.

    Parameters
    ----------
    engine : Engine
        Computes the model.
    blocks : iterable of ndarray, shape (n,)
        The recording at the features' sample rate, in pieces of any length.
    chunk_frames : int
        Frames computed at once; changes speed and memory, not the answer.

    Raises
    ------
    AudioError
        If the network's answer is not finite.
    """
    edge, first = edge_frames(engine.features), engine.features.lead_in_frames
    answers = list(answer_chunks(engine, blocks, chunk_frames))
    logits = np.concatenate([answer.logits for answer in answers], axis=1)[:, first - edge :]
    heard = np.concatenate([answer.heard for answer in answers], axis=1)
    return Frames(fold_edges(logits, edge), heard[:, first : first + logits.shape[1] - 2 * edge])


def compute_probabilities(
    engine: Engine, blocks: Iterable[NDArray[np.float32]], chunk_frames: int = CHUNK_FRAMES
) -> NDArray[np.float32]:
    """Only the probabilities of `compute_frames`."""
    return compute_frames(engine, blocks, chunk_frames).probabilities


def compute_logits(
    engine: Engine, blocks: Iterable[NDArray[np.float32]], chunk_frames: int = CHUNK_FRAMES
) -> NDArray[np.float32]:
    """Like `compute_probabilities`, before the logistic function and before folding.

    Returns
    -------
    ndarray of float32, shape (n_classes, edge + n_frames + edge)
        Log-odds, `edge_frames` of them before and after the recording.
    """
    answers = answer_chunks(engine, blocks, chunk_frames)
    logits = np.concatenate([answer.logits for answer in answers], axis=1)
    return logits[:, engine.features.lead_in_frames - edge_frames(engine.features) :]


def answer_chunks(
    engine: Engine, blocks: Iterable[NDArray[np.float32]], chunk_frames: int = CHUNK_FRAMES
) -> Iterator[Answer]:
    """Yield what the engine says of one recording, as it comes.

    The first frame is `FeatureSettings.lead_in_frames` before the recording, the last
    `edge_frames` after it. A network whose LSTM reads both ways says it all at once.

    Parameters
    ----------
    engine, blocks, chunk_frames
        As for `compute_frames`.

    Raises
    ------
    AudioError
        If the network's answer is not finite.
    """
    chunks = sample_chunks(engine, blocks, chunk_frames)
    if engine.network.bidirectional:
        yield _answer_both_ways(engine, chunks)
        return
    hearing = Hearing(engine)
    for samples in chunks:
        yield hearing.answer(samples)


class Hearing:
    """One recording on its way through an engine, for networks that read in one direction.

    Parameters
    ----------
    engine : Engine
        Computes the model.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._context: Any = None
        self._memory: Any = None
        self._waiting: NDArray[np.float32] | None = None  # rows of frames that have no answer yet

    def answer(self, samples: NDArray[np.float32]) -> Answer:
        """Hear the next frames.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            ``features.n_samples_for(n_frames)`` of the frames that follow.

        Returns
        -------
        Answer
            Of `n_frames` frames, ``network.look_ahead_frames`` before those of the samples. The
            first time there are less of them, by ``look_back_frames + look_ahead_frames``.

        Raises
        ------
        AudioError
            If the network's answer is not finite.
        """
        encoded, self._context = self._engine.encode(samples, self._context)
        logits, self._memory = self._engine.read(encoded.values, self._memory)
        _refuse_nonsense(logits)
        if self._waiting is None:
            heard = encoded.heard[:, self._engine.network.look_back_frames :]
        else:
            heard = np.concatenate((self._waiting, encoded.heard), axis=1)
        n_frames = logits.shape[1]
        self._waiting = heard[:, n_frames:]
        return Answer(logits, heard[:, :n_frames])


def fold_edges(logits: NDArray[np.float32], edge: int) -> NDArray[np.float32]:
    """Turn logits with `edge` frames more at both ends into probabilities of the recording."""
    probabilities = logistic(logits)
    inside = probabilities[:, edge:-edge].copy()
    inside[:, 0] += probabilities[:, :edge].sum(axis=1)
    inside[:, -1] += probabilities[:, -edge:].sum(axis=1)
    return inside


def logistic(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of log-odds."""
    with np.errstate(over="ignore"):  # of a very small probability: 0
        probabilities: NDArray[np.float32] = np.reciprocal(np.float32(1.0) + np.exp(-logits))
    return probabilities


def edge_frames(features: FeatureSettings) -> int:
    """Frames outside a recording, at each end, whose mass belongs to it."""
    return round(features.grid.seconds_to_frames(EDGE_S).item())


def _answer_both_ways(engine: Engine, chunks: Iterable[NDArray[np.float32]]) -> Answer:
    """Answer for a whole recording at once."""
    parts: list[Encoded] = []
    context: Any = None
    for samples in chunks:
        part, context = engine.encode(samples, context)
        parts.append(part)
    logits, _ = engine.read(engine.join([part.values for part in parts]), None)
    _refuse_nonsense(logits)
    first = engine.network.look_back_frames
    heard = np.concatenate([part.heard for part in parts], axis=1)
    return Answer(logits, heard[:, first : first + logits.shape[1]])


def _refuse_nonsense(logits: NDArray[np.float32]) -> None:
    if not np.isfinite(logits).all():
        raise AudioError("the network's answer is not finite: is the recording or model damaged?")


def sample_chunks(
    engine: Engine,
    blocks: Iterable[NDArray[np.float32]],
    chunk_frames: int,
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of successive frames, `chunk_frames` of them at a time.

    The first time there are ``look_back_frames + look_ahead_frames`` more of them, for which there
    is no answer; in the end there are as many as are left.
    """
    settings, shape = engine.features, engine.network
    hop = settings.hop_samples
    lead_in = settings.lead_in_frames
    silence_before = (lead_in + shape.look_back_frames) * hop + settings.look_back_samples
    edge = edge_frames(settings)
    silence_after = (edge + 1 + shape.look_ahead_frames) * hop + settings.look_ahead_samples

    pending = [np.zeros(silence_before, dtype=np.float32)]
    n_pending, n_audio, n_done = silence_before, 0, 0
    n_context = shape.look_back_frames + shape.look_ahead_frames
    for piece in _cut(blocks, chunk_frames * hop):
        pending.append(piece)
        n_pending += len(piece)
        n_audio += len(piece)
        while n_pending >= settings.n_samples_for(chunk_frames + n_context):
            samples = np.concatenate(pending)
            n_frames = chunk_frames + n_context
            yield samples[: settings.n_samples_for(n_frames)]
            pending = [samples[n_frames * hop :]]
            n_pending -= n_frames * hop
            n_done += chunk_frames
            n_context = 0
    n_left = lead_in + settings.grid.n_frames(n_audio) + edge - n_done
    if n_left > 0:
        samples = np.concatenate([*pending, np.zeros(silence_after, dtype=np.float32)])
        yield samples[: settings.n_samples_for(n_left + n_context)]


def _cut(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Pieces of at most `size`: what is left over is then copied once, not with every chunk."""
    for block in blocks:
        for start in range(0, len(block), size):
            yield block[start : start + size]
