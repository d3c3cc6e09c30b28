"""The parts of SoftLoc by themselves, and its one-sided relative, label smoothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from softloc.loss import Measure, count_nll, gaussian_smooth, kernel_energy, soft_localization_loss
from softloc.losses.window import sum_frames, zero_outside


class SoftLocalization(nn.Module):
    """The localisation term alone (L_SLL, Eq. 2).

    Parameters
    ----------
    measure : {"mse", "log"} or callable
        As in `softloc.loss.soft_localization_loss`.
    """

    def __init__(self, measure: Measure = "mse") -> None:
        super().__init__()
        self.measure = measure

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        softness_frames: float | Tensor,
        progress: float,  # noqa: ARG002 - one interface for all losses
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scalar loss."""
        return soft_localization_loss(
            logits.sigmoid(), targets, softness_frames, measure=self.measure, mask=mask
        )


class Count(nn.Module):
    """The count term alone (L_MC, Eq. 3): where events lie is never told."""

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        softness_frames: float | Tensor,  # noqa: ARG002
        progress: float,  # noqa: ARG002
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scalar loss."""
        counts = zero_outside(targets, mask).sum(-1)
        return count_nll(logits, counts, mask, "mean")


class LabelSmoothing(nn.Module):
    """Squared distance of the raw predictions to labels smoothed by the full Gaussian.

    Scaled like the localisation term, by the kernel's energy: an isolated missed event costs 1.
    Where the softness is infinite the term is dropped.
    """

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        softness_frames: float | Tensor,
        progress: float,  # noqa: ARG002
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scalar loss."""
        softness = torch.as_tensor(softness_frames, dtype=logits.dtype, device=logits.device)
        rows = softness.expand(logits.shape[:2])
        dropped = rows.isinf()
        finite = rows.masked_fill(dropped, 0.0)
        wanted = gaussian_smooth(zero_outside(targets, mask).to(logits), finite)
        distance = (logits.sigmoid() - wanted).square() / kernel_energy(finite).unsqueeze(-1)
        return sum_frames(distance.masked_fill(dropped.unsqueeze(-1), 0.0), mask)
