"""Losses past the paper, made of the library's parts: `softloc.loss` itself is not changed.

``continuous``
    Labels are smoothed in closed form at their real-valued times (Section 4.2, last lines) instead
    of being rounded to frames first.
``edges``
    The number of events in a window is not known exactly: a label near an edge lies inside with
    a probability. The target count is the distribution q(k) that follows, and the count term
    becomes ``-log Σ_k q(k) P(k)``.

Both keep all else of SoftLoc as it is, so that a difference is theirs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

from softloc.loss import (
    ALPHA_SCHEDULES,
    AlphaSchedule,
    count_nll,
    gaussian_smooth,
    kernel_energy,
    soft_localization_loss,
)

Points = NDArray[np.float64]

#: Target counts of less probability are left out.
_SMALLEST_PROBABILITY = 1e-4


def alpha_at(alpha: str | float, progress: float) -> float:
    """Weight of the count term: a schedule by name, or a constant."""
    schedule = ALPHA_SCHEDULES[alpha] if isinstance(alpha, str) else AlphaSchedule(alpha, alpha)
    return schedule(progress)


def continuous_loss(
    logits: Tensor, targets: Tensor, softness_frames: Tensor, points: Points, alpha: float
) -> Tensor:
    """Return the SoftLoc loss with labels smoothed at their real-valued times.

    Parameters
    ----------
    logits, targets : Tensor [shape=(batch, classes, frames)]
        The targets serve the counts only.
    softness_frames : Tensor [shape=(batch, classes)]
        1 or more: below, a sampled Gaussian no longer sums to 1.
    points : ndarray [shape=(n, 3)]
        Window, class and place of each label, as in `benchmarks.paper.windows.Batch`.
    alpha : float
        Weight of the counts.

    Returns
    -------
    Tensor [shape=()]
    """
    smoothed = gaussian_smooth(logits.sigmoid(), softness_frames)
    wanted = smooth_points(points, softness_frames, logits.shape[-1])
    where = (smoothed - wanted).square().sum(-1) / kernel_energy(softness_frames)
    how_many = count_nll(logits, targets.sum(-1), None, "mean")
    return (1 - alpha) * where.mean() + alpha * how_many


def smooth_points(points: Points, softness_frames: Tensor, n_frames: int) -> Tensor:
    """Sum a Gaussian around every point inside its window, sampled at the frames.

    Returns
    -------
    Tensor [shape=(batch, classes, frames)]
    """
    result = softness_frames.new_zeros(*softness_frames.shape, n_frames)
    inside = points[(points[:, 2] >= -0.5) & (points[:, 2] < n_frames - 0.5)]
    windows, classes = torch.from_numpy(inside[:, :2].T.astype(np.int64))
    softness = softness_frames[windows, classes].unsqueeze(1)
    places = torch.from_numpy(inside[:, 2:].astype(np.float32))
    distance = (torch.arange(n_frames) - places) / softness
    curves = torch.exp(-0.5 * distance.square()) / (softness * math.sqrt(2 * math.pi))
    return result.index_put_((windows, classes), curves, accumulate=True)


def edges_loss(
    logits: Tensor, targets: Tensor, softness_frames: Tensor, points: Points, alpha: float
) -> Tensor:
    """Return the SoftLoc loss with the target count a distribution.

    Parameters
    ----------
    logits, targets : Tensor [shape=(batch, classes, frames)]
        The targets serve the localisation only.
    softness_frames : Tensor [shape=(batch, classes)]
        Taken for the standard deviation of the labels' times, too.
    points, alpha
        As in `continuous_loss`.

    Returns
    -------
    Tensor [shape=()]
    """
    where = soft_localization_loss(logits.sigmoid(), targets, softness_frames)
    least, shares = count_distribution(points, softness_frames, logits.shape[-1])
    how_many = distributed_count_nll(logits, least, shares)
    return (1 - alpha) * where + alpha * how_many


def distributed_count_nll(logits: Tensor, least: Tensor, shares: Tensor) -> Tensor:
    """Return the mean of ``-log Σ_m q(m) P(least + m)``.

    Parameters
    ----------
    logits : Tensor [shape=(batch, classes, frames)]
    least : Tensor [shape=(batch, classes)]
        Smallest count of each.
    shares : Tensor [shape=(batch, classes, counts)]
        q, the probability of the smallest count, of one more, and so on.

    Returns
    -------
    Tensor [shape=()]
    """
    terms = [
        share.clamp(min=torch.finfo(share.dtype).tiny).log() - count_nll(logits, least + more)
        for more, share in enumerate(shares.unbind(-1))
    ]
    return -torch.stack(terms).logsumexp(0).mean()


def count_distribution(
    points: Points, softness_frames: Tensor, n_frames: int
) -> tuple[Tensor, Tensor]:
    """Distribution of the number of events whose label lies where it does.

    A label at u lies inside the window [a, b] with probability ``Φ((b-u)/S) - Φ((a-u)/S)``, each
    independent of the others: the number is Poisson-binomial.

    Parameters
    ----------
    points : ndarray [shape=(n, 3)]
        Window, class and place of each label, those outside the window as well.
    softness_frames : Tensor [shape=(batch, classes)]
    n_frames : int
        Length of the window, from -0.5 to n_frames - 0.5.

    Returns
    -------
    least : Tensor [shape=(batch, classes)]
        Smallest count that is likely enough.
    shares : Tensor [shape=(batch, classes, counts)]
        Probabilities from there on; they sum to 1.
    """
    spread = softness_frames.numpy().astype(np.float64)
    windows, classes = points[:, :2].T.astype(np.int64)
    places, softness = points[:, 2], np.maximum(spread[windows, classes], 1e-6)
    inside = ndtr((n_frames - 0.5 - places) / softness) - ndtr((-0.5 - places) / softness)
    rows = [
        _poisson_binomial(inside[(windows == window) & (classes == label_class)])
        for window, label_class in np.ndindex(*spread.shape)
    ]
    width = max(len(shares) for _, shares in rows)
    padded = np.stack([np.pad(shares, (0, width - len(shares))) for _, shares in rows])
    least = np.array([first for first, _ in rows], dtype=np.float32)
    return (
        torch.from_numpy(least).view(*spread.shape),
        torch.from_numpy(padded.astype(np.float32)).view(*spread.shape, width),
    )


def _poisson_binomial(probabilities: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """First likely count, and the probabilities of the likely counts."""
    shares = np.ones(1)
    for probability in probabilities:
        shares = np.convolve(shares, [1.0 - probability, probability])
    likely = np.flatnonzero(shares >= _SMALLEST_PROBABILITY)
    kept = shares[likely[0] : likely[-1] + 1]
    return int(likely[0]), kept / kept.sum()
