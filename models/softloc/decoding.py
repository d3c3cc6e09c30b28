"""Points from probabilities, by mass: no peak picking.

A network trained with the SoftLoc loss puts one unit of probability mass on each event. Reading
the events off is then counting: a *run* of frames holding mass ``m`` gives ``⌊m + ½⌋`` events at
its centres of mass. What a run is, the loss itself says. It compares signals after smoothing both
(Eq. 2), so runs are the surroundings of the points that this loss takes for nearest to the
probabilities p:

    minimise over sets of times E:   ‖ Φ_S * (p - Σ_{e in E} δ_e) ‖² / Σ φ_S²

with the softness S that the network was trained with. Nothing in it is fitted to data.

Conventions
-----------
- A point is set where at least `SEED` is left unexplained by the points before it. That only says
  where a run may be; whether it holds an event, its mass decides (`benchmarks/README.md` shows
  how little it matters).
- A run is what lies nearest to its points and within 2 S of them; points closer together than that
  share one run. Its mass is cut into equal shares in order of time, one event at the centre of
  each.
- There is no threshold on probabilities, no suppression of neighbours and nothing to tune. One half
  is where rounding to whole events turns over.
- Times are real numbers, finer than a frame. Signals are not cut off at their ends here: the
  first and the last frame are frames like all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softloc.events import Onset, sort_onsets
from softloc.timebase import FrameGrid

#: Least softness to decode with: where a network was trained without any, the distance of
#: unsmoothed signals would only compare single frames.
MIN_SOFTNESS_MS = 10.0

#: Softness for networks that were trained from counts alone and know of no distance.
COUNT_SOFTNESS_MS = 30.0

#: Labels softer than this, an infinite softness among them, say nothing of when.
MAX_SOFTNESS_MS = 10_000.0

# Beyond this many softnesses two smoothed points share nothing that double precision sees.
_REACH = 12.0
#: Unexplained mass, seen through the smoothing, where a run may be. Half a unit of mass still shows
#: as a quarter when it is spread as widely as 2.4 softnesses.
SEED = 0.25

# Points are moved until none moves farther than this, and at most so many times.
_SETTLED_FRAMES = 1e-4
_MOST_ROUNDS = 10
# Frames per block of the table of maxima.
_BLOCK = 64

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Points:
    """Events of one class, as arrays of shape (n_events,), in order of time.

    Attributes
    ----------
    frames : ndarray of float64
        Fractional frame of each event.
    masses : ndarray of float64
        Probability mass nearest to each event.
    deviations_frames : ndarray of float64
        Standard deviation of that mass in time.
    """

    frames: Floats
    masses: Floats
    deviations_frames: Floats


def decode_points(
    probabilities: NDArray[np.floating],
    softness_frames: float,
    event_mass: float = 1.0,
    seed: float = SEED,
) -> Points:
    """Read the events of one class off its probabilities.

    Parameters
    ----------
    probabilities : ndarray, shape (n_frames,)
        Probability (mass) of an event in each frame.
    softness_frames : float
        Softness S of the distance, in frames; positive.
    event_mass : float
        Mass that the network was trained to put on one event: 1, or the length of the labels in
        frames for losses that stretch them.
    seed : float
        Unexplained mass that a run needs to be looked at.

    Returns
    -------
    Points
        In order of time.
    """
    mass = probabilities.astype(np.float64) / event_mass
    search = _Search(mass, softness_frames, seed)
    while search.add():
        pass
    events = [
        _equal_shares(mass, start, end)
        for start, end in _runs(search.points, mass, softness_frames)
    ]
    if not events:
        return Points(np.zeros(0), np.zeros(0), np.zeros(0))
    frames, masses, deviations = (np.concatenate(column) for column in zip(*events, strict=True))
    return Points(frames, masses, deviations)


def decode_onsets(
    probabilities: NDArray[np.floating],
    labels: Sequence[str],
    grid: FrameGrid,
    *,
    softness_ms: float,
    event_mass: float = 1.0,
    midi_notes: Sequence[int | None] | None = None,
) -> list[Onset]:
    """Read the events of all classes off their probabilities.

    Parameters
    ----------
    probabilities : ndarray, shape (n_classes, n_frames)
        Probability of an event in each frame; frame 0 is at 0 s.
    labels : sequence of str
        Name of each class.
    grid : FrameGrid
        Converts frames to seconds.
    softness_ms : float
        Softness that the network was trained with.
    event_mass : float
        As in `decode_points`.
    midi_notes : sequence of (int or None), optional
        Note of each class, to be kept with its events.

    Returns
    -------
    list of Onset
        Sorted, with confidence (mass, clipped to 1) and spread of each.
    """
    usable_ms = max(softness_ms, MIN_SOFTNESS_MS) if softness_ms <= MAX_SOFTNESS_MS else 0.0
    softness_frames = grid.ms_to_frames(usable_ms or COUNT_SOFTNESS_MS)
    notes = [None] * len(labels) if midi_notes is None else midi_notes
    onsets: list[Onset] = []
    for label, note, row in zip(labels, notes, probabilities, strict=True):
        points = decode_points(row, softness_frames, event_mass)
        onsets += [
            Onset(time_s, label, note, confidence=min(mass, 1.0), time_std_s=deviation_s)
            for time_s, mass, deviation_s in zip(
                grid.frames_to_seconds(points.frames).tolist(),
                points.masses.tolist(),
                grid.frames_to_seconds(points.deviations_frames).tolist(),
                strict=True,
            )
        ]
    return sort_onsets(onsets)


class _Search:
    """Greedy descent on the distance: add the best point, let its neighbours settle, go on.

    It goes on below one half, where a point no longer lowers the distance: what is left there may
    be spread more widely than the smoothing, and its mass shall be looked at, too.

    `unexplained` is the overlap of the smoothed residual with a smoothed point at each frame, in
    units of the kernel's energy: adding a point where it is ``r`` lowers the distance by
    ``2 r - 1``. Points reach each other through ``exp(-d² / 4 S²)``.
    """

    def __init__(self, mass: Floats, softness_frames: float, seed: float) -> None:
        self.points: list[float] = []
        self._seed = seed
        self._scale = 1.0 / (4.0 * softness_frames**2)
        self._reach = math.ceil(math.sqrt(_REACH / self._scale))
        lags = np.arange(-self._reach, self._reach + 1, dtype=np.float64)
        kernel = np.exp(-self._scale * lags**2)
        self.unexplained = np.convolve(mass, kernel)[self._reach : self._reach + len(mass)]
        n_blocks = -(-len(mass) // _BLOCK)
        self._maxima = np.array([self._maximum(block) for block in range(n_blocks)])

    def add(self) -> bool:
        """Add the point that explains most, if one explains enough; say whether it did."""
        block = int(self._maxima.argmax())
        if self._maxima[block] <= self._seed:
            return False
        start = block * _BLOCK
        frame = start + int(self.unexplained[start : start + _BLOCK].argmax())
        point = self._between_frames(frame)
        self.points.append(point)
        self._change(point, -1.0)
        self._settle(point)
        return True

    def _settle(self, new: float) -> None:
        """Move the points around a new one to where they gain most, given the others."""
        near = [i for i, point in enumerate(self.points) if abs(point - new) <= self._reach]
        if len(near) == 1:
            return
        for _ in range(_MOST_ROUNDS):
            farthest = max(self._move(index) for index in near)
            if farthest <= _SETTLED_FRAMES:
                return

    def _move(self, index: int) -> float:
        """Take a point away and put it back uphill of where it was; return how far it went."""
        old = self.points[index]
        self._change(old, 1.0)
        frame = min(max(round(old), 0), len(self.unexplained) - 1)
        while (higher := self._higher_neighbour(frame)) != frame:
            frame = higher
        new = self._between_frames(frame)
        self.points[index] = new
        self._change(new, -1.0)
        return math.fabs(new - old)

    def _higher_neighbour(self, frame: int) -> int:
        around = range(max(frame - 1, 0), min(frame + 2, len(self.unexplained)))
        return max(around, key=lambda t: (self.unexplained[t], t == frame))

    def _between_frames(self, frame: int) -> float:
        """Vertex of the parabola through a frame and its neighbours."""
        if not 0 < frame < len(self.unexplained) - 1:
            return float(frame)
        before, here, after = map(float, self.unexplained[frame - 1 : frame + 2])
        curvature = before - 2.0 * here + after
        if curvature >= 0.0:
            return float(frame)
        return frame + min(max(0.5 * (before - after) / curvature, -0.5), 0.5)

    def _change(self, point: float, sign: float) -> None:
        """Add or take away what a point explains."""
        start = max(0, math.floor(point) - self._reach)
        end = min(len(self.unexplained), math.ceil(point) + self._reach + 1)
        distance = np.arange(start, end) - point
        self.unexplained[start:end] += sign * np.exp(-self._scale * distance**2)
        for block in range(start // _BLOCK, (end - 1) // _BLOCK + 1):
            self._maxima[block] = self._maximum(block)

    def _maximum(self, block: int) -> float:
        return float(self.unexplained[block * _BLOCK : (block + 1) * _BLOCK].max())


def _runs(
    points: Sequence[float], mass: Floats, softness_frames: float
) -> Iterator[tuple[int, int]]:
    """Yield first frame and end of each run: what lies nearest to a group of points."""
    if not points:
        return
    reach = 2.0 * softness_frames
    ordered = np.sort(points)
    breaks = np.flatnonzero(np.diff(ordered) > reach) + 1
    edges = [0.0, *(0.5 * (ordered[b - 1] + ordered[b]) for b in breaks), float(len(mass))]
    for group, lower, upper in zip(np.split(ordered, breaks), edges, edges[1:], strict=False):
        start = max(math.ceil(lower), math.ceil(group[0] - reach))
        yield start, min(math.ceil(upper), math.floor(group[-1] + reach) + 1)


def _equal_shares(mass: Floats, start: int, end: int) -> tuple[Floats, Floats, Floats]:
    """Round the mass of a run to events; frames, masses and deviations of their equal shares.

    All mass of a frame lies at its centre, so moments are linear in the mass within a frame, and
    one that two events share is divided exactly.
    """
    run = mass[start:end]
    cumulative = np.concatenate(([0.0], np.cumsum(run)))
    n_events = math.floor(cumulative[-1] + 0.5)
    if not n_events:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    frame = np.arange(len(run), dtype=np.float64)
    cuts = np.linspace(0.0, cumulative[-1], n_events + 1)
    size = cumulative[-1] / n_events
    moments = [np.concatenate(([0.0], np.cumsum(run * frame**power))) for power in (1, 2)]
    first, second = (np.diff(np.interp(cuts, cumulative, moment)) / size for moment in moments)
    deviation = np.sqrt(np.maximum(second - first**2, 0.0))
    return start + first, np.full(n_events, size), deviation
