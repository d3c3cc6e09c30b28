"""Fit a model's velocities to labels that carry them, after its training.

Conventions
-----------
- The network stays as it is. What it finds in training recordings is matched with their labels,
  so times may be as imprecise as the training stands, and the loudness is heard where it will be
  heard later: at the times of the answers.
- No randomness but the choice of recordings, which the seed decides.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from softloc.audio_store import AudioStore
from softloc.checkpoints import Checkpoint
from softloc.datasets import Dataset, LabelSequence
from softloc.decoding import decode_onsets
from softloc.engines import TorchEngine
from softloc.evaluation import match_times
from softloc.inference import Frames, compute_frames
from softloc.timebase import seconds_to_microseconds
from softloc.velocity import HeardEvents, VelocityReadOut, event_peaks, fit_read_out

#: Three times as much audio makes the errors 1 % smaller.
MAX_FIT_S = 2_400.0

#: Least tolerance of the matching.
MIN_WINDOW_S = 0.050


def fit_velocities(
    model: Checkpoint,
    dataset: Dataset,
    store: AudioStore,
    *,
    max_s: float = MAX_FIT_S,
    seed: int = 0,
) -> VelocityReadOut | None:
    """Fit the read-out of velocities to the labels of a dataset.

    Parameters
    ----------
    model : Checkpoint
        Trained, of the dataset's classes.
    dataset : Dataset
        Recordings and labels.
    store : AudioStore
        Audio of the same recordings.
    max_s : float
        Recordings are drawn up to so many seconds, one at least.
    seed : int
        Of that draw.

    Returns
    -------
    VelocityReadOut or None
        None where the labels carry too few velocities, or all alike.
    """
    window_s = match_window_s(model.settings.softness_ms)
    engine = bands_engine(model)
    heard: list[list[HeardEvents]] = [[] for _ in model.settings.classes]
    for index in draw_recordings(dataset, max_s, seed):
        frames = compute_frames(engine, store.blocks(index))
        times_s = event_times_s(model, frames)
        for sequence in dataset.recordings[index].sequences:
            for c, events in enumerate(heard):
                levels = event_peaks(frames.heard, times_s[c], model.settings.features.grid)
                velocities = match_velocities(times_s[c], sequence, c, window_s)
                events.append(HeardEvents(levels, velocities))
    return fit_read_out(heard, model.settings.features.n_bands)


def draw_recordings(dataset: Dataset, max_s: float, seed: int) -> list[int]:
    """Draw recordings whose labels carry velocities, up to `max_s` seconds; one if there is any."""
    usable = [
        index
        for index, recording in enumerate(dataset.recordings)
        if any(sequence.velocities is not None for sequence in recording.sequences)
    ]
    return dataset.draw(usable, max_s, seed)


def match_window_s(softness_ms: float) -> float:
    """Choose the tolerance for labels of this softness: twice as much, 50 ms at least."""
    return max(MIN_WINDOW_S, 2.0 * softness_ms / 1000.0 if math.isfinite(softness_ms) else 0.0)


def event_times_s(model: Checkpoint, frames: Frames) -> list[NDArray[np.float64]]:
    """Decode the times of each class' events."""
    settings = model.settings
    onsets = decode_onsets(
        frames.probabilities,
        settings.classes,
        settings.features.grid,
        softness_ms=settings.softness_ms,
        event_mass=settings.event_mass,
    )
    return [np.array([o.time_s for o in onsets if o.label == c]) for c in settings.classes]


def match_velocities(
    times_s: NDArray[np.float64], sequence: LabelSequence, class_index: int, window_s: float
) -> NDArray[np.float64]:
    """Find the velocity that the labels give each event.

    Parameters
    ----------
    times_s : ndarray, shape (n_events,)
        Times of one class' events.
    sequence : LabelSequence
        Labels of the recording.
    class_index : int
        The class.
    window_s : float
        Tolerance.

    Returns
    -------
    ndarray, shape (n_events,)
        Velocity of the label that each event matches; NaN where there is none, or it has none.
    """
    velocities = np.full(len(times_s), np.nan)
    if sequence.velocities is None:
        return velocities
    labels = np.flatnonzero(sequence.classes == class_index)
    pairs = match_times(
        seconds_to_microseconds(sequence.times_s[labels]),
        seconds_to_microseconds(times_s),
        window_s,
    )
    velocities[pairs[:, 1]] = sequence.velocities[labels[pairs[:, 0]]]
    velocities[velocities == 0] = np.nan
    return velocities


def bands_engine(model: Checkpoint) -> TorchEngine:
    """Compute a model and keep the band levels themselves, one row a band."""
    return TorchEngine(model.log_mel, model.networks, np.eye(model.settings.features.n_bands))
