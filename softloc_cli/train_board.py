"""``softloc train --tensorboard DIR``: losses and scores as TensorBoard shows them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from softloc.errors import SettingsError
from softloc.training_observers import Observer

#: Names of the curve's columns there; TensorBoard groups by what stands before the slash.
_TAGS = {"train_loss": "loss/training", "valid_loss": "loss/validation"}


class TrainingBoard(Observer):
    """Writes a training as TensorBoard reads it; to be closed.

    Parameters
    ----------
    folder : Path
        Where; made if missing.

    Raises
    ------
    SettingsError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise SettingsError("--tensorboard needs TensorBoard: pip install 'softloc[board]'")
        self._folder = folder
        self._step = 0

    def on_plan(self, steps: int, first_step: int) -> None:  # noqa: ARG002
        """Open the folder; what an interrupted run wrote after its last state is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._step = first_step
        self._writer = SummaryWriter(str(self._folder), purge_step=first_step + 1)

    def on_step(self, loss: float) -> None:
        """Write the loss of a step."""
        self._step += 1
        self._writer.add_scalar("loss/step", loss, self._step)

    def on_validation(self, entry: Mapping[str, float]) -> None:
        """Write a row of the curve."""
        for name, value in entry.items():
            if name.startswith("f1_"):
                self._writer.add_scalar(f"F1/{name.removeprefix('f1_')}", value, self._step)
            elif name not in ("step", "seconds"):
                self._writer.add_scalar(_TAGS.get(name, name), value, self._step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if hasattr(self, "_writer"):
            self._writer.close()
