"""Losses past the paper: limits in which they are the library's own, and slow literal versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paper.targets import (
    alpha_at,
    continuous_loss,
    count_distribution,
    distributed_count_nll,
    edges_loss,
    smooth_points,
)
from softloc.loss import count_nll, gaussian_smooth, softloc_loss

N_FRAMES = 40
SHAPE = (2, 3)


def random_logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(*SHAPE, N_FRAMES, generator=torch.Generator().manual_seed(seed)) - 2.0


def targets_of(points: np.ndarray) -> torch.Tensor:
    targets = torch.zeros(*SHAPE, N_FRAMES)
    for window, label_class, place in points:
        frame = math.floor(place + 0.5)
        if 0 <= frame < N_FRAMES:
            targets[int(window), int(label_class), frame] += 1.0
    return targets


INNER = np.array([[0, 0, 12.0], [0, 0, 20.0], [0, 2, 19.0], [1, 1, 17.0]])


def test_labels_on_frames_give_the_softloc_loss() -> None:
    softness = torch.full(SHAPE, 3.0)
    logits, targets = random_logits(), targets_of(INNER)
    expected = softloc_loss(logits, targets, softness, 0.3)
    torch.testing.assert_close(continuous_loss(logits, targets, softness, INNER, 0.3), expected)


def test_labels_between_frames_are_smoothed_where_they_are() -> None:
    """A fine grid, smoothed by the library, tells what a real-valued time must give."""
    softness = torch.full(SHAPE, 2.0)
    points = np.array([[1, 2, 14.25]])
    fine = torch.zeros(1, 1, 8 * N_FRAMES)
    fine[0, 0, round(8 * 14.25)] = 8.0
    expected = gaussian_smooth(fine, 16.0)[0, 0, ::8]
    smoothed = smooth_points(points, softness, N_FRAMES)
    torch.testing.assert_close(smoothed[1, 2], expected, atol=1e-5, rtol=1e-4)
    assert float(smoothed.sum()) == pytest.approx(1.0, abs=1e-4)
    assert not smooth_points(np.array([[0, 0, -0.6]]), softness, N_FRAMES).any()


def test_labels_far_from_the_edges_are_counted_for_certain() -> None:
    softness = torch.full(SHAPE, 2.0)
    least, shares = count_distribution(INNER, softness, N_FRAMES)
    assert least.tolist() == [[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert shares.shape == (*SHAPE, 1)
    logits, targets = random_logits(), targets_of(INNER)
    expected = softloc_loss(logits, targets, softness, 0.7)
    torch.testing.assert_close(edges_loss(logits, targets, softness, INNER, 0.7), expected)


def test_a_label_on_an_edge_is_inside_half_of_the_time() -> None:
    points = np.array([[0, 0, -0.5], [0, 0, N_FRAMES - 0.5], [0, 0, 20.0]])
    least, shares = count_distribution(points, torch.full(SHAPE, 2.0), N_FRAMES)
    assert least[0, 0] == 1.0
    assert shares[0, 0].tolist() == pytest.approx([0.25, 0.5, 0.25])
    assert shares[1, 2].tolist() == [1.0, 0.0, 0.0]


@given(seed=st.integers(0, 100), n_labels=st.integers(0, 6))
def test_the_count_term_is_the_mixture_it_says(seed: int, n_labels: int) -> None:
    """Against probabilities of every count, by the recursion over frames, in double precision."""
    rng = np.random.default_rng(seed)
    points = np.stack(
        [np.zeros(n_labels), np.zeros(n_labels), rng.uniform(-8.0, N_FRAMES + 8.0, n_labels)], 1
    )
    least, shares = count_distribution(points, torch.full((1, 1), 4.0), N_FRAMES)
    logits = random_logits(seed)[:1, :1].double()
    predicted = np.ones(1)
    for p in logits.sigmoid()[0, 0].tolist():
        predicted = np.convolve(predicted, [1.0 - p, p])
    first = int(least[0, 0])
    q = shares[0, 0].double().numpy()
    expected = -math.log(float((predicted[first : first + len(q)] * q).sum()))
    loss = distributed_count_nll(logits, least.double(), shares.double())
    assert float(loss) == pytest.approx(expected, abs=1e-5)
    assert shares.sum().item() == pytest.approx(1.0, abs=1e-5)


def test_gradients_reach_the_logits() -> None:
    softness = torch.full(SHAPE, 4.0)
    points = np.array([[0, 0, 1.3], [1, 2, 38.7], [1, 2, 42.0]])
    for loss in (continuous_loss, edges_loss):
        logits = random_logits().requires_grad_()
        loss(logits, targets_of(points), softness, points, 0.5).backward()
        assert logits.grad is not None
        assert bool(torch.isfinite(logits.grad).all())
        assert bool((logits.grad.abs().sum(-1) > 0).all())


def test_schedules_are_those_of_the_library() -> None:
    assert alpha_at("puffs", 0.3) == 0.95
    assert alpha_at("piano", 1.0) == pytest.approx(0.6)
    assert alpha_at(0.25, 0.9) == 0.25
    _, certain = count_distribution(np.zeros((0, 3)), torch.ones(SHAPE), N_FRAMES)
    counts = torch.zeros(SHAPE)
    torch.testing.assert_close(
        distributed_count_nll(random_logits(), counts, certain),
        count_nll(random_logits(), counts, None, "mean"),
    )
