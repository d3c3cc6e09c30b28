"""The SoftLoc loss: learning when events happen from labels whose times are noisy.

Source: "SoftLoc: Robust Temporal Localization under Label Misalignment" (ICLR 2020 submission;
Schroeter et al., AAAI 2021). This file needs PyTorch and nothing else: copy it where you like.

Conventions
-----------
* Signals are ``(batch, classes, frames)``: predicted probabilities or logits, one per frame and
  class, and targets counting the labels in each frame (0, 1, 2, ...; never clipped).
* A mask is boolean, broadcastable to the signals, and True inside the window. Frames outside it
  are as good as absent: they predict nothing, hold no labels and are not summed.
* Softness is the standard deviation of the smoothing Gaussian **in frames**: a number, or a tensor
  broadcastable to ``(batch, classes)``, so that each recording, annotator or class has its own.
  0 compares frame by frame; infinity drops the term and leaves training from counts alone.
* Every loss sums over the frames of a window and averages over batch and classes.
* Wrong arguments raise ``ValueError``. Half precision is computed in single.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Measure = str | Callable[[Tensor, Tensor], Tensor]

# Below this softness the Gaussian is a unit impulse in double precision already.
_IMPULSE_SOFTNESS_FRAMES = 0.05
# Beyond this many standard deviations it is zero in double precision.
_KERNEL_REACH = 9.0
# Smallest agreement that the "log" measure tells from zero.
_SMALLEST_AGREEMENT = 1e-6

# Log-odds beyond it count as it: sums of them must not overflow in single precision.
_LARGEST_ODDS = 2.0**100  # some 1e30, and the same in every precision
# Up to it sums of log-odds may cancel without harm, and are taken the fast way.
_ORDINARY_ODDS = 100.0
# The tilted mean may miss the count by this share of a standard deviation.
_TILT_TOLERANCE = 0.5
# Steps from where the logits are. Ordinary windows need fewer than half as many; windows that
# contradict their count by more are searched from the middle between their frames.
_TILT_STEPS = 16
# Enough to bisect whatever gap is left there.
_MOST_TILT_STEPS = 100
# Frames are multiplied into blocks of 2**4 before anything is evaluated on the unit circle.
_BLOCK_LEVELS = 4
# Windows are taken in groups of this many frames in all: working memory stays inside the
# processor's cache and does not grow with the batch. Accelerators want fewer, larger groups.
_GROUP_FRAMES_CPU = 2**17
_GROUP_FRAMES_ACCELERATOR = 2**23


# --- soft localisation -----------------------------------------------------------------------


def soft_localization_loss(
    probabilities: Tensor,
    targets: Tensor,
    softness_frames: float | Tensor,
    *,
    measure: Measure = "mse",
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Compare predictions and labels after smoothing both with the same Gaussian (Eq. 2).

    Parameters
    ----------
    probabilities : Tensor [shape=(batch, classes, frames)]
        Probability of an event in each frame.
    targets : Tensor [shape=(batch, classes, frames)]
        Number of labels in each frame.
    softness_frames : float or Tensor broadcastable to (batch, classes)
        Standard deviation of the Gaussian, in frames; 0 and infinity included. May require grad.
    measure : {"mse", "log"} or callable
        ``"mse"``: squared difference, divided by the kernel's energy, so that an isolated missed
        or invented event costs 1 and a shift by d frames ``2 (1 - exp(-d^2 / 4 S^2))``, whatever
        the softness. ``"log"``: ``-log(1 - |difference|)``, for counts 0 and 1 and never above
        ``-log(1e-6)`` a frame; at softness 0 it is the stepwise cross-entropy (Eq. 5). A callable
        maps (smoothed probabilities, smoothed targets) to a distance per frame. Only ``"mse"``
        is rescaled.
    mask : Tensor of bool, broadcastable to (batch, classes, frames), optional
        True inside the window.
    reduction : {"mean", "sum", "none"}
        Over batch and classes.

    Returns
    -------
    Tensor [shape=() or (batch, classes)]

    Raises
    ------
    ValueError
        If shapes disagree, the softness is negative or NaN, or a name is unknown.
    """
    _check_signals(probabilities, targets)
    keep = _full_mask(mask, probabilities)
    predicted = _inside(_at_least_single(probabilities), keep)
    labelled = _inside(targets.to(predicted), keep)
    softness = _softness_rows(softness_frames, predicted)
    dropped = softness.isinf()
    finite = softness.masked_fill(dropped, 1.0)
    if measure == "mse":
        # Smoothing is linear: one transform of the difference does for both.
        distance = _smooth(predicted - labelled, finite).square() / _kernel_energy(finite)
    else:
        compare = _named_measure(measure)
        distance = compare(_smooth(predicted, finite), _smooth(labelled, finite))
        if distance.shape != predicted.shape:
            raise ValueError(
                f"the measure returned shape {tuple(distance.shape)}, "
                f"not one distance per frame {tuple(predicted.shape)}"
            )
    cost = _inside(distance, keep).sum(-1).masked_fill(dropped.squeeze(-1), 0.0)
    return _reduce(cost, reduction)


def gaussian_smooth(signal: Tensor, softness_frames: float | Tensor) -> Tensor:
    """Filter with a Gaussian that sums to 1, zeros beyond both ends (the Φ_S of Eq. 2).

    Parameters
    ----------
    signal : Tensor [shape=(batch, classes, frames)]
    softness_frames : float or Tensor broadcastable to (batch, classes)
        Standard deviation in frames, finite; 0 returns the signal itself, bit for bit.

    Returns
    -------
    Tensor [shape=(batch, classes, frames)]
    """
    signal = _at_least_single(signal)
    return _smooth(signal, _softness_rows(softness_frames, signal))


def kernel_energy(softness_frames: Tensor) -> Tensor:
    """Return the sum of squares of the smoothing Gaussian, elementwise; 1 at softness 0."""
    return _kernel_energy(_at_least_single(softness_frames))


def _smooth(signal: Tensor, softness: Tensor) -> Tensor:
    """Smooth (batch, classes, frames) by a finite softness of shape (batch|1, classes|1, 1)."""
    n_frames = signal.shape[-1]
    widest = float(softness.detach().max())
    if widest == 0:
        return signal
    # Padding only has to keep what wraps around outside the kernel's reach.
    reach = min(math.ceil(_KERNEL_REACH * widest), n_frames - 1)
    size = _fast_fft_size(n_frames + reach)
    index = torch.arange(size, device=signal.device)
    lag_frames = torch.minimum(index, size - index).to(signal.dtype)
    sharp = softness.clamp(min=_IMPULSE_SOFTNESS_FRAMES)
    kernel = torch.exp(-0.5 * (lag_frames / sharp).square()) / _lattice_sum(sharp)
    # The kernel is even, so its spectrum is real.
    spectrum = torch.fft.rfft(signal, size) * torch.fft.rfft(kernel).real
    smoothed = torch.fft.irfft(spectrum, size)[..., :n_frames]
    return torch.where(softness > 0, smoothed, signal)


def _lattice_sum(softness: Tensor) -> Tensor:
    """Sum ``exp(-t^2 / 2 S^2)`` over all integers t."""
    # From 2 frames up the sum equals the integral to rounding (Poisson summation).
    lags = torch.arange(-16, 17, device=softness.device, dtype=softness.dtype)
    narrow = softness.clamp(max=2.0).unsqueeze(-1)
    direct = torch.exp(-0.5 * (lags / narrow).square()).sum(-1)
    return torch.where(softness < 2.0, direct, softness * math.sqrt(2 * math.pi))


def _kernel_energy(softness: Tensor) -> Tensor:
    sharp = softness.clamp(min=_IMPULSE_SOFTNESS_FRAMES)
    # The square of a Gaussian is a Gaussian, narrower by the root of 2.
    total = _lattice_sum(sharp)
    # Not by the square, which overflows long before the softness does.
    return _lattice_sum(sharp / math.sqrt(2)) / total / total


@lru_cache(maxsize=256)
def _fast_fft_size(at_least: int) -> int:
    """Return the next integer without prime factors above 5."""
    size = at_least
    while pow(30, 64, size):  # every factor of a 5-smooth size divides a high power of 30
        size += 1
    return size


def _named_measure(measure: Measure) -> Callable[[Tensor, Tensor], Tensor]:
    if callable(measure):
        return measure
    if measure == "log":
        return _log_distance
    raise ValueError(f"unknown measure {measure!r}: use 'mse', 'log' or a function")


def _log_distance(predicted: Tensor, labelled: Tensor) -> Tensor:
    # 1 - |p - y|, in the order of operations that is exact for y = 0 and y = 1.
    agreement = torch.minimum((1 - labelled) + predicted, (1 - predicted) + labelled)
    return -agreement.clamp(min=_SMALLEST_AGREEMENT).log()


# --- counts ----------------------------------------------------------------------------------


def count_nll(
    logits: Tensor,
    counts: Tensor,
    mask: Tensor | None = None,
    reduction: str = "none",
    *,
    inputs: str = "logits",
) -> Tensor:
    """Return -log P(number of events = counts) when frames are independent (Eq. 3).

    The number of events is Poisson-binomial. Value and gradient (prior minus posterior
    probability of each frame) are exact to rounding for any count; no recursion over frames.

    Parameters
    ----------
    logits : Tensor [shape=(batch, classes, frames)]
        Log-odds of an event in each frame, or probabilities: see ``inputs``. Log-odds beyond
        ±2**100, infinite ones included, count as that, and their gradient is 0.
    counts : Tensor [shape=(batch, classes)]
        Whole numbers from 0 to the number of frames inside the mask.
    mask : Tensor of bool, broadcastable to (batch, classes, frames), optional
        True inside the window.
    reduction : {"none", "mean", "sum"}
        Over batch and classes.
    inputs : {"logits", "probabilities"}
        Probabilities are clamped to [smallest normal number, 1 - machine epsilon].

    Returns
    -------
    Tensor [shape=(batch, classes) or ()]
        In nats.

    Raises
    ------
    ValueError
        If shapes disagree, a name is unknown, or a count is impossible.

    Notes
    -----
    1. *Tilt*. Adding s to all logits changes the probability of k events in closed form,
       ``log P(k) = log P_s(k) + Σ softplus(z + s) - Σ softplus(z) - s k``. With s such that the
       expected number is about k, P_s(k) is near its distribution's peak and cannot underflow.
       Where certain frames contradict the count, the sums are taken without what cancels.
    2. *Product*. The generating function ``G(x) = Π (1 - p_t + p_t x)`` is multiplied out for
       blocks of 16 frames, the blocks are evaluated at N-th roots of unity and multiplied there,
       and P_s(k) is one coefficient of the inverse transform. N only has to span the tilted
       distribution (a few standard deviations), not the window.
    3. *Gradient*. The same tree run backwards gives the posterior of every frame.
    """
    _check_window(logits)
    if counts.shape != logits.shape[:2]:
        raise ValueError(
            f"counts have shape {tuple(counts.shape)}, the windows {tuple(logits.shape[:2])}"
        )
    odds = _as_logits(_at_least_single(logits), inputs)
    largest = _largest(odds)
    if not largest <= _LARGEST_ODDS:
        odds = odds.clamp(-_LARGEST_ODDS, _LARGEST_ODDS)
    keep = _full_mask(mask, odds)
    n_frames = torch.full_like(counts, odds.shape[-1]) if keep is None else keep.sum(-1)
    _check_counts(counts, n_frames)
    odds, counts = _rarer_kind(odds, counts, n_frames)
    # An empty window holds no event for certain: it runs as a full one, and its cost is dropped.
    empty = n_frames == 0
    if keep is not None:
        odds = odds.masked_fill(~(keep | empty.unsqueeze(-1)), -math.inf)
    possible = n_frames.masked_fill(empty, odds.shape[-1])
    nll: Tensor = _CountNll.apply(  # type: ignore[no-untyped-call]
        odds.flatten(0, 1),
        counts.flatten().to(odds),
        possible.flatten().to(odds),
        largest <= _ORDINARY_ODDS,
    )
    return _reduce(nll.view(counts.shape).masked_fill(empty, 0.0), reduction)


def _largest(odds: Tensor) -> float:
    """Return the largest absolute value; NaN if there is one."""
    if not odds.numel():
        return 0.0
    low, high = odds.detach().aminmax()
    return float(torch.maximum(-low, high))


def _rarer_kind(odds: Tensor, counts: Tensor, n_frames: Tensor) -> tuple[Tensor, Tensor]:
    """Where most frames hold events, turn to the frames that hold none: rounding grows with k."""
    crowded = 2 * counts > n_frames
    if not bool(crowded.any()):
        return odds, counts
    return (
        torch.where(crowded.unsqueeze(-1), -odds, odds),
        torch.where(crowded, n_frames - counts, counts),
    )


class _CountNll(torch.autograd.Function):
    """-log P(count) of many windows; a logit of -inf marks a frame outside the window."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, counts: Tensor, n_frames: Tensor, are_ordinary: bool
    ) -> Tensor:
        wants_gradient = ctx.needs_input_grad[0]
        nll = torch.empty_like(counts)
        gradient = torch.empty_like(logits if wants_gradient else logits[:0])
        on_cpu = logits.device.type == "cpu"
        group_frames = _GROUP_FRAMES_CPU if on_cpu else _GROUP_FRAMES_ACCELERATOR
        n_windows = max(1, group_frames // logits.shape[-1])
        # Under autocast the matrix products would be done in half precision.
        with torch.autocast(logits.device.type, enabled=False):
            for first in range(0, len(logits), n_windows):
                group = slice(first, first + n_windows)
                nll[group], posterior = _group_nll(
                    logits[group], counts[group], n_frames[group], wants_gradient, are_ordinary
                )
                if posterior is not None:
                    torch.sub(logits[group].sigmoid(), posterior, out=gradient[group])
        ctx.save_for_backward(gradient)
        return nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nll: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_nll.unsqueeze(-1), None, None, None


def _group_nll(
    logits: Tensor, counts: Tensor, n_frames: Tensor, wants_posterior: bool, are_ordinary: bool
) -> tuple[Tensor, Tensor | None]:
    """Return -log P(count) and P(event in frame | count) of (windows, frames)."""
    # Frames lead from here on: every later step works on long contiguous runs.
    padding = -logits.shape[-1] % 2**_BLOCK_LEVELS
    odds = functional.pad(logits.T, (0, 0, 0, padding), value=-math.inf).contiguous()
    tilted = _tilt(odds, counts, n_frames)
    n_roots = _enough_roots(tilted, counts, len(odds))
    mass, mass_gradient = _mass_at_count(tilted.probabilities, counts, n_roots, wants_posterior)
    correct = _tilt_correction if are_ordinary else _exact_tilt_correction
    nll = -(mass.log() + correct(odds, tilted, counts))
    if mass_gradient is None:
        return nll, None
    posterior = (tilted.probabilities * mass_gradient).div_(mass)
    return nll, posterior[: logits.shape[-1]].T


class _Tilted(NamedTuple):
    """Windows whose log-odds were shifted, and the moments of their number of events."""

    shift: Tensor
    odds: Tensor
    probabilities: Tensor
    mean: Tensor
    variance: Tensor
    near: Tensor


def _tilt(odds: Tensor, counts: Tensor, n_frames: Tensor) -> _Tilted:
    """Shift the log-odds (frames, windows) until the expected number of events is near counts."""
    tilted = _search_tilt(odds, counts, n_frames, _TILT_STEPS)
    if bool(tilted.near.all()):
        return tilted
    far = (~tilted.near).nonzero().squeeze(-1)
    # Differences to a frame of the same size are exact; shifts of that size would be coarse.
    centre = _between_events_and_none(odds[:, far], counts[far])
    again = _search_tilt(odds[:, far] - centre, counts[far], n_frames[far], _MOST_TILT_STEPS)
    again = again._replace(shift=again.shift - centre)
    for whole, part in zip(tilted, again, strict=True):
        whole[..., far] = part
    return tilted


def _between_events_and_none(odds: Tensor, counts: Tensor) -> Tensor:
    """Return the middle between the likeliest ``counts`` frames of each window and the others."""
    ordered = odds.sort(dim=0, descending=True).values
    last_event = (counts.long() - 1).clamp(min=0)
    first_none = counts.long().clamp(max=len(odds) - 1)
    edges = ordered.gather(0, torch.stack([last_event, first_none]))
    # Beyond the last frame of a full window there is none.
    return torch.where(edges[1].isinf(), edges[0], edges.mean(0))


def _search_tilt(odds: Tensor, counts: Tensor, n_frames: Tensor, most_steps: int) -> _Tilted:
    """Newton on the log-odds of the mean, whose slope never exceeds 1, kept inside the bracket.

    That is what earlier steps found; on plateaus, where Newton flies off, steps double until
    there is one.
    """
    smallest, epsilon = torch.finfo(odds.dtype).tiny, torch.finfo(odds.dtype).eps
    # Half an event inside either end: no finite tilt makes 0 or all events certain.
    wanted = torch.minimum(counts.clamp(min=0.5), n_frames - 0.5)
    wanted_odds = torch.logit(wanted / n_frames)
    low, high = torch.full_like(wanted, -math.inf), torch.full_like(wanted, math.inf)
    shift = torch.zeros_like(wanted)
    for step in range(most_steps):
        probabilities = (odds + shift).sigmoid_()
        mean = probabilities.sum(0)
        variance = (mean - probabilities.square().sum(0)).clamp_(min=0)
        surplus = mean - wanted
        # Not "is near": a window of NaN has nowhere to go.
        near = ~(surplus.abs() > _TILT_TOLERANCE * (variance.sqrt() + 0.1))
        if step == most_steps - 1 or bool(near.all()):
            break
        low, high = torch.where(surplus < 0, shift, low), torch.where(surplus > 0, shift, high)
        share = (mean / n_frames).clamp(smallest, 1 - epsilon)
        slope = variance.clamp(min=smallest) / (n_frames * share * (1 - share))
        reach = 8.0 * 2.0**step
        newton = shift - ((share.logit() - wanted_odds) / slope).clamp(-reach, reach)
        better = torch.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        # Whoever has arrived stays: on a plateau another step would throw it out again.
        shift = torch.where(near, shift, better)
    return _Tilted(shift, odds + shift, probabilities, mean, variance, near)


def _tilt_correction(odds: Tensor, tilted: _Tilted, counts: Tensor) -> Tensor:
    """Return ``Σ softplus(z + s) - Σ softplus(z) - s k``, what the shift did to log P(k)."""
    return (_softplus(tilted.odds) - _softplus(odds)).sum(0) - tilted.shift * counts


def _exact_tilt_correction(odds: Tensor, tilted: _Tilted, counts: Tensor) -> Tensor:
    """Return the same without large terms that cancel.

    ``softplus(z) = max(z, 0) + softplus(-|z|)``. Of the first part remains, beside ``s`` times
    the events that the signs of the logits lack, how far beyond 0 the frames are whose sign has
    changed.
    """
    likely = odds > 0
    lacking = counts - likely.sum(0)
    beyond = torch.where(likely, -tilted.odds, tilted.odds).clamp_(min=0)
    uncertain = _softplus(-tilted.odds.abs()) - _softplus(-odds.abs())
    return (beyond + uncertain).sum(0) - tilted.shift * lacking


def _softplus(odds: Tensor) -> Tensor:
    # PyTorch's own threshold of 20 is good for single precision only.
    return functional.softplus(odds, threshold=40.0)


def _enough_roots(tilted: _Tilted, counts: Tensor, n_frames: int) -> int:
    """Return an odd N such that P(count ± N), P(count ± 2N), ... are lost in rounding.

    Bernstein's inequality for the sum of independent events: a deviation x from the mean has at
    most the probability ``exp(-x^2 / 2 (variance + x / 3))``. All n_frames + 1 are exact.
    """
    widest = torch.stack([(tilted.mean - counts).abs(), tilted.variance])
    # A window of NaN stays NaN, for the training loop to see; the others must not suffer.
    miss, spread = widest.nan_to_num(0.0).amax(-1).tolist()
    nats = 2 - math.log(torch.finfo(counts.dtype).eps)
    deviation = nats / 3 + math.sqrt((nats / 3) ** 2 + 2 * nats * spread)
    enough: int = math.ceil(miss + deviation)
    return min(enough, n_frames) | 1


def _mass_at_count(
    probabilities: Tensor, counts: Tensor, n_roots: int, wants_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Return P(count), windows long, and its derivative by each event's factor.

    Every frame enters P(count) as ``(1 - p) A + p B``; the derivative returned is B, shaped like
    the probabilities (frames, windows), so that p B / P(count) is the frame's posterior.
    """
    polynomials = [torch.stack([1 - probabilities, probabilities])]
    for _ in range(_BLOCK_LEVELS):
        polynomials.append(_multiply_halves(polynomials[-1]))
    blocks = polynomials.pop()
    # Coefficients of real polynomials: half of the circle tells all.
    roots = _roots_of_unity(n_roots, blocks)
    half_circle = torch.arange(n_roots // 2 + 1, device=blocks.device)
    degrees = torch.arange(len(blocks), device=blocks.device)
    powers = roots[degrees.unsqueeze(-1) * half_circle % n_roots].flatten(1)
    values = (blocks.flatten(1).T @ powers).view(*blocks.shape[1:], -1, 2)
    products = [torch.view_as_complex(values)]
    while len(products[-1]) > 1:
        products.append(_multiply_value_halves(products[-1]))
    # P(k) = (1/N) [G(1) + 2 Σ Re(G(w^l) w^-lk)]: a dot product of (real, imaginary) pairs.
    weights = roots[counts.long().unsqueeze(-1) * half_circle % n_roots] * (2 / n_roots)
    weights[:, 0] /= 2
    mass = (torch.view_as_real(products.pop()[0]) * weights).sum((-2, -1))
    if not wants_gradient:
        return mass, None
    value_gradient = torch.view_as_complex(weights).unsqueeze(0)
    while products:
        value_gradient = _value_halves_gradient(value_gradient, products.pop())
    pairs = torch.view_as_real(value_gradient.resolve_conj()).reshape(-1, powers.shape[-1])
    gradient = (powers @ pairs.T).view_as(blocks)
    while polynomials:
        gradient = _halves_gradient(gradient, polynomials.pop())
    return mass, gradient[1]


def _roots_of_unity(n_roots: int, like: Tensor) -> Tensor:
    """Return (cos, sin) of 2 pi l / N, rounded once; shape (n_roots, 2)."""
    angle = torch.arange(n_roots, dtype=torch.float64) * (2 * math.pi / n_roots)
    return torch.stack([angle.cos(), angle.sin()], -1).to(like)


def _multiply_halves(polynomials: Tensor) -> Tensor:
    """Multiply block i by block i + half: (d, blocks, windows) to (2d - 1, blocks/2, windows)."""
    left, right = polynomials.chunk(2, dim=1)
    size = len(left)
    product = left.new_empty(2 * size - 1, *left.shape[1:])
    torch.mul(left[0], right, out=product[:size])
    product[size:] = 0
    for power in range(1, size):
        product[power : power + size].addcmul_(left[power], right)
    return product


def _halves_gradient(product_gradient: Tensor, polynomials: Tensor) -> Tensor:
    """Carry a gradient back through ``_multiply_halves``."""
    size = len(polynomials)
    gradient = torch.empty_like(polynomials)
    others = reversed(polynomials.chunk(2, dim=1))
    for mine, other in zip(gradient.chunk(2, dim=1), others, strict=True):
        torch.mul(product_gradient[:size], other[0], out=mine)
        for power in range(1, size):
            mine.addcmul_(product_gradient[power : power + size], other[power])
    return gradient


def _multiply_value_halves(values: Tensor) -> Tensor:
    """Multiply the first half of the blocks by the second; an odd one out is carried along."""
    n_pairs = len(values) // 2
    left, right = values[:n_pairs], values[-n_pairs:]
    return torch.cat([left * right, values[n_pairs:-n_pairs]])


def _value_halves_gradient(product_gradient: Tensor, values: Tensor) -> Tensor:
    """Carry a gradient back through ``_multiply_value_halves``."""
    n_pairs = len(values) // 2
    left, right = values[:n_pairs].conj(), values[-n_pairs:].conj()
    pairs, odd_one = product_gradient[:n_pairs], product_gradient[n_pairs:]
    return torch.cat([pairs * right, odd_one, pairs * left])


def _as_logits(values: Tensor, inputs: str) -> Tensor:
    if inputs == "logits":
        return values
    if inputs == "probabilities":
        limits = torch.finfo(values.dtype)
        return values.clamp(limits.tiny, 1 - limits.eps).logit()
    raise ValueError(f"unknown inputs {inputs!r}: use 'logits' or 'probabilities'")


# --- the two together ------------------------------------------------------------------------


def softloc_loss(
    logits: Tensor,
    targets: Tensor,
    softness_frames: float | Tensor,
    alpha: float,
    *,
    measure: Measure = "mse",
    mask: Tensor | None = None,
    inputs: str = "logits",
) -> Tensor:
    """Return ``(1 - alpha) L_SLL + alpha L_MC``, the SoftLoc loss (Eq. 4).

    Parameters
    ----------
    logits : Tensor [shape=(batch, classes, frames)]
        Log-odds of an event in each frame, or probabilities: see ``inputs``.
    targets : Tensor [shape=(batch, classes, frames)]
        Number of labels in each frame; their sum inside the mask is the count of the window.
    softness_frames : float or Tensor broadcastable to (batch, classes)
        As in `soft_localization_loss`. If all are infinite the loss is exactly ``alpha L_MC``
        (Eq. 6).
    alpha : float
        Weight of the counts, 0 to 1; see `AlphaSchedule`.
    measure, mask
        As in `soft_localization_loss`.
    inputs : {"logits", "probabilities"}
        As in `count_nll`.

    Returns
    -------
    Tensor [shape=()]

    Raises
    ------
    ValueError
        As `soft_localization_loss` and `count_nll` do, or if alpha is outside 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    probabilities = logits.sigmoid() if inputs == "logits" else logits
    where = soft_localization_loss(
        probabilities, targets, softness_frames, measure=measure, mask=mask
    )
    counts = _inside(targets, _full_mask(mask, targets)).sum(-1)
    how_many = count_nll(logits, counts, mask, "mean", inputs=inputs)
    return (1 - alpha) * where + alpha * how_many


@dataclass(frozen=True)
class AlphaSchedule:
    """Weight of the count term over training: level, ramp, level (α_τ of Eq. 4).

    ``schedule(progress)`` maps the share of training done, 0 to 1, to the weight.

    Parameters
    ----------
    start, end : float
        Weight before and after the ramp, 0 to 1.
    ramp_begin, ramp_end : float
        Where the ramp begins and ends, as a share of training.
    """

    start: float
    end: float
    ramp_begin: float = 0.0
    ramp_end: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.start <= 1 and 0 <= self.end <= 1):
            raise ValueError(f"weights must be between 0 and 1, not {self.start} and {self.end}")
        if not 0 <= self.ramp_begin <= self.ramp_end <= 1:
            raise ValueError(
                f"a ramp runs forward inside 0 to 1, not from {self.ramp_begin} to {self.ramp_end}"
            )

    def __call__(self, progress: float) -> float:
        """Return the weight after this share of training."""
        if progress <= self.ramp_begin:
            return self.start
        if progress >= self.ramp_end:
            return self.end
        done = (progress - self.ramp_begin) / (self.ramp_end - self.ramp_begin)
        return self.start + done * (self.end - self.start)


# The authors' schedules by share of their iterations (their published code; Section 5).
ALPHA_SCHEDULES = {
    "drums": AlphaSchedule(0.2, 0.9, 1 / 3, 0.8),
    "piano": AlphaSchedule(0.2, 0.6, 0.75, 1.0),
    "puffs": AlphaSchedule(0.95, 0.95),
}


class SoftLocLoss(nn.Module):
    """`softloc_loss` with its settings held and its weight following a schedule.

    Parameters
    ----------
    measure : {"mse", "log"} or callable
        As in `soft_localization_loss`.
    schedule : str, float or AlphaSchedule
        A name in `ALPHA_SCHEDULES`, a constant weight, or a schedule of one's own. The authors'
        for drums here; ``softloc train`` takes 0.2.

    Raises
    ------
    ValueError
        If a name is unknown.
    """

    def __init__(
        self, measure: Measure = "mse", schedule: str | float | AlphaSchedule = "drums"
    ) -> None:
        super().__init__()
        self.measure = measure
        self.schedule = as_schedule(schedule)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        softness_frames: float | Tensor,
        progress: float,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scalar loss; ``progress`` is the share of training done, 0 to 1."""
        alpha = self.schedule(progress)
        return softloc_loss(
            logits, targets, softness_frames, alpha, measure=self.measure, mask=mask
        )


def as_schedule(schedule: str | float | AlphaSchedule) -> AlphaSchedule:
    """Return the schedule of a name in `ALPHA_SCHEDULES`, of a constant weight, or itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if isinstance(schedule, AlphaSchedule):
        return schedule
    if not isinstance(schedule, str):
        return AlphaSchedule(schedule, schedule)
    if schedule not in ALPHA_SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}: use one of {', '.join(ALPHA_SCHEDULES)}")
    return ALPHA_SCHEDULES[schedule]


# --- arguments -------------------------------------------------------------------------------


def _check_window(signal: Tensor) -> None:
    if signal.dim() != 3 or signal.shape[-1] == 0:
        raise ValueError(
            f"expected (batch, classes, frames) with at least one frame, got {tuple(signal.shape)}"
        )


def _check_signals(predicted: Tensor, targets: Tensor) -> None:
    _check_window(predicted)
    if predicted.shape != targets.shape:
        raise ValueError(
            f"predictions have shape {tuple(predicted.shape)}, targets {tuple(targets.shape)}"
        )


def _check_counts(counts: Tensor, n_frames: Tensor) -> None:
    possible = (counts >= 0) & (counts <= n_frames) & (counts == counts.round())
    if bool(possible.all()):
        return
    item, label_class = (~possible).nonzero()[0].tolist()
    raise ValueError(
        f"item {item}, class {label_class}: the count is {counts[item, label_class].item():g}, "
        f"but it must be a whole number from 0 to {int(n_frames[item, label_class])}, "
        "the number of frames inside the mask"
    )


def _softness_rows(softness_frames: float | Tensor, signal: Tensor) -> Tensor:
    """Return the softness as (batch or 1, classes or 1, 1)."""
    softness = torch.as_tensor(softness_frames, dtype=signal.dtype, device=signal.device)
    _expand("softness", softness, signal.shape[:2])
    if not bool((softness >= 0).all()):
        raise ValueError("softness must be 0 frames or more, and not NaN")
    return softness.reshape((1,) * (2 - softness.dim()) + softness.shape).unsqueeze(-1)


def _full_mask(mask: Tensor | None, signal: Tensor) -> Tensor | None:
    return None if mask is None else _expand("mask", mask.bool(), signal.shape)


def _expand(name: str, values: Tensor, shape: torch.Size) -> Tensor:
    try:
        return values.expand(shape)
    except RuntimeError as error:
        raise ValueError(
            f"{name} of shape {tuple(values.shape)} does not broadcast to {tuple(shape)}"
        ) from error


def _inside(signal: Tensor, mask: Tensor | None) -> Tensor:
    return signal if mask is None else signal.masked_fill(~mask, 0)


def _at_least_single(signal: Tensor) -> Tensor:
    return signal if signal.dtype == torch.float64 else signal.float()


def _reduce(cost: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return cost
    if reduction == "mean":
        return cost.mean()
    if reduction == "sum":
        return cost.sum()
    raise ValueError(f"unknown reduction {reduction!r}: use 'none', 'mean' or 'sum'")
