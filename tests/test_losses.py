"""The alternatives to SoftLoc, each against a slow version that says what it is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from softloc.errors import SettingsError
from softloc.loss import count_nll, soft_localization_loss, softloc_loss
from softloc.losses import LOSS_NAMES, LossSettings, event_mass_frames, make_loss
from softloc.losses.choice import _BUILDERS
from softloc.losses.settings import label_length_frames, tolerance_frames

RATE_HZ = 100.0


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labelled(n_frames: int, *frames: int) -> Tensor:
    signal = torch.zeros(1, 1, n_frames, dtype=torch.float64)
    for frame in frames:
        signal[0, 0, frame] += 1
    return signal


def make(name: str, **options: Any) -> nn.Module:
    return make_loss(LossSettings(name=name, **options), RATE_HZ)


def slow_cross_entropy(logits: list[float], targets: list[float]) -> float:
    total = 0.0
    for z, y in zip(logits, targets, strict=True):
        p = 1 / (1 + math.exp(-z))
        total -= y * math.log(p) + (1 - y) * math.log(1 - p)
    return total


def slow_labels(n_frames: int, frames: list[int], half_length: int) -> list[float]:
    near = [min((abs(t - frame) for frame in frames), default=math.inf) for t in range(n_frames)]
    return [float(distance <= half_length) for distance in near]


# --- all of them ---


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_gives_a_finite_scalar_with_gradient_even_at_the_edges(name: str) -> None:
    for n_frames in (1, 2, 5, 40):
        for frames in ([], [0], [n_frames - 1], [0, 0][:n_frames]):
            logits = (50 * drawn(2, 3, n_frames)).requires_grad_()
            targets = labelled(n_frames, *frames).expand(2, 3, n_frames)
            softness = torch.tensor([[0.0], [3.0]])
            loss = make(name)(logits, targets, softness, 0.5)
            loss.backward()
            assert loss.shape == ()
            assert loss.isfinite()
            assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_ignores_what_is_outside_the_mask(name: str) -> None:
    logits, targets = drawn(2, 2, 30), labelled(30, 2, 10, 19, 25).expand(2, 2, 30)
    mask = (torch.arange(30) >= 6) & (torch.arange(30) < 20)
    inside = make(name)(logits[..., mask], targets[..., mask], 2.0, 0.5)
    leaf = logits.clone().requires_grad_()
    masked = make(name)(leaf, targets, 2.0, 0.5, mask)
    masked.backward()
    assert masked.item() == pytest.approx(inside.item())
    assert (leaf.grad[..., ~mask] == 0).all()


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_is_a_mean_over_batch_and_class(name: str) -> None:
    logits, targets = drawn(1, 1, 30), labelled(30, 4, 20)
    once = make(name)(logits, targets, 2.0, 0.5).item()
    many = make(name)(logits.repeat(4, 3, 1), targets.repeat(4, 3, 1), 2.0, 0.5).item()
    assert many == pytest.approx(once)


#: Losses that leave something even to the best prediction.
NEVER_NOTHING = ("label-smoothing", "likelihood")


@pytest.mark.parametrize("name", [name for name in LOSS_NAMES if name not in NEVER_NOTHING])
def test_a_perfect_prediction_costs_nothing(name: str) -> None:
    targets = labelled(50, 10, 30)
    length = event_mass_frames(LossSettings(name=name), RATE_HZ)
    wide = functional.max_pool1d(targets, length, 1, length // 2)
    assert make(name)(40 * (2 * wide - 1), targets, 2.0, 0.5).item() == pytest.approx(0, abs=1e-8)
    assert make(name)(-40 * (2 * wide - 1), targets, 2.0, 0.5).item() > 1


def test_label_smoothing_is_content_with_the_smoothed_label_only() -> None:
    targets = labelled(81, 40)
    lags = torch.arange(-40, 41, dtype=torch.float64)
    kernel = torch.exp(-(lags**2) / (2 * 3.0**2))
    kernel /= kernel.sum()
    perfect = kernel.clamp(min=1e-300).logit().view(1, 1, -1)
    assert make("label-smoothing")(perfect, targets, 3.0, 0.5).item() == pytest.approx(0, abs=1e-9)
    sharp = make("label-smoothing")(80 * targets - 40, targets, 3.0, 0.5).item()
    expected = ((targets.flatten() - kernel) ** 2).sum() / (kernel**2).sum()
    assert sharp == pytest.approx(expected.item())
    assert sharp > 1


def test_every_name_has_a_builder() -> None:
    assert tuple(_BUILDERS) == LOSS_NAMES


# --- SoftLoc and its parts ---


def test_softloc_and_its_parts_are_the_functions_of_the_loss_file() -> None:
    logits, targets = drawn(2, 2, 30), (drawn(2, 2, 30, seed=1) > 1.5).double()
    softness = torch.tensor([[1.0], [math.inf]])
    mask = torch.arange(30) < 25

    def cost(name: str, **options: Any) -> float:
        return make(name, **options)(logits, targets, softness, 0.9, mask).item()

    where = soft_localization_loss(logits.sigmoid(), targets, softness, measure="log", mask=mask)
    assert cost("sll", measure="log") == where.item()
    how_many = count_nll(logits, targets[..., :25].sum(-1), mask, "mean")
    assert cost("count") == how_many.item()
    piano = softloc_loss(logits, targets, softness, 0.44, mask=mask)
    assert cost("softloc", alpha="piano") == pytest.approx(piano.item())
    constant = softloc_loss(logits, targets, softness, 0.3, mask=mask)
    assert cost("softloc", alpha=0.3) == constant.item()


# --- the alternatives ---


@pytest.mark.parametrize(("length_ms", "half_length"), [(0.0, 0), (32.0, 1), (96.0, 4)])
def test_cross_entropy_is_to_lengthened_labels(length_ms: float, half_length: int) -> None:
    logits, targets = drawn(1, 1, 40), labelled(40, 0, 12, 15, 15, 38)
    labels = slow_labels(40, [0, 12, 15, 38], half_length)
    loss = make("cross-entropy", label_length_ms=length_ms)(logits, targets, 9.0, 0.5)
    assert loss.item() == pytest.approx(slow_cross_entropy(logits.flatten().tolist(), labels))


def test_soft_bootstrap_trusts_itself_a_little_and_learns_from_it() -> None:
    logits, targets = drawn(1, 1, 40).requires_grad_(), labelled(40, 3, 20)
    labels = torch.tensor(slow_labels(40, [3, 20], 1), dtype=torch.float64)
    loss = make("soft-bootstrap", bootstrap_beta=0.8)(logits, targets, 9.0, 0.5)
    p = logits.detach().sigmoid().flatten()
    mixture = (0.8 * labels + 0.2 * p).tolist()
    assert loss.item() == pytest.approx(slow_cross_entropy(logits.flatten().tolist(), mixture))
    loss.backward()
    # beta (p - y) from the labels, and the slope of the entropy: it rewards certainty.
    expected = 0.8 * (p - labels) - 0.2 * p * (1 - p) * logits.detach().flatten()
    torch.testing.assert_close(logits.grad.flatten(), expected)


def test_label_smoothing_smooths_labels_only() -> None:
    logits, targets = drawn(2, 1, 25), labelled(25, 1, 9, 9).expand(2, 1, 25)
    kernel = {lag: math.exp(-(lag**2) / 8) for lag in range(-60, 61)}
    total = sum(kernel.values())
    wanted = [sum(kernel[t - frame] for frame in (1, 9, 9)) / total for t in range(25)]
    energy = sum(weight**2 for weight in kernel.values()) / total**2
    distance = (logits[0].sigmoid().flatten() - torch.tensor(wanted)).square().sum() / energy
    softness = torch.tensor([[2.0], [math.inf]])
    loss = make("label-smoothing")(logits, targets, softness, 0.5)
    assert loss.item() == pytest.approx(distance.item() / 2, rel=1e-6)


def slow_shift_tolerant(logits: list[float], frames: list[int], tolerance: int) -> float:
    total = 0.0
    for frame in set(frames):
        best = max(logits[max(0, frame - tolerance) : frame + tolerance + 1])
        total += math.log1p(math.exp(-best))
    for t, z in enumerate(logits):
        if all(abs(t - frame) > tolerance for frame in frames):
            total += math.log1p(math.exp(z))
    return total


@pytest.mark.parametrize("tolerance_ms", [0.0, 20.0, 60.0, 1000.0])
@pytest.mark.parametrize("frames", [[], [0], [39], [12, 12], [12, 14, 30]])
def test_shift_tolerant_asks_the_best_frame_near_each_label(
    tolerance_ms: float, frames: list[int]
) -> None:
    logits = 2 * drawn(1, 1, 40)
    loss = make("shift-tolerant", tolerance_ms=tolerance_ms)(logits, labelled(40, *frames), 9.0, 0)
    expected = slow_shift_tolerant(logits.flatten().tolist(), frames, round(tolerance_ms / 10))
    assert loss.item() == pytest.approx(expected)


def test_shift_tolerant_leaves_the_neighbours_of_the_best_free() -> None:
    logits = torch.full((1, 1, 30), -1.0)
    logits[0, 0, 12] = 0.5
    logits.requires_grad_()
    make("shift-tolerant", tolerance_ms=40.0)(logits, labelled(30, 10), 9.0, 0.5).backward()
    gradient = logits.grad.flatten()
    assert gradient[12] < 0
    free = [6, 7, 8, 9, 10, 11, 13, 14]
    assert (gradient[free] == 0).all()
    assert (gradient[[*range(6), *range(15, 30)]] > 0).all()


def test_shift_tolerant_cannot_see_a_better_frame_outside_the_mask() -> None:
    logits = labelled(20, 4) * 30 - 10
    mask = torch.arange(20) >= 5
    loss = make("shift-tolerant", tolerance_ms=20.0)(logits, labelled(20, 5), 9.0, 0.5, mask)
    assert loss.item() == pytest.approx(10, abs=0.01)


def test_shift_tolerant_without_tolerance_is_cross_entropy_to_single_frames() -> None:
    logits, targets = 3 * drawn(2, 2, 30), (drawn(2, 2, 30, seed=1) > 1).double()
    tolerant = make("shift-tolerant", tolerance_ms=0.0)(logits, targets, 9.0, 0.5)
    plain = make("cross-entropy", label_length_ms=0.0)(logits, targets, 9.0, 0.5)
    assert tolerant.item() == pytest.approx(plain.item())


# --- settings ---


@pytest.mark.parametrize(
    ("length_ms", "rate_hz", "frames"),
    [(32, 100, 3), (96, 100, 9), (32, 200, 7), (10, 100, 1), (0, 100, 1), (32, 1000, 33)],
)
def test_labels_last_an_odd_number_of_frames(length_ms: float, rate_hz: float, frames: int) -> None:
    settings = LossSettings(name="cross-entropy", label_length_ms=length_ms)
    assert label_length_frames(settings, rate_hz) == frames


def test_an_event_weighs_its_label_where_labels_are_lengthened_else_one() -> None:
    weights = {name: event_mass_frames(LossSettings(name=name), RATE_HZ) for name in LOSS_NAMES}
    assert weights.pop("cross-entropy") == weights.pop("soft-bootstrap") == 3
    assert set(weights.values()) == {1}


def test_tolerance_is_rounded_to_frames() -> None:
    assert tolerance_frames(LossSettings(tolerance_ms=66), RATE_HZ) == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "hinge"),
        ("measure", "mae"),
        ("alpha", "violin"),
        ("alpha", 1.2),
        ("alpha", math.nan),
        ("label_length_ms", -1.0),
        ("label_length_ms", math.inf),
        ("bootstrap_beta", 1.01),
        ("tolerance_ms", -5.0),
    ],
)
def test_bad_settings_are_refused_by_field_and_value(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"loss {field}: .*{value}"):
        LossSettings(**{field: value})


@pytest.mark.parametrize("name", LOSS_NAMES)
@pytest.mark.parametrize("rate_hz", [0.0, -100.0, math.nan, math.inf])
def test_bad_frame_rates_are_refused(name: str, rate_hz: float) -> None:
    with pytest.raises(SettingsError, match="frame_rate_hz"):
        make_loss(LossSettings(name=name), rate_hz)
    with pytest.raises(SettingsError, match="frame_rate_hz"):
        event_mass_frames(LossSettings(name=name), rate_hz)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LossSettings().name = "sll"
