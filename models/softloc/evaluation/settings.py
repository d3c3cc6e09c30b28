"""How to score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from softloc.errors import SettingsError
from softloc.events import MAX_TIME_S

#: What a class counts for that neither side has.
BothEmpty = Literal["skip", "zero", "one"]
AlignOffset = Literal["none", "median"]


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """How to resample.

    Attributes
    ----------
    n_resamples : int
        Resamples; 0 makes no intervals.
    seed : int
        Seed of the draws.
    level : float
        Share of the resamples inside an interval.

    Raises
    ------
    SettingsError
        If one of them makes no sense.
    """

    n_resamples: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.n_resamples < 0:
            raise SettingsError(f"there cannot be {self.n_resamples} resamples")
        if self.seed < 0:
            raise SettingsError(f"a seed is 0 or more, not {self.seed}")
        if not 0 < self.level < 1:
            raise SettingsError(f"the level of an interval lies between 0 and 1, not {self.level}")


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How to score.

    Attributes
    ----------
    classes : str
        ``auto``, ``as-written``, ``3``, ``5``, ``8``, ``9`` or names separated by commas.
    windows_s : tuple of float
        Tolerances to either side, seconds. The first is the headline, which timing errors,
        confusions, velocities and offsets refer to.
    merge_s : float
        Events this close are one in the row ``any``, seconds.
    both_empty : {"skip", "zero", "one"}
        What a class or a recording counts for that neither side has: left out of means, 0 (as
        mir_eval has it), or 1.
    combine_s : float
        Reference events of a class this close are one, at their mean, seconds; 0 is off.
    align_offset : {"none", "median"}
        Score once more with the estimates moved by the median timing error.

    Raises
    ------
    SettingsError
        If a tolerance is not positive, or longer than all recordings, or a choice is unknown.
    """

    classes: str = "auto"
    windows_s: tuple[float, ...] = (0.050, 0.030, 0.025, 0.020, 0.010, 0.005)
    merge_s: float = 0.030
    both_empty: BothEmpty = "skip"
    combine_s: float = 0.0
    align_offset: AlignOffset = "none"

    def __post_init__(self) -> None:
        if not self.windows_s or not all(0 < window_s <= MAX_TIME_S for window_s in self.windows_s):
            raise SettingsError(
                f"tolerances must be positive, and at most {MAX_TIME_S:g} s, not {self.windows_s}"
            )
        if not 0 <= self.merge_s <= MAX_TIME_S:
            raise SettingsError(f"events cannot be merged within {self.merge_s} s")
        if not 0 <= self.combine_s <= MAX_TIME_S:
            raise SettingsError(f"events cannot be combined within {self.combine_s} s")
        for value, kind in ((self.both_empty, BothEmpty), (self.align_offset, AlignOffset)):
            if value not in get_args(kind):
                raise SettingsError(f"unknown choice {value!r}: use {', '.join(get_args(kind))}")
