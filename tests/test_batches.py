"""Windows: labels meet their sound, whatever the speed; nothing depends on the past."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from softloc.audio_store import AudioStore
from softloc.batches import (
    NO_AUGMENTATION,
    AugmentSettings,
    Batch,
    BatchStream,
    WindowSampler,
    label_targets,
    step_generator,
)
from softloc.datasets import Classes, Dataset, LabelSequence, Recording
from softloc.errors import AudioError, SettingsError
from softloc.features import FeatureSettings, LogMel, mel_filterbank
from softloc.presets import SIZES

RATE_HZ = 44_100
FEATURES = FeatureSettings(n_bands=64)


def sequence(
    times_s: list[float], classes: list[int], softness_ms: list[float] | float = 30.0
) -> LabelSequence:
    softness = np.broadcast_to(np.asarray(softness_ms, dtype=float), (len(times_s),)).copy()
    return LabelSequence("", np.array(times_s), np.array(classes, dtype=np.int64), softness)


def make_sampler(
    tmp_path: Path,
    samples: np.ndarray,
    labels: tuple[LabelSequence, ...],
    augment: AugmentSettings = NO_AUGMENTATION,
    window_s: float = 1.0,
) -> WindowSampler:
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    recording = Recording("a.wav", path, len(samples) / RATE_HZ, labels)
    store = AudioStore([path], RATE_HZ, tmp_path / "a.pcm")
    log_mel = LogMel(FEATURES, torch.from_numpy(mel_filterbank(FEATURES)))
    return WindowSampler(
        Dataset((recording,), Classes(("KD", "SD"))),
        store,
        log_mel,
        SIZES["small"].network(2),
        window_s=window_s,
        augment=augment,
    )


def scored_features(sampler: WindowSampler, batch: Batch) -> torch.Tensor:
    """Log-mel of the frames that targets belong to."""
    after = SIZES["small"].network(2).look_ahead_frames
    n_frames = batch.targets.shape[2]
    return batch.features[:, -n_frames - after : -after, 0]


@pytest.mark.parametrize(
    "augment", [NO_AUGMENTATION, AugmentSettings(max_noise_db=-200.0)], ids=["plain", "augmented"]
)
def test_labels_meet_their_sound(
    tmp_path: Path, rng: np.random.Generator, augment: AugmentSettings
) -> None:
    """An impulse is loudest in the frame of its label, at every speed."""
    times_s = np.arange(0.5, 9.5, 0.31)
    samples = np.zeros(10 * RATE_HZ)
    samples[np.round(times_s * RATE_HZ).astype(int)] = 0.9
    labels = sequence(times_s.tolist(), [0] * len(times_s))
    sampler = make_sampler(tmp_path, samples, (labels,), augment)
    checked = 0
    for step in range(6):
        batch = sampler.draw(4, step_generator(0, step))
        loudness = scored_features(sampler, batch).sum(dim=2)
        for item in range(4):
            for frame in batch.targets[item, 0].nonzero().flatten().tolist():
                if 4 <= frame < batch.targets.shape[2] - 4:
                    near = loudness[item, frame - 4 : frame + 5]
                    assert abs(int(near.argmax()) - 4) <= 1
                    checked += 1
    assert checked > 40


def test_the_mean_error_of_label_frames_is_zero(tmp_path: Path, rng: np.random.Generator) -> None:
    """Rounding to frames adds no bias: centre of the window's energy against the label's frame."""
    times_s = np.sort(rng.uniform(0.3, 29.7, size=60))
    times_s = times_s[np.diff(times_s, prepend=-1) > 0.1]
    samples = np.zeros(30 * RATE_HZ)
    samples[np.round(times_s * RATE_HZ).astype(int)] = 1.0
    labels = sequence(times_s.tolist(), [0] * len(times_s))
    sampler = make_sampler(tmp_path, samples, (labels,), window_s=2.0)
    errors = []
    for step in range(16):
        batch = sampler.draw(4, step_generator(1, step))
        energy = scored_features(sampler, batch).expm1().square().sum(dim=2)
        for item in range(4):
            for frame in batch.targets[item, 0].nonzero().flatten().tolist():
                if 4 <= frame < batch.targets.shape[2] - 4:
                    weights = energy[item, frame - 3 : frame + 4]
                    errors.append(float((weights * torch.arange(-3, 4)).sum() / weights.sum()))
    assert len(errors) > 200
    assert abs(np.mean(errors)) < 0.06  # frames; 0.6 ms


def test_a_step_depends_on_seed_and_number_alone(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.1, size=5 * RATE_HZ)
    sampler = make_sampler(tmp_path, samples, (sequence([1.0, 2.0], [0, 1]),), AugmentSettings())
    first = sampler.draw(3, step_generator(7, 5))
    sampler.draw(3, step_generator(7, 6))
    again = sampler.draw(3, step_generator(7, 5))
    other = sampler.draw(3, step_generator(8, 5))
    torch.testing.assert_close(first.features, again.features, atol=0, rtol=0)
    torch.testing.assert_close(first.targets, again.targets, atol=0, rtol=0)
    assert not torch.equal(first.features, other.features)


def test_recordings_without_labels_are_mixed_under_others(tmp_path: Path) -> None:
    """Powers add: a hum under clicks, at its level re the window, in a share of the windows."""
    seconds = 8
    clicks = np.zeros(seconds * RATE_HZ)
    clicks[:: RATE_HZ // 4] = 0.9
    hum = 0.01 * np.sin(2 * np.pi * 440 * np.arange(seconds * RATE_HZ) / RATE_HZ)
    paths = [tmp_path / "clicks.wav", tmp_path / "hum.wav"]
    for path, samples in zip(paths, (clicks, hum), strict=True):
        soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    times_s = np.arange(0, seconds, 0.25).tolist()
    recordings = (
        # The hum is drawn as a background only: as a recording of its own it is too short.
        Recording("clicks.wav", paths[0], 1e9, (sequence(times_s, [0] * len(times_s)),)),
        Recording("hum.wav", paths[1], float(seconds), (sequence([], []),)),
    )
    drawn = {}
    for share in (0.0, 0.5, 1.0):
        sampler = WindowSampler(
            Dataset(recordings, Classes(("KD", "SD"))),
            AudioStore(paths, RATE_HZ, tmp_path / f"{share}.pcm"),
            LogMel(FEATURES, torch.from_numpy(mel_filterbank(FEATURES))),
            SIZES["small"].network(2),
            window_s=1.0,
            augment=dataclasses.replace(
                NO_AUGMENTATION, background_share=share, background_range_db=(-10.0, -10.0)
            ),
        )
        drawn[share] = sampler.draw(32, step_generator(0, 0))
    powers = {
        share: scored_features(sampler, batch).expm1().square().mean(dim=(1, 2))
        for share, batch in drawn.items()
    }
    inside = drawn[1.0].mask[:, 0].all(dim=1)
    ratio = powers[1.0][inside].mean() / powers[0.0][drawn[0.0].mask[:, 0].all(dim=1)].mean()
    assert float(ratio) == pytest.approx(1.1, abs=0.05)
    assert drawn[0.0].targets.sum() > 0
    assert powers[0.0].mean() < powers[0.5].mean() < powers[1.0].mean()


def test_two_labels_in_one_frame_count_twice(tmp_path: Path) -> None:
    labels = sequence([0.5001, 0.5003], [0, 0])
    sampler = make_sampler(tmp_path, np.zeros(RATE_HZ), (labels,), window_s=2.0)
    targets = sampler.draw(1, step_generator(0, 0)).targets
    assert targets.max() == 2.0
    assert targets.sum() == 2.0


def test_labels_at_both_ends_are_kept(tmp_path: Path) -> None:
    labels = sequence([0.0, 1.0], [0, 1])
    sampler = make_sampler(tmp_path, np.zeros(RATE_HZ), (labels,), window_s=2.0)
    totals = sum(
        sampler.draw(8, step_generator(0, n)).targets.sum(dim=2).sum(dim=0) for n in range(4)
    )
    assert (totals > 25).all()  # of 32 windows, all of which span the recording
    targets, _ = label_targets(sampler.dataset.recordings[0], 2, 100, FEATURES)
    assert targets[0, 0] == 1.0
    assert targets[1, 99] == 1.0


def test_frames_far_outside_are_masked(tmp_path: Path) -> None:
    sampler = make_sampler(tmp_path, np.zeros(RATE_HZ // 2), (sequence([0.1], [0]),), window_s=3.0)
    mask = sampler.draw(4, step_generator(0, 0)).mask
    assert mask.shape == (4, 1, 300)
    # Half a second of silence is heard before and after, no more.
    assert ((mask.sum(dim=2) >= 99) & (mask.sum(dim=2) <= 151)).all()


def test_softness_follows_labels_and_class(tmp_path: Path) -> None:
    labels = sequence([0.4, 0.6, 0.5], [0, 0, 1], [20.0, 40.0, 100.0])
    sampler = make_sampler(tmp_path, np.zeros(RATE_HZ), (labels,), window_s=2.0)
    softness = sampler.draw(1, step_generator(0, 0)).softness_frames
    torch.testing.assert_close(softness, torch.tensor([[3.0, 10.0]]), atol=1e-4, rtol=0)


def test_annotators_stay_apart(tmp_path: Path) -> None:
    sampler = make_sampler(
        tmp_path, np.zeros(RATE_HZ), (sequence([0.5], [0]), sequence([0.5], [1])), window_s=2.0
    )
    targets = sampler.draw(32, step_generator(0, 0)).targets.sum(dim=2)
    assert (targets.sum(dim=1) == 1).all()
    assert 0 < targets[:, 0].sum() < 32


def test_the_store_reads_silence_outside_and_keeps_loud_samples(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    quiet, loud = rng.uniform(-1, 1, size=1000), 4.0 * rng.uniform(-1, 1, size=500)
    paths = []
    for name, samples in (("quiet", quiet), ("loud", loud)):
        paths.append(tmp_path / f"{name}.wav")
        soundfile.write(paths[-1], samples, RATE_HZ, subtype="FLOAT")
    store = AudioStore(paths, RATE_HZ, tmp_path / "a.pcm")
    np.testing.assert_allclose(store.read(1, 0, 500), loud, atol=1e-4)
    around = store.read(0, -100, 1200)
    assert not around[:100].any()
    assert not around[1100:].any()
    np.testing.assert_allclose(around[100:1100], quiet, atol=1e-4)


def test_the_store_names_every_bad_recording(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_text("no audio")
    with pytest.raises(AudioError, match=r"(?s)a\.wav.*b\.wav"):
        AudioStore([tmp_path / "a.wav", tmp_path / "b.wav"], RATE_HZ, tmp_path / "a.pcm")


def test_a_window_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no frame"):
        make_sampler(tmp_path, np.zeros(100), (sequence([], []),), window_s=0.001)


@pytest.fixture
def sampler(tmp_path: Path, rng: np.random.Generator) -> WindowSampler:
    labels = (sequence([0.5, 1.5, 2.5], [0, 1, 0]),)
    samples = 0.1 * rng.normal(size=3 * RATE_HZ)
    return make_sampler(tmp_path, samples, labels, AugmentSettings(), window_s=0.4)


def test_shares_are_rows_of_the_whole_batch(sampler: WindowSampler) -> None:
    generators = [step_generator(3, 1) for _ in range(3)]
    whole = sampler.draw(4, generators[0])
    halves = [
        sampler.draw(4, rng, rows)
        for rng, rows in zip(generators[1:], (slice(2), slice(2, 4)), strict=True)
    ]
    for name in ("features", "targets", "softness_frames", "mask"):
        joined = torch.cat([getattr(half, name) for half in halves])
        assert torch.equal(joined, getattr(whole, name))
    assert len({rng.integers(1 << 62) for rng in generators}) == 1
    for half, part in zip(halves, whole.split(2), strict=True):
        assert torch.equal(half.targets, part.targets)


def test_batches_are_drawn_one_ahead(sampler: WindowSampler) -> None:
    drawn: list[int] = []

    def draw(step: int) -> Batch:
        drawn.append(step)
        return sampler.draw(1, step_generator(0, step))

    with BatchStream(draw, n_steps=9) as batches:
        for step in (4, 5, 7, 8):  # none is to be begun beyond the last
            assert torch.equal(
                batches.take(step).features, sampler.draw(1, step_generator(0, step)).features
            )
    assert drawn == [4, 5, 6, 7, 8]


def test_what_fails_while_drawing_is_raised_where_it_is_taken() -> None:
    def draw(step: int) -> Batch:
        raise OSError(f"step {step}")

    with BatchStream(draw, n_steps=9) as batches:
        for step in (0, 1):
            with pytest.raises(OSError, match=f"step {step}"):
                batches.take(step)
