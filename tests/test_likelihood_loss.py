"""The likelihood of displaced labels, against a slow literal version and what it promises."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from softloc.loss import count_nll, soft_localization_loss
from softloc.losses.likelihood import MARGIN, STRAY_SHARE, LabelLikelihood

ALPHA = 0.2


def cost(
    probabilities: Tensor, targets: Tensor, softness_frames: float, mask: Tensor | None = None
) -> float:
    logits = probabilities.clamp(1e-15, 1 - 1e-15).logit()
    return float(LabelLikelihood(ALPHA)(logits, targets, softness_frames, 0.5, mask))


def signal(n_frames: int, *frames: int, value: float = 1.0) -> Tensor:
    values = torch.zeros(1, 1, n_frames, dtype=torch.float64)
    for frame in frames:
        values[..., frame] += value
    return values


def gaussian(lag_frames: int, softness_frames: float) -> float:
    def density(lag: int) -> float:
        return math.exp(-(lag**2) / (2 * softness_frames**2))

    return density(lag_frames) / sum(map(density, range(-200, 201)))


def slow_cost(p: list[float], labels: list[int], softness_frames: float) -> float:
    """The formula of the class, with the probability of a count by all that may happen."""
    frames = range(len(p))
    softness_frames = min(softness_frames, len(p) / 4)
    margin = int(MARGIN * softness_frames)
    inner = frames[margin : len(p) - margin]
    seen = [sum(gaussian(u - s, softness_frames) for u in inner) for s in frames]
    mass = sum(p[s] * seen[s] for s in frames)
    labels = [u for u in labels if u in inner]
    where = 0.0
    for u in labels:
        density = sum(p[s] * gaussian(u - s, softness_frames) for s in frames) / mass
        where -= math.log((1 - STRAY_SHARE) * density + STRAY_SHARE / len(inner))
    probability = 0.0
    for happened in itertools.combinations(frames, len(labels)):
        probability += math.prod(
            p[s] * seen[s] if s in happened else 1 - p[s] * seen[s] for s in frames
        )
    return (1 - ALPHA) * where - ALPHA * math.log(probability)


def drawn_probabilities(n_frames: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, n_frames, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("softness_frames", [0.8, 1.5, 2.4, 50.0])
@pytest.mark.parametrize("labels", [[], [7], [4, 6, 6], [0, 5, 13]])
def test_it_is_the_slow_formula(labels: list[int], softness_frames: float) -> None:
    p = drawn_probabilities(14, seed=3)
    expected = slow_cost(p.flatten().tolist(), labels, softness_frames)
    assert cost(p, signal(14, *labels), softness_frames) == pytest.approx(expected)


def test_no_softness_is_the_likelihood_of_exact_labels() -> None:
    p, labels = drawn_probabilities(12, seed=1), [2, 9]
    places = p.flatten() / p.sum()
    where = -sum(math.log((1 - STRAY_SHARE) * float(places[u]) + STRAY_SHARE / 12) for u in labels)
    how_many = count_nll(p.logit(), torch.tensor([[2.0]])).item()
    expected = (1 - ALPHA) * where + ALPHA * how_many
    assert cost(p, signal(12, *labels), 0.0) == pytest.approx(expected)


def test_infinite_softness_asks_for_the_count_of_the_whole_window_only() -> None:
    p, targets = drawn_probabilities(30, seed=2), signal(30, 0, 11, 29)
    expected = ALPHA * count_nll(p.logit(), torch.tensor([[3.0]])).item()
    assert cost(p, targets, math.inf) == pytest.approx(expected)


def blurred(frames: list[int], width_frames: float, n_frames: int) -> Tensor:
    """Events whose mass is spread like a Gaussian."""
    lags = torch.arange(n_frames, dtype=torch.float64) - torch.tensor(frames).unsqueeze(-1)
    bumps = torch.exp(-0.5 * (lags / width_frames).square())
    return (bumps / bumps.sum(-1, keepdim=True)).sum(0).view(1, 1, -1)


def test_points_cost_least_where_smoothing_both_sides_prefers_the_blur_of_the_noise() -> None:
    """Over many draws of labels: the reason for this loss beside the paper's."""
    softness, events, n_draws = 8.0, [100, 140, 200, 270], 400
    generator = torch.Generator().manual_seed(0)
    shifts = softness * torch.randn(n_draws, len(events), generator=generator)
    frames = (torch.tensor(events) + shifts).round().long()
    ones = torch.ones_like(frames, dtype=torch.float64)
    targets = torch.zeros(n_draws, 360, dtype=torch.float64).scatter_add(-1, frames, ones)
    targets = targets.unsqueeze(1)

    def costs(width_frames: float) -> tuple[float, float]:
        p = blurred(events, width_frames, 360).expand(n_draws, 1, 360)
        return (
            cost(p, targets, softness),
            soft_localization_loss(p, targets, softness).item(),
        )

    points, narrow, wide, wider = (costs(width) for width in (0.2, 4.0, 8.0, 14.0))
    assert points[0] < narrow[0] < wide[0] < wider[0]
    assert points[1] > narrow[1] > wide[1]


def test_an_event_at_the_end_of_a_window_may_have_its_label_outside() -> None:
    none = signal(100)

    def missing(frame: int) -> float:
        return cost(signal(100, frame, value=0.9), none, 5.0)

    assert missing(50) == pytest.approx(-ALPHA * math.log(0.1), rel=1e-3)
    assert missing(0) < missing(50) / 10
    half = (1 + gaussian(0, 5.0)) / 2  # of the labels of an event in the first frame inside
    assert missing(7) == pytest.approx(-ALPHA * math.log(1 - 0.9 * half))


def test_labels_near_the_ends_are_not_explained() -> None:
    p = signal(100, 50)
    alone = cost(p, signal(100, 50), 5.0)
    assert cost(p, signal(100, 50, 3, 99), 5.0) == alone
    assert cost(p, signal(100, 50, 20), 5.0) > alone + 1


def test_a_label_far_from_everything_costs_no_more_than_a_stray() -> None:
    p = signal(200, 50, 51, value=0.999)
    near, far, farther = (cost(p, signal(200, 50, frame), 5.0) for frame in (51, 120, 180))
    assert far == pytest.approx(farther)
    inner = 200 - 2 * int(MARGIN * 5)
    assert far - near < (1 - ALPHA) * -math.log(STRAY_SHARE / inner)


def test_the_ends_are_those_of_the_mask() -> None:
    p, targets = drawn_probabilities(60, seed=4), signal(60, 12, 30, 41, 58)
    mask = (torch.arange(60) >= 5) & (torch.arange(60) < 52)
    inside = cost(p[..., mask], targets[..., mask], 3.0)
    assert cost(p, targets, 3.0, mask) == pytest.approx(inside)


def test_every_row_has_its_own_softness() -> None:
    p, targets = drawn_probabilities(40, seed=5), signal(40, 12, 22)
    logits = p.logit().expand(3, 1, 40)
    softness = torch.tensor([[0.0], [2.0], [math.inf]])
    together = LabelLikelihood(ALPHA)(logits, targets.expand(3, 1, 40), softness, 0.5).item()
    apart = [cost(p, targets, float(row)) for row in softness]
    assert together == pytest.approx(sum(apart) / 3)


def test_the_weight_of_the_count_follows_its_schedule() -> None:
    p, targets = drawn_probabilities(40, seed=6), signal(40, 12, 22)
    for progress, weight in ((0.0, 0.2), (1.0, 0.9)):
        scheduled = LabelLikelihood("drums")(p.logit(), targets, 2.0, progress)
        constant = LabelLikelihood(weight)(p.logit(), targets, 2.0, 0.5)
        assert scheduled.item() == pytest.approx(constant.item())


def test_infinite_logits_and_a_softness_with_gradient_do_no_harm() -> None:
    logits = torch.tensor([[[math.inf, -math.inf, 0.0, math.inf] * 5]], requires_grad=True)
    softness = torch.tensor([[2.0]], requires_grad=True)
    loss = LabelLikelihood(ALPHA)(logits, signal(20, 8, 12), softness, 0.5)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert softness.grad is None
