"""Playing now: blocks from a microphone, or from a file in its own time; events to a MIDI port.

Conventions
-----------
- A block comes with the moment at which its last sample was heard, in seconds of a clock that only
  goes forward. A file that is not played in real time is heard as fast as it is read.
- Microphone and MIDI ports need the extra ``softloc[live]`` (sounddevice, python-rtmidi), which is
  imported where it is used.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from softloc.audio import read_blocks
from softloc.errors import AudioError, OutputError, SettingsError
from softloc.events import Onset
from softloc.formats.midi import (
    DEFAULT_VELOCITY,
    DRUM_CHANNEL,
    NOTE_LENGTH_S,
    PITCHED_CHANNEL,
    note_of_onset,
)
from softloc.streaming import Latency, Model, Stream
from softloc.vocabulary import is_note_label, nearest_hint

#: Length of a block. Sound cards and drivers have buffers of their own before it.
BLOCK_S = 0.010

#: A microphone that gives no block for so long is taken for unplugged.
SILENT_DEVICE_S = 5.0

INSTALL_HINT = "pip install 'softloc[live]'"

Clock = Callable[[], float]


class Block(NamedTuple):
    """A piece of what is being played.

    Attributes
    ----------
    samples : ndarray of float32, shape (n_samples,)
        Mono.
    heard_s : float
        When its last sample was heard.
    """

    samples: NDArray[np.float32]
    heard_s: float


@dataclass(slots=True)
class Performance:
    """What became of a stream.

    Attributes
    ----------
    latency : Latency
        What the model needs.
    audio_s : float
        How much was heard.
    cpu_s : float
        Processor time that this process spent on it.
    n_overruns : int
        Blocks that the sound card lost, as nobody took them in time.
    delays_s : list of float
        From each event to the moment it was told. What is told at the end of the stream is left
        out: it had not to be waited for.
    n_events : int
        Events that were told, those at the end included.
    """

    latency: Latency
    audio_s: float = 0.0
    cpu_s: float = 0.0
    n_overruns: int = 0
    delays_s: list[float] = field(default_factory=list)
    n_events: int = 0

    @property
    def cpu_share(self) -> float:
        """Processor time for a second of audio."""
        return self.cpu_s / self.audio_s if self.audio_s else 0.0

    def delay_ms(self, share: float) -> float | None:
        """Delay that so many of the events kept within; None without events."""
        return 1000 * float(np.quantile(self.delays_s, share)) if self.delays_s else None


class Player(Protocol):
    """Where sound comes from."""

    @property
    def sample_rate_hz(self) -> int:
        """Of its blocks."""

    @property
    def n_overruns(self) -> int:
        """Blocks that were lost."""

    def blocks(self) -> Generator[Block, None, None]:
        """Yield what is played, until it ends or nobody asks for more."""


def listen(
    model: Model,
    player: Player,
    tell: Callable[[Onset], None],
    *,
    tick: Callable[[], None] = lambda: None,
    seconds: float | None = None,
    make_stream: Callable[[Model, int], Stream] = Stream,
    clock: Clock = time.monotonic,
) -> Performance:
    """Tell events while something is being played.

    Parameters
    ----------
    model : Transcriber
        As from `softloc.load`; it must read one way.
    player : Player
        A `Microphone` or a `FilePlayer`.
    tell : callable
        Is given every event.
    tick : callable
        Is called after every block.
    seconds : float, optional
        Stop after so much audio.
    make_stream : callable
        Makes a stream of model and sample rate.
    clock : callable
        The player's.

    Returns
    -------
    Performance
        Latency, and what it cost. An interrupt from the keyboard ends the stream like its end.
    """
    rate_hz = player.sample_rate_hz
    stream = make_stream(model, rate_hz)
    done = Performance(stream.latency)
    n_samples, start_s = 0, time.process_time()

    def tell_all(onsets: list[Onset]) -> None:
        done.n_events += len(onsets)
        for onset in onsets:
            tell(onset)

    try:
        with closing(player.blocks()) as blocks:
            for samples, heard_s in blocks:
                n_samples += len(samples)
                onsets = stream.push(samples)
                tell_all(onsets)
                since_s = n_samples / rate_hz + clock() - heard_s
                done.delays_s += [since_s - onset.time_s for onset in onsets]
                tick()
                if seconds is not None and n_samples >= seconds * rate_hz:
                    break
    except KeyboardInterrupt:
        pass
    tell_all(stream.flush())
    done.audio_s, done.cpu_s = n_samples / rate_hz, time.process_time() - start_s
    done.n_overruns = player.n_overruns
    return done


class FilePlayer:
    """A recording, played in its own time.

    Parameters
    ----------
    path : Path
        The recording.
    real_time : bool
        Wait until each block would have been played.
    clock, wait : callable
        Time in seconds, and how to let some of it pass.

    Raises
    ------
    AudioError
        If it cannot be read.
    """

    n_overruns = 0

    def __init__(
        self,
        path: Path,
        *,
        real_time: bool = True,
        clock: Clock = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._real_time, self._clock, self._wait = real_time, clock, wait
        self._recording = read_blocks(path)
        self._first = next(self._recording)
        self.sample_rate_hz = self._first.sample_rate_hz

    def blocks(self) -> Generator[Block, None, None]:
        """Yield the recording, `BLOCK_S` at a time."""
        start_s, position = self._clock(), 0
        for samples in self._pieces():
            position += len(samples)
            heard_s = start_s + position / self.sample_rate_hz
            if not self._real_time:
                heard_s = self._clock()
            elif (early_s := heard_s - self._clock()) > 0:
                self._wait(early_s)
            yield Block(samples, heard_s)

    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        size = round(BLOCK_S * self.sample_rate_hz)
        samples = self._first.samples
        while True:
            for start in range(0, len(samples), size):
                yield samples[start : start + size]
            following = next(self._recording, None)
            if following is None:
                return
            samples = following.samples


class Microphone:
    """A sound card's input, the mean of its channels.

    Parameters
    ----------
    device : str, optional
        Name (or a part of it) or number; None takes the system's own choice.
    clock : callable
        Time in seconds.

    Raises
    ------
    SettingsError
        If sounddevice or PortAudio is not installed, or there is no such input.
    """

    def __init__(self, device: str | None = None, clock: Clock = time.monotonic) -> None:
        self._sounddevice = _import_sounddevice()
        self._clock = clock
        self._device = int(device) if device is not None and device.isdigit() else device
        try:
            found: Any = self._sounddevice.query_devices(self._device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            raise SettingsError(
                f"no sound input {'' if device is None else repr(device)} here ({error}); "
                f"there are: {self._inputs()}"
            ) from error
        self.sample_rate_hz = round(found["default_samplerate"])
        self._n_channels = min(2, int(found["max_input_channels"]))
        self.n_overruns = 0
        self._queue: queue.SimpleQueue[Block] = queue.SimpleQueue()

    def blocks(self) -> Generator[Block, None, None]:
        """Yield what is heard, about `BLOCK_S` at a time."""
        with self._sounddevice.InputStream(
            samplerate=self.sample_rate_hz,
            blocksize=round(BLOCK_S * self.sample_rate_hz),
            device=self._device,
            channels=self._n_channels,
            dtype="float32",
            callback=self._take,
        ):
            while True:
                try:
                    yield self._queue.get(timeout=SILENT_DEVICE_S)
                except queue.Empty:
                    raise AudioError(
                        f"the sound input has given nothing for {SILENT_DEVICE_S:g} s: "
                        "is it unplugged?"
                    ) from None

    def _take(self, samples: NDArray[np.float32], n_frames: int, when: Any, status: Any) -> None:
        """Take a block from the sound card; runs in its thread, so it only copies."""
        self.n_overruns += bool(status.input_overflow)
        last_s = when.inputBufferAdcTime + n_frames / self.sample_rate_hz
        ago_s = max(0.0, when.currentTime - last_s) if when.inputBufferAdcTime else 0.0
        self._queue.put(Block(samples.mean(axis=1), self._clock() - ago_s))

    def _inputs(self) -> str:
        devices: list[Any] = list(self._sounddevice.query_devices())
        names = [f"{i} {d['name']}" for i, d in enumerate(devices) if d["max_input_channels"] > 0]
        return ", ".join(names) or "none"


class MidiSender:
    """Sends events to a MIDI port, notes of 60 ms.

    Parameters
    ----------
    name : str
        Of the port, or the start of it.
    note_map : Mapping
        Notes of labels, before the model's own.
    virtual : bool
        Make a port of this name, to which other programs connect (not on Windows).
    clock : callable
        Time in seconds.

    Raises
    ------
    SettingsError
        If python-rtmidi is not installed or there is no such port.
    """

    def __init__(
        self,
        name: str,
        note_map: Mapping[str, int] | None = None,
        *,
        virtual: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self._port = _open_port(name, virtual=virtual)
        self._notes = note_map or {}
        self._clock = clock
        self._ends: list[tuple[float, int, int]] = []

    def tell(self, onset: Onset) -> None:
        """Start the note of an event."""
        note = note_of_onset(onset, self._notes)
        if note is None:
            return
        channel = PITCHED_CHANNEL if is_note_label(onset.label) else DRUM_CHANNEL
        for end in self._ends:
            if end[1:] == (note, channel):  # struck again while it sounds
                self._ends.remove(end)
                heapq.heapify(self._ends)
                self._send("note_off", channel, note, 0)
                break
        self._send("note_on", channel, note, onset.velocity or DEFAULT_VELOCITY)
        heapq.heappush(self._ends, (self._clock() + NOTE_LENGTH_S, note, channel))

    def tick(self) -> None:
        """End the notes whose time has come."""
        now_s = self._clock()
        while self._ends and self._ends[0][0] <= now_s:
            _, note, channel = heapq.heappop(self._ends)
            self._send("note_off", channel, note, 0)

    def close(self) -> None:
        """End all notes and close the port."""
        for _, note, channel in self._ends:
            self._send("note_off", channel, note, 0)
        self._ends = []
        self._port.close()

    def _send(self, kind: str, channel: int, note: int, velocity: int) -> None:
        import mido  # noqa: PLC0415 - loaded by now

        try:
            self._port.send(mido.Message(kind, channel=channel, note=note, velocity=velocity))
        except OSError as error:
            raise OutputError(f"cannot send to the MIDI port: {error}") from error


def _import_sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"a microphone needs sounddevice: {INSTALL_HINT}") from error
    except OSError as error:
        raise SettingsError(
            f"sounddevice does not work here ({error}): install PortAudio, on Debian and Ubuntu "
            "the package libportaudio2"
        ) from error
    return sounddevice


def _open_port(name: str, *, virtual: bool) -> Any:
    try:
        import rtmidi  # noqa: F401, PLC0415 - an extra; mido says less well that it is missing
    except ImportError as error:
        raise SettingsError(f"a MIDI port needs python-rtmidi: {INSTALL_HINT}") from error
    import mido  # noqa: PLC0415 - its ports cost time to load

    try:
        if virtual:
            return mido.open_output(name, virtual=True)
        names = mido.get_output_names()
        matches = [known for known in names if known.startswith(name)]
        if not matches:
            raise SettingsError(f"no MIDI port {name!r}{nearest_hint(name, names) or ' here'}")
        return mido.open_output(matches[0])
    except OSError as error:
        raise SettingsError(f"MIDI ports cannot be used here: {error}") from error
