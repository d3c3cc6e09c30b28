"""LR-M: logistic regression fitted to labels whose times are noisy copies of the events' times.

Source: R. J. Adams and B. M. Marlin, "Learning Time Series Detection Models from Temporally
Imprecise Labels" (AISTATS 2017), with the priors and the start of their published code
(github.com/mlds-lab/weakly_supervised_timeseries_detection).

The model of one recording with features x_i of steps i and labels at times z_1 ≤ ... ≤ z_M::

    y_i ~ Bernoulli(sigmoid(w · x_i))            is there an event in step i
    o_i ~ Bernoulli(π_{y_i})                     was a label set because of step i; Σ o_i = M
    z_m ~ N(t_m + μ, σ²)                         t_m: time of the m-th step with o_i = 1

Labels and steps that were labelled are matched in order. The likelihood p(z | x) sums over all y
and o by dynamic programming over (step, labels so far). Priors: w ~ exp(-λ |w|²), σ² inverse gamma
(1, 1), μ ~ N(0, 1), 1 - π_0 and π_1 ~ Beta(5, 1). Everything is fitted at once, by L-BFGS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

#: λ, the default of the published code; a thousand labels outweigh it.
REGULARISATION = 1.0
_BETA = 5.0
# Log-probability of what cannot be; an infinity would make gradients of nothing.
_IMPOSSIBLE = -1e30

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LrmModel:
    """A fitted model.

    Attributes
    ----------
    weights : ndarray, shape (n_features,)
    bias : float
    mean_steps, deviation_steps : float
        Bias μ and standard deviation σ of the labels' times, as estimated.
    labelled_without, labelled_with : float
        π_0 and π_1: how often a step without and with an event was labelled.
    curve : list of (iteration, validation loss)
        -log p(labels | features) a recording, of recordings that were not fitted.
    """

    weights: Floats
    bias: float
    mean_steps: float
    deviation_steps: float
    labelled_without: float
    labelled_with: float
    curve: list[tuple[int, float]]

    def loss_at(self, iteration: int) -> float:
        """Give the validation loss at the last point of the curve that is not beyond."""
        return [loss for step, loss in self.curve if step <= iteration][-1]

    def probabilities(self, features: NDArray[np.float32]) -> Floats:
        """Give the probability of an event in each step, shape (n_steps,)."""
        logits = features @ self.weights + self.bias
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)


@dataclass(frozen=True)
class LrmBatch:
    """Recordings side by side, padded.

    Attributes
    ----------
    features : Tensor [shape=(n, steps, n_features)]
    inside : Tensor of bool [shape=(n, steps)]
    labels : Tensor [shape=(n, most_labels)]
        Times in steps, ascending; anything beyond the own number.
    n_labels : Tensor of int [shape=(n,)]
    """

    features: Tensor
    inside: Tensor
    labels: Tensor
    n_labels: Tensor

    @classmethod
    def of(
        cls, features: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.int64]]
    ) -> LrmBatch:
        """Pad recordings; in one with more labels than steps the likelihood would be zero."""
        n_steps = torch.tensor([len(rows) for rows in features])
        pad = torch.nn.utils.rnn.pad_sequence
        return cls(
            pad([torch.from_numpy(rows).double() for rows in features], batch_first=True),
            torch.arange(int(n_steps.max())) < n_steps[:, None],
            pad([torch.from_numpy(row).double() for row in labels], batch_first=True),
            torch.tensor([len(row) for row in labels]),
        )


@dataclass(frozen=True)
class LrmParameters:
    """What is fitted, as tensors on scales without limits."""

    weights: Tensor
    bias: Tensor
    mean: Tensor
    log_variance: Tensor
    labelled_logits: Tensor  # (2,): without and with an event

    @classmethod
    def split(cls, flat: Tensor) -> LrmParameters:
        """Take a flat vector apart."""
        return cls(flat[:-5], flat[-5], flat[-4], flat[-3], flat[-2:])

    @classmethod
    def at(cls, values: Floats) -> LrmParameters:
        """Take a flat array apart."""
        return cls.split(torch.from_numpy(values))


def log_likelihood(parameters: LrmParameters, batch: LrmBatch) -> Tensor:
    """Return log p(labels | features) of each recording, shape (n,)."""
    logits = batch.features @ parameters.weights + parameters.bias
    log_event, log_none = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    log_labelled = functional.logsigmoid(parameters.labelled_logits)
    log_unlabelled = functional.logsigmoid(-parameters.labelled_logits)
    skipped = torch.logaddexp(log_none + log_unlabelled[0], log_event + log_unlabelled[1])
    labelled = torch.logaddexp(log_none + log_labelled[0], log_event + log_labelled[1])
    # Padding is passed over for certain.
    skipped = skipped.masked_fill(~batch.inside, 0.0)
    labelled = labelled.masked_fill(~batch.inside, _IMPOSSIBLE)
    steps = torch.arange(batch.inside.shape[1], dtype=logits.dtype)
    error = batch.labels[:, None, :] - steps[:, None] - parameters.mean
    log_density = -0.5 * (
        error.square() / parameters.log_variance.exp()
        + parameters.log_variance
        + math.log(2 * math.pi)
    )
    setting = labelled.unsqueeze(-1) + log_density
    # Entry m: log-probability of the first m labels and of what the steps so far did.
    so_far = torch.full((len(logits), log_density.shape[-1] + 1), _IMPOSSIBLE, dtype=logits.dtype)
    so_far[:, 0] = 0.0
    impossible = so_far[:, :0].new_full((len(logits), 1), _IMPOSSIBLE)
    # Unbound at once: the gradient of an index would fill the whole tensor for every step.
    for passed, set_here in zip(skipped.unsqueeze(-1).unbind(1), setting.unbind(1), strict=True):
        with_label = torch.cat([impossible, so_far[:, :-1] + set_here], 1)
        so_far = torch.logaddexp(so_far + passed, with_label)
    return so_far.gather(1, batch.n_labels[:, None]).squeeze(1)


def log_prior(parameters: LrmParameters) -> Tensor:
    """Return the log-density of all priors, up to a constant."""
    variance = parameters.log_variance.exp()
    weights = parameters.weights.square().sum() + parameters.bias.square()
    signs = torch.tensor([-1.0, 1.0], dtype=variance.dtype)
    log_right = functional.logsigmoid(signs * parameters.labelled_logits).sum()
    return (
        -REGULARISATION * weights
        - 2 * parameters.log_variance
        - 1 / variance
        - 0.5 * parameters.mean.square()
        + (_BETA - 1) * log_right
    )


def fit_lrm(
    batch: LrmBatch,
    valid: LrmBatch,
    *,
    seed: int,
    most_iterations: int,
    n_validations: int = 20,
    on_step: Callable[[], None] = lambda: None,
) -> LrmModel:
    """Fit a model to noisy labels.

    Parameters
    ----------
    batch, valid : LrmBatch
        Standardised features and noisy labels to fit, and others to watch; they choose nothing.
    seed : int
        Of the start.
    most_iterations : int
        Of L-BFGS; it ends earlier where nothing changes any more.
    n_validations : int
        Points of the validation curve after the first.
    on_step : callable
        Called after each iteration.

    Returns
    -------
    LrmModel
    """

    def objective(values: Floats) -> tuple[float, Floats]:
        flat = torch.tensor(values, requires_grad=True)
        parameters = LrmParameters.split(flat)
        nll = -(log_likelihood(parameters, batch).sum() + log_prior(parameters))
        (gradient,) = torch.autograd.grad(nll, flat)
        return float(nll.detach()), gradient.numpy()

    path = [_start(batch.features.shape[-1], seed)]

    def on_iteration(values: Floats) -> None:
        path.append(values.copy())
        on_step()

    options = {"maxiter": most_iterations}
    minimize(
        objective, path[0], jac=True, method="L-BFGS-B", options=options, callback=on_iteration
    )
    shown = np.unique(np.linspace(0, len(path) - 1, n_validations + 1).round().astype(int))
    with torch.no_grad():
        curve = [
            (int(step), -float(log_likelihood(LrmParameters.at(path[step]), valid).mean()))
            for step in shown
        ]
    return _model(LrmParameters.at(path[-1]), curve)


def _start(n_features: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    noise = (0.01 * rng.normal(), math.log(1.0 + 0.1 * rng.random()), -1.0, 1.0)
    return np.concatenate([0.25 * rng.random(n_features + 1), noise])


def _model(parameters: LrmParameters, curve: list[tuple[int, float]]) -> LrmModel:
    labelled_without, labelled_with = parameters.labelled_logits.sigmoid().tolist()
    return LrmModel(
        weights=parameters.weights.numpy(),
        bias=float(parameters.bias),
        mean_steps=float(parameters.mean),
        deviation_steps=math.exp(0.5 * float(parameters.log_variance)),
        labelled_without=labelled_without,
        labelled_with=labelled_with,
        curve=curve,
    )
