"""Tables and figures of the piano experiments, from their lines alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, pstdev
from typing import TYPE_CHECKING

from benchmarks.paper.audio_report import better_f1, f1, look, timing
from benchmarks.paper.report import cell, converged, markdown, valid
from benchmarks.paper.runs import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Lines = Sequence[Line]

ROOMS = {"close": "close", "ambient": "ambient"}
LOSSES = {
    "softloc": "SoftLoc, S = 100 ms",
    "sll": "L_SLL",
    "count": "L_MC",
    "cross-entropy": "cross-entropy",
    "cross-entropy-96ms": "cross-entropy, labels of 96 ms",
}
OTHERS = {"soft-bootstrap": "soft bootstrap", "shift-tolerant": "shift-tolerant cross-entropy"}


def _named(lines: Lines, name: str, **settings: float) -> list[Line]:
    return [line for line in valid(lines, **settings) if line["name"] == name]


def _noises(lines: Lines) -> list[float]:
    return sorted({line["settings"]["noise_ms"] for line in lines})


def f1_table(lines: Lines) -> str:
    """F1 against noise: the better of mass and tuned peaks, both rooms (Fig. 5, Table 1)."""
    return _by_loss(lines, better_f1, 1)


def mass_table(lines: Lines) -> str:
    """F1 against noise by mass alone: nothing is tuned."""
    return _by_loss(lines, f1, 1)


def bias_table(lines: Lines) -> str:
    """Bias of the times, decoded by mass, in ms: the rooms' labels are not equally late."""
    return _by_loss(lines, lambda room: timing(room, "bias_ms"), 1)


def _by_loss(
    lines: Lines, value: Callable[[str], Callable[[Line], float | None]], digits: int
) -> str:
    noises = _noises([line for name in LOSSES for line in _named(lines, name)])
    header = ("loss", "room", *(f"σ = {noise:g} ms" for noise in noises))
    rows = []
    for name, title in LOSSES.items():
        for room, where in ROOMS.items():
            cells = [
                cell(_named(lines, name, noise_ms=noise), value(room), digits) for noise in noises
            ]
            rows.append((title, where, *cells))
    return markdown(header, rows if noises else [])


def others_table(lines: Lines) -> str:
    """Losses that the paper does not have, beside its own, at σ = 100 ms."""
    header = ("loss", *(f"{how}, {room}" for room in ROOMS for how in ("by mass", "by peaks")))
    rows = []
    for name, title in {**LOSSES, **OTHERS}.items():
        runs = _chosen(_named(lines, name, noise_ms=100.0))
        if not runs:
            continue
        chosen = f", {runs[0]['settings']['tolerance_ms']:g} ms" if name == "shift-tolerant" else ""
        cells = [cell(runs, f1(room, how)) for room in ROOMS for how in ("mass", "peaks")]
        rows.append((title + chosen, *cells))
    return markdown(header, rows)


def _chosen(runs: Lines) -> Lines:
    """Of runs that differ in the tolerance keep those that noisy validation likes best."""
    by_tolerance: dict[float, list[Line]] = {}
    for run in runs:
        by_tolerance.setdefault(run["settings"]["tolerance_ms"], []).append(run)
    parts = by_tolerance.values()
    return max(
        parts, key=lambda part: mean(run["result"]["noisy_valid_f1"] for run in part), default=[]
    )


def labels_table(lines: Lines) -> str:
    """Noisy labels scored as predictions, means over draws of the noise."""
    runs = sorted(_named(lines, "labels"), key=lambda run: run["settings"]["noise_ms"])
    sets = list(dict.fromkeys(name for run in runs for name in run["result"]["scores"]))
    header = ("set", *(f"σ = {run['settings']['noise_ms']:g} ms" for run in runs))
    rows = [
        (name, *(f"{run['result']['scores'][name]['50ms']['F1']:.1f}" for run in runs))
        for name in sets
    ]
    return markdown(header, rows)


def limit_table(lines: Lines) -> str:
    """S → 0 with the log measure and α = 0, beside cross-entropy, on exact labels."""
    titles = {
        "log-limit": "SoftLoc, S = 0, `log`, α = 0",
        "cross-entropy": "cross-entropy, labels of 32 ms",
        "softloc": "SoftLoc, S = 100 ms",
    }
    header = ("", *(f"F1, {room}" for room in ROOMS), "mass of an event", "its spread, frames")
    rows = []
    for name, title in titles.items():
        runs = _named(lines, name, noise_ms=0.0)
        if runs:
            cells = [cell(runs, better_f1(room)) for room in ROOMS]
            cells += [
                cell(runs, look("close", "mass_mean"), 2),
                cell(runs, look("close", "spread_frames"), 2),
            ]
            rows.append((title, *cells))
    return markdown(header, rows)


def f1_figure(lines: Lines) -> Figure | None:
    """Draw F1 against noise with standard deviations over seeds (Fig. 5)."""
    runs = [line for name in LOSSES for line in converged(_named(lines, name))]
    if not runs:
        return None
    from matplotlib.figure import Figure  # noqa: PLC0415 - tables need no matplotlib

    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    for index, (room, where) in enumerate(ROOMS.items()):
        axes = figure.add_subplot(1, len(ROOMS), index + 1)
        for name, title in LOSSES.items():
            part = _named(runs, name)
            noises = _noises(part)
            values = [
                [better_f1(room)(run) or 0.0 for run in part if run["settings"]["noise_ms"] == n]
                for n in noises
            ]
            means, deviations = [mean(row) for row in values], [pstdev(row) for row in values]
            axes.errorbar(noises, means, deviations, marker="o", capsize=3, label=title)
        labels = [run for run in _named(lines, "labels") if room in run["result"]["scores"]]
        labels.sort(key=lambda run: float(run["settings"]["noise_ms"]))
        own = [run["result"]["scores"][room]["50ms"]["F1"] for run in labels]
        at = [run["settings"]["noise_ms"] for run in labels]
        axes.plot(at, own, "k--", label="the labels themselves")
        axes.set(xlabel="σ of the labels, ms", ylabel="F1 within 50 ms, %", title=where, ylim=0)
        # Most noises lie below 200 ms, two far above.
        axes.set_xscale("symlog", linthresh=200.0)
    figure.axes[0].legend(fontsize="small")
    return figure


TABLES: Mapping[str, Callable[[Lines], str]] = {
    "piano-f1": f1_table,
    "piano-mass": mass_table,
    "piano-bias": bias_table,
    "piano-others": others_table,
    "piano-labels": labels_table,
    "piano-limit": limit_table,
}
FIGURES: Mapping[str, Callable[[Lines], Figure | None]] = {"piano-f1": f1_figure}
