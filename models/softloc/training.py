"""Training: from labelled recordings to a model file, resumable after any interruption.

Conventions
-----------
- Whatever a step draws depends on the seed and its number, so a run that was killed goes on from
  its last saved state to bit-identical weights (same machine, same number of threads), and with
  another number of processes to weights that differ by rounding only.
- A step learns from `TrainingSettings.batch_size` windows however many processes share them, and
  in however many parts each goes through its own.
- Velocities are fitted last, to the labels that carry them, with the weights that are written.
- What is validated and written is a running average of the weights.
- Where validation labels are exact, the best weights are those with the highest F1, averaged over
  classes and tolerances; where they are as noisy as the training labels, those with the lowest
  validation loss, and F1 is counted at a wide tolerance and says so.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import logging
import math
import operator
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from softloc.audio_store import AudioStore
from softloc.batches import (
    AugmentSettings,
    Batch,
    BatchStream,
    WindowSampler,
    feature_statistics,
    label_targets,
    step_generator,
    window_frames,
)
from softloc.checkpoints import (
    Checkpoint,
    load_training_state,
    save_checkpoint,
    save_training_state,
)
from softloc.curves import can_plot, plot_curve, write_curve
from softloc.datasets import Dataset, Recording
from softloc.decoding import decode_onsets
from softloc.engines import TorchEngine
from softloc.errors import CheckpointError, SettingsError, TrainingError
from softloc.evaluation import AS_WRITTEN, EvaluationSettings, evaluate
from softloc.events import Onset
from softloc.features import LogMel, mel_filterbank
from softloc.files import to_json, write_text_atomic
from softloc.inference import compute_logits, edge_frames, fold_edges
from softloc.losses import LossSettings, event_mass_frames, make_loss
from softloc.model_files import ModelSettings, default_notes, require_readable
from softloc.network import OnsetNetwork
from softloc.presets import get_size
from softloc.processes import ALONE, Team, share_gradients
from softloc.velocity import VelocityReadOut, fill_unknown
from softloc.velocity_fitting import MAX_FIT_S, fit_velocities, match_window_s
from softloc.versions import installed_versions

#: Tolerances of F1 where the validation labels are exact.
CLEAN_TOLERANCES_S = (0.050, 0.020)

#: Most audio that a step may take: ten hours are some 6 GB, and far beyond all that makes sense.
MAX_STEP_S = 36_000.0

#: What the network may compute with while it trains.
PRECISIONS = ("float32", "bfloat16")

# What PyTorch calls processors of the x86 family whose kernels compute with single precision only.
_WITHOUT_BFLOAT16 = ("NO AVX", "AVX2")

_LOG = logging.getLogger(__name__)
#: Audio that velocities are fitted to, as a share of what the training went through. To hear it
#: costs half as much as to train on it.
_VELOCITY_SHARE = 0.05
_STATISTICS_BATCHES = 8
#: What the numbers depend on.
_PACKAGES = ("softloc", "torch", "numpy", "librosa", "soxr", "soundfile")
_TIMING_STEPS = 8

#: What states did not tell before there was a choice.
_ONCE = {"processes": "1", "accumulate": "1"}


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
    batch_size: int = 16
    window_s: float = 3.0
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


@dataclass(frozen=True)
class Validation:
    """Recordings that say how good a model is.

    Attributes
    ----------
    dataset : Dataset
        Never trained on.
    clean : bool
        Whether its labels are exact; otherwise they are as noisy as those of the training.
    """

    dataset: Dataset
    clean: bool

    def tolerances_s(self, softness_ms: float) -> tuple[float, ...]:
        """Tolerances of F1: exact labels allow fine ones, noisy ones only a wide one."""
        if self.clean:
            return CLEAN_TOLERANCES_S
        return (match_window_s(softness_ms),)

    def quality(self, entry: Mapping[str, float]) -> float:
        """How good a row of the curve is: mean F1 by exact labels, else minus the loss."""
        if not self.clean:
            return -entry["valid_loss"]
        scores = [value for name, value in entry.items() if name.startswith("f1_")]
        return float(np.mean(scores)) if np.isfinite(scores).all() else -math.inf


class Observer:
    """What a training tells while it runs; the base class says nothing."""

    def on_audio(self, seconds: float) -> None:
        """So many more seconds of audio are decoded."""

    def on_plan(self, steps: int, first_step: int) -> None:
        """Training starts, or goes on after `first_step` of `steps`."""

    def on_step(self, loss: float) -> None:
        """One step is done."""

    def on_validation(self, entry: Mapping[str, float]) -> None:
        """Tell of a validation; `entry` is a row of the curve."""


class Observers(Observer):
    """Several that are told the same."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def on_audio(self, seconds: float) -> None:
        """So many more seconds of audio are decoded."""
        for observer in self._observers:
            observer.on_audio(seconds)

    def on_plan(self, steps: int, first_step: int) -> None:
        """Training starts, or goes on after `first_step` of `steps`."""
        for observer in self._observers:
            observer.on_plan(steps, first_step)

    def on_step(self, loss: float) -> None:
        """One step is done."""
        for observer in self._observers:
            observer.on_step(loss)

    def on_validation(self, entry: Mapping[str, float]) -> None:
        """Tell of a validation; `entry` is a row of the curve."""
        for observer in self._observers:
            observer.on_validation(entry)


def fit(
    dataset: Dataset,
    validation: Validation,
    settings: TrainingSettings,
    output: Path,
    work_folder: Path,
    *,
    init: Checkpoint | None = None,
    resume: bool = False,
    execution: Execution | None = None,
    record: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Train a model and write it.

    Parameters
    ----------
    dataset, validation
        What to learn from and what to judge by.
    settings : TrainingSettings
        How.
    output : Path
        Model file. Beside it stand the run record (``.run.json``), the course of the training
        (``.curve.jsonl`` and, if matplotlib is installed, ``.curve.png``) and, until the training
        is done, its state (``.state``).
    work_folder : Path
        Where decoded audio is kept meanwhile: 88 kB for each second.
    init : Checkpoint, optional
        Model to start from; its features and network are taken, of several members the first.
    resume : bool
        Go on from the state beside `output`.
    execution : Execution, optional
        Where and how to compute; on the processor without it. All processes of a team call this
        with equal arguments; what is on disk is the first one's affair.
    record : Mapping, optional
        Entries to keep with the run: command, licences.
    observer : Observer, optional
        Is told what happens.

    Returns
    -------
    dict
        The run record.

    Raises
    ------
    CheckpointError
        If the state to resume is missing or belongs to other settings or data.
    SettingsError
        If a batch does not fall into equal parts for all processes, or the precision cannot be had.
    AudioError
        If recordings cannot be decoded.
    TrainingError
        If the loss is not finite.
    OutputError
        If a result cannot be written.
    """
    observer = observer or Observer()
    execution = execution or Execution()
    execution.check_batch(settings.batch_size)
    team = execution.team
    require_precision(settings.precision, execution.device)
    if team.leads:
        warn_of_slow_precision(settings.precision, execution.device)
    model = _make_model(dataset, settings, init)
    identity = _identity(model, dataset, validation, settings, execution)
    state = _load_state(state_path(output), identity) if resume and team.leads else None
    if state is None and team.leads:
        # A state left by an earlier training must not be resumed in the place of this one.
        state_path(output).unlink(missing_ok=True)
    stores = None
    if team.leads:
        rate = model.settings.features.sample_rate_hz
        parts = (("train.pcm", dataset), ("valid.pcm", validation.dataset))
        stores = [
            AudioStore(
                [recording.audio for recording in part.recordings],
                rate,
                work_folder / name,
                observer.on_audio,
            )
            for name, part in parts
        ]
    state, stores = team.tell((state, stores))
    assert stores is not None  # noqa: S101 - the first process has made them
    data = _Data(dataset, validation, *stores)
    run = _Run(model, data, settings=settings, execution=execution)
    run.begin(state, keep_statistics=init is not None)
    observer.on_plan(run.steps, run.step)
    run.advance(output, identity, observer)
    return team.tell(run.finish(output, record or {}) if team.leads else {})


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


def state_path(output: Path) -> Path:
    """Where the state of a training stands."""
    return output.with_suffix(".state")


def record_path(output: Path) -> Path:
    """Where the record of a training stands."""
    return output.with_suffix(".run.json")


def curve_path(output: Path) -> Path:
    """Where the course of a training stands."""
    return output.with_suffix(".curve.jsonl")


def picture_path(output: Path) -> Path:
    """Where the picture of it stands."""
    return output.with_suffix(".curve.png")


@dataclass(frozen=True)
class _Data:
    """What a training reads: labels, and the audio that belongs to them."""

    dataset: Dataset
    validation: Validation
    store: AudioStore
    valid_store: AudioStore


class _Run:
    """One training: everything that changes while it runs."""

    def __init__(
        self, model: Checkpoint, data: _Data, *, settings: TrainingSettings, execution: Execution
    ) -> None:
        self.model = model
        self.data = data
        self.settings = settings
        self.execution = execution
        self.device = device = execution.device
        self.loss = make_loss(settings.loss, float(model.settings.features.grid.frame_rate))
        self.network = model.network.to(device)
        model.log_mel.to(device)
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.sampler = WindowSampler(
            data.dataset,
            data.store,
            model.log_mel,
            model.settings.network,
            window_s=settings.window_s,
            augment=settings.augment,
        )
        self.learner: nn.Module = self.network  # until the processes have met
        self.steps = settings.steps
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []  # since the last validation
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_row: dict[str, float] = {}

    def begin(self, state: Mapping[str, Any] | None, *, keep_statistics: bool) -> None:
        """Start afresh, or from a saved state."""
        if state is not None:
            try:
                self._restore(state)
            except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise CheckpointError(f"the saved training is damaged ({reason})") from error
        elif not keep_statistics:
            batches = [self._draw(-1 - i, slice(None)) for i in range(_STATISTICS_BATCHES)]
            for network in (self.network, self.average):
                network.set_feature_statistics(*feature_statistics(batches))
        if state is None and self.settings.minutes is not None:
            self.steps = self._plan_steps(self.settings.minutes)
        self.learner = share_gradients(self.network, self.execution.team)

    def advance(self, output: Path, identity: Mapping[str, str], observer: Observer) -> None:
        """Train to the end; the first process validates and saves the state on the way."""
        leads = self.execution.team.leads
        validate_every = -(-self.steps // self.settings.validations)
        saved = time.monotonic()
        began = saved - self.seconds
        with BatchStream(self._draw, self.steps) as batches:
            while self.step < self.steps:
                self.losses.append(self._train_step(batches.take(self.step)))
                observer.on_step(self.losses[-1])
                self.seconds = time.monotonic() - began
                is_due = self.step % validate_every == 0 or self.step == self.steps
                if is_due and leads:
                    self._validate()
                    write_curve(curve_path(output), self.curve)
                    observer.on_validation(self.curve[-1])
                if leads and time.monotonic() - saved > self.settings.state_interval_s:
                    self._save_state(output, identity)
                    saved = time.monotonic()
        if leads:
            self._save_state(output, identity)

    def finish(self, output: Path, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write the best weights and the run record; the state is no longer needed."""
        self.average.load_state_dict(self.best)
        run_record = {
            **record,
            "settings": dataclasses.asdict(self.settings),
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "best": self.best_row,
            "data": _describe(self.data.dataset),
            "validation": {
                **_describe(self.data.validation.dataset),
                "labels": "exact"
                if self.data.validation.clean
                else "as noisy as the training labels",
            },
            "versions": installed_versions(_PACKAGES),
            "threads": torch.get_num_threads(),
            "device": self.device,
            "accumulate": self.execution.accumulate,
            "processes": self.execution.team.size,
        }
        model = dataclasses.replace(self.model, network=self.average)
        velocity = self._fit_velocities(model)
        run_record["velocity"] = _describe_velocity(velocity, self.model.settings.classes)
        save_checkpoint(output, dataclasses.replace(model, record=run_record, velocity=velocity))
        run_record["curve"] = self.curve
        write_text_atomic(record_path(output), to_json(run_record, indent=1) + "\n")
        write_curve(curve_path(output), self.curve)
        state_path(output).unlink(missing_ok=True)
        if can_plot():
            plot_curve(curve_path(output), picture_path(output))
        return run_record

    def _fit_velocities(self, model: Checkpoint) -> VelocityReadOut | None:
        """Fit what the labels allow; the rest stays as the model began with, if at all."""
        seen_s = self.steps * self.settings.batch_size * self.settings.window_s
        fitted = fit_velocities(
            model,
            self.data.dataset,
            self.data.store,
            max_s=min(MAX_FIT_S, _VELOCITY_SHARE * seen_s),
            seed=self.settings.seed,
        )
        return fill_unknown(fitted, self.model.velocity)

    def _train_step(self, batch: Batch) -> float:
        """Learn from this process's share of a batch; return the loss of all of it."""
        progress = self.step / self.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(progress)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.execution.team.mean(self._find_gradients(batch, progress))
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is not finite at step {self.step + 1}; try a lower --learning-rate"
            )
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_gradient_norm)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return float(loss)

    def _find_gradients(self, batch: Batch, progress: float) -> Tensor:
        """Mean loss of a batch, part by part; its gradients are averaged over all processes."""
        n_parts = self.execution.accumulate
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(batch.split(n_parts)):
            with self._exchange(is_last=number + 1 == n_parts):
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self._seed_of(number))
                    loss = self._loss(part, progress) / n_parts
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _exchange(self, *, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """Keep gradients to oneself until the last part of a step."""
        if is_last or not isinstance(self.learner, nn.parallel.DistributedDataParallel):
            return contextlib.nullcontext()
        return self.learner.no_sync()

    def _seed_of(self, number: int) -> int:
        """Seed of dropout: it, too, depends on the seed and the number of the step alone."""
        number += self.execution.team.rank * self.execution.accumulate
        if number == 0:
            return (self.settings.seed << 32) + self.step
        sequence = np.random.SeedSequence([self.settings.seed, self.step, number])
        return int(sequence.generate_state(1, np.uint64)[0])

    def _loss(self, batch: Batch, progress: float) -> Tensor:
        is_short = self.settings.precision == "bfloat16"
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=is_short):
            logits, _ = self.learner(batch.features)
        scored = logits.float()[
            :, :, logits.shape[2] - batch.targets.shape[2] :
        ]  # without the lead-in
        loss: Tensor = self.loss(
            scored,
            batch.targets.to(self.device),
            batch.softness_frames.to(self.device),
            progress,
            batch.mask.to(self.device),
        )
        return loss

    def _draw(self, step: int, share: slice | None = None) -> Batch:
        """Windows of a step that fall to this process, or others of them."""
        # Negative numbers draw what is seen before the first step.
        rng = step_generator(self.settings.seed, step + (1 << 32))
        n_windows = self.settings.batch_size
        share = self.execution.team.share(n_windows) if share is None else share
        return self.sampler.draw(n_windows, rng, share)

    def _learning_rate(self, progress: float) -> float:
        rising = (progress + 1.0 / self.steps) / self.settings.warmup_share
        falling = (1.0 - progress) / self.settings.decay_share
        return self.settings.learning_rate * min(1.0, rising, falling)

    def _update_average(self) -> None:
        # Early on the average would be mostly the random start: it begins short and grows.
        keep = min(1.0 - 1.0 / self.settings.average_steps, self.step / (self.step + 9.0))
        current = self.network.state_dict()
        for name, tensor in self.average.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(current[name], 1.0 - keep)
            else:
                tensor.copy_(current[name])

    def _validate(self) -> None:
        validation = self.data.validation
        tolerances_s = validation.tolerances_s(self.settings.softness_ms)
        losses = []
        mass = mass_squared = 0.0
        references: dict[str, list[Onset]] = {}
        estimates: dict[str, list[Onset]] = {}
        model = self.model.settings
        edge = edge_frames(model.features)
        engine = TorchEngine(self.model.log_mel, [self.average])
        for index, recording in enumerate(validation.dataset.recordings):
            blocks = self.data.valid_store.blocks(index)
            logits = compute_logits(engine, blocks)
            losses.append(self._recording_loss(recording, logits[:, edge:-edge]))
            probabilities = fold_edges(logits, edge)
            mass += float(probabilities.sum())
            mass_squared += float(np.square(probabilities).sum())
            sequence = recording.sequences[0]
            references[recording.name] = [
                Onset(time_s, model.classes[i])
                for time_s, i in zip(sequence.times_s, sequence.classes, strict=True)
            ]
            estimates[recording.name] = decode_onsets(
                probabilities,
                model.classes,
                model.features.grid,
                softness_ms=model.softness_ms,
                event_mass=model.event_mass,
            )
        entry = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "train_loss": float(np.mean(self.losses)),
            "valid_loss": float(np.mean(losses)),
            # 1 where all mass sits in single frames, 1/n where each event is spread over n.
            "concentration": mass_squared / mass if mass else 0.0,
        }
        rules = EvaluationSettings(classes=AS_WRITTEN, windows_s=tolerances_s)
        scores = evaluate(references, estimates, rules)
        for tolerance_s, ratios in scores.class_means.items():
            entry[f"f1_{1000 * tolerance_s:g}ms"] = ratios.f_measure if ratios else math.nan
        self.curve.append(entry)
        self.losses.clear()
        quality = validation.quality
        if not self.best_row or quality(entry) > quality(self.best_row):
            self.best_row = entry
            self.best = copy.deepcopy(self.average.state_dict())

    def _recording_loss(self, recording: Recording, logits: NDArray[np.float32]) -> float:
        """Mean loss of a recording's windows, with the weights that the loss ends with.

        The last window overlaps the one before it, so that none holds a few frames only.
        """
        features = self.model.settings.features
        n_classes, n_frames = logits.shape
        targets, softness_frames = label_targets(recording, n_classes, n_frames, features)
        size = min(window_frames(self.settings.window_s, features), n_frames)
        starts = [*range(0, n_frames - size, size), n_frames - size]

        def cut(rows: Tensor) -> Tensor:  # (classes, frames) to (windows, classes, size)
            return torch.stack([rows[:, start : start + size] for start in starts])

        loss: Tensor = self.loss(
            cut(torch.from_numpy(logits)),
            cut(targets),
            softness_frames.expand(len(starts), -1),
            1.0,
        )
        return float(loss)

    def _plan_steps(self, minutes: float) -> int:
        """Time a few steps and one validation of a copy, and count how many steps fit."""
        model = dataclasses.replace(self.model, network=copy.deepcopy(self.network))
        trial = _Run(model, self.data, settings=self.settings, execution=self.execution)
        trial.learner = share_gradients(trial.network, self.execution.team)
        with BatchStream(trial._draw, 1 + _TIMING_STEPS) as batches:
            # The first step pays for memory and filterbanks.
            trial.losses.append(trial._train_step(batches.take(0)))
            began = time.monotonic()
            for step in range(1, 1 + _TIMING_STEPS):
                trial.losses.append(trial._train_step(batches.take(step)))
            step_s = (time.monotonic() - began) / _TIMING_STEPS
        began = time.monotonic()
        if self.execution.team.leads:
            trial._validate()
        validations_s = self.settings.validations * (time.monotonic() - began)
        # Half of the time is for training whatever the validation costs.
        training_s = max(60.0 * minutes - validations_s, 30.0 * minutes)
        return self.execution.team.tell(max(1, round(training_s / step_s)))

    def _save_state(self, output: Path, identity: Mapping[str, str]) -> None:
        save_training_state(state_path(output), {"identity": dict(identity), **self._state()})

    def _state(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "filterbank": self.model.log_mel.filterbank,
            "best": self.best,
            "best_row": self.best_row,
            "losses": self.losses,
            "curve": self.curve,
            "velocity": _velocity_state(self.model.velocity),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.steps, self.step = operator.index(state["steps"]), operator.index(state["step"])
        self.seconds = float(state["seconds"])
        if not 0 <= self.step <= self.steps:
            raise ValueError(f"step {self.step} of {self.steps}")
        if state["best"]:  # none before the first validation; loaded only to see that it fits
            self.average.load_state_dict(state["best"])
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._restore_optimizer(state["optimizer"])
        filterbank = self.model.log_mel.filterbank
        if state["filterbank"].shape != filterbank.shape:  # a smaller one would be repeated
            raise ValueError(f"a filterbank of shape {tuple(state['filterbank'].shape)}")
        filterbank.copy_(state["filterbank"])
        self.best, self.best_row = dict(state["best"]), _as_row(state["best_row"])
        self.losses = [float(loss) for loss in state["losses"]]
        self.curve = [_as_row(row) for row in state["curve"]]
        if state.get("velocity"):  # older states have none
            velocity = VelocityReadOut(**{k: v.numpy() for k, v in state["velocity"].items()})
            self.model = dataclasses.replace(self.model, velocity=velocity)

    def _restore_optimizer(self, state: Mapping[str, Any]) -> None:
        """Restore it, and check what it would only stumble over in its next step."""
        (own,) = self.optimizer.param_groups
        kinds = {name: type(value) for name, value in own.items()}
        self.optimizer.load_state_dict(dict(state))
        (loaded,) = self.optimizer.param_groups
        # Another PyTorch may have more of them, or fewer.
        if any(type(loaded[name]) is not kinds[name] for name in kinds.keys() & loaded.keys()):
            raise ValueError("other settings of the optimiser")
        for weights, moments in self.optimizer.state.items():
            if any(moments[name].shape != weights.shape for name in ("exp_avg", "exp_avg_sq")):
                raise ValueError("moments of the optimiser of another shape")


def _as_row(row: Mapping[str, Any]) -> dict[str, float]:
    """Check a row of the curve that a state brings."""
    if not all(isinstance(value, int | float) for value in row.values()):
        raise ValueError("a row of the curve that is not of numbers")
    return dict(row)


def _identity(
    model: Checkpoint,
    dataset: Dataset,
    validation: Validation,
    settings: TrainingSettings,
    execution: Execution,
) -> dict[str, str]:
    """Describe what must agree between a run that saved a state and one that resumes it."""
    values = dataclasses.asdict(settings)
    del values["state_interval_s"]
    shape = dataclasses.asdict(model.settings)
    del shape["n_members"]  # one is trained; states of earlier versions do not name it
    return {
        "settings": json.dumps(values, sort_keys=True),
        "model": json.dumps(shape, sort_keys=True),
        "data": dataset.sha256(),
        "validation": validation.dataset.sha256(),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "processes": str(execution.team.size),
        "accumulate": str(execution.accumulate),
    }


def _load_state(path: Path, identity: Mapping[str, str]) -> dict[str, Any]:
    """Read a state and check that it belongs to this training."""
    state = load_training_state(path)
    saved = state.get("identity")
    if not isinstance(saved, dict):
        raise CheckpointError(f"{path}: not the state of a training")
    for name in ("settings", "model", "data", "validation"):
        if saved.get(name) != identity[name]:
            raise CheckpointError(
                f"{path}: the saved training has other {name}: resume with the options and labels "
                f"it was started with, or give --overwrite to start afresh"
            )
    for name in ("threads", "torch", *_ONCE):
        before = saved.get(name, _ONCE.get(name))
        if before != identity[name]:
            _LOG.warning(
                "%s: %s was %s and is %s now: the training goes on, but not bit for bit",
                path,
                name,
                before,
                identity[name],
            )
    return state


def _make_model(
    dataset: Dataset, settings: TrainingSettings, init: Checkpoint | None
) -> Checkpoint:
    """Build the untrained model, or one that starts from another's weights."""
    classes = dataset.classes.names
    size = get_size(settings.size)
    features = size.features if init is None else init.settings.features
    if init is None:
        shape = size.network(len(classes), bidirectional=settings.bidirectional)
    else:
        shape = dataclasses.replace(init.settings.network, n_classes=len(classes))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = OnsetNetwork(shape)
    network.expect_silence(window_frames(settings.window_s, features))
    if init is None:
        log_mel = LogMel(features, torch.from_numpy(mel_filterbank(features)))
    else:
        log_mel = init.log_mel
        _copy_weights(init, network, classes)
    mass = event_mass_frames(settings.loss, float(features.grid.frame_rate))
    notes = default_notes(classes)
    model = ModelSettings(features, shape, classes, notes, settings.softness_ms, float(mass))
    require_readable(model)
    # Velocities are heard in the features, not by the network: what is known of them stays true.
    velocity = init.velocity if init is not None and init.settings.classes == classes else None
    return Checkpoint(model, log_mel, network, velocity=velocity)


def _copy_weights(init: Checkpoint, network: OnsetNetwork, classes: tuple[str, ...]) -> None:
    """Take all weights of `init`; the output layer only if the classes are the same."""
    weights = dict(init.network.state_dict())
    if init.settings.classes != classes:
        weights |= {k: v for k, v in network.state_dict().items() if k.startswith("output.")}
    network.load_state_dict(weights)


def _describe(dataset: Dataset) -> dict[str, Any]:
    return {
        "recordings": len(dataset.recordings),
        "minutes": round(dataset.duration_s / 60.0, 2),
        "labels": dataset.count_labels(),
        "sha256": dataset.sha256(),
    }


def _describe_velocity(
    velocity: VelocityReadOut | None, classes: tuple[str, ...]
) -> dict[str, float]:
    """Mean velocity of the labels of each class that it is known for."""
    if velocity is None:
        return {}
    rows = zip(classes, velocity.mean.tolist(), velocity.known.tolist(), strict=True)
    return {label: round(mean, 1) for label, mean, is_known in rows if is_known}


def _velocity_state(velocity: VelocityReadOut | None) -> dict[str, Tensor] | None:
    if velocity is None:
        return None
    return {name: torch.from_numpy(array) for name, array in velocity.arrays().items()}
