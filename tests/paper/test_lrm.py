"""LR-M: the dynamic program against a sum over all latent states, and what it recovers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from benchmarks.paper.lrm import LrmBatch, LrmParameters, fit_lrm, log_likelihood

VALUES = np.array([0.7, -1.1, 0.3, 0.4, 0.2, -1.5, 1.2])  # two weights, bias, μ, log σ², π logits


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def literal_likelihood(features: np.ndarray, labels: list[int]) -> float:
    """Sum p(y) p(o | y) p(z | o) over all y and all o with as many ones as labels."""
    weights, (bias, mean, log_variance, without, with_event) = VALUES[:2], VALUES[2:]
    total = 0.0
    n_steps = len(features)
    for events in itertools.product((0, 1), repeat=n_steps):
        for observed in itertools.combinations(range(n_steps), len(labels)):
            p = 1.0
            for step, event in enumerate(events):
                chance = sigmoid(features[step] @ weights + bias)
                p *= chance if event else 1 - chance
                labelled = sigmoid(with_event if event else without)
                p *= labelled if step in observed else 1 - labelled
            for step, label in zip(observed, labels, strict=True):
                p *= norm.pdf(label, step + mean, math.exp(0.5 * log_variance))
            total += p
    return total


def test_the_same_as_a_sum_over_all_states() -> None:
    rng = np.random.default_rng(3)
    features = [rng.normal(size=(n, 2)).astype(np.float32) for n in (6, 4, 5, 3)]
    labels = [[1, 4], [], [0, 0, 3, 4], [2]]
    batch = LrmBatch.of(features, [np.array(row, dtype=np.int64) for row in labels])
    computed = log_likelihood(LrmParameters.at(VALUES), batch)
    expected = [literal_likelihood(f, z) for f, z in zip(features, labels, strict=True)]
    assert computed.exp().tolist() == pytest.approx(expected, rel=1e-9)


def test_gradient() -> None:
    rng = np.random.default_rng(4)
    features = [rng.normal(size=(n, 2)).astype(np.float32) for n in (7, 5)]
    batch = LrmBatch.of(features, [np.array([2, 5]), np.array([1])])
    flat = torch.tensor(VALUES, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: log_likelihood(LrmParameters.split(x), batch), flat)


def make_up(n_series: int, seed: int, bias: float, deviation: float) -> LrmBatch:
    """Events that show in the second feature; labels are late by `bias` and noisy."""
    rng = np.random.default_rng(seed)
    features, labels = [], []
    for _ in range(n_series):
        rows = rng.normal(size=(50, 3))
        events = np.arange(rng.integers(4, 9), 44, 8)
        rows[events, 1] += 7.0
        features.append(rows.astype(np.float32))
        labels.append(np.sort(np.rint(events + rng.normal(bias, deviation, len(events)))))
    return LrmBatch.of(features, [row.astype(np.int64) for row in labels])


def test_bias_and_noise_of_labels_are_estimated() -> None:
    batch, valid = make_up(25, 0, bias=1.0, deviation=1.5), make_up(8, 1, bias=1.0, deviation=1.5)
    steps: list[int] = []
    model = fit_lrm(
        batch, valid, seed=0, most_iterations=60, n_validations=5, on_step=lambda: steps.append(1)
    )
    assert model.mean_steps == pytest.approx(1.0, abs=0.3)
    assert model.deviation_steps == pytest.approx(1.5, abs=0.3)
    # One feature tells, and labels are due to events alone.
    assert abs(model.weights[1]) > 5 * max(abs(model.weights[0]), abs(model.weights[2]))
    assert model.labelled_with > 0.9
    assert model.labelled_without < 0.1
    p = model.probabilities(np.array([[0, 7, 0], [0, 0, 0]], dtype=np.float32))
    assert p[0] > 0.9
    assert p[1] < 0.1
    iterations, losses = zip(*model.curve, strict=True)
    assert iterations[0] == 0
    assert iterations[-1] == len(steps)
    assert losses[-1] < 0.5 * losses[0]
    assert model.loss_at(10_000) == losses[-1]


def test_the_seed_decides() -> None:
    batch = make_up(4, 0, 0.0, 1.0)
    models = [fit_lrm(batch, batch, seed=seed, most_iterations=5) for seed in (1, 1, 2)]
    assert np.array_equal(models[0].weights, models[1].weights)
    assert not np.array_equal(models[0].weights, models[2].weights)
