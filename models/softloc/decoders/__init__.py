"""Recordings as they are on disk: wrappings read, wrong headers put right, sound decoded.

file ─> `inspect_container` ─> `Container` ─> `open_stream` ─> `AudioStream` ─> samples
"""

from softloc.decoders.container import Container
from softloc.decoders.ffmpeg import INSTALL_HINT, has_ffmpeg
from softloc.decoders.opening import AudioSource, hold_pipe, open_stream, source_name
from softloc.decoders.sniffing import inspect_container
from softloc.decoders.stream import AudioStream

__all__ = [
    "INSTALL_HINT",
    "AudioSource",
    "AudioStream",
    "Container",
    "has_ffmpeg",
    "hold_pipe",
    "inspect_container",
    "open_stream",
    "source_name",
]
