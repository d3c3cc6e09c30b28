"""Audio in pieces of any length, events as soon as nothing can change them any more.

samples ─> `FrameReader` ─> probabilities, loudness ─> `EventReader` ─> records ─┬─> `Stream`
           features, network                           decoding, velocity        └─> `TimeOrder`

Conventions
-----------
- A recording is the same whether it is read from a file or comes in as it is played: files go
  through the same readers (`softloc.pipeline`), only in larger steps. Events do not depend on how
  the audio is cut, but for the last digits of single precision.
- Memory does not grow with what was heard; buffers are taken once (`softloc.history`).
- Only networks whose LSTM reads in one direction can do that.
- The latency that is stated is what the method needs: from the moment of an event to that of the
  last sample that decides it (`Latency`). Computing time, and the buffers of sound cards, come on
  top.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softloc.audio import Resampler, make_waveform
from softloc.decoding import PointReader, Points, decoding_softness_ms
from softloc.engines import Engine
from softloc.errors import SettingsError
from softloc.events import Onset
from softloc.history import History
from softloc.inference import CHUNK_FRAMES, Frames, Hearing, edge_frames, logistic
from softloc.model_files import ModelSettings
from softloc.network import encoded_width
from softloc.spool import EVENT, Labeller
from softloc.velocity import VelocityReadOut, frames_around

#: Frames that a stream computes at once: fewer answer a little sooner and cost more.
STREAM_STEP_FRAMES = 4

_BYTES_PER_VALUE = 4

_NONE = np.zeros(0, dtype=EVENT)


@dataclass(frozen=True, slots=True)
class Latency:
    """From an event to the last sample that decides it, milliseconds.

    Attributes
    ----------
    features_ms : float
        Second half of the window.
    network_ms : float
        Frames that the network looks ahead.
    decoding_ms : float
        Until no neighbour can change an event that is followed by silence or by far ones.
    step_ms : float
        Frames are computed several at once: at most so much.
    longest_decoding_ms : float
        At most, instead of `decoding_ms`, where events follow each other without end.
    """

    features_ms: float
    network_ms: float
    decoding_ms: float
    step_ms: float
    longest_decoding_ms: float

    @property
    def typical_ms(self) -> float:
        """Of an event that is alone."""
        return self.features_ms + self.network_ms + self.decoding_ms + self.step_ms

    @property
    def longest_ms(self) -> float:
        """Of any event."""
        return self.typical_ms - self.decoding_ms + self.longest_decoding_ms


def refuse_both_ways(model: ModelSettings) -> None:
    """Refuse a network that needs the whole recording at once.

    Raises
    ------
    SettingsError
        If its LSTM reads both ways.
    """
    if model.network.bidirectional:
        raise SettingsError(
            "this model reads recordings both ways: it needs all of one at once (about "
            f"{megabytes_per_hour(model):.0f} MB an hour) and cannot be used on a stream; "
            "transcribe the finished recording, or use a model that reads one way"
        )


def megabytes_per_hour(model: ModelSettings) -> float:
    """Memory that a network which reads both ways needs for an hour of audio, megabytes.

    While its LSTM computes, there are the output of the convolutions, twice as it is put together,
    and the gates and the output of both directions.
    """
    shape = model.network
    values_per_frame = 2 * encoded_width(shape) + 2 * (4 + 1) * shape.lstm_units
    frames = float(model.features.grid.frame_rate) * 3600
    return model.n_members * frames * values_per_frame * _BYTES_PER_VALUE / 1e6


class FrameReader:
    """Probabilities of events, frame by frame, from samples as they come.

    Parameters
    ----------
    engine : Engine
        Computes a model that reads in one direction.
    step_frames : int
        Frames computed at once; changes speed, memory and latency, not the answer.
    """

    def __init__(self, engine: Engine, step_frames: int = CHUNK_FRAMES) -> None:
        self._hearing = Hearing(engine)
        self._step = step_frames
        settings, shape = engine.features, engine.network
        self._settings = settings
        self._hop = settings.hop_samples
        self._edge = edge_frames(settings)
        self._edge_mass = np.zeros(shape.n_classes, dtype=np.float32)
        self._look_ahead = shape.look_ahead_frames
        self._next = -settings.lead_in_frames  # frame that is answered next
        self._n_heard = self._next - shape.look_back_frames  # frame that is heard next
        silence = settings.look_back_samples - self._n_heard * self._hop
        chunk = settings.n_samples_for(step_frames + shape.look_back_frames + self._look_ahead)
        self._samples: History[np.float32] = History(
            np.float32, capacity=2 * (silence + chunk), first=-silence
        )
        self._samples.append_zeros(silence)

    def push(self, samples: NDArray[np.float32]) -> Frames | None:
        """Take the next samples, shape (n,); return the frames that they complete, if any."""
        start, parts = self._next, []
        size = self._step * self._hop
        for first in range(0, len(samples), size):
            self._samples.append(samples[first : first + size])
            while self._last_sample(self._step) <= self._samples.end:
                parts.append(self._answer(self._step))
        return self._without_lead_in(parts, start) if parts else None

    def flush(self) -> Frames:
        """Return the frames that are left when no sample follows."""
        n_frames = self._settings.grid.n_frames(self._samples.end)
        end = n_frames + self._edge
        missing = self._last_sample(end - self._next) - self._samples.end
        self._samples.append_zeros(max(0, missing))
        start, parts = self._next, []
        while self._next < end:
            parts.append(self._answer(min(self._step, end - self._next)))
        frames = self._without_lead_in(parts, start)
        n_inside = n_frames - max(start, 0)  # at least one: the network looks ahead
        after = frames.probabilities[:, n_inside:].sum(axis=1)
        frames.probabilities[:, n_inside - 1] += after
        return Frames(frames.probabilities[:, :n_inside], frames.heard[:, :n_inside])

    def _last_sample(self, n_frames: int) -> int:
        """End of the samples that the next frames depend on."""
        last = self._next + n_frames + self._look_ahead - 1
        return last * self._hop + self._settings.look_ahead_samples

    def _answer(self, n_frames: int) -> Frames:
        """Compute the next frames."""
        first = self._n_heard * self._hop - self._settings.look_back_samples
        answer = self._hearing.answer(self._samples.view(first, self._last_sample(n_frames)))
        self._next += n_frames
        self._n_heard = self._next + self._look_ahead
        self._samples.forget(self._n_heard * self._hop - self._settings.look_back_samples)
        return Frames(logistic(answer.logits), answer.heard)

    def _without_lead_in(self, parts: list[Frames], start: int) -> Frames:
        """Join successive frames, without those before the recording; the edge gets their mass."""
        probabilities = np.concatenate([part.probabilities for part in parts], axis=1)
        heard = np.concatenate([part.heard for part in parts], axis=1)
        if start <= 0:
            before = min(-start, probabilities.shape[1])
            near = probabilities[:, max(-start - self._edge, 0) : before]
            self._edge_mass += near.sum(axis=1)
            probabilities, heard = probabilities[:, before:], heard[:, before:]
            if probabilities.shape[1]:
                probabilities[:, 0] += self._edge_mass
        return Frames(probabilities, heard)


class EventReader:
    """Events of one recording, from samples at the model's rate, as soon as they are final.

    Parameters
    ----------
    settings : ModelSettings
        Of the model.
    engine : Engine
        Computes it.
    velocity : VelocityReadOut, optional
        The one whose weights the engine was given, for models that estimate velocities.
    step_frames : int
        As for `FrameReader`.

    Raises
    ------
    SettingsError
        If the network reads both ways.
    """

    def __init__(
        self,
        settings: ModelSettings,
        engine: Engine,
        velocity: VelocityReadOut | None = None,
        step_frames: int = CHUNK_FRAMES,
    ) -> None:
        refuse_both_ways(settings)
        self.settings = settings
        self.step_frames = step_frames
        self._frames = FrameReader(engine, step_frames)
        softness_ms = decoding_softness_ms(settings.softness_ms)
        softness_frames = settings.features.grid.ms_to_frames(softness_ms)
        self._points = [PointReader(softness_frames, settings.event_mass) for _ in settings.classes]
        self._loudness = None if velocity is None else _Loudness(settings)
        known = np.zeros(len(settings.classes), dtype=bool)
        mean = np.zeros(len(settings.classes))
        if velocity is not None:
            known, mean = velocity.known, velocity.mean.astype(np.float64)
        self._velocities = np.where(known, mean, np.nan)

    @property
    def latency(self) -> Latency:
        """From an event to the last sample that decides it."""
        settings, features = self.settings, self.settings.features
        hop_ms = 1000 * features.grid.hop_s
        alone, longest = self._points[0].delay_frames
        return Latency(
            features_ms=1000 * features.look_ahead_samples / features.sample_rate_hz,
            network_ms=hop_ms * settings.network.look_ahead_frames,
            decoding_ms=hop_ms * alone,
            step_ms=hop_ms * self.step_frames,
            longest_decoding_ms=hop_ms * longest,
        )

    @property
    def decided_s(self) -> float:
        """Time before which no more events can come, seconds."""
        frames = min(reader.decided_frames for reader in self._points)
        decided_s = float(self.settings.features.grid.frames_to_seconds(frames))
        return decided_s if self._loudness is None else min(decided_s, self._loudness.earliest_s)

    def labeller(self) -> Labeller:
        """Make what turns the records into onsets."""
        return Labeller(self.settings.classes, self.settings.midi_notes, self._velocities)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.void]:
        """Take the next samples, shape (n,); return events that are final, in order of class."""
        frames = self._frames.push(samples)
        if frames is None:
            return _NONE
        events = self._records(self._decode(frames))
        if self._loudness is None:
            return events
        ready = self._loudness.hear(frames.heard, events)
        self._loudness.forget(self.decided_s)
        return ready

    def flush(self) -> NDArray[np.void]:
        """Return the events that are left when no sample follows."""
        frames = self._frames.flush()
        events = self._records([*self._decode(frames), *(r.flush() for r in self._points)])
        if self._loudness is None:
            return events
        ready = self._loudness.hear(frames.heard, events)
        return np.concatenate((ready, self._loudness.flush()))

    def _decode(self, frames: Frames) -> list[Points]:
        return [
            reader.push(row) for reader, row in zip(self._points, frames.probabilities, strict=True)
        ]

    def _records(self, points: list[Points]) -> NDArray[np.void]:
        """Make records of points, those of each class in turn, perhaps several times."""
        sizes = [len(found.frames) for found in points]
        if not any(sizes):
            return _NONE
        n_classes, grid = len(self._points), self.settings.features.grid
        events = np.zeros(sum(sizes), dtype=EVENT)
        frames, masses, deviations = (
            np.concatenate(column) for column in zip(*points, strict=True)
        )
        events["time_s"] = grid.frames_to_seconds(frames)
        events["label"] = np.repeat(np.arange(len(points)) % n_classes, sizes)
        events["mass"] = masses
        events["time_std_s"] = grid.frames_to_seconds(deviations)
        return events


class _Loudness:
    """The loudness of the last frames; events wait until theirs is known."""

    def __init__(self, settings: ModelSettings) -> None:
        self._grid = settings.features.grid
        n_classes = len(settings.classes)
        self._rows: History[np.float32] = History(np.float32, (n_classes,), capacity=4096)
        self._waiting = np.zeros(0, dtype=EVENT)

    @property
    def earliest_s(self) -> float:
        """Time of the first event that waits."""
        return float(self._waiting["time_s"].min(initial=math.inf))

    def hear(self, rows: NDArray[np.float32], events: NDArray[np.void]) -> NDArray[np.void]:
        """Take the next frames and events; return the events whose loudness is known."""
        self._rows.append(rows.T)
        if len(events):
            self._waiting = np.concatenate((self._waiting, events))
        if not len(self._waiting):
            return events
        _, last = frames_around(self._waiting["time_s"], self._grid)
        is_ready = last < self._rows.end
        ready, self._waiting = self._waiting[is_ready], self._waiting[~is_ready]
        return self._measured(ready)

    def flush(self) -> NDArray[np.void]:
        """Return the events that are left."""
        return self._measured(self._waiting)

    def forget(self, before_s: float) -> None:
        """Forget what only events before that time need."""
        earliest_s = np.array([min(before_s, self.earliest_s)])
        self._rows.forget(int(frames_around(earliest_s, self._grid)[0][0]))

    def _measured(self, events: NDArray[np.void]) -> NDArray[np.void]:
        first, last = np.clip(
            frames_around(events["time_s"], self._grid), self._rows.first, self._rows.end - 1
        )
        for i, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            events["loudness"][i] = self._rows.view(a, b + 1)[:, events["label"][i]].max()
        return events


class TimeOrder:
    """Brings events that become final class by class into the order of time, then of label.

    Parameters
    ----------
    labels : sequence of str
        Name of each class.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._rank = np.argsort(np.argsort(np.array(labels)))
        self._held = np.zeros(0, dtype=EVENT)

    def add(self, events: NDArray[np.void], decided_s: float = math.inf) -> NDArray[np.void]:
        """Take events; return all that lie before a time, in order, the others another time."""
        if len(events):
            held = np.concatenate((self._held, events))
        elif len(self._held):
            held = self._held
        else:
            return events
        held = held[np.lexsort((self._rank[held["label"]], held["time_s"]))]
        n_ready = int(np.searchsorted(held["time_s"], decided_s))
        self._held = held[n_ready:]
        return held[:n_ready]


class Model(Protocol):
    """What a `Stream` needs: a `softloc.pipeline.Transcriber`."""

    def event_reader(self, step_frames: int) -> EventReader:
        """Make a reader for one recording."""


class Stream:
    """Events of what is being played, while it is played.

    >>> import softloc
    >>> stream = softloc.Stream(softloc.load("drums-small"), 48_000)  # doctest: +SKIP
    >>> events = stream.push(block)  # again and again  # doctest: +SKIP
    >>> events += stream.flush()  # doctest: +SKIP

    The events are those of the finished recording, apart from their velocities: these are relative
    to the events so far, as nobody knows yet how loud the rest will be.

    Parameters
    ----------
    model : Transcriber
        As from `softloc.load`; its network must read in one direction.
    sample_rate_hz : int
        Of the blocks.
    step_frames : int
        Frames computed at once: fewer answer sooner and cost more.

    Attributes
    ----------
    latency : Latency
        How long after an event it can be told, milliseconds of audio. Another sample rate than the
        model's adds some milliseconds.

    Raises
    ------
    SettingsError
        If the model reads both ways.
    """

    def __init__(
        self,
        model: Model,
        sample_rate_hz: int = 44_100,
        *,
        step_frames: int = STREAM_STEP_FRAMES,
    ) -> None:
        self._reader = model.event_reader(step_frames)
        self.latency = self._reader.latency
        self._labeller = self._reader.labeller()
        self._rate_hz = sample_rate_hz
        self._resampler = Resampler(sample_rate_hz, self._reader.settings.features.sample_rate_hz)
        self._in_order = TimeOrder(self._reader.settings.classes)
        self._has_ended = False

    def push(self, block: ArrayLike) -> list[Onset]:
        """Hear what comes next.

        Parameters
        ----------
        block : array_like, shape (n_samples,) or (n_samples, n_channels)
            Floating-point samples, or integers, which are scaled by their type's full range. Any
            number of them, none included.

        Returns
        -------
        list of Onset
            Events that became final, sorted by time. Those of one class come in order; an event of
            another class may come later than one that it precedes.

        Raises
        ------
        AudioError
            If a sample is not finite or the shape makes no sense.
        SettingsError
            If the stream was ended.
        """
        if self._has_ended:
            raise SettingsError("this stream has ended: make another one for what follows")
        if not np.size(block):
            return []
        samples = make_waveform(block, self._rate_hz).samples
        return self._onsets(self._reader.push(self._resampler.push(samples)))

    def flush(self) -> list[Onset]:
        """End the stream; return the events that are left, sorted by time."""
        if self._has_ended:
            return []
        self._has_ended = True
        rest = self._reader.push(self._resampler.flush())
        return self._onsets(np.concatenate((rest, self._reader.flush())))

    def _onsets(self, events: NDArray[np.void]) -> list[Onset]:
        if not len(events):
            return []
        events = self._in_order.add(events)
        self._labeller.hear(events)
        return list(self._labeller.onsets(events))
