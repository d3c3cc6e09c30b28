"""The SoftLoc loss against literal versions of the paper's equations, and its limits."""

from __future__ import annotations

import decimal
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from softloc import loss as softloc
from softloc.loss import (
    ALPHA_SCHEDULES,
    AlphaSchedule,
    SoftLocLoss,
    count_nll,
    gaussian_smooth,
    soft_localization_loss,
    softloc_loss,
)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def with_gradient(logits: Tensor, counts: Tensor, **options: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    nll = count_nll(leaf, counts, **options)
    nll.sum().backward()
    assert leaf.grad is not None
    return nll.detach(), leaf.grad


# --- references ---


def by_enumeration(probabilities: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 3 to the letter: P(k), and P(event in t and k events), over all subsets of frames."""
    n_frames = len(probabilities)
    mass, joint = np.zeros(n_frames + 1), np.zeros((n_frames + 1, n_frames))
    for outcome in itertools.product((0, 1), repeat=n_frames):
        chance = math.prod(p if x else 1 - p for p, x in zip(probabilities, outcome, strict=True))
        mass[sum(outcome)] += chance
        joint[sum(outcome)] += chance * np.array(outcome)
    return mass, joint


def by_recursion(logits: np.ndarray, count: int) -> float:
    """-log P(count), frame by frame, in double precision and by logarithms."""
    log_mass = np.full(count + 1, -np.inf)
    log_mass[0] = 0.0
    for event, none in zip(-np.logaddexp(0, -logits), -np.logaddexp(0, logits), strict=True):
        log_mass[1:] = np.logaddexp(log_mass[1:] + none, log_mass[:-1] + event)
        log_mass[0] += none
    return float(-log_mass[count])


def by_decimals(logits: list[float], count: int) -> tuple[float, np.ndarray]:
    """Eq. 3 as a ratio of sums of products of odds, to 60 digits with exponents without end."""
    with decimal.localcontext(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
        odds = [decimal.Decimal(logit).exp() for logit in logits]

        def chosen(frames: list[decimal.Decimal], n_events: int) -> decimal.Decimal:
            """Sum the products of n_events of them."""
            sums = [decimal.Decimal(1)] + [decimal.Decimal(0)] * n_events
            for value in frames:
                for n in range(n_events, 0, -1):
                    sums[n] += value * sums[n - 1]
            return sums[n_events]

        total = chosen(odds, count)
        nll = sum(((1 + each).ln() for each in odds), start=decimal.Decimal(0)) - total.ln()
        gradient = []
        for frame, each in enumerate(odds):
            others = odds[:frame] + odds[frame + 1 :]
            posterior = each * chosen(others, count - 1) / total if count else 0
            gradient.append(float(each / (1 + each) - posterior))
        return float(nll), np.array(gradient)


def slow_kernel(softness: float) -> dict[int, float]:
    lags = range(-400, 401)
    if softness == 0:
        return {lag: float(lag == 0) for lag in lags}
    raw = {lag: math.exp(-(lag**2) / (2 * softness**2)) for lag in lags}
    return {lag: weight / sum(raw.values()) for lag, weight in raw.items()}


def slow_smooth(signal: list[float], softness: float) -> list[float]:
    kernel = slow_kernel(softness)
    frames = range(len(signal))
    return [sum(kernel[t - u] * signal[u] for u in frames) for t in frames]


def slow_mse(predicted: list[float], labelled: list[float], softness: float) -> float:
    energy = sum(weight**2 for weight in slow_kernel(softness).values())
    pairs = zip(slow_smooth(predicted, softness), slow_smooth(labelled, softness), strict=True)
    return sum((p - y) ** 2 for p, y in pairs) / energy


def impulses(n_frames: int, *frames: int) -> Tensor:
    signal = torch.zeros(1, 1, n_frames, dtype=torch.float64)
    for frame in frames:
        signal[0, 0, frame] += 1
    return signal


# --- count_nll ---


@pytest.mark.parametrize("n_frames", [1, 2, 3, 7, 12])
def test_count_nll_and_its_gradient_equal_enumeration_for_every_count(n_frames: int) -> None:
    logits = 3 * drawn(1, 1, n_frames, seed=n_frames)
    prior = logits.sigmoid().flatten().tolist()
    mass, joint = by_enumeration(prior)
    counts = torch.arange(n_frames + 1).unsqueeze(-1)
    nll, gradient = with_gradient(logits.expand(n_frames + 1, 1, n_frames), counts)
    posterior = joint / mass[:, None]
    np.testing.assert_allclose(nll.flatten(), -np.log(mass), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(gradient[:, 0], np.array(prior) - posterior, atol=1e-12)


@pytest.mark.parametrize(
    ("n_frames", "count", "dtype", "tolerance"),
    [
        (300, 0, torch.float64, 1e-10),
        (300, 8, torch.float64, 1e-10),
        (300, 299, torch.float64, 1e-10),
        (6000, 400, torch.float64, 1e-10),
        (20_000, 150, torch.float64, 1e-9),
        (300, 8, torch.float32, 2e-5),
        (6000, 400, torch.float32, 1e-4),
        (20_000, 150, torch.float32, 3e-4),
    ],
)
def test_count_nll_equals_the_recursion_over_frames(
    n_frames: int, count: int, dtype: torch.dtype, tolerance: float
) -> None:
    logits = (2 * drawn(1, 1, n_frames, seed=1) - 3.5).to(dtype)
    expected = by_recursion(logits.double().numpy().ravel(), count)
    nll = count_nll(logits, torch.tensor([[count]]))
    assert nll.dtype == dtype
    # Where the network is far off, the loss is large and rounding is relative to it.
    assert abs(nll.item() - expected) <= tolerance * max(1.0, expected / 100)


def test_single_precision_gradient_stays_close_to_double() -> None:
    logits = 2 * drawn(2, 2, 6000, seed=2) - 4
    counts = torch.tensor([[400, 200], [300, 350]])
    _, exact = with_gradient(logits, counts)
    _, single = with_gradient(logits.float(), counts)
    assert (single - exact).abs().max() < 1e-4


def test_large_batches_are_cut_into_groups_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, counts = drawn(7, 3, 40), torch.arange(21).view(7, 3)
    whole = with_gradient(logits, counts)
    monkeypatch.setattr(softloc, "_GROUP_FRAMES_CPU", 160)
    grouped = with_gradient(logits, counts)
    torch.testing.assert_close(grouped, whole, rtol=1e-12, atol=1e-12)


def test_count_nll_passes_gradcheck() -> None:
    logits = drawn(2, 2, 19).requires_grad_()
    mask = torch.arange(19) < 17
    counts = torch.tensor([[0, 3], [9, 17]])
    assert torch.autograd.gradcheck(lambda z: count_nll(z, counts, mask), logits)
    probabilities = logits.detach().sigmoid().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: count_nll(p, counts, mask, inputs="probabilities"), probabilities
    )


@settings(max_examples=40, deadline=None)
@given(
    logits=st.lists(st.floats(-30, 30), min_size=1, max_size=40),
    share=st.floats(0, 1),
)
def test_gradient_sums_to_the_surplus_of_expected_events(logits: list[float], share: float) -> None:
    window = torch.tensor(logits, dtype=torch.float64).view(1, 1, -1)
    count = round(share * len(logits))
    nll, gradient = with_gradient(window, torch.tensor([[count]]))
    # The posterior holds exactly `count` events.
    assert gradient.sum().item() == pytest.approx(window.sigmoid().sum().item() - count, abs=1e-9)
    assert nll.item() > -1e-9


def test_no_events_and_all_events_have_their_closed_forms() -> None:
    logits = 8 * drawn(2, 3, 300)
    none, none_gradient = with_gradient(logits, torch.zeros(2, 3))
    torch.testing.assert_close(none, logits.exp().log1p().sum(-1), rtol=0, atol=1e-10)
    torch.testing.assert_close(none_gradient, logits.sigmoid(), rtol=0, atol=1e-12)
    every, every_gradient = with_gradient(logits, torch.full((2, 3), 300))
    torch.testing.assert_close(every, (-logits).exp().log1p().sum(-1), rtol=0, atol=1e-10)
    torch.testing.assert_close(every_gradient, logits.sigmoid() - 1, rtol=0, atol=1e-12)


def test_chances_of_all_counts_sum_to_one() -> None:
    logits = 5 * drawn(1, 1, 50)
    nll = count_nll(logits.expand(51, 1, 50), torch.arange(51).unsqueeze(-1))
    assert torch.exp(-nll).sum().item() == pytest.approx(1, abs=1e-12)


def test_the_order_of_frames_does_not_matter() -> None:
    logits = drawn(1, 1, 77)
    nll, gradient = with_gradient(logits, torch.tensor([[5]]))
    flipped, flipped_gradient = with_gradient(logits.flip(-1), torch.tensor([[5]]))
    torch.testing.assert_close(flipped, nll)
    torch.testing.assert_close(flipped_gradient.flip(-1), gradient)


@pytest.mark.parametrize("inputs", ["logits", "probabilities"])
def test_masked_frames_are_as_good_as_absent(inputs: str) -> None:
    logits = drawn(2, 1, 30)
    values = logits.sigmoid() if inputs == "probabilities" else logits
    counts = torch.tensor([[3], [6]])
    mask = torch.zeros(2, 1, 30, dtype=torch.bool)
    mask[0, 0, 5:25] = True
    mask[1, 0, ::2] = True
    leaf = values.clone().requires_grad_()
    nll = count_nll(leaf, counts, mask, inputs=inputs)
    nll.sum().backward()
    for item in range(2):
        window = values[item][mask[item]].view(1, 1, -1)
        torch.testing.assert_close(
            nll[item], count_nll(window, counts[item : item + 1], inputs=inputs)[0]
        )
    assert (leaf.grad[~mask] == 0).all()
    assert (leaf.grad[mask] != 0).all()


def test_an_empty_window_costs_nothing() -> None:
    leaf = drawn(2, 1, 9).requires_grad_()
    mask = torch.tensor([False, True]).view(2, 1, 1)
    nll = count_nll(leaf, torch.tensor([[0], [2]]), mask)
    nll.sum().backward()
    assert nll[0].item() == 0
    assert (leaf.grad[0] == 0).all()
    torch.testing.assert_close(nll[1:], count_nll(leaf[1:], torch.tensor([[2]])))
    with pytest.raises(ValueError, match="from 0 to 0"):
        count_nll(leaf, torch.tensor([[1], [2]]), mask)


@pytest.mark.parametrize("level", [1e4, 1e5, 1e6, 1e8, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_are_finite_and_right(dtype: torch.dtype, level: float) -> None:
    high, low = torch.full((10,), level), torch.full((290,), -level)
    plateaus = torch.cat([high, low]).to(dtype).expand(5, 1, 300)
    counts = torch.tensor([[10], [9], [12], [0], [300]])
    nll, gradient = with_gradient(plateaus, counts)
    expected = [
        0.0,
        level - math.log(10),
        2 * level - math.log(math.comb(290, 2)),
        10 * level,
        290 * level,
    ]
    np.testing.assert_allclose(nll.flatten().double(), expected, rtol=1e-5, atol=1e-5)
    assert gradient.isfinite().all()
    # One of ten too many: each is believed with nine tenths. Two too few: all 290 share them.
    np.testing.assert_allclose(gradient[1, 0, :10], 0.1, rtol=1e-3)
    np.testing.assert_allclose(gradient[2, 0, 10:], -2 / 290, rtol=1e-3)


@pytest.mark.parametrize("level", [-1e30, -1e8, -1e5, -1e4, -80.0, -30.0, 30.0, 1e4, 1e5, 1e8])
@pytest.mark.parametrize("count", [0, 1, 150, 300])
def test_constant_logits_give_the_binomial_distribution(level: float, count: int) -> None:
    logits = torch.full((1, 1, 300), level, dtype=torch.float32)
    nll, gradient = with_gradient(logits, torch.tensor([[count]]))
    chosen = math.lgamma(301) - math.lgamma(count + 1) - math.lgamma(301 - count)
    softplus = max(level, 0) + math.log1p(math.exp(-abs(level)))
    expected = 300 * softplus - count * level - chosen
    assert nll.item() == pytest.approx(expected, rel=1e-5, abs=1e-4)
    prior = 1 / (1 + math.exp(-level)) if level > -700 else 0.0
    np.testing.assert_allclose(gradient.flatten(), prior - count / 300, atol=1e-5)


MAGNITUDES = st.sampled_from([1e-45, 1e-3, 1.0, 30.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
@settings(max_examples=150, deadline=None)
@given(
    frames=st.lists(st.tuples(MAGNITUDES, st.floats(-1, 1)), min_size=1, max_size=8),
    share=st.floats(0, 1),
)
def test_logits_of_every_size_equal_the_literal_version(
    dtype: torch.dtype, tolerance: float, frames: list[tuple[float, float]], share: float
) -> None:
    logits = torch.tensor([size * part for size, part in frames], dtype=dtype)
    count = round(share * len(logits))
    nll, gradient = with_gradient(logits.view(1, 1, -1), torch.tensor([[count]]))
    expected, slope = by_decimals(logits.tolist(), count)
    assert nll.item() == pytest.approx(expected, rel=tolerance, abs=tolerance)
    np.testing.assert_allclose(gradient.flatten(), slope, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [1e3, 1e5, 1e8])
def test_certain_and_right_costs_nothing_whatever_the_size(size: float) -> None:
    """Sums of 300 large numbers that cancel would be wrong by many nats."""
    logits = (size * drawn(1, 1, 300)).float()
    logits[logits.abs() < 30] = 30.0
    count = (logits > 0).sum(-1)
    nll, gradient = with_gradient(logits, count)
    assert nll.item() == pytest.approx(0, abs=1e-5)
    assert gradient.abs().max() < 1e-5
    missed, _ = with_gradient(logits, count + 1)
    likeliest = logits[logits < 0].max().item()
    assert missed.item() == pytest.approx(-likeliest, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e30, 3e38, math.inf])
@pytest.mark.parametrize("masked", [False, True])
def test_infinite_logits_cost_what_the_largest_do(
    dtype: torch.dtype, size: float, masked: bool
) -> None:
    row = torch.tensor([size, -size, size, 0.0, -size], dtype=dtype)
    counts = torch.arange(6).unsqueeze(-1)
    mask = torch.ones(5, dtype=torch.bool)
    if masked:
        mask[3], counts = False, counts[:5]
    n_certain = 2 if masked else 3  # zero may turn out either way
    nll, gradient = with_gradient(row.expand(len(counts), 1, 5), counts, mask=mask)
    wrong = [max(2 - k, 0) + max(k - n_certain, 0) for k in counts.flatten().tolist()]
    for value, n_wrong in zip(nll.flatten().tolist(), wrong, strict=True):
        assert value == pytest.approx(n_wrong * min(size, 2.0**100), rel=1e-6, abs=1.0)
    assert gradient.isfinite().all()


def test_one_odd_frame_above_a_plateau_is_found() -> None:
    logits = torch.full((1, 1, 2000), -9000.0)
    logits[0, 0, 777] = 9000.0
    nll, gradient = with_gradient(logits, torch.tensor([[1]]))
    assert nll.item() == pytest.approx(0, abs=1e-5)
    assert gradient.abs().max() < 1e-5


@pytest.mark.parametrize(
    ("count", "shown"), [(6.0, "6"), (-1.0, "-1"), (1.5, "1.5"), (math.nan, "nan")]
)
def test_impossible_counts_are_refused_by_name(count: float, shown: str) -> None:
    counts = torch.tensor([[1.0, 0.0], [2.0, count]])
    mask = torch.arange(8) < 5
    with pytest.raises(ValueError, match=rf"item 1, class 1: the count is {shown},.*from 0 to 5"):
        count_nll(drawn(2, 2, 8), counts, mask)


def test_wrong_arguments_to_count_nll_are_refused() -> None:
    logits, counts = drawn(2, 2, 8), torch.ones(2, 2)
    with pytest.raises(ValueError, match=r"counts have shape \(2, 1\)"):
        count_nll(logits, counts[:, :1])
    with pytest.raises(ValueError, match="at least one frame"):
        count_nll(logits[..., :0], counts)
    with pytest.raises(ValueError, match="unknown inputs 'odds'"):
        count_nll(logits, counts, inputs="odds")
    with pytest.raises(ValueError, match="unknown reduction 'max'"):
        count_nll(logits, counts, reduction="max")
    with pytest.raises(ValueError, match="mask of shape"):
        count_nll(logits, counts, torch.ones(2, 2, 7, dtype=torch.bool))


def test_probabilities_agree_with_logits_and_may_be_0_and_1() -> None:
    logits = 3 * drawn(2, 2, 100)
    counts = torch.tensor([[0, 10], [50, 100]])
    torch.testing.assert_close(
        count_nll(logits.sigmoid(), counts, inputs="probabilities"),
        count_nll(logits, counts),
        rtol=1e-9,
        atol=1e-9,
    )
    certain = torch.tensor([[[0.0, 1.0, 1.0, 0.0, 0.5]]], requires_grad=True)
    nll = count_nll(certain, torch.tensor([[2]]), inputs="probabilities")
    nll.sum().backward()
    assert nll.item() == pytest.approx(math.log(2), abs=1e-5)
    assert certain.grad.isfinite().all()


def test_a_window_of_nan_gives_nan_and_leaves_its_neighbours_alone() -> None:
    logits = drawn(2, 1, 20)
    logits[0, 0, 3] = math.nan
    nll = count_nll(logits, torch.tensor([[1], [6]]))
    assert nll[0].isnan().all()
    torch.testing.assert_close(nll[1:], count_nll(logits[1:], torch.tensor([[6]])))


def test_windows_of_all_kinds_share_a_batch() -> None:
    rows = [
        torch.cat([torch.full((4,), 1e4), torch.full((36,), -1e4)]),
        torch.linspace(-9, 9, 40),
        torch.full((40,), -50.0),
        torch.linspace(-3e3, 4e3, 40),
    ]
    logits = torch.stack(rows).double().unsqueeze(1)
    for count in (0, 3, 4, 20, 37, 40):
        counts = torch.full((4, 1), count)
        together = with_gradient(logits, counts)
        alone = [with_gradient(row, counts[:1]) for row in logits.split(1)]
        for got, parts in zip(together, zip(*alone, strict=True), strict=True):
            torch.testing.assert_close(got, torch.cat(parts), rtol=1e-9, atol=1e-9)


def test_autocast_does_not_coarsen_the_count_term() -> None:
    logits, counts = drawn(2, 2, 50, dtype=torch.float32), torch.tensor([[1, 2], [3, 4]])
    plain = with_gradient(logits, counts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = with_gradient(logits, counts)
    torch.testing.assert_close(cast, plain, rtol=0, atol=0)


def test_half_precision_is_computed_in_single() -> None:
    logits = drawn(1, 2, 40).to(torch.bfloat16).requires_grad_()
    loss = softloc_loss(logits, torch.zeros(1, 2, 40), 2.0, 0.5)
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad.dtype == torch.bfloat16


# --- soft localisation ---


@pytest.mark.parametrize("softness", [0.0, 0.01, 0.3, 1.0, 2.5, 8.0, 40.0])
def test_mse_equals_the_double_loop(softness: float) -> None:
    probabilities = drawn(2, 2, 23).sigmoid()
    targets = torch.zeros(2, 2, 23, dtype=torch.float64)
    targets[0, 0, [0, 5]] = 1
    targets[0, 1, 22] = 2
    targets[1, 1, [3, 4, 5]] = 1
    expected = [
        [slow_mse(p.tolist(), y.tolist(), softness) for p, y in zip(ps, ys, strict=True)]
        for ps, ys in zip(probabilities, targets, strict=True)
    ]
    result = soft_localization_loss(probabilities, targets, softness, reduction="none")
    np.testing.assert_allclose(result, expected, rtol=1e-10)
    mean = soft_localization_loss(probabilities, targets, softness)
    assert mean.item() == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("softness", [0.0, 0.3, 3.0])
def test_the_mask_cuts_out_what_lies_outside(softness: float) -> None:
    probabilities, targets = drawn(1, 1, 30).sigmoid(), impulses(30, 2, 9, 9, 28)
    mask = (torch.arange(30) >= 4) & (torch.arange(30) < 20)
    leaf = probabilities.clone().requires_grad_()
    for measure in ("mse", lambda p, y: 1 + (p - y).abs()):
        masked = soft_localization_loss(leaf, targets, softness, measure=measure, mask=mask)
        cut = soft_localization_loss(
            probabilities[..., 4:20], targets[..., 4:20], softness, measure=measure
        )
        assert masked.item() == pytest.approx(cut.item())
    masked.backward()
    assert (leaf.grad[..., ~mask] == 0).all()


def test_nothing_wraps_around_the_ends() -> None:
    for n_frames, softness in [(8, 3.0), (50, 30.0), (1000, 30.0), (1000, 2.0)]:
        left = gaussian_smooth(impulses(n_frames, 0), softness)
        kernel = slow_kernel(softness)
        weights = [kernel.get(lag, 0.0) for lag in range(n_frames)]
        np.testing.assert_allclose(left[0, 0], weights, atol=1e-16)
        right = gaussian_smooth(impulses(n_frames, n_frames - 1), softness)
        np.testing.assert_allclose(right.flip(-1), left, atol=1e-16)


@pytest.mark.parametrize("softness", [0.0, 0.3, 1.0, 5.0, 30.0])
def test_an_isolated_missed_or_invented_event_costs_one(softness: float) -> None:
    event, nothing = impulses(801, 400), impulses(801)
    assert soft_localization_loss(nothing, event, softness).item() == pytest.approx(1, abs=1e-12)
    assert soft_localization_loss(event, nothing, softness).item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("softness", [1.5, 5.0, 30.0])
@pytest.mark.parametrize("shift", [1, 7, 40])
def test_a_shift_costs_what_the_closed_form_says(softness: float, shift: int) -> None:
    cost = soft_localization_loss(impulses(801, 400), impulses(801, 400 + shift), softness)
    expected = 2 * (1 - math.exp(-(shift**2) / (4 * softness**2)))
    assert cost.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("measure", ["mse", "log"])
@pytest.mark.parametrize("softness", [0.0, 4.0])
def test_scale_ignores_batch_size_and_empty_frames(measure: str, softness: float) -> None:
    probabilities = impulses(400, 200) * 0.7 + impulses(400, 210) * 0.2
    targets = impulses(400, 205)

    def cost(predicted: Tensor, labelled: Tensor) -> float:
        return soft_localization_loss(predicted, labelled, softness, measure=measure).item()

    once = cost(probabilities, targets)
    assert cost(probabilities.repeat(5, 3, 1), targets.repeat(5, 3, 1)) == pytest.approx(once)
    longer = [functional.pad(signal, (150, 300)) for signal in (probabilities, targets)]
    assert cost(*longer) == pytest.approx(once)


@settings(max_examples=30, deadline=None)
@given(shift=st.integers(-80, 80), softness=st.floats(0, 8), seed=st.integers(0, 1000))
def test_shifting_both_changes_nothing_away_from_the_edges(
    shift: int, softness: float, seed: int
) -> None:
    inner = drawn(1, 1, 40, seed=seed).sigmoid()
    predicted = functional.pad(inner, (160, 160))
    labelled = functional.pad((inner.flip(-1) > 0.7).double(), (160, 160))
    here = soft_localization_loss(predicted, labelled, softness)
    there = soft_localization_loss(predicted.roll(shift, -1), labelled.roll(shift, -1), softness)
    assert there.item() == pytest.approx(here.item(), rel=1e-9, abs=1e-12)


def test_log_at_zero_softness_is_the_summed_cross_entropy() -> None:  # Eq. 5
    for dtype in (torch.float32, torch.float64):
        probabilities = (3 * drawn(2, 3, 200)).sigmoid().to(dtype)
        targets = (drawn(2, 3, 200, seed=1) > 1).to(dtype)
        literal = -torch.where(targets == 1, probabilities, 1 - probabilities).log().sum(-1)
        result = soft_localization_loss(
            probabilities, targets, 0.0, measure="log", reduction="none"
        )
        assert torch.equal(result, literal)
        per_item = soft_localization_loss(
            probabilities, targets, torch.tensor([[0.0], [3.0]]), measure="log", reduction="none"
        )
        assert torch.equal(per_item[0], literal[0])


@pytest.mark.parametrize("measure", ["mse", "log"])
def test_softness_zero_is_the_limit_of_small_softness(measure: str) -> None:
    probabilities = drawn(1, 1, 50).sigmoid()
    targets = impulses(50, 10, 30)
    costs = [
        soft_localization_loss(probabilities, targets, softness, measure=measure).item()
        for softness in (0.0, 1e-30, 1e-3, 0.05, 0.1)
    ]
    assert costs[1:] == pytest.approx([costs[0]] * 4, rel=1e-9)


def test_log_is_bounded_where_it_is_not_defined() -> None:
    ceiling = -math.log(1e-6)
    wrong = soft_localization_loss(impulses(5), impulses(5, 2), 0.0, measure="log")
    assert wrong.item() == pytest.approx(ceiling)
    doubled = soft_localization_loss(impulses(5), impulses(5, 2, 2), 0.0, measure="log")
    assert doubled.item() == pytest.approx(ceiling)


def test_infinite_softness_leaves_only_the_counts() -> None:  # Eq. 6
    logits, targets = drawn(3, 2, 60), (drawn(3, 2, 60, seed=1) > 1.5).double()
    leaf, alone = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    total = softloc_loss(leaf, targets, math.inf, 0.7)
    counts_only = 0.7 * count_nll(alone, targets.sum(-1)).mean()
    assert torch.equal(total, counts_only)
    total.backward()
    counts_only.backward()
    assert torch.equal(leaf.grad, alone.grad)


def test_gradient_vanishes_as_softness_grows() -> None:
    sizes = []
    for softness in (10.0, 100.0, 1000.0):
        leaf = drawn(1, 1, 100).sigmoid().requires_grad_()
        # Equal counts: all that is left to complain about is where the events are.
        targets = torch.full((1, 1, 100), leaf.sum().item() / 100, dtype=torch.float64)
        soft_localization_loss(leaf, targets, softness).backward()
        sizes.append(leaf.grad.abs().max().item())
    assert sizes[1] < sizes[0] / 5
    assert sizes[2] < sizes[1] / 5


@pytest.mark.parametrize("measure", ["mse", "log"])
def test_every_row_may_have_its_own_softness(measure: str) -> None:
    logits = drawn(3, 2, 45)
    targets = (drawn(3, 2, 45, seed=1) > 1.5).double()
    tables = [
        torch.tensor([[0.0], [2.0], [math.inf]]),
        torch.tensor([[0.5, math.inf]]),
        torch.tensor([20.0, 0.0]),
        torch.tensor([[0.0, 1.0], [math.inf, 3.0], [0.2, 50.0]]),
    ]
    for table in tables:
        leaf = logits.clone().requires_grad_()
        together = soft_localization_loss(
            leaf.sigmoid(), targets, table, measure=measure, reduction="none"
        )
        together.sum().backward()
        for item, label_class in itertools.product(range(3), range(2)):
            softness = table.expand(3, 2)[item, label_class].item()
            row = logits[item, label_class].view(1, 1, -1).clone().requires_grad_()
            alone = soft_localization_loss(
                row.sigmoid(),
                targets[item, label_class].view(1, 1, -1),
                softness,
                measure=measure,
            )
            alone.backward()
            assert together[item, label_class].item() == pytest.approx(alone.item(), rel=1e-9)
            torch.testing.assert_close(leaf.grad[item, label_class], row.grad[0, 0])
            if softness == math.inf:
                assert alone.item() == 0
                assert (row.grad == 0).all()


@pytest.mark.parametrize("measure", ["mse", "log"])
def test_soft_localization_passes_gradcheck_in_probabilities_and_softness(measure: str) -> None:
    probabilities = drawn(2, 2, 14).sigmoid().requires_grad_()
    targets = (drawn(2, 2, 14, seed=1) > 1).double()
    # Either side of the border between summing the kernel and its closed form.
    softness = torch.tensor([[0.6, 1.9], [2.4, 5.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.arange(14) < 12

    def cost(p: Tensor, s: Tensor) -> Tensor:
        return soft_localization_loss(p, targets, s, measure=measure, mask=mask)

    assert torch.autograd.gradcheck(cost, (probabilities, softness))


def test_learnable_softness_survives_zero_and_infinity() -> None:
    softness = torch.tensor([[0.0], [2.0], [math.inf]], requires_grad=True)
    targets = impulses(20, 5).expand(3, 1, 20)
    soft_localization_loss(drawn(3, 1, 20).sigmoid(), targets, softness).backward()
    assert softness.grad.isfinite().all()
    assert softness.grad[1] != 0
    assert softness.grad[2] == 0


def test_a_measure_of_ones_own_is_used_as_it_is() -> None:
    probabilities, targets = drawn(1, 1, 12).sigmoid(), impulses(12, 4)
    absolute = soft_localization_loss(
        probabilities, targets, 1.5, measure=lambda p, y: (p - y).abs()
    )
    pairs = zip(
        slow_smooth(probabilities.flatten().tolist(), 1.5),
        slow_smooth(targets.flatten().tolist(), 1.5),
        strict=True,
    )
    assert absolute.item() == pytest.approx(sum(abs(p - y) for p, y in pairs))
    with pytest.raises(ValueError, match="one distance per frame"):
        soft_localization_loss(
            probabilities, targets, 1.5, measure=lambda p, y: (p - y).abs().mean()
        )


def test_wrong_arguments_to_soft_localization_are_refused() -> None:
    signal = drawn(2, 3, 8).sigmoid()
    with pytest.raises(ValueError, match=r"shape \(2, 3, 8\), targets \(2, 3, 7\)"):
        soft_localization_loss(signal, signal[..., :7], 1.0)
    for softness in (-1.0, math.nan):
        with pytest.raises(ValueError, match="softness must be 0 frames or more"):
            soft_localization_loss(signal, signal, softness)
    with pytest.raises(ValueError, match=r"softness of shape \(2,\) does not broadcast"):
        soft_localization_loss(signal, signal, torch.ones(2))
    with pytest.raises(ValueError, match="unknown measure 'mae'"):
        soft_localization_loss(signal, signal, 1.0, measure="mae")


# --- the two together ---


def test_softloc_weighs_its_two_terms() -> None:  # Eq. 4
    logits, targets = drawn(2, 2, 40), (drawn(2, 2, 40, seed=1) > 1.5).double()
    targets[0, 0, 7] = 2
    mask = torch.arange(40) < 33
    where = soft_localization_loss(logits.sigmoid(), targets, 3.0, mask=mask)
    how_many = count_nll(logits, targets[..., :33].sum(-1), mask).mean()
    total = softloc_loss(logits, targets, 3.0, 0.3, mask=mask)
    assert total.item() == pytest.approx((0.7 * where + 0.3 * how_many).item())
    from_probabilities = softloc_loss(
        logits.sigmoid(), targets, 3.0, 0.3, mask=mask, inputs="probabilities"
    )
    assert from_probabilities.item() == pytest.approx(total.item())


def test_two_labels_in_one_frame_count_twice() -> None:
    logits, doubled = drawn(1, 1, 40), impulses(40, 7, 7)
    total = softloc_loss(logits, doubled, math.inf, 1.0)
    assert total.item() == pytest.approx(count_nll(logits, torch.tensor([[2]])).item())


def test_alpha_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha must be between 0 and 1, not 1\.5"):
        softloc_loss(drawn(1, 1, 4), impulses(4), 1.0, 1.5)


@pytest.mark.parametrize(
    ("name", "progress", "alpha"),
    [
        ("drums", 0.0, 0.2),
        ("drums", 1 / 3, 0.2),
        ("drums", 90 / 150, (90e3 - 30e3) / 1e5),
        ("drums", 0.8, 0.9),
        ("drums", 1.0, 0.9),
        ("piano", 0.75, 0.2),
        ("piano", 0.9, (0.9 * 160e3 - 100e3) / 1e5),
        ("piano", 1.0, 0.6),
        ("puffs", 0.0, 0.95),
        ("puffs", 1.0, 0.95),
    ],
)
def test_schedules_follow_the_authors_formula(name: str, progress: float, alpha: float) -> None:
    assert ALPHA_SCHEDULES[name](progress) == pytest.approx(alpha)


def test_schedules_that_make_no_sense_are_refused() -> None:
    assert AlphaSchedule(0.1, 0.9, 0.5, 0.5)(0.7) == 0.9
    with pytest.raises(ValueError, match="weights must be between 0 and 1"):
        AlphaSchedule(0.2, 1.1)
    with pytest.raises(ValueError, match="a ramp runs forward"):
        AlphaSchedule(0.2, 0.9, 0.8, 0.3)
    with pytest.raises(ValueError, match="unknown schedule 'violin': use one of drums"):
        SoftLocLoss(schedule="violin")


def test_the_module_is_the_function_with_its_schedule() -> None:
    logits, targets = drawn(2, 1, 30), impulses(30, 3).expand(2, 1, 30)
    mask = torch.arange(30) < 28
    module = SoftLocLoss("log", "drums")
    expected = softloc_loss(logits, targets, 2.0, 0.9, measure="log", mask=mask)
    assert torch.equal(module(logits, targets, 2.0, 0.95, mask), expected)
    constant = SoftLocLoss(schedule=0.5)
    assert constant.schedule == AlphaSchedule(0.5, 0.5)


def test_a_few_events_are_learnt_from_shifted_labels() -> None:
    """Descent through labels scattered around 50 must put one event there, and only one."""
    generator = torch.Generator().manual_seed(3)
    frames = (50 + 4 * torch.randn(60, generator=generator)).round().long()
    targets = functional.one_hot(frames, 100).float().unsqueeze(1)
    logits = torch.full((1, 1, 100), -4.0, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for step in range(200):
        optimizer.zero_grad()
        alpha = ALPHA_SCHEDULES["drums"](step / 200)
        softloc_loss(logits.expand(60, 1, 100), targets, 6.0, alpha).backward()
        optimizer.step()
    learnt = logits.detach().sigmoid().flatten()
    centre = (learnt * torch.arange(100)).sum() / learnt.sum()
    assert learnt.sum().item() == pytest.approx(1, abs=0.05)
    assert centre.item() == pytest.approx(frames.double().mean().item(), abs=0.3)
