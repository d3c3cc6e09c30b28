"""Decoded audio on disk, for training: windows of any recording without decoding it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from softloc.audio import BLOCK_S, read_blocks, resample_blocks
from softloc.errors import AudioError, OutputError

_FULL_SCALE = 32_767
_STORED = np.dtype("<i2")


class AudioStore:
    """Decoded audio of a dataset on disk: 16 bit, at one sample rate, read window by window.

    Pickled it names its file only: processes that read the same audio share one.

    Parameters
    ----------
    recordings : sequence of Path
        Audio files.
    sample_rate_hz : int
        Rate they are brought to.
    path : Path
        File to keep the samples in.
    advance : callable, optional
        Called after each recording with its length in seconds.

    Raises
    ------
    AudioError
        Naming every recording that cannot be decoded.
    OutputError
        If the samples cannot be kept.
    """

    def __init__(
        self,
        recordings: Sequence[Path],
        sample_rate_hz: int,
        path: Path,
        advance: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._path = path
        self._peaks: list[float] = []
        self._bounds = [0]
        problems = []
        try:
            with path.open("wb") as file:
                for recording in recordings:
                    try:
                        peak, n_samples = self._append(file, recording)
                    except AudioError as error:
                        problems.append(str(error))
                        continue
                    self._peaks.append(peak)
                    self._bounds.append(self._bounds[-1] + n_samples)
                    advance(n_samples / sample_rate_hz)
        except OSError as error:
            raise OutputError(
                f"cannot keep decoded audio in {path}: {error.strerror or error}"
            ) from error
        if problems:
            raise AudioError("\n".join(problems))
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_samples"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def _open(self) -> None:
        self._samples = np.memmap(self._path, dtype=_STORED, mode="r")

    def _append(self, file: BinaryIO, recording: Path) -> tuple[float, int]:
        """Decode a recording to the end of the file; return its full scale and its length."""
        start, peak = file.tell(), 1.0
        while True:
            n_samples, loudest = 0, 0.0
            blocks = read_blocks(recording, warn=peak == 1.0)
            for block in resample_blocks(blocks, self.sample_rate_hz):
                loudest = max(loudest, float(np.abs(block).max(initial=0.0)))
                scaled = np.clip(block / peak, -1.0, 1.0) * _FULL_SCALE
                file.write(np.rint(scaled).astype(_STORED).tobytes())
                n_samples += len(block)
            if not n_samples:
                raise AudioError(f"{recording}: too short, nothing is left of it")
            if loudest <= peak:
                return peak, n_samples
            # It exceeds full scale, as floating-point files may: once more, scaled to fit.
            peak = loudest
            file.seek(start)
            file.truncate()

    def n_samples(self, recording: int) -> int:
        """Length of a recording in samples."""
        return self._bounds[recording + 1] - self._bounds[recording]

    def read(self, recording: int, start: int, n_samples: int) -> NDArray[np.float32]:
        """Read samples from `start` on, which may lie before 0; silence outside the recording."""
        result = np.zeros(n_samples, dtype=np.float32)
        begin, end = max(start, 0), min(start + n_samples, self.n_samples(recording))
        if begin < end:
            offset = self._bounds[recording]
            stored = self._samples[offset + begin : offset + end]
            result[begin - start : end - start] = stored * np.float32(
                self._peaks[recording] / _FULL_SCALE
            )
        return result

    def blocks(self, recording: int) -> Iterator[NDArray[np.float32]]:
        """Yield a whole recording piece by piece."""
        size = round(BLOCK_S * self.sample_rate_hz)
        n_samples = self.n_samples(recording)
        for start in range(0, n_samples, size):
            yield self.read(recording, start, min(size, n_samples - start))
