"""Windows of features and labels for the audio experiments: drawn at random, features made once.

A sweep trains a hundred models on the same audio. Its features are computed once, kept on disk and
cut into windows, which more than halves the time of a step. Labels stay real-valued times, so that
targets past the paper (`benchmarks.paper.targets`) can be made from them.

Conventions
-----------
- As in `softloc.batches`: frame i of a window is centred on its start plus i hops, a label belongs
  to the nearest frame, two labels in one frame count as two, and ``lead_in`` frames before the
  window warm the LSTM up.
- A speed treats the sample rate as if multiplied by it (the paper's augmentation): frames then lie
  farther apart in the recording, and softness in frames shrinks accordingly.
- Outside a recording is silence. Labels outside it stay there: no window with a recording's margin
  of `MARGIN_S` may see them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softloc.audio import read_audio
from softloc.features import LOG_GAIN, FeatureSettings, LogMel, mel_filterbank
from softloc.files import atomic_path, write_text_atomic
from softloc.network import NetworkSettings

MARGIN_S = 0.5
#: Labels this far outside a window are told, for targets that look beyond its edges.
REACH_S = 1.0
_CHUNK_FRAMES = 2000
_EQUALISER_NODES = 6


@dataclass(frozen=True)
class Labels:
    """All labels that one annotator set in one recording.

    Attributes
    ----------
    times_s : ndarray of float64, shape (n,)
        Anywhere, also outside the recording.
    classes : ndarray of int64, shape (n,)
        Output of each label.
    softness_ms : float
        Of all of them.
    """

    times_s: NDArray[np.float64]
    classes: NDArray[np.int64]
    softness_ms: float


@dataclass(frozen=True)
class Batch:
    """What one step of training sees.

    Attributes
    ----------
    features : Tensor of shape (batch, look_back + lead_in + n_frames + look_ahead, 2, n_bands)
        Input of the network.
    targets : Tensor of shape (batch, n_classes, n_frames)
        Number of labels in each frame.
    softness_frames : Tensor of shape (batch, n_classes)
        Softness of each target.
    points : ndarray of float64, shape (n, 3)
        Window, class and place in frames of every label in reach of a window; places outside
        ``[-0.5, n_frames - 0.5)`` are outside the window.
    """

    features: Tensor
    targets: Tensor
    softness_frames: Tensor
    points: NDArray[np.float64]


class FeatureStore:
    """Log-mel-spectrograms of recordings at some speeds, on disk in half precision.

    Parameters
    ----------
    recordings : sequence of Path
        Audio files.
    features : FeatureSettings
        What is computed.
    folder : Path
        Where it is kept; complete features of the same files and settings are used again.
    speeds : sequence of float
        See the module's conventions.

    Raises
    ------
    AudioError
        If a recording cannot be decoded.
    """

    def __init__(
        self,
        recordings: Sequence[Path],
        features: FeatureSettings,
        folder: Path,
        speeds: Sequence[float] = (1.0,),
    ) -> None:
        self.features = features
        self.hops = [round(features.hop_samples * speed) for speed in speeds]
        stats = [(str(path), path.stat().st_size) for path in recordings]
        text = json.dumps([stats, asdict(features), self.hops])
        base = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        index = base.with_suffix(".json")
        if not index.exists():
            lengths = [_compute(recordings, features, hop, _path(base, hop)) for hop in self.hops]
            write_text_atomic(index, json.dumps(lengths))
        lengths = json.loads(index.read_text(encoding="utf-8"))
        self._bounds = [np.concatenate(([0], np.cumsum(row))) for row in lengths]
        self._frames = [
            np.memmap(_path(base, hop), np.float16, "r").reshape(-1, features.n_bands)
            for hop in self.hops
        ]

    @property
    def n_recordings(self) -> int:
        """Number of recordings."""
        return len(self._bounds[0]) - 1

    def n_frames(self, recording: int, speed: int = 0) -> int:
        """Frames of a recording at a speed, both by index."""
        bounds = self._bounds[speed]
        return int(bounds[recording + 1] - bounds[recording])

    def read(self, recording: int, speed: int, start: int, n_frames: int) -> NDArray[np.float32]:
        """Read log-mel frames from `start` on, which may lie before 0; silence outside."""
        result = np.zeros((n_frames, self.features.n_bands), dtype=np.float32)
        begin, end = max(start, 0), min(start + n_frames, self.n_frames(recording, speed))
        if begin < end:
            offset = self._bounds[speed][recording]
            result[begin - start : end - start] = self._frames[speed][offset + begin : offset + end]
        return result


class Windows:
    """Draws windows.

    Parameters
    ----------
    store : FeatureStore
        Features.
    labels : sequence of sequence of Labels
        For each recording those of each annotator; a window takes one of them.
    n_classes : int
        Outputs of the network.
    network : NetworkSettings
        Says how much context it needs.
    window_s : float
        Length of a window.
    gain_db, equaliser_db : float
        Range below the recorded level, and standard deviation of a smooth random gain over the
        bands; 0 leaves the audio as it is.
    """

    def __init__(
        self,
        store: FeatureStore,
        labels: Sequence[Sequence[Labels]],
        n_classes: int,
        network: NetworkSettings,
        *,
        window_s: float,
        gain_db: float = 0.0,
        equaliser_db: float = 0.0,
    ) -> None:
        self.store = store
        self.labels = labels
        self.n_classes = n_classes
        self.gain_db = gain_db
        self.equaliser_db = equaliser_db
        grid = store.features.grid
        self.n_frames = round(grid.seconds_to_frames(window_s).item())
        self.lead_in = store.features.lead_in_frames
        self._before = 1 + network.look_back_frames + self.lead_in
        self._after = network.look_ahead_frames
        lengths = np.array([store.n_frames(i) for i in range(store.n_recordings)], dtype=float)
        self._weights = lengths / lengths.sum()

    def draw(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Draw a batch; recordings are drawn in proportion to their length."""
        windows = [self._place(rng) for _ in range(batch_size)]
        n_frames = self._before + self.n_frames + self._after
        log_mel = np.stack(
            [
                self.store.read(r, speed, start - self._before, n_frames)
                for r, speed, start in windows
            ]
        )
        sets = [self.labels[r][int(rng.integers(len(self.labels[r])))] for r, _, _ in windows]
        points = [
            self._points(index, labels, speed, start)
            for index, (labels, (_, speed, start)) in enumerate(zip(sets, windows, strict=True))
        ]
        rate = self.store.features.sample_rate_hz
        softness = [
            [labels.softness_ms / 1000.0 * rate / self.store.hops[speed]] * self.n_classes
            for labels, (_, speed, _) in zip(sets, windows, strict=True)
        ]
        everything = np.concatenate(points)
        return Batch(
            features=_with_derivative(self._vary(torch.from_numpy(log_mel), rng)),
            targets=torch.from_numpy(self._targets(everything, batch_size)),
            softness_frames=torch.tensor(softness, dtype=torch.float32),
            points=everything,
        )

    def _place(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Draw recording, speed and first frame."""
        recording = int(rng.choice(len(self._weights), p=self._weights))
        speed = int(rng.integers(len(self.store.hops)))
        margin = round(MARGIN_S * self.store.features.sample_rate_hz / self.store.hops[speed])
        latest = self.store.n_frames(recording, speed) + margin - self.n_frames
        return recording, speed, int(rng.integers(-margin, max(latest, -margin) + 1))

    def _points(self, index: int, labels: Labels, speed: int, start: int) -> NDArray[np.float64]:
        frame_rate_hz = self.store.features.sample_rate_hz / self.store.hops[speed]
        frames = labels.times_s * frame_rate_hz - start
        reach = REACH_S * frame_rate_hz
        near = (frames >= -reach) & (frames < self.n_frames + reach)
        return np.stack(
            [np.full(int(near.sum()), float(index)), labels.classes[near], frames[near]], axis=1
        )

    def _targets(self, points: NDArray[np.float64], batch_size: int) -> NDArray[np.float32]:
        targets = np.zeros((batch_size, self.n_classes, self.n_frames), dtype=np.float32)
        frames = np.floor(points[:, 2] + 0.5).astype(np.int64)
        inside = (frames >= 0) & (frames < self.n_frames)
        windows, classes = points[inside, :2].astype(np.int64).T
        np.add.at(targets, (windows, classes, frames[inside]), 1.0)
        return targets

    def _vary(self, log_mel: Tensor, rng: np.random.Generator) -> Tensor:
        """Level and equaliser, applied to magnitudes."""
        if not (self.gain_db or self.equaliser_db):
            return log_mel
        n_batch, _, n_bands = log_mel.shape
        gains_db = rng.uniform(-self.gain_db, 0.0, size=(n_batch, 1))
        nodes = rng.normal(0.0, self.equaliser_db, size=(n_batch, _EQUALISER_NODES))
        positions = np.linspace(0, _EQUALISER_NODES - 1, n_bands)
        curves_db = np.stack([np.interp(positions, range(_EQUALISER_NODES), row) for row in nodes])
        gains = (10.0 ** ((gains_db + curves_db) / 20.0)).astype(np.float32)
        return torch.log1p(torch.expm1(log_mel) * torch.from_numpy(gains).unsqueeze(1))


def _with_derivative(log_mel: Tensor) -> Tensor:
    """(batch, 1 + T, n_bands) to features (batch, T, 2, n_bands), as in `softloc.features`."""
    return torch.stack((log_mel[:, 1:], log_mel.diff(dim=1)), dim=2)


def _path(base: Path, hop_samples: int) -> Path:
    return base.with_suffix(f".{hop_samples}.f16")


def _compute(
    recordings: Sequence[Path], features: FeatureSettings, hop_samples: int, path: Path
) -> list[int]:
    """Write the log-mel frames of all recordings at a hop; return how many each has."""
    speed = hop_samples / features.hop_samples
    log_mel = LogMel(features, torch.from_numpy(mel_filterbank(features, speed)))
    lengths = []
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for recording in recordings:
            samples = read_audio(recording, features.sample_rate_hz).samples
            half = features.fft_samples // 2
            padded = torch.from_numpy(np.pad(samples, (half, half + hop_samples)))
            frames = padded.unfold(0, features.fft_samples, hop_samples)
            n_frames = len(samples) // hop_samples + 1
            for start in range(0, n_frames, _CHUNK_FRAMES):
                chunk = frames[start : min(start + _CHUNK_FRAMES, n_frames)]
                magnitudes = log_mel.band_magnitudes(chunk, log_mel.filterbank)
                file.write(torch.log1p(LOG_GAIN * magnitudes).half().numpy().tobytes())
            lengths.append(n_frames)
    return lengths
