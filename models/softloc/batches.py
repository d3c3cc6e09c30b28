"""Windows of audio and labels for training, drawn at random and augmented.

Conventions
-----------
- What step ``n`` sees depends on the seed and ``n`` alone, so a training resumes anywhere exactly,
  and with any number of processes: each draws the same windows and computes those of its share.
- A window has ``lead_in + n_frames`` frames; those of the lead-in warm the LSTM up with the real
  audio before the window and are not scored. It may begin or end up to `MARGIN_S` outside its
  recording, in silence; frames farther out are masked.
- A label belongs to the frame nearest to it. Two labels in one frame count as two.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softloc.audio_store import AudioStore
from softloc.datasets import Dataset, LabelSequence, Recording
from softloc.errors import SettingsError
from softloc.features import FeatureSettings, LogMel, compress, mel_filterbank
from softloc.network import NetworkSettings

MARGIN_S = 0.5


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """How training audio is varied.

    Attributes
    ----------
    speed_range : float
        The sample rate is treated as if multiplied by a factor in [1 - range, 1 + range] (the
        paper uses 1/8).
    n_speeds : int
        Number of different factors.
    min_gain_db, max_gain_db : float
        Range of the level.
    equaliser_db : float
        Standard deviation of a smooth random gain over the bands.
    equaliser_nodes : int
        Points between which that gain is interpolated.
    max_noise_db : float
        Noise in the bands, at most this loud re full scale.
    background_share : float
        Windows under which a window of a recording without any label is mixed, where the dataset
        has such recordings.
    background_range_db : tuple of float
        Lowest and highest level of that background re the window.
    """

    speed_range: float = 0.125
    n_speeds: int = 17
    min_gain_db: float = -24.0
    max_gain_db: float = 6.0
    equaliser_db: float = 5.0
    equaliser_nodes: int = 6
    max_noise_db: float = -60.0
    background_share: float = 0.25
    background_range_db: tuple[float, float] = (-20.0, 3.0)

    def __post_init__(self) -> None:
        if not 0.0 <= self.speed_range < 0.5 or self.n_speeds < 1:
            raise SettingsError(
                f"speed_range must lie in 0-0.5 and n_speeds be at least 1, "
                f"not {self.speed_range} and {self.n_speeds}"
            )
        if not 0.0 <= self.background_share <= 1.0:
            raise SettingsError(
                f"background_share must lie between 0 and 1, not {self.background_share}"
            )


#: Audio as it is.
NO_AUGMENTATION = AugmentSettings(
    speed_range=0.0,
    n_speeds=1,
    min_gain_db=0.0,
    max_gain_db=0.0,
    equaliser_db=0.0,
    max_noise_db=-400.0,
    background_share=0.0,
)


@dataclass(frozen=True, slots=True)
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
    mask : Tensor of shape (batch, 1, n_frames)
        True where a frame is scored.
    """

    features: Tensor
    targets: Tensor
    softness_frames: Tensor
    mask: Tensor

    def split(self, n_parts: int) -> Iterator[Batch]:
        """Yield the windows in parts that are equally large."""
        parts = (self.features, self.targets, self.softness_frames, self.mask)
        for rows in zip(*(part.chunk(n_parts) for part in parts), strict=True):
            yield Batch(*rows)


class WindowSampler:
    """Draws the windows of a dataset.

    Parameters
    ----------
    dataset : Dataset
        Labels.
    store : AudioStore
        Audio of the same recordings.
    log_mel : LogMel
        Computes features.
    network : NetworkSettings
        Says how much context the network needs.
    window_s : float
        Length of a window.
    augment : AugmentSettings
        How the audio is varied.
    """

    def __init__(
        self,
        dataset: Dataset,
        store: AudioStore,
        log_mel: LogMel,
        network: NetworkSettings,
        *,
        window_s: float,
        augment: AugmentSettings,
    ) -> None:
        self.dataset = dataset
        self.store = store
        self.log_mel = log_mel
        self.augment = augment
        self.n_frames = window_frames(window_s, log_mel.settings)
        self._before = log_mel.settings.lead_in_frames + network.look_back_frames
        self._after = network.look_ahead_frames
        durations = np.array([recording.duration_s for recording in dataset.recordings])
        self._weights = durations / durations.sum()
        silent = np.array([_has_no_labels(recording) for recording in dataset.recordings])
        total_s = durations[silent].sum()
        self._background_weights = durations * silent / total_s if total_s else None

    def draw(self, batch_size: int, rng: np.random.Generator, share: slice = slice(None)) -> Batch:
        """Draw a batch of windows; recordings are drawn in proportion to their length.

        Parameters
        ----------
        batch_size : int
            Windows to draw.
        rng : Generator
            Is left in the same state whatever the share.
        share : slice
            Which of them to compute.
        """
        indices = rng.choice(len(self._weights), size=batch_size, p=self._weights)
        windows = [self._draw_window(int(index), rng) for index in indices]
        backgrounds = self._draw_backgrounds(batch_size, rng)
        variation = _draw_variation((batch_size, *self._magnitudes_shape), self.augment, rng)
        windows = windows[share]
        magnitudes = torch.stack([self._magnitudes(window) for window in windows])
        self._add_backgrounds(magnitudes, backgrounds[share])
        magnitudes = variation.of(share).apply(magnitudes)
        labels = [self._labels(window) for window in windows]
        return Batch(
            features=compress(magnitudes),
            targets=torch.from_numpy(np.stack([targets for targets, _ in labels])),
            softness_frames=torch.from_numpy(np.stack([softness for _, softness in labels])),
            mask=torch.from_numpy(np.stack([self._mask(window) for window in windows])).unsqueeze(
                1
            ),
        )

    def _draw_backgrounds(
        self, batch_size: int, rng: np.random.Generator
    ) -> list[tuple[_Window, float] | None]:
        """Draw which windows get which background, and its level in dB."""
        share, weights = self.augment.background_share, self._background_weights
        drawn: list[tuple[_Window, float] | None] = [None] * batch_size
        if share == 0.0 or weights is None:
            return drawn
        for row in range(batch_size):
            chance, level_db = rng.random(), rng.uniform(*self.augment.background_range_db)
            if chance < share:
                index = int(rng.choice(len(weights), p=weights))
                drawn[row] = (self._draw_window(index, rng), level_db)
        return drawn

    def _add_backgrounds(
        self, magnitudes: Tensor, backgrounds: Sequence[tuple[_Window, float] | None]
    ) -> None:
        """Mix backgrounds under some of the magnitudes (batch, frames, n_bands), in place."""
        for row, background in zip(magnitudes, backgrounds, strict=True):
            if background is not None:
                window, level_db = background
                row.copy_(_mix_under(row, self._magnitudes(window), level_db))

    def _draw_window(self, index: int, rng: np.random.Generator) -> _Window:
        recording = self.dataset.recordings[index]
        hop_samples = _draw_hop(self.log_mel.settings.hop_samples, self.augment, rng)
        margin = round(MARGIN_S * self.store.sample_rate_hz)
        latest = self.store.n_samples(index) + margin - self.n_frames * hop_samples
        start = int(rng.integers(-margin, max(latest, -margin) + 1))
        sequence = recording.sequences[int(rng.integers(len(recording.sequences)))]
        return _Window(index, sequence, start, hop_samples)

    @property
    def _magnitudes_shape(self) -> tuple[int, int]:
        """Frames of a window with its context and the one before, and bands."""
        n_frames = 1 + self._before + self.n_frames + self._after
        return n_frames, self.log_mel.settings.n_bands

    def _magnitudes(self, window: _Window) -> Tensor:
        """Band magnitudes (1 + frames, n_bands) of a window with its context."""
        settings = self.log_mel.settings
        n_frames, _ = self._magnitudes_shape
        start = window.start - (1 + self._before) * window.hop_samples - settings.fft_samples // 2
        n_samples = (n_frames - 1) * window.hop_samples + settings.fft_samples
        samples = torch.from_numpy(self.store.read(window.recording, start, n_samples))
        frames = samples.to(self.log_mel.filterbank.device).unfold(
            0, settings.fft_samples, window.hop_samples
        )
        if window.hop_samples == settings.hop_samples:
            return self.log_mel.band_magnitudes(frames, self.log_mel.filterbank)
        filterbank = _filterbank_at(settings, window.hop_samples)
        return self.log_mel.band_magnitudes(frames, filterbank.to(frames.device))

    def _labels(self, window: _Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Targets (n_classes, n_frames) and softness in frames (n_classes,) of a window."""
        sequence = window.sequence
        n_classes = len(self.dataset.classes.names)
        samples = sequence.times_s * self.store.sample_rate_hz - window.start
        frames = np.floor(samples / window.hop_samples + 0.5).astype(np.int64)
        inside = (frames >= 0) & (frames < self.n_frames)
        targets = np.zeros((n_classes, self.n_frames), dtype=np.float32)
        np.add.at(targets, (sequence.classes[inside], frames[inside]), 1.0)
        targets = _possible(targets, int(self._mask(window).sum()))
        softness_s = _window_softness(sequence, inside, n_classes) / 1000.0
        softness_frames = softness_s * self.store.sample_rate_hz / window.hop_samples
        return targets, softness_frames.astype(np.float32)

    def _mask(self, window: _Window) -> NDArray[np.bool_]:
        centres = window.start + np.arange(self.n_frames) * window.hop_samples
        margin = round(MARGIN_S * self.store.sample_rate_hz)
        return centres < self.store.n_samples(window.recording) + margin


class BatchStream:
    """Batches of successive steps, each computed in a thread while the one before is learnt from.

    A context manager that ends the thread.

    Parameters
    ----------
    draw : callable
        Gives the batch of a step.
    n_steps : int
        From this step on nothing is computed ahead.
    """

    def __init__(self, draw: Callable[[int], Batch], n_steps: int) -> None:
        self._draw = draw
        self._n_steps = n_steps
        self._ahead: dict[int, Future[Batch]] = {}
        # Threads do not inherit how many threads they may compute with.
        self._thread = ThreadPoolExecutor(
            1, "batches", initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def take(self, step: int) -> Batch:
        """Return the batch of a step, and have that of the next one begun."""
        batch = self._ahead.pop(step, None) or self._thread.submit(self._draw, step)
        if step + 1 < self._n_steps:
            self._ahead = {step + 1: self._thread.submit(self._draw, step + 1)}
        return batch.result()


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a window lies: its first frame is centred on sample `start`, `hop_samples` apart."""

    recording: int
    sequence: LabelSequence
    start: int
    hop_samples: int


def window_frames(window_s: float, settings: FeatureSettings) -> int:
    """Frames in a window of so many seconds.

    Raises
    ------
    SettingsError
        If that is less than one.
    """
    n_frames = round(settings.grid.seconds_to_frames(window_s).item())
    if n_frames < 1:
        raise SettingsError(f"a window of {window_s} s holds no frame")
    return n_frames


def step_generator(seed: int, step: int) -> np.random.Generator:
    """Randomness of one step of training, independent of all other steps."""
    return np.random.default_rng([seed, step])


def feature_statistics(batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of features over batches, each of shape (2, n_bands)."""
    features = torch.cat([batch.features.flatten(0, 1) for batch in batches])
    return features.mean(dim=0), features.std(dim=0)


def label_targets(
    recording: Recording, n_classes: int, n_frames: int, settings: FeatureSettings
) -> tuple[Tensor, Tensor]:
    """Targets and softness of a whole recording, by its first annotator.

    Returns
    -------
    targets : Tensor of shape (n_classes, n_frames)
        Number of labels in each frame.
    softness_frames : Tensor of shape (n_classes,)
        Mean softness of each class.
    """
    sequence = recording.sequences[0]
    targets = np.zeros((n_classes, n_frames), dtype=np.float32)
    frames = np.clip(settings.grid.nearest_frames(sequence.times_s), 0, n_frames - 1)
    np.add.at(targets, (sequence.classes, frames), 1.0)
    targets = _possible(targets, n_frames)
    inside = np.ones(len(frames), dtype=np.bool_)
    softness_ms = _window_softness(sequence, inside, n_classes)
    softness_frames = softness_ms / 1000.0 / settings.grid.hop_s
    return torch.from_numpy(targets), torch.from_numpy(softness_frames.astype(np.float32))


def _possible(targets: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
    """Targets without the surplus where a class has more labels than frames can hold events.

    That is so in recordings of a few frames whose labels were all moved to their ends.
    """
    crowded = targets.sum(axis=1, keepdims=True) > n_frames
    return np.where(crowded, np.minimum(targets, 1.0), targets)


def _window_softness(
    sequence: LabelSequence, inside: NDArray[np.bool_], n_classes: int
) -> NDArray[np.float64]:
    """Mean softness (ms) of each class' labels in a window; where it has none, of the sequence."""
    everything = sequence.softness_ms.mean() if len(sequence.softness_ms) else 0.0
    softness_ms = np.full(n_classes, everything)
    for index in np.unique(sequence.classes[inside]):
        softness_ms[index] = sequence.softness_ms[inside & (sequence.classes == index)].mean()
    return softness_ms


def _draw_hop(hop_samples: int, augment: AugmentSettings, rng: np.random.Generator) -> int:
    """Draw a hop: a longer one reads the recording as if its sample rate were higher."""
    speeds = np.linspace(1.0 - augment.speed_range, 1.0 + augment.speed_range, augment.n_speeds)
    speed = float(rng.choice(speeds)) if augment.n_speeds > 1 else 1.0
    return round(hop_samples * speed)


@functools.lru_cache(maxsize=64)
def _filterbank_at(settings: FeatureSettings, hop_samples: int) -> Tensor:
    return torch.from_numpy(mel_filterbank(settings, hop_samples / settings.hop_samples))


@dataclass(frozen=True, slots=True)
class _Variation:
    """How band magnitudes (batch, frames, n_bands) are changed.

    Attributes
    ----------
    gain : ndarray of shape (batch, n_bands)
        Level and equaliser.
    noise : ndarray of shape (batch, frames, n_bands)
        Magnitudes of noise.
    level : ndarray of shape (batch, 1)
        Its level.
    """

    gain: NDArray[np.float32]
    noise: NDArray[np.float32]
    level: NDArray[np.float32]

    def of(self, share: slice) -> _Variation:
        """Leave that of some windows only."""
        return _Variation(self.gain[share], self.noise[share], self.level[share])

    def apply(self, magnitudes: Tensor) -> Tensor:
        """Change magnitudes (batch, frames, n_bands)."""
        device = magnitudes.device
        gain = torch.from_numpy(self.gain).to(device).unsqueeze(1)
        level = torch.from_numpy(self.level).to(device).unsqueeze(1)
        return magnitudes * gain + torch.from_numpy(self.noise).to(device) * level


def _draw_variation(
    shape: tuple[int, int, int], augment: AugmentSettings, rng: np.random.Generator
) -> _Variation:
    """Draw level, equaliser and noise for band magnitudes (batch, frames, n_bands)."""
    n_batch, _, n_bands = shape
    gain_db = rng.uniform(augment.min_gain_db, augment.max_gain_db, size=(n_batch, 1))
    nodes = rng.normal(0.0, augment.equaliser_db, size=(n_batch, augment.equaliser_nodes))
    positions = np.linspace(0, augment.equaliser_nodes - 1, n_bands)
    curves_db = np.stack([np.interp(positions, range(len(row)), row) for row in nodes])
    noise_db = rng.uniform(augment.max_noise_db - 60.0, augment.max_noise_db, size=(n_batch, 1))
    noise = rng.rayleigh(size=shape).astype(np.float32)
    return _Variation(_amplitude(gain_db + curves_db), noise, _amplitude(noise_db))


def _mix_under(magnitudes: Tensor, background: Tensor, level_db: float) -> Tensor:
    """Add a background at a level re the magnitudes: powers add, as phases are unrelated."""
    power, background_power = magnitudes.square(), background.square()
    own, other = float(power.mean()), float(background_power.mean())
    if other == 0.0:
        return magnitudes
    mixed: Tensor = (power + background_power * (10.0 ** (level_db / 10.0) * own / other)).sqrt()
    return mixed


def _has_no_labels(recording: Recording) -> bool:
    return not any(len(sequence.times_s) for sequence in recording.sequences)


def _amplitude(level_db: NDArray[np.float64]) -> NDArray[np.float32]:
    return (10.0 ** (level_db / 20.0)).astype(np.float32)
