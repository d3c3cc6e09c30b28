"""How wide the predictions are that a loss wants: ``python -m benchmarks.loss_width``.

Writes ``benchmarks/results/loss_width.json``. A window holds a few events whose labels normal noise
of σ = S = 10 frames has shifted, drawn many times over. The prediction holds one unit of mass per
event, spread around the true time like a Gaussian. For every width of it the record has the mean
cost over all draws: what training would go by if the network could answer with that width only.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from softloc.losses import LossSettings, make_loss

RESULTS = Path(__file__).parent / "results" / "loss_width.json"
SEED = 0
N_DRAWS = 2_000
N_FRAMES = 400
FRAME_RATE_HZ = 100.0
NOISE_FRAMES = 10.0
EVENT_FRAMES = (100, 150, 210, 290)
WIDTHS_FRAMES = (0.0, 1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 20.0)
#: A point is not quite certain: no network is.
SURE = 0.999
LOSSES: Mapping[str, LossSettings] = {
    "softloc, α = 0: places alone": LossSettings(name="sll"),
    "softloc, α = 0.2": LossSettings(alpha=0.2),
    "softloc, α = 0.5": LossSettings(alpha=0.5),
    "softloc, α = 0.9": LossSettings(alpha=0.9),
    "likelihood, α = 0.2": LossSettings(name="likelihood", alpha=0.2),
    "cross-entropy": LossSettings(name="cross-entropy"),
}


def main() -> None:
    """Compute all costs and write the record."""
    labels = draw_labels()
    record = {
        "command": "python -m benchmarks.loss_width",
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "method": __doc__,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "settings": {
            "draws": N_DRAWS,
            "frames": N_FRAMES,
            "noise_frames": NOISE_FRAMES,
            "event_frames": EVENT_FRAMES,
            "sure": SURE,
        },
        "widths_frames": WIDTHS_FRAMES,
        "costs": {
            name: [round(mean_cost(settings, width, labels), 5) for width in WIDTHS_FRAMES]
            for name, settings in LOSSES.items()
        },
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record["costs"], indent=2, ensure_ascii=False))


def draw_labels() -> Tensor:
    """Draw label counts of shape (draws, 1, frames), a shift for every event and draw."""
    generator = torch.Generator().manual_seed(SEED)
    shifts = NOISE_FRAMES * torch.randn(N_DRAWS, len(EVENT_FRAMES), generator=generator)
    frames = (torch.tensor(EVENT_FRAMES) + shifts).round().long()
    ones = torch.ones(frames.shape, dtype=torch.float64)
    counts = torch.zeros(N_DRAWS, N_FRAMES, dtype=torch.float64).scatter_add(-1, frames, ones)
    return counts.unsqueeze(1)


def spread(width_frames: float) -> Tensor:
    """Give probabilities of shape (1, 1, frames), every event's mass as wide as this."""
    lags = torch.arange(N_FRAMES, dtype=torch.float64) - torch.tensor(EVENT_FRAMES).unsqueeze(-1)
    if width_frames == 0:
        return SURE * (lags == 0).double().sum(0).view(1, 1, -1)
    bumps = torch.exp(-0.5 * (lags / width_frames).square())
    return SURE * (bumps / bumps.sum(-1, keepdim=True)).sum(0).view(1, 1, -1)


def mean_cost(settings: LossSettings, width_frames: float, labels: Tensor) -> float:
    """Mean cost over all draws of predictions of this width."""
    logits = spread(width_frames).clamp(min=1e-9).logit().expand_as(labels)
    loss = make_loss(settings, FRAME_RATE_HZ)
    return float(loss(logits, labels, NOISE_FRAMES, 0.5))


if __name__ == "__main__":
    main()
