"""Decoding by libsndfile: WAV, FLAC, Ogg, MP3, AIFF and their kin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from softloc.decoders.container import Container
from softloc.decoders.stream import AudioStream

#: What libsndfile answers for the length of a FLAC file that states none.
_UNKNOWN_LENGTH = 1 << 60


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from start to end.

    soundfile seeks after every read, which fails at the end of files with a wrong length, so that
    their last block would be lost.
    """

    def seekable(self) -> bool:
        return False


class SndfileStream(AudioStream):
    """Sound that libsndfile decodes.

    Parameters
    ----------
    source : Path or binary file
        A file to be read from its start.
    container : Container
        As from `inspect_container`.
    name : str
        For messages.

    Raises
    ------
    soundfile.SoundFileError
        If libsndfile cannot read it.
    """

    tolerance_samples = 1152  # a frame of MPEG; all other lengths are exact

    def __init__(self, source: Path | BinaryIO, container: Container, name: str) -> None:
        file = _Sequential(source)
        if container.name == "unknown":
            stated_s = file.frames / file.samplerate
            container = replace(container, name=file.format, header_s=stated_s)
        super().__init__(name, container)
        self._file = self._resources.enter_context(file)
        self.decoder = f"libsndfile {soundfile.__libsndfile_version__}"
        self.codec = container.codec or self._file.subtype
        self.sample_rate_hz = int(self._file.samplerate)
        self.n_channels = int(self._file.channels)
        stated = int(self._file.frames)
        self._n_left = stated
        known = None if stated >= _UNKNOWN_LENGTH else stated - container.cut_samples
        self.n_samples = known if container.n_samples is None else container.n_samples

    def _decode(self, n_samples: int) -> NDArray[np.float32]:
        # Behind the stated end there may be tags, which libsndfile would take for damage.
        n_wanted = min(n_samples, self._n_left)
        try:
            block: NDArray[np.float32] = self._file.read(n_wanted, "float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise self.damaged(error) from error
        self._n_left -= len(block)
        return block
