"""From settings to the loss they name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from softloc.loss import SoftLocLoss
from softloc.losses.framewise import CrossEntropy, ShiftTolerant, SoftBootstrap
from softloc.losses.likelihood import LabelLikelihood
from softloc.losses.settings import (
    LossSettings,
    check_frame_rate,
    label_length_frames,
    tolerance_frames,
)
from softloc.losses.smoothed import Count, LabelSmoothing, SoftLocalization


def make_loss(settings: LossSettings, frame_rate_hz: float) -> nn.Module:
    """Build a loss.

    Parameters
    ----------
    settings : LossSettings
    frame_rate_hz : float
        Frames per second, to convert the settings' milliseconds.

    Returns
    -------
    nn.Module
        Called with ``(logits, targets, softness_frames, progress, mask=None)``: logits and
        targets (batch, classes, frames), the softness in frames (a number or broadcastable to
        (batch, classes)), the share of training done, and a boolean mask of the frames that
        count. Returns a scalar.

    Raises
    ------
    SettingsError
        If the frame rate is not positive.
    """
    check_frame_rate(frame_rate_hz)
    return _BUILDERS[settings.name](settings, frame_rate_hz)


def _softloc(settings: LossSettings, _: float) -> nn.Module:
    return SoftLocLoss(settings.measure, settings.alpha)


def _likelihood(settings: LossSettings, _: float) -> nn.Module:
    return LabelLikelihood(settings.alpha)


def _soft_localization(settings: LossSettings, _: float) -> nn.Module:
    return SoftLocalization(settings.measure)


def _count(_: LossSettings, __: float) -> nn.Module:
    return Count()


def _cross_entropy(settings: LossSettings, frame_rate_hz: float) -> nn.Module:
    return CrossEntropy(label_length_frames(settings, frame_rate_hz))


def _label_smoothing(_: LossSettings, __: float) -> nn.Module:
    return LabelSmoothing()


def _soft_bootstrap(settings: LossSettings, frame_rate_hz: float) -> nn.Module:
    return SoftBootstrap(label_length_frames(settings, frame_rate_hz), settings.bootstrap_beta)


def _shift_tolerant(settings: LossSettings, frame_rate_hz: float) -> nn.Module:
    return ShiftTolerant(tolerance_frames(settings, frame_rate_hz))


_BUILDERS: dict[str, Callable[[LossSettings, float], nn.Module]] = {
    "softloc": _softloc,
    "likelihood": _likelihood,
    "sll": _soft_localization,
    "count": _count,
    "cross-entropy": _cross_entropy,
    "label-smoothing": _label_smoothing,
    "soft-bootstrap": _soft_bootstrap,
    "shift-tolerant": _shift_tolerant,
}
