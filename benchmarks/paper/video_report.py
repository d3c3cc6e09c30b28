"""Tables and figures of the video experiments, from their lines alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.paper.report import converged, markdown, spread, valid
from benchmarks.paper.runs import Line
from benchmarks.paper.video_data import SETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Lines = Sequence[Line]

LOSSES = {"cross-entropy": "cross-entropy", "sll": "L_SLL", "softloc": "SoftLoc"}
#: The paper's softness, in steps; other ones are the sweep's.
SOFTNESS_STEPS = 4.2
#: The paper's Tables 4 and 5, in per cent: set, loss, overlap to seconds of shift to F1.
PAPER: Mapping[tuple[str, str, int], Mapping[int, float]] = {
    ("50salads_mid", "cross-entropy", 10): {0: 66.7, 5: 59.7, 10: 43.4, 20: 26.7},
    ("50salads_mid", "sll", 10): {0: 66.7, 5: 60.6, 10: 47.5, 20: 28.0},
    ("50salads_mid", "softloc", 10): {0: 67.2, 5: 61.5, 10: 48.0, 20: 29.5},
    ("50salads_mid", "cross-entropy", 50): {0: 51.8, 5: 38.5, 10: 19.7, 20: 6.9},
    ("50salads_mid", "sll", 50): {0: 50.7, 5: 38.8, 10: 22.3, 20: 7.8},
    ("50salads_mid", "softloc", 50): {0: 49.8, 5: 39.5, 10: 23.4, 20: 7.5},
    ("gtea", "cross-entropy", 10): {0: 74.7, 5: 64.3, 10: 37.1, 20: 23.8},
    ("gtea", "sll", 10): {0: 74.1, 5: 64.3, 10: 41.3, 20: 22.8},
    ("gtea", "softloc", 10): {0: 73.4, 5: 65.2, 10: 43.8, 20: 22.5},
    ("gtea", "cross-entropy", 50): {0: 59.3, 5: 33.0, 10: 12.0, 20: 7.8},
    ("gtea", "sll", 50): {0: 54.5, 5: 33.7, 10: 14.3, 20: 5.9},
    ("gtea", "softloc", 50): {0: 52.0, 5: 34.8, 10: 15.4, 20: 5.1},
}


def reference_table(lines: Lines) -> str:
    """Cross-entropy on exact labels beside what Lea et al. released, same splits."""
    header = ("set", "splits", "F1@", "released", "ours", "difference")
    rows = []
    for name, spec in SETS.items():
        ours = _table_lines(lines, name, "cross-entropy", 0)
        for overlap, released in spec.reference.items():
            found = over_splits(ours, f"f1_{overlap}", spec.reference_splits)
            gap = f"{mean(found) - released:+.1f}" if found else "–"
            splits = ", ".join(map(str, spec.reference_splits))
            rows.append((spec.title, splits, str(overlap), f"{released}", spread(found), gap))
    return markdown(header, rows if lines else [])


def f1_table(name: str, overlap: int, lines: Lines) -> str:
    """F1 by loss and shift, over all splits, with the spread over seeds and the paper's figures."""
    ours = valid(lines, set=name)
    shifts = sorted({line["settings"]["shift_steps"] for line in ours})
    header = ("", *(_shift_title(name, shift) for shift in shifts))
    rows = [
        ("the labels of training", *(_labels(valid(ours, shift_steps=s), overlap) for s in shifts))
    ]
    for loss, title in LOSSES.items():
        cells = [_f1_cell(_table_lines(ours, name, loss, shift), name, overlap) for shift in shifts]
        rows.append((title, *cells))
    for loss, title in LOSSES.items():
        paper = PAPER[name, loss, overlap]
        cells = [
            f"{paper[s]}" if (s := _seconds(name, shift)) in paper else "–" for shift in shifts
        ]
        rows.append((f"{title}, the paper", *cells))
    return markdown(header, rows if shifts else [])


def difference_table(lines: Lines) -> str:
    """Losses less cross-entropy, split by split of the same seed."""
    header = ("set", "F1@", "loss", "shift", "less cross-entropy")
    rows = []
    for name, spec in SETS.items():
        shifts = sorted({line["settings"]["shift_steps"] for line in valid(lines, set=name)})
        for overlap in (10, 50):
            for loss in ("sll", "softloc"):
                for shift in shifts:
                    ours = _by_split(_table_lines(lines, name, loss, shift), f"f1_{overlap}")
                    base = _by_split(
                        _table_lines(lines, name, "cross-entropy", shift), f"f1_{overlap}"
                    )
                    gaps = [ours[key] - base[key] for key in ours.keys() & base.keys()]
                    title = _shift_title(name, shift)
                    rows.append((spec.title, str(overlap), LOSSES[loss], title, spread(gaps)))
    return markdown(header, rows)


def softness_table(lines: Lines) -> str:
    """SoftLoc on split 1 of 50 Salads: F1@10 over that of cross-entropy, by softness and shift."""
    shifts, softnesses = _sweep(lines)
    header = ("softness", *(_shift_title("50salads_mid", shift) for shift in shifts))
    rows = []
    for softness in softnesses:
        cells = [spread(relative_f1(lines, softness, shift), 2) for shift in shifts]
        rows.append((f"{softness * SETS['50salads_mid'].step_s:g} s", *cells))
    return markdown(header, rows)


def softness_figure(lines: Lines) -> Figure | None:
    """Draw the same (Fig. 10)."""
    shifts, softnesses = _sweep(lines)
    if not softnesses:
        return None
    from matplotlib.figure import Figure  # noqa: PLC0415 - tables need no matplotlib

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    step_s = SETS["50salads_mid"].step_s
    for shift in shifts:
        values = {s: relative_f1(lines, s, shift) for s in softnesses}
        known = [softness for softness in softnesses if values[softness]]
        axes.plot(
            [softness * step_s for softness in known],
            [mean(values[softness]) for softness in known],
            marker="o",
            label=f"δ = {_shift_title('50salads_mid', shift)}",
        )
    axes.axhline(1.0, color="black", linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set(xlabel="softness, s", ylabel="F1@10 of SoftLoc / of cross-entropy")
    axes.legend(fontsize="small")
    return figure


def relative_f1(lines: Lines, softness: float, shift: int) -> list[float]:
    """F1@10 of SoftLoc with this softness over that of cross-entropy, split 1, seed by seed."""
    here = valid(lines, set="50salads_mid", split=1, shift_steps=shift)
    base = _by_split(valid(here, loss="cross-entropy"), "f1_10")
    ours = _by_split(valid(here, loss="softloc", softness_steps=softness), "f1_10")
    return [ours[key] / base[key] for key in sorted(ours.keys() & base.keys()) if base[key]]


def over_splits(lines: Lines, key: str, splits: Sequence[int]) -> list[float]:
    """Mean over splits in per cent, seed by seed, where no split is missing."""
    values = _by_split(lines, key)
    seeds = sorted({seed for _, seed in values})
    return [
        mean(values[split, seed] for split in splits)
        for seed in seeds
        if all((split, seed) in values for split in splits)
    ]


def _table_lines(lines: Lines, name: str, loss: str, shift: int) -> list[Line]:
    """Keep the runs of one cell, not those of the softness sweep."""
    here = valid(lines, set=name, loss=loss, shift_steps=shift)
    return [
        line
        for line in here
        if line["settings"].get("softness_steps", SOFTNESS_STEPS) == SOFTNESS_STEPS
    ]


def _by_split(lines: Lines, key: str) -> dict[tuple[int, int], float]:
    """Score in per cent by split and seed, of runs that converged."""
    return {
        (line["settings"]["split"], line["seed"]): 100 * line["result"][key]
        for line in converged(lines)
    }


def _f1_cell(lines: Lines, name: str, overlap: int) -> str:
    """Write the spread over seeds of the mean over all splits; failing that, of some splits."""
    n_left_out = len(lines) - len(converged(lines))
    note = f"; {n_left_out} not converged" if n_left_out else ""
    n_splits = SETS[name].n_splits
    complete = over_splits(lines, f"f1_{overlap}", range(1, n_splits + 1))
    some = _by_split(lines, f"f1_{overlap}")
    if complete or not some:
        return spread(complete) + note
    found = sorted({split for split, _ in some})
    if len(found) == n_splits:
        return f"{mean(some.values()):.1f} (all splits, but of no one seed){note}"
    known = ", ".join(str(split) for split in found)
    return f"{mean(some.values()):.1f} (of {n_splits} splits only {known}){note}"


def _labels(lines: Lines, overlap: int) -> str:
    values = [100 * line["result"]["labels"][f"f1_{overlap}"] for line in lines]
    return f"{mean(values):.1f}" if values else "–"


def _seconds(name: str, shift_steps: int) -> int:
    return round(shift_steps * SETS[name].step_s)


def _shift_title(name: str, shift_steps: int) -> str:
    """Seconds where they are known, steps where a rate is only assumed."""
    if name == "gtea":
        return f"{shift_steps} steps"
    return f"{_seconds(name, shift_steps)} s"


def _sweep(lines: Lines) -> tuple[list[int], list[float]]:
    """List shifts and softnesses of the runs on split 1 of 50 Salads, if any is of the sweep."""
    ours = valid(lines, set="50salads_mid", split=1, loss="softloc")
    softnesses = sorted({line["settings"]["softness_steps"] for line in ours})
    if softnesses in ([], [SOFTNESS_STEPS]):
        return [], []
    return sorted({line["settings"]["shift_steps"] for line in ours}), softnesses


TABLES: Mapping[str, Callable[[Lines], str]] = {
    "video-reference": reference_table,
    "video-50salads-10": functools.partial(f1_table, "50salads_mid", 10),
    "video-50salads-50": functools.partial(f1_table, "50salads_mid", 50),
    "video-gtea-10": functools.partial(f1_table, "gtea", 10),
    "video-gtea-50": functools.partial(f1_table, "gtea", 50),
    "video-differences": difference_table,
    "video-softness": softness_table,
}
FIGURES: Mapping[str, Callable[[Lines], Figure | None]] = {"video-softness": softness_figure}
