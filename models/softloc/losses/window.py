"""What all the alternatives do with the frames of a window."""

from __future__ import annotations

from torch import Tensor


def zero_outside(signal: Tensor, mask: Tensor | None) -> Tensor:
    """Return the signal with the frames outside the mask set to 0 (or False)."""
    return signal if mask is None else signal.masked_fill(~mask.bool(), 0)


def sum_frames(cost: Tensor, mask: Tensor | None) -> Tensor:
    """Sum over the frames inside the mask, average over batch and classes."""
    return zero_outside(cost, mask).sum(-1).mean()
