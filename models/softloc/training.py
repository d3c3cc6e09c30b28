"""Training: from labelled recordings to a model file, resumable after any interruption.

What it is told is in `softloc.training_settings`, what it goes on from in `softloc.training_state`,
what it is judged by in `softloc.training_validation`.

Conventions
-----------
- Whatever a step draws depends on the seed and its number, so that a run goes on from anywhere.
- Velocities are fitted last, to the labels that carry them, with the weights that are written.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from softloc.audio_store import AudioStore
from softloc.batches import (
    Batch,
    BatchStream,
    WindowSampler,
    feature_statistics,
    step_generator,
)
from softloc.checkpoints import Checkpoint, save_checkpoint
from softloc.curves import can_plot, plot_curve, write_curve
from softloc.datasets import Dataset
from softloc.errors import TrainingError
from softloc.files import to_json, write_text_atomic
from softloc.losses import make_loss
from softloc.processes import share_gradients
from softloc.training_files import curve_path, picture_path, record_path, state_path
from softloc.training_model import make_model
from softloc.training_observers import Observer
from softloc.training_record import describe_run
from softloc.training_settings import (
    Execution,
    TrainingSettings,
    require_precision,
    warn_of_slow_precision,
)
from softloc.training_state import TrainingState, identity_of, load_state
from softloc.training_validation import Validation, validate
from softloc.velocity import VelocityReadOut, fill_unknown
from softloc.velocity_fitting import MAX_FIT_S, fit_velocities

#: Audio that velocities are fitted to, as a share of what the training went through. To hear it
#: costs half as much as to train on it.
_VELOCITY_SHARE = 0.05
_STATISTICS_BATCHES = 8
_TIMING_STEPS = 8


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
    model = make_model(dataset, settings, init)
    identity = identity_of(model.settings, dataset, validation.dataset, settings, execution)
    saved: dict[str, Any] | None = None
    stores: list[AudioStore] | None = None
    if team.leads:
        saved = load_state(state_path(output), identity) if resume else None
        if saved is None:
            # A state left by an earlier training must not be resumed in the place of this one.
            state_path(output).unlink(missing_ok=True)
        rate_hz = model.settings.features.sample_rate_hz
        parts = {"train.pcm": dataset, "valid.pcm": validation.dataset}
        stores = [
            _decode(part, work_folder / name, rate_hz, observer) for name, part in parts.items()
        ]
    saved, stores = team.tell((saved, stores))
    assert stores is not None  # noqa: S101 - the first process has made them
    data = _Data(dataset, validation, *stores)
    run = _Run(model, data, settings=settings, execution=execution)
    run.begin(saved, keep_statistics=init is not None)
    observer.on_plan(run.state.steps, run.state.step)
    run.advance(output, identity, observer)
    return team.tell(run.finish(output, record or {}) if team.leads else {})


def _decode(dataset: Dataset, path: Path, rate_hz: int, observer: Observer) -> AudioStore:
    """Decode all recordings of a dataset into a file."""
    audio = [recording.audio for recording in dataset.recordings]
    return AudioStore(audio, rate_hz, path, observer.on_audio)


@dataclass(frozen=True)
class _Data:
    """What a training reads: labels, and the audio that belongs to them."""

    dataset: Dataset
    validation: Validation
    store: AudioStore
    valid_store: AudioStore


class _Run:
    """One training, in one of its processes: the loop, and what it needs besides its state."""

    def __init__(
        self, model: Checkpoint, data: _Data, *, settings: TrainingSettings, execution: Execution
    ) -> None:
        self.model = model
        self.data = data
        self.settings = settings
        self.execution = execution
        self.device = execution.device
        self.loss = make_loss(settings.loss, float(model.settings.features.grid.frame_rate))
        self.state = TrainingState(model, settings, self.device)
        self.sampler = WindowSampler(
            data.dataset,
            data.store,
            model.log_mel,
            model.settings.network,
            window_s=settings.window_s,
            augment=settings.augment,
        )
        self.learner: nn.Module = self.state.network  # until the processes have met

    def begin(self, saved: Mapping[str, Any] | None, *, keep_statistics: bool) -> None:
        """Start afresh, or from a saved state."""
        if saved is not None:
            self.state.restore(saved)
        elif not keep_statistics:
            batches = [self._draw(-1 - i, slice(None)) for i in range(_STATISTICS_BATCHES)]
            for network in (self.state.network, self.state.average):
                network.set_feature_statistics(*feature_statistics(batches))
        if saved is None and self.settings.minutes is not None:
            self.state.steps = self._plan_steps(self.settings.minutes)
        self.learner = share_gradients(self.state.network, self.execution.team)

    def advance(self, output: Path, identity: Mapping[str, str], observer: Observer) -> None:
        """Train to the end; the first process validates and saves the state on the way."""
        state = self.state
        leads = self.execution.team.leads
        validate_every = -(-state.steps // self.settings.validations)
        saved = time.monotonic()
        began = saved - state.seconds
        with BatchStream(self._draw, state.steps) as batches:
            while state.step < state.steps:
                state.losses.append(self._train_step(batches.take(state.step)))
                observer.on_step(state.losses[-1])
                state.seconds = time.monotonic() - began
                is_due = state.step % validate_every == 0 or state.step == state.steps
                if is_due and leads:
                    self._validate()
                    write_curve(curve_path(output), state.curve)
                    observer.on_validation(state.curve[-1])
                if leads and time.monotonic() - saved > self.settings.state_interval_s:
                    state.save(state_path(output), identity)
                    saved = time.monotonic()
        if leads:
            state.save(state_path(output), identity)

    def finish(self, output: Path, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write the best weights and the run record; the state is no longer needed."""
        state, data = self.state, self.data
        state.average.load_state_dict(state.best)
        model = self._averaged_model()
        model = dataclasses.replace(model, velocity=self._fit_velocities(model))
        run_record = {
            **record,
            **describe_run(
                model,
                state,
                dataset=data.dataset,
                validation=data.validation,
                settings=self.settings,
                execution=self.execution,
            ),
        }
        save_checkpoint(output, dataclasses.replace(model, record=run_record))
        run_record["curve"] = state.curve
        write_text_atomic(record_path(output), to_json(run_record, indent=1) + "\n")
        write_curve(curve_path(output), state.curve)
        state_path(output).unlink(missing_ok=True)
        if can_plot():
            plot_curve(curve_path(output), picture_path(output))
        return run_record

    def _fit_velocities(self, model: Checkpoint) -> VelocityReadOut | None:
        """Fit what the labels allow; the rest stays as the model began with, if at all."""
        seen_s = self.state.steps * self.settings.batch_size * self.settings.window_s
        fitted = fit_velocities(
            model,
            self.data.dataset,
            self.data.store,
            max_s=min(MAX_FIT_S, _VELOCITY_SHARE * seen_s),
            seed=self.settings.seed,
        )
        return fill_unknown(fitted, self.state.velocity)

    def _train_step(self, batch: Batch) -> float:
        """Learn from this process's share of a batch; return the loss of all of it."""
        state = self.state
        progress = state.step / state.steps
        for group in state.optimizer.param_groups:
            group["lr"] = self._learning_rate(progress)
        state.network.train()
        state.optimizer.zero_grad(set_to_none=True)
        loss = self.execution.team.mean(self._find_gradients(batch, progress))
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is not finite at step {state.step + 1}; try a lower --learning-rate"
            )
        nn.utils.clip_grad_norm_(state.network.parameters(), self.settings.max_gradient_norm)
        state.optimizer.step()
        state.step += 1
        state.update_average()
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
            return (self.settings.seed << 32) + self.state.step
        sequence = np.random.SeedSequence([self.settings.seed, self.state.step, number])
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
        rising = (progress + 1.0 / self.state.steps) / self.settings.warmup_share
        falling = (1.0 - progress) / self.settings.decay_share
        return self.settings.learning_rate * min(1.0, rising, falling)

    def _validate(self) -> None:
        validation = self.data.validation
        scores = validate(
            self._averaged_model(), validation, self.data.valid_store, self.loss, self.settings
        )
        self.state.add_validation(scores, validation.quality)

    def _averaged_model(self) -> Checkpoint:
        return dataclasses.replace(self.model, network=self.state.average)

    def _plan_steps(self, minutes: float) -> int:
        """Time a few steps and one validation of a copy, and count how many steps fit."""
        model = dataclasses.replace(self.model, network=copy.deepcopy(self.state.network))
        trial = _Run(model, self.data, settings=self.settings, execution=self.execution)
        trial.learner = share_gradients(trial.state.network, self.execution.team)
        with BatchStream(trial._draw, 1 + _TIMING_STEPS) as batches:
            # The first step pays for memory and filterbanks.
            trial.state.losses.append(trial._train_step(batches.take(0)))
            began = time.monotonic()
            for step in range(1, 1 + _TIMING_STEPS):
                trial.state.losses.append(trial._train_step(batches.take(step)))
            step_s = (time.monotonic() - began) / _TIMING_STEPS
        began = time.monotonic()
        if self.execution.team.leads:
            trial._validate()
        validations_s = self.settings.validations * (time.monotonic() - began)
        # Half of the time is for training whatever the validation costs.
        training_s = max(60.0 * minutes - validations_s, 30.0 * minutes)
        return self.execution.team.tell(max(1, round(training_s / step_s)))
