"""Tables and the figure of the ECG experiments, from their lines alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, pstdev
from typing import TYPE_CHECKING

from benchmarks.paper.report import converged, markdown, spread, valid
from benchmarks.paper.runs import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Lines = Sequence[Line]

TARGETS = {"QRS": "QRS", "T": "T wave"}
METHODS = {"lr-m": "LR-M", "cross-entropy": "cross-entropy", "softloc": "SoftLoc"}
DECODINGS = {
    "paper": "fixed threshold",
    "threshold": "tuned threshold",
    "peaks": "tuned peaks",
    "mass": "mass",
}
NOISES = {
    "normal": "normal, rounded",
    "shift": "±δ",
    "skew": "skew normal, mean 0",
    "skew-biased": "skew normal as published, mean −0.71 σ",
}
#: F1 in per cent of the paper's Table 3, by noise and level: LR-M, cross-entropy, SoftLoc.
PAPER = {
    ("normal", 0): (93.0, 92.6, 93.1),
    ("normal", 1): (80.6, 55.3, 90.6),
    ("normal", 2): (65.9, 36.0, 87.8),
    ("normal", 3): (64.0, 28.9, 83.6),
    ("normal", 4): (55.0, 25.8, 79.0),
    ("shift", 1): (65.5, 41.7, 90.8),
    ("shift", 2): (54.9, 28.3, 87.0),
    ("shift", 3): (44.1, 26.6, 81.7),
    ("shift", 4): (51.8, 22.8, 72.4),
}


def f1_table(target: str, lines: Lines) -> str:
    """F1 at zero tolerance by noise and level, each method decoded the way that suits it best."""
    ours = valid(lines, data="ludb", target=target, variant=None)
    best = {method: best_decoding(valid(ours, method=method)) for method in METHODS}
    titles = [f"{title} ({DECODINGS[best[name]]})" for name, title in METHODS.items()]
    header = ("noise", "level, steps", "the labels", *titles, "paper, puffs")
    rows = []
    for noise, level in _levels(ours):
        here = valid(ours, noise=noise, level=level)
        labels = {line["seed"]: 100 * line["result"]["labels_f1"] for line in here}
        cells = [_cell(valid(here, method=name), best[name]) for name in METHODS]
        paper = " / ".join(f"{f1:.1f}" for f1 in PAPER.get((noise, round(level)), ()))
        label_cell = f"{mean(labels.values()):.1f}"
        rows.append((NOISES[noise], f"{level:g}", label_cell, *cells, paper or "–"))
    return markdown(header, rows)


def decoding_table(lines: Lines) -> str:
    """All ways of decoding: means over all levels of noise, and over the noise-free level."""
    header = (
        "",
        "method",
        *DECODINGS.values(),
        *(f"{how}, no noise" for how in DECODINGS.values()),
    )
    rows = []
    for target, title in TARGETS.items():
        for method, name in METHODS.items():
            ours = converged(valid(lines, data="ludb", target=target, method=method, variant=None))
            if ours:
                parts = (ours, valid(ours, level=0.0))
                cells = [_mean(part, decoding) for part in parts for decoding in DECODINGS]
                rows.append((title, name, *cells))
    return markdown(header, rows)


def difference_table(lines: Lines) -> str:
    """SoftLoc less each other method, fold by fold of the same repetition, best decodings."""
    others = {name: title for name, title in METHODS.items() if name != "softloc"}
    header = ("", "noise", "level, steps", *(f"SoftLoc − {title}" for title in others.values()))
    rows = []
    for target, title in TARGETS.items():
        ours = valid(lines, data="ludb", target=target, variant=None)
        best = {method: best_decoding(valid(ours, method=method)) for method in METHODS}
        for noise, level in _levels(ours):
            folds = {
                method: _by_fold(valid(ours, method=method, noise=noise, level=level), best[method])
                for method in METHODS
            }
            cells = []
            for name in others:
                pairs = folds["softloc"].keys() & folds[name].keys()
                cells.append(spread([folds["softloc"][key] - folds[name][key] for key in pairs]))
            rows.append((title, NOISES[noise], f"{level:g}", *cells))
    return markdown(header, rows)


def clean_table(lines: Lines) -> str:
    """Exact labels of the T wave: softness and weight of the counts, every way of decoding."""
    exact = valid(lines, data="ludb", target="T", noise="normal", level=0.0)
    softloc = valid(exact, method="softloc")
    shapes = {(x["settings"]["softness_steps"], x["settings"]["alpha"]) for x in softloc}
    parts = {
        f"SoftLoc, S = {softness:g}, α = {alpha:g}": valid(
            softloc, softness_steps=softness, alpha=alpha
        )
        for softness, alpha in sorted(shapes, reverse=True)
    }
    parts[METHODS["cross-entropy"]] = valid(exact, method="cross-entropy")
    rows = [
        (title, *(_cell(part, decoding) for decoding in DECODINGS)) for title, part in parts.items()
    ]
    return markdown(("", *DECODINGS.values()), rows if softloc else [])


def noise_table(lines: Lines) -> str:
    """Tell what LR-M estimates of the noise: mean and standard deviation, in steps."""
    header = ("", "noise", "level, steps", "mean, estimated", "standard deviation, estimated")
    rows = []
    for target, title in TARGETS.items():
        ours = valid(lines, data="ludb", target=target, method="lr-m")
        for noise, level in _levels(ours):
            here = converged(valid(ours, noise=noise, level=level))
            estimates = [line["result"]["estimated_noise"] for line in here]
            cells = [
                spread([value for each in estimates for value in each[key]], 2)
                for key in ("mean_steps", "deviation_steps")
            ]
            rows.append((title, NOISES[noise], f"{level:g}", *cells))
    return markdown(header, rows)


def best_decoding(lines: Lines) -> str:
    """Name the decoding with the highest mean F1 over all lines: one for all levels."""
    counted = converged(lines)
    if not counted:
        return "paper"
    return max(
        DECODINGS, key=lambda how: mean(f1 for line in counted for f1 in line["result"]["f1"][how])
    )


def f1_figure(lines: Lines) -> Figure | None:
    """Draw F1 against the level of noise, with standard deviations over folds and repetitions."""
    ours = converged(valid(lines, data="ludb", variant=None))
    if not ours:
        return None
    from matplotlib.figure import Figure  # noqa: PLC0415 - tables need no matplotlib

    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    kinds = ("normal", "shift")
    for row, (target, title) in enumerate(TARGETS.items()):
        for column, kind in enumerate(kinds):
            axes = figure.add_subplot(2, 2, 1 + 2 * row + column)
            for method, name in METHODS.items():
                part = valid(ours, target=target, method=method)
                decoding = best_decoding(part)
                levels = [level for noise, level in _levels(part) if noise == kind or level == 0]
                values = [
                    [100 * f1 for line in _at(part, kind, level) for f1 in _f1(line, decoding)]
                    for level in levels
                ]
                axes.errorbar(
                    levels,
                    [mean(some) for some in values],
                    [pstdev(some) for some in values],
                    marker="o",
                    capsize=3,
                    label=f"{name} ({DECODINGS[decoding]})",
                )
            labels = valid(ours, target=target)
            levels = [level for noise, level in _levels(labels) if noise == kind or level == 0]
            own = [
                mean(100 * line["result"]["labels_f1"] for line in _at(labels, kind, level))
                for level in levels
            ]
            axes.plot(levels, own, "k--", label="the labels themselves")
            axes.set(
                title=f"{title}, {NOISES[kind]}",
                xlabel="level of noise, steps",
                ylabel="F1 at zero tolerance, %",
                ylim=(0, 100),
            )
            axes.legend(fontsize="x-small")
    return figure


def _levels(lines: Lines) -> list[tuple[str, float]]:
    """List noises and levels of lines, in the order of the tables."""
    found = {(line["settings"]["noise"], line["settings"]["level"]) for line in lines}
    return sorted(found, key=lambda pair: (list(NOISES).index(pair[0]), pair[1]))


def _at(lines: Lines, kind: str, level: float) -> list[Line]:
    """Keep lines of a noise; level 0 is the same for all of them."""
    return valid(lines, level=level) if level == 0 else valid(lines, noise=kind, level=level)


def _f1(line: Line, decoding: str) -> list[float]:
    values: list[float] = line["result"]["f1"][decoding]
    return values


def _by_fold(lines: Lines, decoding: str) -> dict[tuple[int, int], float]:
    """F1 in per cent by repetition and fold."""
    return {
        (line["seed"], fold): 100 * f1
        for line in converged(lines)
        for fold, f1 in enumerate(_f1(line, decoding))
    }


def _cell(lines: Lines, decoding: str) -> str:
    n_left_out = len(lines) - len(converged(lines))
    note = f"; {n_left_out} not converged" if n_left_out else ""
    return spread(list(_by_fold(lines, decoding).values())) + note


def _mean(lines: Lines, decoding: str) -> str:
    values = [f1 for line in lines for f1 in _f1(line, decoding)]
    return f"{100 * mean(values):.1f}" if values else "–"


TABLES: Mapping[str, Callable[[Lines], str]] = {
    "ecg-qrs": functools.partial(f1_table, "QRS"),
    "ecg-t": functools.partial(f1_table, "T"),
    "ecg-differences": difference_table,
    "ecg-decodings": decoding_table,
    "ecg-clean": clean_table,
    "ecg-noise": noise_table,
}
FIGURES: Mapping[str, Callable[[Lines], Figure | None]] = {"ecg-f1": f1_figure}
