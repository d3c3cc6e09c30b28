"""The course of a training, beside its weights: JSON Lines, and a picture made from them."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from softloc.errors import SettingsError
from softloc.files import atomic_path, to_json, write_text_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, float | None]

_LOSSES = {"train_loss": "training", "valid_loss": "validation"}
_DOTS_PER_INCH = 120


def write_curve(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one JSON object a validation; what is no number in it becomes null.

    Parameters
    ----------
    path : Path
        File to replace.
    rows : sequence of Mapping
        What each validation found.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_text_atomic(path, "".join(f"{to_json(row)}\n" for row in rows))


def read_curve(path: Path) -> list[Row]:
    """Read what `write_curve` wrote.

    Raises
    ------
    SettingsError
        If a line is no JSON object with a step.
    """
    rows: list[Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise SettingsError(f"{path}, line {number}: no validation of a training")
        rows.append(row)
    return rows


def can_plot() -> bool:
    """Whether matplotlib is installed (``pip install 'softloc[plots]'``)."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_curve(curve: Path, picture: Path) -> None:
    """Draw losses and F1 over the steps, from the JSON Lines of `write_curve`, as PNG.

    Parameters
    ----------
    curve : Path
        The JSON Lines.
    picture : Path
        File to replace.

    Raises
    ------
    SettingsError
        If the lines are no course of a training.
    OutputError
        If the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows = read_curve(curve)
    figure = Figure(figsize=(7.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)  # no window, whatever the user's settings
    above, below = figure.subplots(2, 1, sharex=True)
    _draw(above, rows, _LOSSES)
    above.set_ylabel("loss")
    _draw(below, rows, {name: _tolerance(name) for name in _scores(rows)})
    below.set_ylabel("F1, mean over classes")
    below.set_ylim(0.0, 1.0)
    below.set_xlabel("step")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=_DOTS_PER_INCH)


def _scores(rows: Sequence[Row]) -> list[str]:
    return [name for name in (rows[0] if rows else ()) if name.startswith("f1_")]


def _tolerance(name: str) -> str:
    """``f1_50ms`` as people write it."""
    return f"±{name.removeprefix('f1_').removesuffix('ms')} ms"


def _draw(axes: Axes, rows: Sequence[Row], names: Mapping[str, str]) -> None:
    for name, title in names.items():
        axes.plot(_column(rows, "step"), _column(rows, name), "o-", markersize=3, label=title)
    axes.grid(alpha=0.3)
    if names:
        axes.legend()


def _column(rows: Sequence[Row], name: str) -> list[float]:
    return [math.nan if (value := row.get(name)) is None else value for row in rows]
