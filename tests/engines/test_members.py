"""Several networks answer together: the mean of their probabilities, whatever computes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from softloc.checkpoints import Checkpoint, tensors_of
from softloc.engines import Engine, TorchEngine
from softloc.engines.members import mean_log_odds
from softloc.features import LogMel, mel_filterbank
from softloc.inference import compute_probabilities
from softloc.model_files import ModelFile, ModelSettings
from softloc.network import OnsetNetwork
from softloc.presets import SIZES

N_MEMBERS = 3


def make_joined(*, bidirectional: bool) -> Checkpoint:
    torch.manual_seed(2)
    size = SIZES["small"]
    shape = size.network(2, bidirectional=bidirectional)
    first, *others = (OnsetNetwork(shape).eval() for _ in range(N_MEMBERS))
    settings = ModelSettings(
        size.features, shape, ("KD", "SD"), (36, 38), softness_ms=30.0, n_members=N_MEMBERS
    )
    log_mel = LogMel(size.features, torch.from_numpy(mel_filterbank(size.features)))
    return Checkpoint(settings, log_mel, first, others=tuple(others))


def engines_of(model: Checkpoint) -> tuple[Engine, Engine]:
    onnx_engine = pytest.importorskip("softloc.engines.onnx_engine", reason="no ONNX Runtime")
    file = ModelFile(model.settings, tensors_of(model))
    return TorchEngine(model.log_mel, model.networks), onnx_engine.OnnxEngine(file)


def literal_mean(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.mean(1.0 / (1.0 + np.exp(-logits)), axis=0)


def test_the_mean_is_that_of_probabilities(rng: np.random.Generator) -> None:
    logits = rng.normal(0.0, 4.0, size=(4, 5, 60)).astype(np.float32)
    found = 1.0 / (1.0 + np.exp(-mean_log_odds(list(logits)).astype(np.float64)))
    np.testing.assert_allclose(found, literal_mean(logits.astype(np.float64)), rtol=2e-6)


def test_the_mean_is_precise_at_both_ends() -> None:
    """Near 1 single precision has no digits left for the probability itself."""
    for sign in (-1.0, 1.0):
        pair = [np.full((1, 1), sign * odds, np.float32) for odds in (30.0, 60.0)]
        # The mean of a probability q and one that is negligible beside it is q / 2.
        expected = sign * (30.0 + np.log(2.0))
        assert mean_log_odds(pair)[0, 0] == pytest.approx(expected, abs=1e-5)


def test_one_member_says_what_it_says(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(2, 9)).astype(np.float32)
    assert mean_log_odds([logits]) is logits


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [0, 1], ids=["torch", "onnx"])
def test_members_answer_as_they_would_alone(
    kind: int, bidirectional: bool, rng: np.random.Generator
) -> None:
    model = make_joined(bidirectional=bidirectional)
    samples = rng.normal(0, 0.1, size=50_000).astype(np.float32)
    alone = [
        compute_probabilities(TorchEngine(model.log_mel, [network]), [samples])
        for network in model.networks
    ]
    expected = np.mean(alone, axis=0)
    assert min(np.abs(one - expected).max() for one in alone) > 1e-3  # they do differ
    engine = engines_of(model)[kind]
    for chunk_frames in (2_000, 31):
        found = compute_probabilities(engine, [samples], chunk_frames)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_members_share_features_and_loudness(rng: np.random.Generator) -> None:
    """Joining costs networks, nothing else: one context of features for all."""
    model = make_joined(bidirectional=False)
    single = replace(model, settings=replace(model.settings, n_members=1), others=())
    samples = rng.normal(0, 0.1, size=30_000).astype(np.float32)
    for together, one in zip(engines_of(model), engines_of(single), strict=True):
        encoded, context = together.encode(samples, None)
        _, context_of_one = one.encode(samples, None)
        assert len(encoded.values) == N_MEMBERS
        for ours, theirs in zip(context, context_of_one, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
