"""Processes that train one model together, as torchrun starts them.

Conventions
-----------
- Every process holds the whole network and works on its share of each batch; gradients are
  averaged (`torch.nn.parallel.DistributedDataParallel`).
- The first process leads: it alone decodes, validates, writes and speaks.
- Batch normalisation counts the windows of all processes, so that several learn what one learns.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from softloc.errors import SettingsError

Told = TypeVar("Told")

#: How long processes wait for each other: for the first one, it may decode and validate for long.
_PATIENCE = timedelta(hours=12)

#: How long they wait until all have started: those of other machines may import slowly.
_MEETING = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a training, as one of them sees them; one alone by default.

    Attributes
    ----------
    rank : int
        Which of them this is, from 0.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, n_rows: int) -> slice:
        """Rows of a batch that fall to this process; all processes have as many."""
        return slice(self.rank * n_rows // self.size, (self.rank + 1) * n_rows // self.size)

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a value over all processes."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def tell(self, value: Told) -> Told:
        """Give every process the value that the first one has; it is pickled."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told)
        return told[0]


#: A process that trains by itself.
ALONE = Team()

#: Groups that were left, kept until the interpreter ends: older PyTorch drops a group with Python's
#: lock held and waits for its threads, which may just then be waiting for that lock.
_GROUPS_LEFT: list[object] = []


def own_device(device: str) -> str:
    """Device of this process among several on a machine: ``cuda`` becomes ``cuda:1`` and so on."""
    if device == "cuda" and "WORLD_SIZE" in os.environ:
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return device


@contextlib.contextmanager
def join_team(device: str) -> Iterator[Team]:
    """Meet the other processes that torchrun has started, if it has started this one.

    Parameters
    ----------
    device : str
        Where this process computes, which decides how they talk: Gloo, and NCCL between GPUs.

    Yields
    ------
    Team

    Raises
    ------
    SettingsError
        If the device cannot be shared work on, or the processes do not find each other.
    """
    if "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    kind = torch.device(device).type
    if kind not in ("cpu", "cuda"):
        raise SettingsError(f"several processes train on cpu or cuda, not on {device}")
    if kind == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, size = next(rendezvous("env://", timeout=_MEETING))
        store.set_timeout(_PATIENCE)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=_PATIENCE,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"the processes of this training do not find each other ({reason}); does torchrun "
            "start them, with the same --master-addr and --master-port on all machines?"
        ) from error
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        _GROUPS_LEFT.append(distributed.group.WORLD)
        distributed.destroy_process_group()


def share_gradients(network: nn.Module, team: Team) -> nn.Module:
    """Wrap a network so that its processes train it together; the weights stay those of `network`.

    Every process gets the first one's weights. `network` itself is changed: its batch
    normalisation counts the windows of all processes.
    """
    if team.size == 1:
        return network
    _synchronise_norms(network, team)
    return nn.parallel.DistributedDataParallel(network)


def _synchronise_norms(module: nn.Module, team: Team) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _SharedBatchNorm(child, team))
        else:
            _synchronise_norms(child, team)


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the windows of all processes.

    PyTorch's own is for GPUs only; one for all devices is one that can be tested on any.
    """

    def __init__(self, norm: nn.BatchNorm2d, team: Team) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        # The very same tensors: an optimiser may hold them already.
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self._team = team

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.float()
        n_values = self._team.size * values.numel() // values.shape[1]
        mean = self._sum(values) / n_values
        centred = values - mean.view(1, -1, 1, 1)
        variance = self._sum(centred.square()) / n_values
        self._remember(mean.detach(), variance.detach() * n_values / (n_values - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)

    def _sum(self, values: Tensor) -> Tensor:
        """Sum of each channel over all processes."""
        total: Tensor = _SumOverProcesses.apply(  # type: ignore[no-untyped-call]
            values.sum((0, 2, 3))
        )
        return total

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None  # noqa: S101
        assert self.running_var is not None  # noqa: S101
        assert self.num_batches_tracked is not None  # noqa: S101
        assert self.momentum is not None  # noqa: S101
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes; what depends on the sum in any of them counts for its gradient."""

    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
