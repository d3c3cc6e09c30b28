"""Losses that look at every frame by itself, or at the frames around a label.

Labels of several events in one frame count once here: a probability cannot exceed 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from softloc.losses.window import sum_frames, zero_outside


class CrossEntropy(nn.Module):
    """Framewise cross-entropy to lengthened labels (Hawthorne et al., 2018).

    Parameters
    ----------
    label_length_frames : int
        Odd; a label covers as many frames on either side of its own.
    """

    def __init__(self, label_length_frames: int) -> None:
        super().__init__()
        self.label_length_frames = label_length_frames

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        softness_frames: float | Tensor,  # noqa: ARG002 - one interface for all losses
        progress: float,  # noqa: ARG002
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scalar loss."""
        labels = lengthen(binary_labels(targets, mask, logits), self.label_length_frames)
        return sum_frames(cross_entropy(logits, labels), mask)


class SoftBootstrap(nn.Module):
    """Cross-entropy to a mixture of label and prediction (Reed et al., 2014).

    The target is ``beta y + (1 - beta) p`` and the gradient flows through its p too, as in the
    paper, whose soft variant is cross-entropy with entropy regularisation. Detached, the second
    part would have no gradient at all: cross-entropy from p to p is stationary.

    Parameters
    ----------
    label_length_frames : int
        As in `CrossEntropy`.
    beta : float
        Trust in the labels, 0 to 1.
    """

    def __init__(self, label_length_frames: int, beta: float) -> None:
        super().__init__()
        self.label_length_frames = label_length_frames
        self.beta = beta

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        softness_frames: float | Tensor,  # noqa: ARG002
        progress: float,  # noqa: ARG002
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scalar loss."""
        labels = lengthen(binary_labels(targets, mask, logits), self.label_length_frames)
        mixture = self.beta * labels + (1 - self.beta) * logits.sigmoid()
        return sum_frames(cross_entropy(logits, mixture), mask)


class ShiftTolerant(nn.Module):
    """Shift-tolerant cross-entropy (Foscarin et al., 2024).

    The best prediction within the tolerance of a label is asked to be 1, the frames around it
    are left free, and all frames farther from every label are asked to be 0. At tolerance 0 it
    is plain cross-entropy. The published code also takes the best prediction around frames that
    should be 0, which counts one false peak several times; here each frame counts once.

    Parameters
    ----------
    tolerance_frames : int
        Reach on either side of a label. At a window's edge it is cut off there.
    """

    def __init__(self, tolerance_frames: int) -> None:
        super().__init__()
        self.reach_frames = 2 * tolerance_frames + 1

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        softness_frames: float | Tensor,  # noqa: ARG002
        progress: float,  # noqa: ARG002
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scalar loss."""
        labels = binary_labels(targets, mask, logits)
        # The lowest finite number, not -inf: best logits that nobody asks for stay harmless.
        lowest = torch.finfo(logits.dtype).min
        visible = logits if mask is None else logits.masked_fill(~mask.bool(), lowest)
        best = _widest(visible, self.reach_frames)
        elsewhere = 1 - lengthen(labels, self.reach_frames)
        missed = labels * functional.softplus(-best)
        invented = elsewhere * functional.softplus(logits)
        return sum_frames(missed + invented, mask)


def binary_labels(targets: Tensor, mask: Tensor | None, like: Tensor) -> Tensor:
    """Return 1 where a frame inside the mask holds labels, else 0, in the type of ``like``."""
    return zero_outside(targets > 0, mask).to(like)


def lengthen(labels: Tensor, length_frames: int) -> Tensor:
    """Return labels (0 or 1) extended to an odd number of frames around their own."""
    return _widest(labels, length_frames)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each frame; gradients flow to the targets as well."""
    return functional.softplus(logits) - targets * logits


def _widest(signal: Tensor, length_frames: int) -> Tensor:
    """Return the largest value within an odd number of frames around each."""
    return functional.max_pool1d(signal, length_frames, stride=1, padding=length_frames // 2)
