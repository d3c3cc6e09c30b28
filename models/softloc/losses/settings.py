"""Which loss, with which parameters; times in milliseconds, converted to frames here only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from softloc.errors import SettingsError
from softloc.loss import ALPHA_SCHEDULES

LOSS_NAMES = (
    "softloc",
    "likelihood",
    "sll",
    "count",
    "cross-entropy",
    "label-smoothing",
    "soft-bootstrap",
    "shift-tolerant",
)
# Losses that teach the network to stay high for the length of a label.
_LENGTHENED = frozenset({"cross-entropy", "soft-bootstrap"})


@dataclass(frozen=True)
class LossSettings:
    """A loss by name, with the parameters of all of them; each reads its own.

    Parameters
    ----------
    name : str
        One of `LOSS_NAMES`.
    measure : {"mse", "log"}
        Distance between smoothed signals (softloc, sll).
    alpha : str or float
        Weight of the count term (softloc, likelihood): a name in
        ``softloc.loss.ALPHA_SCHEDULES``, or a constant from 0 to 1.
    label_length_ms : float
        How long a label is (cross-entropy, soft-bootstrap). 32 is Hawthorne et al.'s length,
        96 their smoothed one. Ours are centred on the onset's frame and an odd number of frames
        long, where theirs start at the onset: a late label would bias every predicted time.
    bootstrap_beta : float
        Trust in the labels, 0 to 1; the rest goes to the prediction (soft-bootstrap).
    tolerance_ms : float
        How far the best prediction may lie from its label (shift-tolerant).

    Raises
    ------
    SettingsError
        Naming the field and the value.
    """

    name: str = "softloc"
    measure: str = "mse"
    alpha: str | float = 0.2
    label_length_ms: float = 32.0
    bootstrap_beta: float = 0.95
    tolerance_ms: float = 60.0

    def __post_init__(self) -> None:
        _check_choice("name", self.name, LOSS_NAMES)
        _check_choice("measure", self.measure, ("mse", "log"))
        if isinstance(self.alpha, str):
            _check_choice("alpha", self.alpha, tuple(ALPHA_SCHEDULES))
        else:
            _check_range("alpha", self.alpha, 1.0)
        _check_range("label_length_ms", self.label_length_ms, math.inf)
        _check_range("bootstrap_beta", self.bootstrap_beta, 1.0)
        _check_range("tolerance_ms", self.tolerance_ms, math.inf)


def event_mass_frames(settings: LossSettings, frame_rate_hz: float) -> int:
    """Return the probability, summed over frames, that an ideal network puts on one event.

    Decoding by mass divides by it. It is the length of a label where labels are lengthened, and
    1 elsewhere. For shift-tolerant cross-entropy 1 is the least: what lies beside the best
    prediction is free to be anything.

    Parameters
    ----------
    settings : LossSettings
    frame_rate_hz : float
        Frames per second.

    Raises
    ------
    SettingsError
        If the frame rate is not positive.
    """
    if settings.name in _LENGTHENED:
        return label_length_frames(settings, frame_rate_hz)
    check_frame_rate(frame_rate_hz)
    return 1


def label_length_frames(settings: LossSettings, frame_rate_hz: float) -> int:
    """Return the odd number of frames nearest to the label length, at least 1."""
    check_frame_rate(frame_rate_hz)
    length_frames = settings.label_length_ms * frame_rate_hz / 1000
    return 2 * max(0, round((length_frames - 1) / 2)) + 1


def tolerance_frames(settings: LossSettings, frame_rate_hz: float) -> int:
    """Return the tolerance in whole frames."""
    check_frame_rate(frame_rate_hz)
    return round(settings.tolerance_ms * frame_rate_hz / 1000)


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"loss {field}: {value!r} is not one of {', '.join(choices)}")


def _check_range(field: str, value: float, most: float) -> None:
    if not (0 <= value <= most and math.isfinite(value)):
        limits = "0 or more" if most == math.inf else f"between 0 and {most:g}"
        raise SettingsError(f"loss {field}: {value} must be a number {limits}")


def check_frame_rate(frame_rate_hz: float) -> None:
    """Raise SettingsError unless the frame rate is a positive number."""
    if not (frame_rate_hz > 0 and math.isfinite(frame_rate_hz)):
        raise SettingsError(f"frame_rate_hz: {frame_rate_hz} must be positive")
