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
import importlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from numpy.typing import ArrayLike

from softloc.audio import BLOCK_S, Waveform, make_waveform, read_blocks, resample_blocks
from softloc.decoding import decode_onsets
from softloc.engines import AUTO, ONNX, Engine, choose_engine
from softloc.errors import SettingsError
from softloc.events import Onset
from softloc.inference import CHUNK_FRAMES, compute_frames
from softloc.model_files import ModelSettings, damaged, read_model
from softloc.spool import EventSpool
from softloc.streaming import EventReader, TimeOrder, megabytes_per_hour
from softloc.velocity import VelocityReadOut, set_velocities

if TYPE_CHECKING:
    from softloc.checkpoints import Checkpoint

DEFAULT_MODEL = "drums"

#: From here on a model that reads both ways says what memory it needs.
MUCH_MEMORY_MB = 1_000.0

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
    settings : ModelSettings
        What the model is.
    engine : Engine
        Computes it.
    velocity : VelocityReadOut, optional
        The one whose weights the engine was given, for models that estimate velocities.
    record : Mapping, optional
        How the model came to be.
    """

    def __init__(
        self,
        settings: ModelSettings,
        engine: Engine,
        velocity: VelocityReadOut | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.record = record or {}
        self._velocity = velocity

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
        return EventReader(self.settings, self.engine, self._velocity, step_frames)

    def _listen_both_ways(self, heard: _Meter) -> list[Onset]:
        model = self.settings
        blocks = resample_blocks(
            _warn_of_memory(heard, megabytes_per_hour(model)), model.features.sample_rate_hz
        )
        frames = compute_frames(self.engine, blocks)
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


def load(
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    engine: str = AUTO,
    n_threads: int | None = None,
) -> Transcriber:
    """Load a model, shipped or own, ready to transcribe.

    Parameters
    ----------
    model : str or Path
        Name of a shipped model or path of a model file.
    device : str
        ``"auto"``, or a torch device.
    engine : str
        ``"torch"``, ``"onnx"``, or ``"auto"``: ONNX Runtime where it is installed and no device
        but the processor is asked for. Both give the same events.
    n_threads : int, optional
        Threads to compute with; without it ONNX Runtime takes as many as ``OMP_NUM_THREADS`` says,
        else one, and PyTorch what it thinks best.

    Raises
    ------
    SettingsError
        If there is no such model, device or engine.
    CheckpointError
        If the file is damaged.
    """
    if choose_engine(engine, device) == ONNX and onnx_works(wanted=engine == ONNX):
        from softloc.engines.onnx_engine import OnnxEngine  # noqa: PLC0415

        file = read_model(model)
        try:
            computing = OnnxEngine(file, n_threads)
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise damaged(model, error) from error
        return Transcriber(file.settings, computing, file.velocity, file.record)
    # Importing PyTorch takes longer than a song does without it.
    from softloc.checkpoints import load_checkpoint  # noqa: PLC0415
    from softloc.engines.torch_engine import choose_device, use_threads  # noqa: PLC0415

    if n_threads is not None:
        use_threads(n_threads)
    return from_checkpoint(load_checkpoint(model), choose_device(device))


def onnx_works(*, wanted: bool) -> bool:
    """Whether ONNX Runtime, which is installed, can be loaded; a library of the system may lack.

    Raises
    ------
    SettingsError
        If it cannot, and is `wanted` by name.
    """
    try:
        importlib.import_module("softloc.engines.onnx_engine")
    except ImportError as error:
        if wanted:
            raise SettingsError(f"ONNX Runtime cannot be loaded: {error}") from error
        _LOG.warning("ONNX Runtime cannot be loaded, PyTorch computes instead: %s", error)
        return False
    return True


def from_checkpoint(checkpoint: Checkpoint, device: str = "cpu") -> Transcriber:
    """Transcribe with a model that is in memory as PyTorch modules.

    Parameters
    ----------
    checkpoint : Checkpoint
        As from `softloc.checkpoints.load_checkpoint`.
    device : str
        Of torch; the modules are moved there.
    """
    from softloc.engines.torch_engine import TorchEngine  # noqa: PLC0415

    velocity = checkpoint.velocity
    engine = TorchEngine(
        checkpoint.log_mel.to(device),
        [network.to(device) for network in checkpoint.networks],
        None if velocity is None else velocity.weight,
    )
    return Transcriber(checkpoint.settings, engine, velocity, checkpoint.record)


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


def _warn_of_memory(heard: _Meter, megabytes_per_hour: float) -> Iterator[Waveform]:
    """Pass blocks on, and say when they begin to need much memory."""
    is_told = False
    for block in heard:
        if not is_told and heard.duration_s / 3600 * megabytes_per_hour > MUCH_MEMORY_MB:
            is_told = True
            _LOG.warning(
                "the model reads both ways and needs all of a recording at once: about %.0f MB of "
                "memory an hour",
                megabytes_per_hour,
            )
        yield block


def _cut(waveform: Waveform) -> Iterator[Waveform]:
    size = round(BLOCK_S * waveform.sample_rate_hz)
    for start in range(0, len(waveform.samples), size):
        yield Waveform(waveform.samples[start : start + size], waveform.sample_rate_hz)
