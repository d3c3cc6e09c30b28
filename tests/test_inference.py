"""From audio to probabilities: cutting, shifting, lead-in, ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from random_model import make_model

from softloc.checkpoints import Checkpoint
from softloc.engines import Engine, TorchEngine
from softloc.errors import AudioError
from softloc.inference import compute_logits, compute_probabilities
from softloc.presets import SIZES


def engine_of(model: Checkpoint) -> Engine:
    return TorchEngine(model.log_mel, model.networks)


def assert_same(found: np.ndarray, expected: np.ndarray, share: float = 1e-3) -> None:
    """Random weights give small logits: compare them on their own scale."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < share * expected.std()


def pieces(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


@pytest.mark.parametrize("size", SIZES)
def test_any_cut_gives_the_same_logits(size: str, rng: np.random.Generator) -> None:
    model = make_model(size)
    samples = rng.normal(0, 0.1, size=100_000).astype(np.float32)
    whole = compute_logits(engine_of(model), [samples])
    for block, chunk_frames in ((7_001, 2_000), (100_000, 37), (441, 50)):
        cut = compute_logits(engine_of(model), pieces(samples, block), chunk_frames)
        assert_same(cut, whole)


def test_both_directions_do_not_depend_on_the_cut(rng: np.random.Generator) -> None:
    model = make_model(bidirectional=True)
    samples = rng.normal(0, 0.1, size=60_000).astype(np.float32)
    whole = compute_logits(engine_of(model), [samples])
    cut = compute_logits(engine_of(model), pieces(samples, 5_000), 40)
    assert_same(cut, whole)


@pytest.mark.parametrize("n_samples", [1, 440, 441, 442, 44_100])
def test_every_frame_inside_the_recording_has_an_answer(n_samples: int) -> None:
    model = make_model()
    samples = np.zeros(n_samples, dtype=np.float32)
    probabilities = compute_probabilities(engine_of(model), [samples])
    assert probabilities.shape == (2, -(-n_samples // 441))
    assert (probabilities > 0).all()
    assert (probabilities[:, 1:-1] < 1).all()


def test_an_answer_that_is_not_finite_is_refused() -> None:
    model = make_model()
    with pytest.raises(AudioError, match="not finite"):
        compute_logits(engine_of(model), [np.full(4410, np.nan, dtype=np.float32)])


def test_shifting_audio_by_hops_shifts_the_answer(rng: np.random.Generator) -> None:
    """After the lead-in the network is in its state of rest: later audio only comes later."""
    model = make_model()
    hop = model.settings.features.hop_samples
    samples = rng.normal(0, 0.1, size=60 * hop).astype(np.float32)
    shift = 300
    plain = compute_logits(engine_of(model), [samples])
    later = compute_logits(engine_of(model), [np.zeros(shift * hop, np.float32), samples])
    assert_same(later[:, shift + 20 :], plain[:, 20:], share=0.02)


def test_impulse_is_seen_at_its_frame() -> None:
    """The features of frame i are centred on sample i · hop: no constant offset creeps in."""
    model = make_model()
    hop = model.settings.features.hop_samples
    frames = []
    for frame in (50, 51):
        samples = np.zeros(100 * hop, dtype=np.float32)
        samples[frame * hop] = 1.0
        features = model.log_mel(
            torch.from_numpy(
                np.concatenate([np.zeros(model.settings.features.look_back_samples), samples])
            )
            .float()
            .unsqueeze(0)
        )
        frames.append(int(features[0, :, 0].sum(dim=1).argmax()))
    assert frames == [50, 51]
