"""A likelihood of displaced labels: SoftLoc's idea as a model of how labels come about.

Past the paper. Its localisation term smooths labels and predictions alike, so the predictions
that cost least are as wide as the labels are noisy, and only the count term pulls against that.
Here only the predictions are smoothed, by as much as labels are displaced; points cost least
then, and both terms agree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from softloc.loss import AlphaSchedule, as_schedule, count_nll, gaussian_smooth
from softloc.losses.window import zero_outside

#: Labels nearer to the ends of a window, in units of the softness, are not explained: their
#: events may lie outside. Of the labels of an event just outside one in fifteen is, still.
MARGIN = 1.5
#: Share of labels that belong to no event; what a label costs that nothing explains is bounded.
STRAY_SHARE = 0.001

_LEAST_MASS = 1e-12
# Infinite log-odds would have no gradient here.
_LARGEST_LOGIT = 2.0**100


class LabelLikelihood(nn.Module):
    """Minus the composite log-likelihood of labels whose events were displaced by normal noise.

    An event in frame s happens with probability p(s) and leaves a label in frame u with
    probability φ(u - s), a Gaussian whose standard deviation is the softness. What is seen are
    the k labels among the n frames of the inner part of a window, `MARGIN` away from its ends.
    With f(u) = Σ_s p(s) φ(u - s), w(s) = Σ_u φ(u - s), u inside, and o = `STRAY_SHARE`,

        L = - (1 - α_τ) Σ_labels log( (1 - o) f(u) / Σ_s p(s) w(s) + o / n )
            - α_τ log P( Σ_s X_s = k ),   X_s ~ Bernoulli( p(s) w(s) ):

    where labels are, given how many there are, and how many: the count term (Eq. 3), but that an
    event near the ends is counted as far as its label can be expected inside. It is a composite
    likelihood: each label is drawn from f by itself, as those of a Poisson process are, so that
    one event may explain two; that there are as many events is left to the count. Labels that
    nothing explains are put up with (o). Even the best prediction costs what the noise of its
    labels leaves.

    Unlike the softness of the localisation term (Eq. 2), which may be too large without harm,
    that of a label must be about its noise: events of one class closer than the excess
    would be explained as one, and with too little of it predictions stay as wide as what is
    missing. It takes no gradient.

    A softness above a quarter of the window counts as that; an infinite one drops the places and
    leaves the count, of the whole window. The frames of a mask are taken to be one stretch.

    Parameters
    ----------
    schedule : str, float or AlphaSchedule
        Weight of the count term, as in `softloc.loss.SoftLocLoss`.

    Raises
    ------
    ValueError
        If a name is unknown.
    """

    def __init__(self, schedule: str | float | AlphaSchedule = 0.2) -> None:
        super().__init__()
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
        logits = logits if logits.dtype == torch.float64 else logits.float()
        logits = logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
        keep = torch.ones_like(logits, dtype=torch.bool)
        keep = keep if mask is None else keep & mask.bool()
        softness = torch.as_tensor(softness_frames, dtype=logits.dtype, device=logits.device)
        softness = softness.detach()
        rows = softness.expand(logits.shape[:2])
        placeless = rows.isinf()
        finite = torch.minimum(rows.masked_fill(placeless, 0.0), keep.sum(-1) / 4)
        inner = keep & _is_inside(keep, MARGIN * finite)
        labels = zero_outside(targets, inner).to(logits)
        seen = gaussian_smooth(inner.to(logits), finite).clamp(_LEAST_MASS, 1.0)
        where = _where(zero_outside(logits.sigmoid(), keep), labels, seen, finite, inner)
        how_many = count_nll(_thin(logits, seen), labels.sum(-1), keep)
        where = where.masked_fill(placeless, 0.0)
        return ((1 - alpha) * where + alpha * how_many).mean()


def _is_inside(keep: Tensor, margin_frames: Tensor) -> Tensor:
    """Tell which frames are so far from the first and the last that are kept."""
    place = keep.cumsum(-1)
    margin = margin_frames.floor().unsqueeze(-1)
    return (place > margin) & (place <= place[..., -1:] - margin)


def _where(
    probabilities: Tensor, labels: Tensor, seen: Tensor, softness: Tensor, inner: Tensor
) -> Tensor:
    """Minus the log-likelihood of the labels' places, given how many there are."""
    mass = (probabilities * seen).sum(-1, keepdim=True).clamp(min=_LEAST_MASS)
    density = gaussian_smooth(probabilities, softness).clamp(min=0.0) / mass
    stray = STRAY_SHARE / inner.sum(-1, keepdim=True).clamp(min=1)
    return -(labels * ((1 - STRAY_SHARE) * density + stray).log()).sum(-1)


def _thin(logits: Tensor, share: Tensor) -> Tensor:
    """Return the log-odds of ``p · share``, exact where the share is 1."""
    happens, fails = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    return happens + share.log() - torch.logaddexp(fails, happens + (1 - share).log())
