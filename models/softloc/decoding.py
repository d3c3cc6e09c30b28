"""Points from probabilities, by mass: no peak picking.

A network trained with the SoftLoc loss puts one unit of probability mass on each event. Reading
the events off is then counting: a *run* of frames holding mass ``m`` gives ``⌊m + ½⌋`` events at
its centres of mass. What a run is, the loss itself says. It compares signals after smoothing both
(Eq. 2), so runs are the surroundings of the points that this loss takes for nearest to the
probabilities p:

    minimise over sets of times E:   ‖ Φ_S * (p - Σ_{e in E} δ_e) ‖² / Σ φ_S²

with the softness S that the network was trained with, but at most `MAX_DECODING_SOFTNESS_MS`.

Conventions
-----------
- A point is set where at least `SEED` is left unexplained by the points before it. That only says
  where a run may be; whether it holds an event, its mass decides (`benchmarks/README.md` shows
  how little it matters).
- A run is what lies nearest to its points and within 2 S of them; points closer together than that
  share one run. Its mass is cut into equal shares in order of time, one event at the centre of
  each.
- Frames are read once, in order, and an event is given out when nothing that follows can change it
  (`PointReader`): a stream has the same events as the finished recording. The search for points
  therefore goes from one quiet stretch to the next, not over the whole recording at once.
- There is no threshold on probabilities, no suppression of neighbours and nothing to tune to a
  model. One half is where rounding to whole events turns over.
- Times are real numbers, finer than a frame. Signals are not cut off at their ends here: the
  first and the last frame are frames like all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softloc.events import Onset, sort_onsets
from softloc.history import History
from softloc.timebase import FrameGrid

#: Least softness to decode with: where a network was trained without any, the distance of
#: unsmoothed signals would only compare single frames.
MIN_SOFTNESS_MS = 10.0

#: Largest softness to decode with. A run reaches 2 S, and hits of one drum follow each other every
#: 100 to 250 ms: with more, many of them share one run, and whatever mass lies between them moves
#: all (`benchmarks/README.md`). How imprecise labels were does not change what is played.
MAX_DECODING_SOFTNESS_MS = 60.0

#: Softness for networks that were trained from counts alone and know of no distance.
COUNT_SOFTNESS_MS = 30.0

#: Labels softer than this, an infinite softness among them, say nothing of when.
MAX_SOFTNESS_MS = 10_000.0

# Beyond this many softnesses two smoothed points share nothing that double precision sees.
_REACH = 12.0
#: Unexplained mass, seen through the smoothing, where a run may be. Half a unit of mass still shows
#: as a quarter when it is spread as widely as 2.4 softnesses.
SEED = 0.25

#: Mass that may lie in 2 S of frames which are called quiet: even if it goes on, no run begins.
QUIET = 0.1
#: Softnesses by which a point must be past before what follows is taken to leave it where it is.
MARGIN = 5.0
#: Softnesses after which points are looked for where it never gets quiet.
PATIENCE = 8.0
#: Softnesses that a run may go on until it is cut.
LONGEST = 24.0

# Points are moved until none moves farther than this, and at most so many times.
_SETTLED_FRAMES = 1e-4
_MOST_ROUNDS = 10
# More points than these that feel each other, within 14 S, share one run wherever they settle.
# Music is hardly ever so dense; a network that says anything may be.
_CROWD = 24
# Frames that are taken in at once.
_SLICE = 512

Floats = NDArray[np.float64]
_Shares = tuple[Floats, Floats, Floats]
_NO_SHARES: _Shares = (np.zeros(0), np.zeros(0), np.zeros(0))


class Points(NamedTuple):
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
    reader = PointReader(softness_frames, event_mass, seed)
    certain, rest = reader.push(probabilities), reader.flush()
    return Points(*(np.concatenate(pair) for pair in zip(certain, rest, strict=True)))


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
    softness_frames = grid.ms_to_frames(decoding_softness_ms(softness_ms))
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


def decoding_softness_ms(softness_ms: float) -> float:
    """Softness to decode with, for a network that was trained with another.

    Parameters
    ----------
    softness_ms : float
        That of the training.

    Returns
    -------
    float
        The same between `MIN_SOFTNESS_MS` and `MAX_DECODING_SOFTNESS_MS`.
    """
    if softness_ms > MAX_SOFTNESS_MS:
        return COUNT_SOFTNESS_MS
    return min(max(softness_ms, MIN_SOFTNESS_MS), MAX_DECODING_SOFTNESS_MS)


class PointReader:
    """Reads the events of one class off its probabilities as they come.

    It gives the same answers as `decode_points`, which is made of it, however the frames are cut:
    all decisions are taken at frames that only the probabilities choose. When it gets `QUIET`,
    points are looked for in what came before; a run is given out once the next point is known, or
    known to be too far away to matter. Where it never gets quiet points are looked for every
    `PATIENCE` softnesses, and a run longer than `LONGEST` softnesses is cut between its points.

    Parameters
    ----------
    softness_frames, event_mass, seed
        As for `decode_points`.
    """

    def __init__(self, softness_frames: float, event_mass: float = 1.0, seed: float = SEED) -> None:
        self._event_mass = event_mass
        self._reach = 2.0 * softness_frames
        self._window = np.ones(math.ceil(self._reach) + 1)
        self._lead = math.ceil(self._reach) + len(self._window)
        self._margin = MARGIN * softness_frames
        self._patience = math.ceil(PATIENCE * softness_frames)
        self._longest = LONGEST * softness_frames
        self._search = _Search(softness_frames, seed)
        self._mass: History[np.float64] = History(np.float64, first=-len(self._window))
        self._mass.append_zeros(len(self._window))
        self._judged = 0  # frames that have been found quiet or not
        self._is_quiet = True
        self._next_look = 0  # frame at which patience ends
        self._taken = 0  # frames before it belong to events that were given out, or to none
        self._last = -math.inf  # point before the runs to come

    @property
    def decided_frames(self) -> int:
        """Frame before which no more events can come."""
        if self._search.points or not self._is_quiet:
            return self._taken
        return max(self._taken, self._judged - self._lead)

    @property
    def delay_frames(self) -> tuple[int, int]:
        """Frames that must follow an event until it is final: of one that is alone, and at most."""
        longest = self._longest + self._patience + self._reach + len(self._window)
        return math.ceil(2.0 * self._reach) + 2, math.ceil(longest) + 1

    def push(self, probabilities: NDArray[np.floating]) -> Points:
        """Take the next frames, shape (n_frames,); return the events that are certain by now."""
        found: list[_Shares] = []
        for start in range(0, len(probabilities), _SLICE):
            piece = probabilities[start : start + _SLICE].astype(np.float64)
            self._mass.append(piece / self._event_mass)
            self._judge(found)
            self._forget()
        return _as_points(found)

    def flush(self) -> Points:
        """Return the events that are left when no frame follows."""
        found: list[_Shares] = []
        self._taken = self.decided_frames
        self._look(self._mass.end)
        for group in self._groups():
            self._give_out(group, math.inf, found)
        return _as_points(found)

    def _judge(self, found: list[_Shares]) -> None:
        """Go through the frames that are new, from decision to decision."""
        first, end = self._judged, self._mass.end
        sums = np.convolve(
            self._mass.view(first - len(self._window) + 1, end), self._window, "valid"
        )
        is_quiet = np.empty(len(sums) + 1, dtype=bool)
        is_quiet[0] = self._is_quiet
        np.less_equal(sums, QUIET, out=is_quiet[1:])
        changes = first + np.flatnonzero(is_quiet[1:] != is_quiet[:-1])
        for change in (*changes.tolist(), end):
            while (decision := max(self._next_decision(end), self._judged)) < change:
                self._judged = decision + 1
                self._decide(decision + 1, found)
            self._judged = min(change + 1, end)
            if change == end:
                return
            if self._is_quiet:
                self._wake(change)
            else:
                self._is_quiet = True
                self._look(change + 1)
                self._decide(change + 1, found)

    def _next_decision(self, end: int) -> int:
        """Frame that comes next, unless it gets loud or quiet before; `end` where there is none."""
        if not self._is_quiet:
            return self._next_look
        points = self._search.points
        return self._certain_after(max(points)) - 1 if points else end

    def _wake(self, frame: int) -> None:
        self._taken = self.decided_frames
        self._is_quiet = False
        self._next_look = frame + self._patience

    def _decide(self, known: int, found: list[_Shares]) -> None:
        """Give out what is certain when so many frames are known."""
        settled = float(known)
        if not self._is_quiet:
            self._next_look = known - 1 + self._patience
            self._look(known, known - len(self._window))
            settled -= self._margin  # points later than this one may still move
        groups = self._groups()
        for group, following in pairwise(groups):
            if following[0] > settled:
                return
            self._give_out(group, following[0], found)
        if not groups:
            return
        last = groups[-1]
        if self._certain_after(last[-1]) <= settled:
            self._give_out(last, math.inf, found)
            return
        last = [point for point in last if point <= settled]
        while len(last) > 1 and last[0] < known - self._longest:
            gaps = [after - before for before, after in pairwise(last)]
            cut = gaps.index(max(gaps)) + 1
            self._give_out(last[:cut], last[cut], found)
            last = last[cut:]

    def _certain_after(self, point: float) -> int:
        """Frames that must be known for a point to have no neighbour that cuts its run short."""
        return math.ceil(point + 2.0 * self._reach) + 2

    def _look(self, known: int, frontier: int | None = None) -> None:
        self._search.hear(self._mass, self._taken, known)
        self._search.look(self._taken, known if frontier is None else frontier)

    def _groups(self) -> list[list[float]]:
        """Points of each run to come."""
        groups: list[list[float]] = []
        for point in sorted(self._search.points):
            if groups and point - groups[-1][-1] <= self._reach:
                groups[-1].append(point)
            else:
                groups.append([point])
        return groups

    def _give_out(self, group: Sequence[float], following: float, found: list[_Shares]) -> None:
        """Round the run of a group to events: what lies nearest to its points."""
        lower, upper = 0.5 * (self._last + group[0]), 0.5 * (group[-1] + following)
        start = max(self._taken, math.ceil(max(lower, group[0] - self._reach)))
        end = min(self._mass.end, math.ceil(min(upper, math.floor(group[-1] + self._reach) + 1)))
        found.append(_equal_shares(self._mass.view(start, end), start))
        self._last, self._taken = group[-1], max(self._taken, end)
        self._search.points = [point for point in self._search.points if point > self._last]

    def _forget(self) -> None:
        recent = self._judged - self._lead
        before = min(self.decided_frames, recent) - self._search.reach_frames
        self._mass.forget(before)
        self._search.unexplained.forget(before)


class _Search:
    """Greedy descent on the distance: add the best point, let its neighbours settle, go on.

    It goes on below one half, where a point no longer lowers the distance: what is left there may
    be spread more widely than the smoothing, and its mass shall be looked at, too.

    `unexplained` is the overlap of the smoothed residual with a smoothed point at each frame, in
    units of the kernel's energy: adding a point where it is ``r`` lowers the distance by
    ``2 r - 1``. Points reach each other through ``exp(-d² / 4 S²)``.
    """

    def __init__(self, softness_frames: float, seed: float) -> None:
        self.points: list[float] = []
        self._seed = seed
        self._scale = 1.0 / (4.0 * softness_frames**2)
        self.reach_frames = math.ceil(math.sqrt(_REACH / self._scale))
        lags = np.arange(-self.reach_frames, self.reach_frames + 2, dtype=np.float64)
        self._lags = lags  # of the frames that a point reaches, from the one before it
        self._kernel = np.exp(-self._scale * lags[:-1] ** 2)
        self.unexplained: History[np.float64] = History(np.float64)
        self._n_heard = self._lower = 0

    def hear(self, mass: History[np.float64], lower: int, known: int) -> None:
        """Take in the mass up to a frame; points are looked for from another one on."""
        reach = self.reach_frames
        start = max(self._n_heard, lower - reach)
        self._lower = lower
        self.unexplained.append_zeros(max(0, known + reach - self.unexplained.end))
        if start < known:
            # The kernel is symmetric: this is a convolution, too.
            added = np.correlate(mass.view(start, known), self._kernel, "full")
            first = max(start - reach, self.unexplained.first)
            self.unexplained.view(first, known + reach)[:] += added[first - start + reach :]
        self._n_heard = known

    def look(self, lower: int, frontier: int) -> None:
        """Add points between two frames for as long as one explains enough."""
        while lower < frontier:
            window = self.unexplained.view(lower, frontier)
            best = int(window.argmax())
            if window[best] <= self._seed:
                return
            frame = lower + best
            if frame == frontier - 1 and self._higher_neighbour(frame) > frame:
                frontier = frame  # its maximum is yet to come
                continue
            point = self._between_frames(frame)
            self.points.append(point)
            self._change(point, -1.0)
            self._settle(point)

    def _settle(self, new: float) -> None:
        """Move the points around a new one to where they gain most, given the others."""
        near = [i for i, point in enumerate(self.points) if abs(point - new) <= self.reach_frames]
        if not 1 < len(near) <= _CROWD:
            return
        for _ in range(_MOST_ROUNDS):
            farthest = max(self._move(index) for index in near)
            if farthest <= _SETTLED_FRAMES:
                return

    def _move(self, index: int) -> float:
        """Take a point away and put it back uphill of where it was; return how far it went."""
        old = self.points[index]
        self._change(old, 1.0)
        frame = min(max(round(old), self._lower), self._n_heard - 1)
        while (higher := self._higher_neighbour(frame)) != frame:
            frame = higher
        new = self._between_frames(frame)
        self.points[index] = new
        self._change(new, -1.0)
        return math.fabs(new - old)

    def _higher_neighbour(self, frame: int) -> int:
        start = max(frame - 1, self._lower)
        values = self.unexplained.view(start, min(frame + 2, self._n_heard)).tolist()
        highest = max(values)
        return frame if values[frame - start] == highest else start + values.index(highest)

    def _between_frames(self, frame: int) -> float:
        """Vertex of the parabola through a frame and its neighbours."""
        if not self._lower < frame < self._n_heard - 1:
            return float(frame)
        values: list[float] = self.unexplained.view(frame - 1, frame + 2).tolist()
        before, here, after = values
        curvature = before - 2.0 * here + after
        if curvature >= 0.0:
            return float(frame)
        return frame + min(max(0.5 * (before - after) / curvature, -0.5), 0.5)

    def _change(self, point: float, sign: float) -> None:
        """Add or take away what a point explains."""
        before = math.floor(point)
        distance = self._lags - (point - before)
        explained = np.exp(-self._scale * distance * distance)
        start, end = before - self.reach_frames, before + self.reach_frames + 2
        first, last = max(start, self.unexplained.first), min(end, self.unexplained.end)
        kept = self.unexplained.view(first, last)
        if sign > 0.0:
            kept += explained[first - start : last - start]
        else:
            kept -= explained[first - start : last - start]


def _equal_shares(run: Floats, start: int) -> _Shares:
    """Round the mass of a run to events; frames, masses and deviations of their equal shares.

    All mass of a frame lies at its centre, so moments are linear in the mass within a frame, and
    one that two events share is divided exactly.
    """
    mass = float(run.sum())
    n_events = math.floor(mass + 0.5)
    if not n_events:
        return _NO_SHARES
    frame = np.arange(len(run), dtype=np.float64)
    size = mass / n_events
    if n_events == 1:  # as most runs
        first = run @ frame / mass
        frame -= first
        deviation = math.sqrt(run @ np.square(frame) / mass)
        return np.array([start + first]), np.array([mass]), np.array([deviation])
    cumulative, *moments = (
        np.concatenate(([0.0], np.cumsum(values))) for values in (run, run * frame, run * frame**2)
    )
    cuts = np.linspace(0.0, cumulative[-1], n_events + 1)
    means, squares = (np.diff(np.interp(cuts, cumulative, moment)) / size for moment in moments)
    deviations = np.sqrt(np.maximum(squares - means**2, 0.0))
    return start + means, np.full(n_events, size), deviations


def _as_points(found: Sequence[_Shares]) -> Points:
    if not found:
        return Points(*_NO_SHARES)
    return Points(*(np.concatenate(column) for column in zip(*found, strict=True)))
