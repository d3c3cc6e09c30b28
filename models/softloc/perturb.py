"""Damaging labels on purpose: timing noise, constant errors, lost, spurious and confused labels.

Conventions
-----------
- Everything is drawn first and applied second, from generators of its own for noise, loss,
  insertion and confusion: changing one of them leaves the draws of the others as they were.
- The generators of a recording are seeded by a hash of (seed, name of the recording), so neither
  the order nor the number of recordings in one run changes what happens to it.
- Times change as ``t * (1 + drift) + offset + noise``; bounds come last and touch only labels that
  moved. No noise at all is the identity.
- Noise is in ms. SPREAD means, for each kind:

  ========  ===================================================================================
  normal    standard deviation
  rounded   standard deviation of the normal draw, before it is rounded to whole steps
  uniform   half width: from -SPREAD to +SPREAD (standard deviation SPREAD / sqrt 3)
  shift     size of a shift that is early or late with equal probability
  skew      standard deviation of a skew normal draw of the given shape, shifted to mean 0
  laplace   standard deviation (scale SPREAD / sqrt 2)
  ========  ===================================================================================
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from softloc.errors import SettingsError
from softloc.events import Corpus, Onset, sort_onsets
from softloc.vocabulary import nearest_hint

NoiseKind = Literal["normal", "rounded", "uniform", "shift", "skew", "laplace"]
Per = Literal["label", "file", "annotator"]
Bounds = Literal["clip", "drop", "keep"]
Floats = NDArray[np.float64]

_NOISE = re.compile(r"(?P<kind>[a-z]+):(?P<spread>[0-9.eE+-]+)(?P<unit>ms|steps?)?")


@dataclass(frozen=True, slots=True)
class Noise:
    """Kind and size of the timing noise.

    Attributes
    ----------
    kind : {"normal", "rounded", "uniform", "shift", "skew", "laplace"}
        Distribution; the module's table says what the spread means for each.
    spread_ms : float
        Its size in ms, 0 or more.

    Raises
    ------
    SettingsError
        If the kind is unknown or the spread is no size.
    """

    kind: NoiseKind = "normal"
    spread_ms: float = 0.0

    def __post_init__(self) -> None:
        kinds = get_args(NoiseKind)
        if self.kind not in kinds:
            raise SettingsError(f"unknown noise {self.kind!r}{nearest_hint(self.kind, kinds)}")
        if not (math.isfinite(self.spread_ms) and self.spread_ms >= 0):
            raise SettingsError(f"the spread of the noise cannot be {self.spread_ms} ms")

    @classmethod
    def parse(cls, text: str, step_ms: float | None = None) -> Noise:
        """Read ``KIND:SPREAD``, such as ``normal:25ms``.

        Parameters
        ----------
        text : str
            The spread is in ms, or in steps where it ends in ``steps`` or where it has no unit
            and a step is given.
        step_ms : float, optional
            Length of a step.

        Returns
        -------
        Noise
            The same with its spread in ms.

        Raises
        ------
        SettingsError
            If it cannot be read, or is in steps of unknown length.
        """
        match = _NOISE.fullmatch(text.replace(" ", ""))
        try:
            spread = float(match["spread"]) if match else math.nan
        except ValueError:
            match, spread = None, math.nan
        if match is None:
            raise SettingsError(
                f"cannot read the noise {text!r}: write KIND:SPREAD, as normal:25ms"
            )
        in_steps = (match["unit"] or ("steps" if step_ms is not None else "ms")) != "ms"
        if in_steps and step_ms is None:
            raise SettingsError(f"the noise {text!r} is in steps: give their length with --step MS")
        return cls(match["kind"], spread * (step_ms or 1.0) if in_steps else spread)  # type: ignore[arg-type]  # checked on construction

    def __str__(self) -> str:
        return f"{self.kind}:{self.spread_ms:g}ms"


@dataclass(frozen=True, slots=True)
class PerturbSettings:
    """What to do to the labels.

    Attributes
    ----------
    noise : Noise
        Timing noise.
    shape : float
        Shape of ``skew`` noise; positive has its tail on the late side.
    step_ms : float or None
        Grid of ``rounded`` noise.
    offset_ms : float
        Added to every time; positive is late.
    drift_ppm : float
        Error of the clock, in parts per million of the time since the start.
    drop : float
        Probability that a label is lost.
    insert : float
        Probability that a label brings a spurious one along. These are uniform in time, up to the
        end of the recording where it is known, else to its last label; each copies a random label.
    swap : float
        Probability that a label gets another class, uniformly among those of its recording.
    per : {"label", "file", "annotator"}
        What shares one draw of noise. An annotator has the same one in all recordings.
    bounds : {"clip", "drop", "keep"}
        What happens to labels moved before 0 or beyond the end: moved to it, lost, or kept.
    seed : int
        Seed of all draws.

    Raises
    ------
    SettingsError
        If a value makes no sense.
    """

    noise: Noise = field(default_factory=Noise)
    shape: float = 4.0
    step_ms: float | None = None
    offset_ms: float = 0.0
    drift_ppm: float = 0.0
    drop: float = 0.0
    insert: float = 0.0
    swap: float = 0.0
    per: Per = "label"
    bounds: Bounds = "clip"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("drop", "insert", "swap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is a probability 0-1, not {getattr(self, name)}")
        for name in ("shape", "offset_ms", "drift_ppm"):
            if not math.isfinite(getattr(self, name)):
                raise SettingsError(f"{name} must be a finite number, not {getattr(self, name)}")
        if self.drift_ppm <= -1e6:
            raise SettingsError(f"a drift of {self.drift_ppm} ppm would turn time around")
        if self.step_ms is not None and not 0.0 < self.step_ms < math.inf:
            raise SettingsError(f"a step must have a length, not {self.step_ms} ms")
        if self.noise.kind == "rounded" and self.step_ms is None:
            raise SettingsError("rounded noise needs the length of its steps: give --step MS")
        for name, choices in (("per", get_args(Per)), ("bounds", get_args(Bounds))):
            if getattr(self, name) not in choices:
                value = getattr(self, name)
                raise SettingsError(f"{name} cannot be {value!r}{nearest_hint(value, choices)}")

    def describe(self) -> str:
        """One line that repeats the draw: every setting that matters, in a fixed order."""
        parts = [f"noise={self.noise}"]
        if self.noise.kind == "skew":
            parts.append(f"shape={self.shape:g}")
        if self.step_ms is not None:
            parts.append(f"step={self.step_ms:g}ms")
        parts.append(f"offset={self.offset_ms:g}ms drift={self.drift_ppm:g}ppm")
        parts.append(f"drop={self.drop:g} insert={self.insert:g} swap={self.swap:g}")
        parts.append(f"per={self.per} bounds={self.bounds} seed={self.seed}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class PerturbReport:
    """What was done, as counts and as realised errors.

    Attributes
    ----------
    n_read, n_written : int
        Labels before and after.
    n_dropped, n_inserted, n_swapped : int
        Labels lost, spurious and confused by intent.
    n_before_start, n_after_end : int
        Labels that were moved out of the recording, whatever then happened to them.
    shifts_ms : ndarray, shape (n,)
        Change of time of every original label that is left, after the bounds.
    """

    n_read: int
    n_written: int
    n_dropped: int
    n_inserted: int
    n_swapped: int
    n_before_start: int
    n_after_end: int
    shifts_ms: Floats

    @property
    def bias_ms(self) -> float:
        """Mean change of time; 0 without labels."""
        return float(np.mean(self.shifts_ms)) if self.shifts_ms.size else 0.0

    @property
    def sigma_ms(self) -> float:
        """Standard deviation of the change of time; 0 without labels."""
        return float(np.std(self.shifts_ms)) if self.shifts_ms.size else 0.0


@dataclass(frozen=True, slots=True)
class _Draw:
    """All that chance decided about one recording of n labels and m insertions."""

    noise_ms: Floats  # (n,)
    dropped: NDArray[np.bool_]  # (n,)
    swapped: NDArray[np.bool_]  # (n,)
    class_steps: Floats  # (n,) in [0, 1): which of the other classes
    insert_at: Floats  # (m,) in [0, 1): position in the recording
    insert_copies: NDArray[np.int64]  # (m,) which label each copies


def perturb(
    corpus: Corpus, settings: PerturbSettings, durations_s: Mapping[str, float] | None = None
) -> tuple[Corpus, PerturbReport]:
    """Perturb all labels of a corpus.

    Parameters
    ----------
    corpus : Corpus
        Labels; not changed.
    settings : PerturbSettings
        What to do.
    durations_s : mapping, optional
        Length of the recordings in seconds, by name. Without it there is no upper bound.

    Returns
    -------
    Corpus
        Perturbed labels, sorted, recordings in the same order.
    PerturbReport
        What was done.

    Raises
    ------
    SettingsError
        If ``per="annotator"`` and a label names none.
    """
    recordings: dict[str, list[Onset]] = {}
    reports = []
    for file, onsets in corpus.recordings.items():
        draw = _draw(file, onsets, settings)
        end_s = (durations_s or {}).get(file, math.inf)
        recordings[file], report = _apply(onsets, draw, settings, end_s)
        reports.append(report)
    return replace(corpus, recordings=recordings), _sum_reports(reports)


def _draw(file: str, onsets: Sequence[Onset], settings: PerturbSettings) -> _Draw:
    n = len(onsets)
    noise, loss, insertion, confusion = _generators(settings.seed, "file", file)
    n_inserted = int(insertion.binomial(n, settings.insert)) if n else 0
    return _Draw(
        noise_ms=_draw_noise(file, onsets, settings, noise),
        dropped=loss.random(n) < settings.drop,
        swapped=confusion.random(n) < settings.swap,
        class_steps=confusion.random(n),
        insert_at=insertion.random(n_inserted),
        insert_copies=insertion.integers(0, max(n, 1), n_inserted),
    )


def _generators(seed: int, *names: str) -> list[np.random.Generator]:
    """Independent generators for noise, loss, insertion and confusion."""
    digest = hashlib.sha256(
        "\0".join((str(seed), *names)).encode(errors="surrogateescape")
    ).digest()
    sequence = np.random.SeedSequence(int.from_bytes(digest, "big"))
    return [np.random.Generator(np.random.PCG64(child)) for child in sequence.spawn(4)]


def _draw_noise(
    file: str, onsets: Sequence[Onset], settings: PerturbSettings, rng: np.random.Generator
) -> Floats:
    if settings.per == "label":
        return _sample(settings, rng, len(onsets))
    if settings.per == "file":
        return np.repeat(_sample(settings, rng, 1), len(onsets))
    of_annotator: dict[str, float] = {}
    for onset in onsets:
        if onset.annotator is None:
            raise SettingsError(
                f"{file}: the {onset.label} at {onset.time_s:.6f} s names no annotator, so noise "
                "cannot be drawn per annotator (a column 'annotator' is needed)"
            )
        if onset.annotator not in of_annotator:
            own = _generators(settings.seed, "annotator", onset.annotator)[0]
            of_annotator[onset.annotator] = float(_sample(settings, own, 1)[0])
    return np.array([of_annotator[onset.annotator or ""] for onset in onsets], dtype=np.float64)


def _sample(settings: PerturbSettings, rng: np.random.Generator, n: int) -> Floats:
    """Draw n errors in ms."""
    spread = settings.noise.spread_ms
    step = settings.step_ms or 1.0
    samplers: Mapping[NoiseKind, Callable[[], Floats]] = {
        "normal": lambda: rng.normal(0.0, spread, n),
        "rounded": lambda: step * np.rint(rng.normal(0.0, spread, n) / step),
        "uniform": lambda: rng.uniform(-spread, spread, n),
        "shift": lambda: spread * rng.choice(np.array([-1.0, 1.0]), n),
        "skew": lambda: spread * _standard_skew_normal(rng, settings.shape, n),
        "laplace": lambda: rng.laplace(0.0, spread / math.sqrt(2), n),
    }
    return samplers[settings.noise.kind]()


def _standard_skew_normal(rng: np.random.Generator, shape: float, n: int) -> Floats:
    """Skew normal draws scaled to mean 0 and standard deviation 1.

    Azzalini's construction: ``delta |u| + sqrt(1 - delta^2) v`` with normal u and v and
    ``delta = shape / sqrt(1 + shape^2)`` has mean ``delta sqrt(2 / pi)``.
    """
    delta = shape / math.hypot(1.0, shape)
    skewed = delta * np.abs(rng.normal(size=n)) + math.sqrt(1 - delta**2) * rng.normal(size=n)
    mean = delta * math.sqrt(2 / math.pi)
    return np.asarray((skewed - mean) / math.sqrt(1 - mean**2), dtype=np.float64)


def _apply(
    onsets: Sequence[Onset], draw: _Draw, settings: PerturbSettings, end_s: float
) -> tuple[list[Onset], PerturbReport]:
    old_s = np.array([onset.time_s for onset in onsets], dtype=np.float64)
    delta_s = old_s * settings.drift_ppm * 1e-6 + (settings.offset_ms + draw.noise_ms) / 1000
    kept = ~draw.dropped
    early = kept & (delta_s != 0) & (old_s + delta_s < 0)
    late = kept & (delta_s != 0) & (old_s + delta_s > end_s)
    new_s = old_s + delta_s
    if settings.bounds == "clip":
        new_s[early], new_s[late] = 0.0, end_s
    elif settings.bounds == "drop":
        kept &= ~(early | late)
    classes = sorted({onset.label for onset in onsets})
    swapped = draw.swapped & kept & (len(classes) > 1)
    result = []
    for index in np.flatnonzero(kept).tolist():
        onset = replace(onsets[index], time_s=float(new_s[index]))
        if swapped[index]:
            onset = _swap_class(onset, classes, float(draw.class_steps[index]))
        result.append(onset)
    inserted = _inserted(onsets, draw, end_s)
    report = PerturbReport(
        n_read=len(onsets),
        n_written=len(result) + len(inserted),
        n_dropped=int(draw.dropped.sum()),
        n_inserted=len(inserted),
        n_swapped=int(swapped.sum()),
        n_before_start=int(early.sum()),
        n_after_end=int(late.sum()),
        shifts_ms=(new_s - old_s)[kept] * 1000,
    )
    return sort_onsets([*result, *inserted]), report


def _swap_class(onset: Onset, classes: Sequence[str], step: float) -> Onset:
    others = [label for label in classes if label != onset.label]
    # The note belonged to the old class.
    return replace(onset, label=others[int(step * len(others))], midi_note=None)


def _inserted(onsets: Sequence[Onset], draw: _Draw, end_s: float) -> list[Onset]:
    if not draw.insert_at.size:
        return []
    last_s = end_s if math.isfinite(end_s) else max(0.0, onsets[-1].time_s)
    return [
        replace(onsets[int(copied)], time_s=float(position * last_s))
        for position, copied in zip(draw.insert_at, draw.insert_copies, strict=True)
    ]


def _sum_reports(reports: Sequence[PerturbReport]) -> PerturbReport:
    shifts = [np.zeros(0), *(report.shifts_ms for report in reports)]
    return PerturbReport(
        n_read=sum(report.n_read for report in reports),
        n_written=sum(report.n_written for report in reports),
        n_dropped=sum(report.n_dropped for report in reports),
        n_inserted=sum(report.n_inserted for report in reports),
        n_swapped=sum(report.n_swapped for report in reports),
        n_before_start=sum(report.n_before_start for report in reports),
        n_after_end=sum(report.n_after_end for report in reports),
        shifts_ms=np.concatenate(shifts),
    )
