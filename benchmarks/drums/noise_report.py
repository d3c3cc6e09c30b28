"""What label noise costs, drawn: ``python -m benchmarks.drums.noise_report``.

Reads ``results/noise.jsonl``. The table stands in ``benchmarks/README.md`` (`benchmarks.tables`
puts it there); the command draws the picture beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from benchmarks.drums.experiment import RESULTS
from benchmarks.drums.noise import ALPHA

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = Path(__file__).resolve().parents[1] / "drums-noise.png"
SETS = {"valid_kits": "validation kits, rendered", "dev_drums": "real drums, 13 recordings"}
#: Columns of the table: a set, and a mean over classes.
COLUMNS = {
    "validation kits, rendered": ("valid_kits", "mean"),
    "real drums, 13 recordings": ("dev_drums", "mean"),
    "real drums, KD SD HH alone": ("dev_drums", "mean_kd_sd_hh"),
}
WAYS = {"mass": "by mass", "peaks": "tuned peaks"}
WINDOWS = ("50ms", "20ms")

Run = Mapping[str, Any]


def main() -> None:
    """Draw the picture."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the table needs no matplotlib

    from benchmarks.paper.report import save  # noqa: PLC0415 - its tables are made where ours is

    runs = read_runs()
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), SETS, strict=True):
        _draw(axes, runs, name)
    save(figure, PICTURE)


def read_runs(results: Path = RESULTS) -> list[Run]:
    """Read the runs whose weight of the count term the sweep has; others were trials."""
    path = results / "noise.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    runs = [json.loads(line) for line in lines]
    return [run for run in runs if run["settings"]["loss"]["alpha"] == ALPHA]


def rows(runs: Sequence[Run]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Header and rows of the table: a row for each loss, noise and way of reading off."""
    header = ("loss", "σ, ms", "seeds", "read off", *COLUMNS)
    table = []
    for loss, noise_ms in _points(runs):
        part = _at(runs, loss, noise_ms)
        for way, words in WAYS.items():
            cells = [
                " / ".join(_spread(f1_of(part, name, way, window, key)) for window in WINDOWS)
                for name, key in COLUMNS.values()
            ]
            table.append((loss, f"{noise_ms}", f"{len(part)}", words, *cells))
    return header, table


def f1_of(runs: Sequence[Run], name: str, way: str, window: str, key: str = "mean") -> list[float]:
    """Mean F1 over classes of each run."""
    return [run["scores"][name][way][window][key] for run in runs]


def _draw(axes: Axes, runs: Sequence[Run], name: str) -> None:
    for colour, loss in enumerate(dict.fromkeys(run["loss"] for run in runs)):
        for way, line in (("mass", "-"), ("peaks", "--")):
            points = [_at(runs, loss, noise_ms) for at, noise_ms in _points(runs) if at == loss]
            values = [f1_of(part, name, way, "50ms") for part in points]
            axes.errorbar(
                [part[0]["noise_ms"] for part in points],
                [mean(some) for some in values],
                [stdev(some) if len(some) > 1 else 0.0 for some in values],
                color=f"C{colour}",
                linestyle=line,
                marker="o",
                capsize=3,
                label=f"{loss}, {WAYS[way]}",
            )
    axes.set(title=SETS[name], xlabel="σ of the labels, ms", ylabel="mean F1, ±50 ms", ylim=(0, 1))
    axes.legend(fontsize="x-small")


def _points(runs: Sequence[Run]) -> list[tuple[str, int]]:
    """List losses and noises, in the order of the results and by noise."""
    order = list(dict.fromkeys(run["loss"] for run in runs))
    found = {(run["loss"], run["noise_ms"]) for run in runs}
    return sorted(found, key=lambda point: (order.index(point[0]), point[1]))


def _at(runs: Sequence[Run], loss: str, noise_ms: int) -> list[Run]:
    return [run for run in runs if (run["loss"], run["noise_ms"]) == (loss, noise_ms)]


def _spread(values: Sequence[float]) -> str:
    """Mean, with the standard deviation where there is more than one seed."""
    text = f"{mean(values):.3f}".lstrip("0")
    return text if len(values) == 1 else f"{text} ± {f'{stdev(values):.3f}'.lstrip('0')}"


if __name__ == "__main__":
    main()
