"""Training losses behind one interface: SoftLoc and the alternatives it is compared with.

Conventions
-----------
* ``make_loss(settings, frame_rate_hz)`` gives a module; calling it with
  ``(logits, targets, softness_frames, progress, mask=None)`` gives a scalar. What a loss does
  not need it ignores, so that one training loop serves all.
* Logits and targets are (batch, classes, frames); targets count the labels of each frame.
* All of them sum over the frames of a window and average over batch and classes: learning
  rates mean the same everywhere.
"""

from softloc.losses.choice import make_loss
from softloc.losses.settings import LOSS_NAMES, LossSettings, event_mass_frames

__all__ = ["LOSS_NAMES", "LossSettings", "event_mass_frames", "make_loss"]
