"""How hard was it played: MIDI velocity of an event from the loudness of its first moments.

Conventions
-----------
- The *loudness* of a class in a frame is a weighted sum of the band levels there, in units of
  velocity; the weights are fitted to labels that carry velocities. It needs no other frame, so it
  is computed beside the probabilities, block by block.
- An event has the greatest loudness from `BEFORE_S` before it to `AFTER_S` after it.
- How loud a recording is says nothing about how hard it was played. The mean loudness of a class'
  events in a recording therefore stands for the mean velocity of its labels in training. Relative
  dynamics are heard; whether somebody played harder than usual throughout is not.
- This module imports nothing that knows of audio; band levels are those of
  `softloc.features.band_levels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softloc.events import Onset
from softloc.timebase import FrameGrid

#: Where an event's loudness is looked for. Its time is that of the attack; the window of a frame
#: there still holds much of what was before, and the loudest moment comes a few frames later.
BEFORE_S, AFTER_S = 0.010, 0.040

#: Fewer matched labels than these say too little about a class.
MIN_LABELS = 200

#: Velocities that vary less than this (standard deviation) were not played but filled in.
MIN_DEVIATION = 1.0

#: Weight of the penalty, in units of the labels' number. Kits differ more than labels are many:
#: with less the weights fit the training kits, with more all bands count alike
#: (`benchmarks/README.md`).
PENALTY = 1.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class VelocityReadOut:
    """Loudness of every class from band levels; part of a model, if its labels allowed it.

    Attributes
    ----------
    weight : ndarray of float32, shape (n_classes, n_bands)
        Velocity for each unit (neper) of a band's level.
    mean : ndarray of float32, shape (n_classes,)
        Mean velocity of each class.
    known : ndarray of bool, shape (n_classes,)
        Whether the labels said enough about a class.
    """

    weight: NDArray[np.float32]
    mean: NDArray[np.float32]
    known: NDArray[np.bool_]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it by name, as model files and training states keep it."""
        return {"weight": self.weight, "mean": self.mean, "known": self.known}


@dataclass(frozen=True, slots=True)
class HeardEvents:
    """Events of one class, found in one recording, some of which match a label.

    Attributes
    ----------
    levels : ndarray of float64, shape (n_events, n_inputs)
        What was heard of each event, for instance band levels.
    velocities : ndarray of float64, shape (n_events,)
        Velocity of the label that it matches; NaN where there is none.
    """

    levels: Floats
    velocities: Floats


def event_peaks(
    rows: NDArray[np.floating], times_s: NDArray[np.float64], grid: FrameGrid
) -> Floats:
    """Greatest value of each row around each event.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n_frames)
        Loudness of classes, or levels of bands.
    times_s : ndarray, shape (n_events,)
        Times of the events.
    grid : FrameGrid
        Converts them to frames.

    Returns
    -------
    ndarray of float64, shape (n_events, n_rows)
        Maxima over the frames from `BEFORE_S` before to `AFTER_S` after each event.
    """
    first, last = np.clip(frames_around(times_s, grid), 0, rows.shape[1] - 1)
    peaks = [rows[:, a : b + 1].max(axis=1) for a, b in zip(first, last, strict=True)]
    return np.array(peaks, dtype=np.float64).reshape(-1, len(rows))


def frames_around(
    times_s: NDArray[np.float64], grid: FrameGrid
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last frame in which the loudness of each event is looked for."""
    return grid.nearest_frames(times_s - BEFORE_S), grid.nearest_frames(times_s + AFTER_S)


def set_velocities(
    onsets: Sequence[Onset],
    loudness: NDArray[np.floating],
    read_out: VelocityReadOut,
    classes: Sequence[str],
    grid: FrameGrid,
) -> list[Onset]:
    """Give all events of one recording their velocities.

    Parameters
    ----------
    onsets : sequence of Onset
        Events of the recording.
    loudness : ndarray, shape (n_classes, n_frames)
        As from `read_out`, frame 0 at 0 s.
    read_out : VelocityReadOut
        The one it came from.
    classes : sequence of str
        Label of each class.
    grid : FrameGrid
        Converts times to frames.

    Returns
    -------
    list of Onset
        In the same order, with velocities of 1-127. Events of classes that nothing is known of
        stay without.
    """
    result = list(onsets)
    known, mean = read_out.known.tolist(), read_out.mean.tolist()
    for index, label in enumerate(classes):
        places = [i for i, onset in enumerate(onsets) if onset.label == label]
        if not places or not known[index]:
            continue
        times_s = np.array([onsets[i].time_s for i in places])
        heard = event_peaks(loudness[index : index + 1], times_s, grid)[:, 0]
        for i, velocity in zip(places, centred_velocities(heard, mean[index]), strict=True):
            result[i] = replace(onsets[i], velocity=int(velocity))
    return result


def centred_velocities(loudness: Floats, mean: float) -> NDArray[np.int64]:
    """Velocities, 1-127, of one class' events in one recording from their loudness."""
    whole = np.rint(mean + loudness - loudness.mean()).astype(np.int64)
    velocities: NDArray[np.int64] = np.clip(whole, 1, 127)
    return velocities


def relative_velocity(excess: float, mean: float) -> int:
    """Velocity, 1-127, of an event that is so much louder than the mean one of its class."""
    return min(max(round(mean + excess), 1), 127)


def fit_read_out(
    heard: Sequence[Sequence[HeardEvents]], n_bands: int, min_labels: int = MIN_LABELS
) -> VelocityReadOut | None:
    """Fit the weights of every class whose labels carry enough velocities.

    Parameters
    ----------
    heard : sequence (n_classes) of sequence (n_recordings) of HeardEvents
        Band levels and velocities.
    n_bands : int
        Number of bands.
    min_labels : int
        Matched labels with a velocity that a class needs.

    Returns
    -------
    VelocityReadOut or None
        None where no class has enough.
    """
    read_out = VelocityReadOut(
        np.zeros((len(heard), n_bands), np.float32),
        np.zeros(len(heard), np.float32),
        np.zeros(len(heard), np.bool_),
    )
    for index, recordings in enumerate(heard):
        fitted = fit_class(recordings, min_labels)
        if fitted is not None:
            weights, mean = fitted
            read_out.weight[index] = weights
            read_out.mean[index] = mean
            read_out.known[index] = True
    return read_out if read_out.known.any() else None


def fill_unknown(
    read_out: VelocityReadOut | None, earlier: VelocityReadOut | None
) -> VelocityReadOut | None:
    """Take classes that nothing is known of from an earlier read-out of the same classes."""
    if read_out is None or earlier is None:
        return read_out or earlier
    known = read_out.known
    return VelocityReadOut(
        weight=np.where(known[:, None], read_out.weight, earlier.weight),
        mean=np.where(known, read_out.mean, earlier.mean),
        known=known | earlier.known,
    )


def fit_class(
    recordings: Sequence[HeardEvents], min_labels: int = MIN_LABELS
) -> tuple[Floats, float] | None:
    """Fit one class: weights (n_inputs,) and mean velocity; None without enough velocities.

    The direction comes from a ridge regression within recordings. It shrinks, so the scale, and
    the mean, come from a line through what the direction says when events without label are
    there, too: with them a recording's mean is taken later.
    """
    matched = [~np.isnan(events.velocities) for events in recordings]
    if sum(int(kept.sum()) for kept in matched) < min_labels:
        return None
    pairs = list(zip(recordings, matched, strict=True))
    levels = np.concatenate([_centred(events.levels[kept]) for events, kept in pairs])
    targets = np.concatenate([_centred(events.velocities[kept]) for events, kept in pairs])
    if targets.std() < MIN_DEVIATION:
        return None
    direction = fit_ridge(levels, targets)
    said = np.concatenate([_centred(e.levels @ direction) for e in recordings if len(e.levels)])
    velocities = np.concatenate([e.velocities for e in recordings])
    known = ~np.isnan(velocities)
    slope, mean = _line(said[known], velocities[known])
    return (slope * direction, mean) if slope > 0.0 else None


def fit_ridge(inputs: Floats, targets: Floats, penalty: float = PENALTY) -> Floats:
    """Ridge regression without intercept, on inputs of equal deviation.

    Minimises ``|y - X w|² + penalty · n · Σ σ_j² w_j²`` with σ_j the root mean square of input j.

    Parameters
    ----------
    inputs : ndarray, shape (n, n_inputs)
        X, centred.
    targets : ndarray, shape (n,)
        y, centred.
    penalty : float
        Weight of the penalty.

    Returns
    -------
    ndarray, shape (n_inputs,)
        w; 0 for inputs that never vary.
    """
    scale = np.sqrt(np.square(inputs).mean(axis=0))
    scale[scale < 1e-9] = np.inf
    scaled = inputs / scale
    gram = scaled.T @ scaled
    gram[np.diag_indices_from(gram)] += penalty * len(inputs)
    weights: Floats = np.linalg.solve(gram, scaled.T @ targets) / scale
    return weights


def _centred(values: Floats) -> Floats:
    """Without the mean over events; nothing stays nothing."""
    return values - values.mean(axis=0) if len(values) else values


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and value at x = 0 of the line of least squares; slope 0 where x never varies."""
    variance = float(np.var(x))
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / variance if variance > 0.0 else 0.0
    return slope, float(y.mean()) - slope * float(x.mean())
