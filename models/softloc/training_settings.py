"""What a training is told: how a model is trained, and where and how that is computed.

Conventions
-----------
- A step learns from `TrainingSettings.batch_size` windows however many processes share them, and
  in however many parts each goes through its own.
- `TrainingSettings` decides what is learnt; `Execution` changes it by rounding only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import nn

from softloc.batches import AugmentSettings
from softloc.errors import SettingsError
from softloc.losses import LossSettings
from softloc.presets import get_size
from softloc.processes import ALONE, Team

#: Most audio that a step may take: ten hours are some 6 GB, and far beyond all that makes sense.
MAX_STEP_S = 36_000.0

#: What the network may compute with while it trains.
PRECISIONS = ("float32", "bfloat16")

# What PyTorch calls processors of the x86 family whose kernels compute with single precision only.
_WITHOUT_BFLOAT16 = ("NO AVX", "AVX2")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a model is trained; stands in the run record and in the checkpoint.

    Attributes
    ----------
    size : str
        Name of the features and network (`softloc.presets`).
    bidirectional : bool
        Let the LSTM read both ways.
    loss : LossSettings
        What is minimised.
    softness_ms : float
        Standard deviation assumed of labels that bring none of their own. Take it at least as
        large as the labels are imprecise; larger does little harm (Section 5.1 of the paper).
    steps : int
        Steps of the optimiser.
    minutes : float or None
        Choose the number of steps so that they take about so long; overrides `steps`.
    batch_size : int
        Windows a step.
    window_s : float
        Length of a window.
    learning_rate : float
        Its largest value.
    warmup_share, decay_share : float
        Shares of the steps, at the start and at the end, during which it rises from and falls to
        zero.
    weight_decay : float
        Of AdamW.
    max_gradient_norm : float
        Gradients are clipped to it.
    average_steps : int
        Steps over which weights are averaged.
    augment : AugmentSettings
        How audio is varied.
    validations : int
        How often the model is validated.
    validation_share : float
        Share of the recordings held back where no validation labels are given.
    max_validation_s : float
        Length of audio to validate with at most (`Dataset.shorten`, by the caller).
    state_interval_s : float
        Seconds between saved states.
    precision : str
        ``float32``, or ``bfloat16``: the network computes with half the digits, which is nearly
        twice as fast on processors made for it; weights, loss and validation keep all of them.
    seed : int
        Of all randomness.
    """

    size: str = "large"
    bidirectional: bool = False
    loss: LossSettings = field(default_factory=LossSettings)
    softness_ms: float = 50.0
    steps: int = 4_000
    minutes: float | None = None
    batch_size: int = 32
    window_s: float = 1.5
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    decay_share: float = 0.5
    weight_decay: float = 1e-4
    max_gradient_norm: float = 10.0
    average_steps: int = 200
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    validations: int = 20
    validation_share: float = 0.1
    max_validation_s: float = 900.0
    state_interval_s: float = 20.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        get_size(self.size)
        if self.precision not in PRECISIONS:
            raise SettingsError(
                f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}"
            )
        at_least_one = ("steps", "batch_size", "validations", "average_steps")
        positive = ("window_s", "learning_rate", "max_gradient_norm", "max_validation_s")
        shares = ("warmup_share", "decay_share", "validation_share")
        not_negative = ("softness_ms", "weight_decay", "state_interval_s", "seed")
        self._check(at_least_one, lambda value: value >= 1, "at least 1")
        self._check(positive, lambda value: 0.0 < value < math.inf, "positive and finite")
        self._check(shares, lambda value: 0.0 < value < 1.0, "between 0 and 1")
        self._check(not_negative, lambda value: value >= 0.0, "0 or more")
        self._check(("seed",), lambda value: value < 1 << 63, f"less than {1 << 63}")
        if self.batch_size * self.window_s > MAX_STEP_S:
            raise SettingsError(
                f"batch_size {self.batch_size} windows of window_s {self.window_s:g} s are more "
                f"than {MAX_STEP_S:g} s of audio a step"
            )
        if self.minutes is not None:
            self._check(("minutes",), lambda value: 0.0 < value < math.inf, "positive and finite")

    def _check(self, names: Iterable[str], is_right: Callable[[float], bool], wanted: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not is_right(value):
                raise SettingsError(f"{name} must be {wanted}, not {value}")


@dataclass(frozen=True, slots=True)
class Execution:
    """Where and how a training computes; what it learns is the same but for rounding.

    Attributes
    ----------
    device : str
        A torch device.
    accumulate : int
        Parts in which a process goes through its windows of a step, to need less memory. Batch
        normalisation sees one part at a time.
    team : Team
        The processes that train together.
    """

    device: str = "cpu"
    accumulate: int = 1
    team: Team = ALONE

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise SettingsError(f"accumulate must be at least 1, not {self.accumulate}")

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch that does not fall into equal parts.

        Raises
        ------
        SettingsError
            If it does not.
        """
        if batch_size % (self.team.size * self.accumulate):
            raise SettingsError(
                f"batch_size {batch_size} does not fall into equal parts for {self.team.size} "
                f"processes × {self.accumulate} accumulated parts"
            )


def require_precision(precision: str, device: str) -> None:
    """Refuse ``bfloat16`` where PyTorch has no LSTM for it: older ones on older processors.

    Parameters
    ----------
    precision : str
        One of `PRECISIONS`.
    device : str
        Of torch; others than the processor are taken to have it.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if precision != "bfloat16" or device != "cpu":
        return
    try:
        with torch.random.fork_rng(devices=[]), torch.autocast("cpu", dtype=torch.bfloat16):
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1, dtype=torch.bfloat16))
    except RuntimeError as error:
        raise SettingsError(
            f"precision bfloat16: PyTorch {torch.__version__} cannot compute with it on this "
            "processor; train with float32, or with a newer PyTorch"
        ) from error


def warn_of_slow_precision(precision: str, device: str) -> None:
    """Say so where a processor has to imitate ``bfloat16``, which takes it several times as long.

    Parameters
    ----------
    precision : str
        One of `PRECISIONS`.
    device : str
        Of torch; others than the processor are taken to have it.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if precision == "bfloat16" and device == "cpu" and capability in _WITHOUT_BFLOAT16:
        _LOG.warning(
            "precision bfloat16: this processor (%s) has no instructions for it and is several "
            "times as fast with float32",
            capability,
        )
