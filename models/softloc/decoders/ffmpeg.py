"""Decoding by FFmpeg through PyAV, the extra ``softloc[av]``: M4A, MP4, WebM and all the others.

Conventions
-----------
- Of several audio streams the first is read; time 0 is its first sample.
- Encoders put silence before the sound ("priming"). Where the file tells (an edit list, Matroska's
  CodecDelay, Opus' pre-skip), FFmpeg removes it. Where an AAC stream does not tell (``.aac``,
  fragmented MP4), one frame is removed, 1024 samples or 2048 with SBR: the least that any encoder
  adds and FFmpeg's own; Apple's add 2112.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from softloc.decoders.container import Container
from softloc.decoders.mpeg import (
    DECODER_DELAY_SAMPLES,
    FILTERBANK_DELAY_SAMPLES,
    LAME_DELAY_SAMPLES,
    parse_header,
)
from softloc.decoders.stream import AudioStream, reason_of
from softloc.errors import AudioError

#: Streams without a header: FFmpeg guesses their length from the bit rate.
_WITHOUT_LENGTH = ("aac", "ac3", "eac3", "dts", "mp3", "loas")

#: What durations in containers leave out or add: priming, and the rest of the last frame.
_TOLERANCE_S = 0.1

#: Protocols by which what a file names itself may be opened: playlists, references to other files.
_NO_PROTOCOL = {"protocol_whitelist": "none"}

EXTRA = "av"
INSTALL_HINT = "pip install 'softloc[av]'"

#: Silence before the sound that is removed where a file does not tell; AAC's is its first frame.
_ASSUMED_SAMPLES = {
    "mp3": LAME_DELAY_SAMPLES + DECODER_DELAY_SAMPLES,
    "mp2": FILTERBANK_DELAY_SAMPLES,
    "ac3": 256,  # half a block of its transform
    "eac3": 256,
}


def has_ffmpeg() -> bool:
    """Whether PyAV is installed."""
    try:
        return importlib.util.find_spec(EXTRA) is not None
    except ValueError:  # a module that is blocked has no spec
        return False


def _lenient(version: str) -> dict[str, str]:
    """Let tags be no UTF-8, which PyAV does not mind from version 19 on."""
    return {"metadata_errors": "replace"} if int(version.split(".", 1)[0]) < 19 else {}


class FfmpegStream(AudioStream):
    """Sound that FFmpeg decodes.

    Parameters
    ----------
    source : binary file
        To be read from its start; never a name, since FFmpeg takes one like ``http:host.m4a`` for
        an address.
    container : Container
        As from `inspect_container`.
    name : str
        For messages.

    Raises
    ------
    AudioError
        If FFmpeg cannot read it, or it holds no sound.
    """

    def __init__(self, source: BinaryIO, container: Container, name: str) -> None:
        super().__init__(name, container)
        self._av: Any = importlib.import_module(EXTRA)
        self._opened = self._resources.enter_context(self._open(source))
        if not self._opened.streams.audio:
            raise AudioError(f"{name}: holds no sound, only pictures or data")
        self._stream = self._opened.streams.audio[0]
        if self._stream.codec_context is None:
            raise AudioError(f"{name}: FFmpeg has no decoder for its sound")
        self.decoder = f"PyAV {self._av.__version__} (FFmpeg)"
        self.codec = self._stream.codec_context.codec.canonical_name
        self._priming = 0
        frames = self._frames()
        first = next(frames, None)
        if first is None:
            raise AudioError(f"{name}: the header promises audio, but no sample can be decoded")
        self._pending = chain([first], frames)
        self._left = np.zeros((0, first.shape[1]), dtype=np.float32)
        self.sample_rate_hz = int(self._stream.codec_context.sample_rate)
        self.n_channels = first.shape[1]
        self.tolerance_samples = round(_TOLERANCE_S * self.sample_rate_hz)
        stated_s = self._stated_s()
        named = self._opened.format.name if container.name == "unknown" else container.name
        described = replace(container, name=named, header_s=stated_s)
        self.container = self._with_priming(described, len(first))
        self._to_cut = self.container.cut_samples
        if stated_s is not None and stated_s > 0:
            self.n_samples = round(stated_s * self.sample_rate_hz) - self._to_cut

    def _open(self, source: BinaryIO) -> Any:
        try:
            return self._av.open(source, options=_NO_PROTOCOL, **_lenient(self._av.__version__))
        except (self._av.FFmpegError, ValueError) as error:
            raise AudioError(
                f"{self.name}: not audio that can be read ({reason_of(error)})"
            ) from error

    def _frames(self) -> Iterator[NDArray[np.float32]]:
        """Decode packet by packet; the first tells how much silence FFmpeg will remove."""
        resampler: Any = None
        seen = 0
        is_first = True
        try:
            for packet in self._opened.demux(self._stream):
                if is_first:
                    self._priming, is_first = _skip_samples(packet), False
                    self.codec = _mpeg_layer(packet) or self.codec
                for frame in packet.decode():
                    # Interleaved: of planes PyAV reads past the end where there are eight or more.
                    resampler = resampler or self._av.AudioResampler(
                        "flt", frame.layout, frame.sample_rate
                    )
                    for part in resampler.resample(frame):
                        seen += part.samples
                        yield part.to_ndarray().reshape(-1, part.layout.nb_channels)
        except self._av.FFmpegError as error:
            place_s = seen / max(self._stream.codec_context.sample_rate or 0, 1)
            raise AudioError(
                f"{self.name}: damaged at {place_s:.1f} s ({reason_of(error)})"
            ) from error

    def _stated_s(self) -> float | None:
        if self._opened.format.name in _WITHOUT_LENGTH:
            return None
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        if self._opened.duration:
            return float(self._opened.duration / self._av.time_base)
        return None

    def _with_priming(self, container: Container, first_samples: int) -> Container:
        assumed = _ASSUMED_SAMPLES.get(self.codec, first_samples if self.codec == "aac" else 0)
        tags = {**container.tags, "audio_streams": len(self._opened.streams.audio)}
        remarks = list(container.remarks)
        if len(self._opened.streams.audio) > 1:
            remarks.append("several audio streams: the first is read")
        if self._priming or not assumed:
            tags |= {"priming_samples": self._priming} if self._priming else {}
            shift = self._priming
            return replace(container, tags=tags, shift_samples=shift, remarks=tuple(remarks))
        warning = (
            f"does not tell how late its sound starts; corrected by "
            f"{assumed / self.sample_rate_hz * 1000:.1f} ms, assuming {assumed} samples as usual "
            f"with {self.codec.upper()} (other encoders differ)"
        )
        return replace(
            container, tags=tags, shift_samples=assumed, cut_samples=assumed, shift_assumed=True,
            warnings=(*container.warnings, warning), remarks=tuple(remarks),
        )  # fmt: skip

    def _decode(self, n_samples: int) -> NDArray[np.float32]:
        blocks, n_ready = [self._left], len(self._left)
        while n_ready < n_samples:
            block = next(self._pending, None)
            if block is None:
                break
            blocks.append(block)
            n_ready += len(block)
        joined = np.concatenate(blocks)
        self._left = joined[n_samples:]
        return joined[:n_samples]


def _mpeg_layer(packet: Any) -> str | None:
    """``"mp2"`` or ``"mp3"``, which FFmpeg's one decoder for both does not tell apart."""
    header = parse_header(bytes(packet)[:4])
    return f"mp{header.layer}" if header and packet.stream.codec_context.name[:2] == "mp" else None


def _skip_samples(packet: Any) -> int:
    for side_data in packet.iter_sidedata():
        if side_data.data_type == "skip_samples":
            return int.from_bytes(bytes(side_data)[:4], "little")
    return 0
