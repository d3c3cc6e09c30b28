"""A training loop for models that the library does not have: curves of loss in, best weights out.

It knows nothing of data: the caller draws a batch and computes its loss (those of `softloc.loss` or
`softloc.losses`, unchanged), and tells the validation loss. Adam, gradients clipped, validated at
equal intervals; the weights of the lowest validation loss are kept. The caller validates on labels
that carry the same noise as those that train.

What a step draws depends on the seed and the number of the step alone, so a training that was
killed goes on from its state to bit-identical weights.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from softloc.checkpoints import load_training_state, save_training_state
from softloc.errors import TrainingError

#: Loss of one step: (model, generator of its draws, share of the training done) -> scalar.
StepLoss = Callable[[nn.Module, np.random.Generator, float], Tensor]
#: Validation loss of a model that is in evaluation mode, without gradients.
Validate = Callable[[nn.Module], float]

#: Share of the learning rate that the last steps have.
SETTLED_RATE = 0.02


@dataclass(frozen=True)
class LoopSettings:
    """How a model is trained.

    Attributes
    ----------
    steps : int
        Steps of Adam.
    learning_rate : float
        Constant, unless `decay_share` says otherwise.
    decay_share : float
        Share of the steps over which it falls along half a cosine, to zero or to what the steps of
        `settle_share` have.
    settle_share : float
        Share of the steps, the last ones, at `SETTLED_RATE` of it: whether the validation loss
        still falls there tells whether a run has converged. A rate that is zero then would hide it.
    max_gradient_norm : float
        Gradients are clipped to it.
    validations : int
        How often the model is validated.
    seed : int
        Of all draws and of dropout. Weights are the caller's, see `seeded`.
    state_interval_s : float
        Seconds between saved states.
    """

    steps: int
    learning_rate: float = 1e-3
    decay_share: float = 0.0
    settle_share: float = 0.0
    max_gradient_norm: float = 10.0
    validations: int = 20
    seed: int = 0
    state_interval_s: float = 20.0


@dataclass
class Fitted:
    """What a training did.

    Attributes
    ----------
    step : int
        Steps done.
    seconds : float
        Processor time that they took with validation, summed over resumptions.
    curve : list of (step, validation loss)
        Oldest first.
    best_step : int
        Where the weights are from that the model now has.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a model whose random start depends on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def fit(
    model: nn.Module,
    step_loss: StepLoss,
    validate: Validate,
    settings: LoopSettings,
    state: Path,
    *,
    on_step: Callable[[], None] = lambda: None,
) -> Fitted:
    """Train a model in place; it ends with the weights of the lowest validation loss.

    Parameters
    ----------
    model : nn.Module
        Anything.
    step_loss, validate : callable
        See `StepLoss` and `Validate`.
    settings : LoopSettings
        How.
    state : Path
        File of the state; if it is there, the training goes on from it. The caller removes it
        when the result is safe.
    on_step : callable
        Called after each step.

    Returns
    -------
    Fitted

    Raises
    ------
    TrainingError
        If a loss is not finite.
    CheckpointError, OutputError
        If the state cannot be read or written.
    """
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate, fused=True)
    done = Fitted()
    best = copy.deepcopy(model.state_dict())
    if state.exists():
        best = _restore(load_training_state(state), model, optimizer, done)
    validate_every = max(1, settings.steps // settings.validations)
    saved = time.monotonic()
    # Of the processor: other programs on it do not count.
    began = time.process_time() - done.seconds
    while done.step < settings.steps:
        _step(model, optimizer, step_loss, settings, done.step)
        done.step += 1
        if done.step % validate_every == 0 or done.step == settings.steps:
            loss = _validation_loss(model, validate, done.step)
            if not done.curve or loss < min(value for _, value in done.curve):
                best, done.best_step = copy.deepcopy(model.state_dict()), done.step
            done.curve.append((done.step, loss))
        now, done.seconds = time.monotonic(), time.process_time() - began
        if now - saved > settings.state_interval_s or done.step == settings.steps:
            save_training_state(state, _state(model, optimizer, done, best))
            saved = now
        on_step()
    model.load_state_dict(best)
    model.eval()
    return done


def _step(
    model: nn.Module,
    optimizer: torch.optim.Adam,
    step_loss: StepLoss,
    settings: LoopSettings,
    step: int,
) -> None:
    progress = step / settings.steps
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * _decay(progress, settings)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed((settings.seed << 32) + step)  # of dropout
        loss = step_loss(model, np.random.default_rng([settings.seed, step]), progress)
    if not torch.isfinite(loss):
        raise TrainingError(f"the loss is not finite at step {step + 1}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
    optimizer.step()


def _decay(progress: float, settings: LoopSettings) -> float:
    """Give the share of the learning rate that is left."""
    begin = 1.0 - settings.decay_share - settings.settle_share
    if progress <= begin or not settings.decay_share:
        return 1.0
    last = SETTLED_RATE if settings.settle_share else 0.0
    done = min((progress - begin) / settings.decay_share, 1.0)
    return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * done))


def _validation_loss(model: nn.Module, validate: Validate, step: int) -> float:
    model.eval()
    with torch.no_grad():
        loss = float(validate(model))
    if not np.isfinite(loss):
        raise TrainingError(f"the validation loss is not finite at step {step}")
    return loss


def _state(
    model: nn.Module, optimizer: torch.optim.Adam, done: Fitted, best: dict[str, Tensor]
) -> dict[str, Any]:
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": best,
        "step": done.step,
        "seconds": done.seconds,
        "curve": [list(point) for point in done.curve],
        "best_step": done.best_step,
    }


def _restore(
    state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Adam, done: Fitted
) -> dict[str, Tensor]:
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    done.step, done.seconds = state["step"], state["seconds"]
    done.curve = [(step, loss) for step, loss in state["curve"]]
    done.best_step = state["best_step"]
    best: dict[str, Tensor] = state["best"]
    return best
