"""The whole chain: recording in, events out. Read this first.

recording ─> audio blocks ─> features ─> network ─> probabilities ─> mass ─> events
             `audio`         `features`  `network`  `inference`      `decoding`
                                  └────> loudness of each class, if known ──┴──> velocities
                                         `velocity`

A network that reads in one direction takes block after block, in constant memory
(`softloc.streaming`), and events wait in a file (`softloc.spool`). One that reads both ways needs
the whole recording at once.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import torch
from numpy.typing import ArrayLike

from softloc.audio import BLOCK_S, Waveform, make_waveform, read_blocks, resample_blocks
from softloc.checkpoints import Checkpoint, load_checkpoint
from softloc.decoding import decode_onsets
from softloc.errors import SettingsError
from softloc.events import Onset
from softloc.inference import CHUNK_FRAMES, compute_frames
from softloc.spool import EventSpool
from softloc.streaming import EventReader, TimeOrder, megabytes_per_hour
from softloc.velocity import set_velocities

DEFAULT_MODEL = "drums"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was found in a recording.

    Attributes
    ----------
    onsets : list of Onset
        Its events, sorted by time.
    duration_s : float
        How much audio there was, in seconds: what was decoded, whatever a header says.
    sample_rate_hz : int
        The recording's own sample rate.
    """

    onsets: list[Onset]
    duration_s: float
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class LongTranscription:
    """What was found in a recording of any length; see `Transcription`.

    Attributes
    ----------
    onsets : EventSpool or list of Onset
        Its events, sorted by time; iterated over as often as needed.
    duration_s : float
        How much audio there was, in seconds.
    sample_rate_hz : int
        The recording's own sample rate.
    """

    onsets: EventSpool | list[Onset]
    duration_s: float
    sample_rate_hz: int


class Transcriber:
    """A loaded model that turns recordings into events.

    Parameters
    ----------
    checkpoint : Checkpoint
        As from `softloc.checkpoints.load_checkpoint`.
    device : str
        ``"auto"``, or a torch device.

    Raises
    ------
    SettingsError
        If this machine has no such device.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.settings = checkpoint.settings
        self.record = checkpoint.record
        self.device = choose_device(device)
        self._log_mel = checkpoint.log_mel.to(self.device)
        self._network = checkpoint.network.to(self.device)
        velocity = checkpoint.velocity
        self._velocity = None if velocity is None else velocity.to(self.device)

    def transcribe(
        self, recording: str | Path | BinaryIO | ArrayLike, sample_rate_hz: int | None = None
    ) -> list[Onset]:
        """Find all events of a recording.

        Parameters
        ----------
        recording : path, binary file, or array of shape (n_samples,) or (n_samples, n_channels)
            What to listen to; files are read block by block.
        sample_rate_hz : int, optional
            Of an array; files know theirs.

        Returns
        -------
        list of Onset
            Sorted by time; times in seconds, finer than a frame. With velocities where the model
            was trained on labels that carry them.

        Raises
        ------
        AudioError
            If the recording cannot be read.
        SettingsError
            If an array comes without its sample rate.
        """
        return self.listen(recording, sample_rate_hz).onsets

    def listen(
        self, recording: str | Path | BinaryIO | ArrayLike, sample_rate_hz: int | None = None
    ) -> Transcription:
        """Like `transcribe`, and say what the recording was like."""
        with self.listen_long(recording, sample_rate_hz) as found:
            return Transcription(list(found.onsets), found.duration_s, found.sample_rate_hz)

    @contextlib.contextmanager
    def listen_long(
        self, recording: str | Path | BinaryIO | ArrayLike, sample_rate_hz: int | None = None
    ) -> Iterator[LongTranscription]:
        """Like `listen`, in memory that does not grow with the recording.

        Yields
        ------
        LongTranscription
            Its events wait in a temporary file until the block ends.
        """
        heard = _Meter(_blocks(recording, sample_rate_hz))
        if self.settings.network.bidirectional:
            onsets = self._listen_both_ways(heard)
            yield LongTranscription(onsets, heard.duration_s, heard.sample_rate_hz)
            return
        reader = self.event_reader()
        with contextlib.closing(EventSpool(reader.labeller())) as spool:
            in_order = TimeOrder(self.settings.classes)
            for samples in resample_blocks(heard, self.settings.features.sample_rate_hz):
                events = reader.push(samples)
                spool.add(in_order.add(events, reader.decided_s))
            spool.add(in_order.add(reader.flush()))
            yield LongTranscription(spool, heard.duration_s, heard.sample_rate_hz)

    def event_reader(self, step_frames: int = CHUNK_FRAMES) -> EventReader:
        """Make what reads one recording as it comes; `softloc.Stream` is the comfortable way.

        Raises
        ------
        SettingsError
            If the model reads both ways.
        """
        return EventReader(self.settings, self._log_mel, self._network, self._velocity, step_frames)

    def _listen_both_ways(self, heard: _Meter) -> list[Onset]:
        model = self.settings
        _LOG.info(
            "the model reads both ways: it needs about %.0f MB of memory an hour of recording",
            megabytes_per_hour(model),
        )
        blocks = resample_blocks(heard, model.features.sample_rate_hz)
        frames = compute_frames(self._log_mel, self._network, blocks, self._velocity)
        onsets = decode_onsets(
            frames.probabilities,
            model.classes,
            model.features.grid,
            softness_ms=model.softness_ms,
            event_mass=model.event_mass,
            midi_notes=model.midi_notes,
        )
        if self._velocity is None:
            return onsets
        return set_velocities(
            onsets, frames.heard, self._velocity, model.classes, model.features.grid
        )


def load(model: str | Path = DEFAULT_MODEL, device: str = "auto") -> Transcriber:
    """Load a model, shipped or own, ready to transcribe.

    Parameters
    ----------
    model : str or Path
        Name of a shipped model or path of a model file.
    device : str
        ``"auto"``, or a torch device.

    Raises
    ------
    SettingsError
        If there is no such model or device.
    CheckpointError
        If the file is damaged.
    """
    return Transcriber(load_checkpoint(model), device)


def choose_device(name: str) -> str:
    """Resolve ``"auto"`` and check that this machine has the device.

    Raises
    ------
    SettingsError
        If it has not.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise SettingsError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"device {name!r} cannot be used here: {reason}") from error
    return name


def _blocks(
    recording: str | Path | BinaryIO | ArrayLike, sample_rate_hz: int | None
) -> Iterator[Waveform]:
    if isinstance(recording, str | Path):
        return read_blocks(Path(recording))
    if hasattr(recording, "read"):
        return read_blocks(cast("BinaryIO", recording))
    if sample_rate_hz is None:
        raise SettingsError("an array of samples needs its sample_rate_hz")
    return _cut(make_waveform(recording, sample_rate_hz))


class _Meter:
    """Blocks of a recording, and how much of them has gone through."""

    def __init__(self, blocks: Iterator[Waveform]) -> None:
        self._blocks = blocks
        self.n_samples = 0
        self.sample_rate_hz = 1

    @property
    def duration_s(self) -> float:
        """How much audio there was."""
        return self.n_samples / self.sample_rate_hz

    def __iter__(self) -> Iterator[Waveform]:
        for block in self._blocks:
            self.n_samples += len(block.samples)
            self.sample_rate_hz = block.sample_rate_hz
            yield block


def _cut(waveform: Waveform) -> Iterator[Waveform]:
    size = round(BLOCK_S * waveform.sample_rate_hz)
    for start in range(0, len(waveform.samples), size):
        yield Waveform(waveform.samples[start : start + size], waveform.sample_rate_hz)
