"""Tables and figures of the drum experiments, from their lines alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.paper.audio_report import DECODINGS, better_f1, f1, look, timing
from benchmarks.paper.report import cell, converged, markdown, spread, valid
from benchmarks.paper.runs import Line
from benchmarks.paper.shapes import ERROR_BINS_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Line]

SETS = {"test": "kits never heard", "dev": "13 real recordings", "idmt": "IDMT-SMT-Drums"}
#: Those that everybody has.
_ALWAYS = ("test", "dev")
#: Standard deviation of the Nadaraya-Watson kernel, in noise and in softness.
BANDWIDTH_MS = 15.0
CLEAN = {
    "clean-softloc": "SoftLoc, S = 100 ms",
    "clean-counts": "SoftLoc, S → ∞",
    "clean-paper-network": "SoftLoc, S = 100 ms, the paper's network to the letter",
    "clean-small-network": "SoftLoc, S = 100 ms, the library's network `small`",
    "look-cross-entropy": "cross-entropy, same network",
    "clean-tanh": "RNN (tanh, both ways), cross-entropy",
    "clean-lstm": "LSTM (both ways), cross-entropy",
    "clean-gru": "GRU (30 ms later), cross-entropy",
}
LOOKS = {
    "look-softloc": "SoftLoc",
    "look-likelihood": "likelihood",
    "look-sll": "L_SLL",
    "look-count": "L_MC",
    "look-cross-entropy": "cross-entropy",
    "look-label-smoothing": "label smoothing",
}


def _named(lines: Lines, *names: str) -> list[Line]:
    return [line for line in valid(lines) if line["name"] in names]


def _sets(lines: Lines) -> dict[str, str]:
    """Keep the test sets that were there."""
    known = {name for line in lines for name in line["result"].get("scores", {})}
    return {name: title for name, title in SETS.items() if name in known}


def _noises(lines: Lines) -> list[float]:
    return sorted({line["settings"]["noise_ms"] for line in lines})


# --- Figure 6 --------------------------------------------------------------------------------


def nadaraya_watson(
    places: ArrayLike, values: ArrayLike, at: ArrayLike, bandwidth: float = BANDWIDTH_MS
) -> NDArray[np.float64]:
    """Average values around places, weighted by a Gaussian of the distance.

    Parameters
    ----------
    places : array, shape (n, d)
    values : array, shape (n,)
    at : array, shape (m, d)
    bandwidth : float
        Standard deviation of the Gaussian.

    Returns
    -------
    ndarray, shape (m,)
    """
    squares = np.square(np.asarray(at)[:, None] - np.asarray(places)).sum(axis=-1)
    # The nearest place has weight 1: far from all places nothing is divided by zero.
    weights = np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True)) / bandwidth**2)
    return np.asarray(weights @ np.asarray(values, dtype=np.float64) / weights.sum(axis=1))


def _map_points(lines: Lines, test: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Noise and softness of the runs that count, and their F1."""
    runs = converged(_named(lines, "map"))
    places = [(r["settings"]["noise_ms"], float(r["settings"]["softness_ms"])) for r in runs]
    values = [f1(test)(run) or 0.0 for run in runs]
    return np.array(places).reshape(-1, 2), np.array(values)


def map_table(lines: Lines) -> str:
    """Nadaraya-Watson estimates of F1; none where no run is near."""
    softness = (10.0, 30.0, 50.0, 75.0, 100.0, 150.0)
    noises = (0.0, 25.0, 50.0, 75.0, 100.0)
    header = ("set (runs)", "S, ms", *(f"σ = {noise:g} ms" for noise in noises))
    rows = []
    for test, title in _sets(lines).items():
        places, values = _map_points(lines, test)
        if not len(places):
            continue
        for soft in softness:
            at = [(noise, soft) for noise in noises]
            estimates = nadaraya_watson(places, values, at)
            cells = [
                f"{estimate:.1f}" if is_near else "–"
                for estimate, is_near in zip(estimates, _are_near(places, at), strict=True)
            ]
            rows.append((f"{title} ({len(places)})", f"{soft:g}", *cells))
    return markdown(header, rows)


def _are_near(places: NDArray[np.float64], at: ArrayLike) -> list[bool]:
    """Tell which places have a run within two standard deviations of the kernel."""
    distances = np.sqrt(np.square(np.asarray(at)[:, None] - places).sum(axis=-1))
    return [bool(near) for near in distances.min(axis=1) <= 2 * BANDWIDTH_MS]


def flat_table(lines: Lines) -> str:
    """Compare runs whose softness is at least the noise with the others."""
    runs = _named(lines, "map")
    header = ("runs", *(f"F1, {title}" for title in _sets(lines).values()))

    def is_soft(line: Line) -> bool:
        return float(line["settings"]["softness_ms"]) >= float(line["settings"]["noise_ms"])

    parts = {
        "S ≥ σ": [line for line in runs if is_soft(line)],
        "S < σ": [line for line in runs if not is_soft(line)],
    }
    rows = [
        (name, *(cell(part, f1(test)) for test in _sets(lines)))
        for name, part in parts.items()
        if part
    ]
    return markdown(header, rows)


def map_figure(lines: Lines) -> Figure | None:
    """Draw the map of F1 over noise and softness, with the runs it is made of."""
    tests = _sets(lines)
    if not len(_map_points(lines, "test")[0]):
        return None
    figure = _figure(5.2 * len(tests), 4.2)
    for index, (test, title) in enumerate(tests.items()):
        axes = figure.add_subplot(1, len(tests), index + 1)
        places, values = _map_points(lines, test)
        noise, soft = np.meshgrid(np.linspace(0, 100, 81), np.linspace(0, 150, 121))
        at = np.stack((noise.ravel(), soft.ravel()), axis=1)
        height = nadaraya_watson(places, values, at).reshape(noise.shape)
        picture = axes.pcolormesh(noise, soft, height, shading="auto", cmap="viridis")
        axes.scatter(places[:, 0], places[:, 1], c=values, cmap="viridis", edgecolors="white", s=22)
        axes.plot([0, 100], [0, 100], "w--", linewidth=1)
        axes.set(xlabel="σ of the labels, ms", ylabel="softness S, ms", title=title)
        figure.colorbar(picture, ax=axes, label="F1, %")
    return figure


# --- tables ----------------------------------------------------------------------------------


def clean_table(lines: Lines) -> str:
    """Table 2: exact labels."""
    keys = ("KD", "SD", "HH", "P", "R", "F1")
    header = ("", "set", "decoding", *keys)
    rows = []
    for name, title in CLEAN.items():
        runs = valid(_named(lines, name), noise_ms=0.0)
        for test, where in _sets(runs).items():
            rows += [
                (
                    title,
                    where,
                    DECODINGS[decoding],
                    *(cell(runs, f1(test, decoding, key)) for key in keys),
                )
                for decoding in ("mass", "peaks")
            ]
    return markdown(header, rows)


def annotators_table(lines: Lines) -> str:
    """Three annotators of the same data (Section 4.4)."""
    titles = {
        "annotators-one-softness": "all three, S = 100 ms for all",
        "annotators-each": "all three, a softness each",
        "annotators-best-alone": "the best (σ = 10 ms) alone",
    }
    return _by_name(lines, titles)


def equations_table(lines: Lines) -> str:
    """Eq. 5 and 6 as trainings, beside what they should equal."""
    titles = {
        "eq5": "L_SLL, S = 0, `log` (Eq. 5)",
        "eq5-cross-entropy": "cross-entropy, labels of one frame",
        "eq6": "SoftLoc, S = ∞ (Eq. 6)",
        "clean-counts": "SoftLoc, S = ∞ (Eq. 6)",
        "look-count": "L_MC",
    }
    return _by_name(lines, titles, noises_ms=(0.0, 50.0))


def long_table(lines: Lines) -> str:
    """Beginnings and ends of sustained tones."""
    runs = _named(lines, "long")
    header = ("σ, ms", "begin", "end", "all, ±20 ms", "bias, ms", "σ of the errors, ms")
    rows = []
    for noise_ms in _noises(runs):
        part = valid(runs, noise_ms=noise_ms)
        values = (
            f1("test", key="begin"),
            f1("test", key="end"),
            f1("test", window="20ms"),
            timing("test", "bias_ms"),
            timing("test", "sigma_ms"),
        )
        rows.append((f"{noise_ms:g}", *(cell(part, value) for value in values)))
    return markdown(header, rows)


def looks_table(lines: Lines) -> str:
    """Describe predictions around real events, on the test kits."""
    header = (
        "loss",
        "σ, ms",
        "mass of an event",
        "its spread, frames",
        "in one or two frames, %",
        *(f"F1 {title}" for title in DECODINGS.values()),
    )
    rows = []
    for name, title in LOOKS.items():
        runs = _named(lines, name)
        for noise_ms in _noises(runs):
            part = valid(runs, noise_ms=noise_ms)
            rows.append(
                (
                    title,
                    f"{noise_ms:g}",
                    cell(part, look("test", "mass_mean"), 2),
                    cell(part, look("test", "spread_frames"), 2),
                    cell(part, _sharp_percent),
                    *(cell(part, f1("test", decoding)) for decoding in DECODINGS),
                )
            )
    return markdown(header, rows)


def single_looks_table(lines: Lines) -> str:
    """Every run at each noise by itself, those that have not converged, too."""
    header = (
        "loss",
        "σ, ms",
        "seed",
        "converged",
        *(f"{SETS[test]}, {way}" for test in _ALWAYS for way in ("by mass", "by peaks")),
    )
    rows = [
        (
            title,
            f"{line['settings']['noise_ms']:g}",
            f"{line['seed']}",
            "yes" if converged([line]) else "no",
            *(_both_windows(line, test, way) for test in _ALWAYS for way in ("mass", "peaks")),
        )
        for name, title in LOOKS.items()
        for line in sorted(
            valid(_named(lines, name)), key=lambda run: (run["settings"]["noise_ms"], run["seed"])
        )
    ]
    return markdown(header, rows)


def _both_windows(line: Line, test: str, decoding: str) -> str:
    values = [f1(test, decoding, window=window)(line) for window in ("50ms", "20ms")]
    return " / ".join("–" if value is None else f"{value:.1f}" for value in values)


def _sharp_percent(line: Line) -> float | None:
    share = look("test", "sharp_share")(line)
    return None if share is None else 100.0 * share


def edges_table(lines: Lines) -> str:
    """Target counts as distributions, and longer windows."""
    titles = {
        "look-softloc": "counts as they are, 1.5 s",
        "edges-distribution": "counts as distributions, 1.5 s",
        "edges-long-windows": "counts as they are, 3 s",
    }
    return _by_name(lines, titles, noises_ms=(100.0, 200.0))


def reading_table(lines: Lines) -> str:
    """Causal against bidirectional LSTM, at σ = 100 ms."""
    header = ("loss", "LSTM", "set", "F1", "F1 at ±20 ms", "bias, ms")
    rows = []
    for loss in ("softloc", "cross-entropy", "label-smoothing"):
        for prefix, title in (("look", "causal"), ("reading-both-ways", "both ways")):
            runs = valid(_named(lines, f"{prefix}-{loss}"), noise_ms=100.0)
            rows += [
                (
                    LOOKS[f"look-{loss}"],
                    title,
                    where,
                    cell(runs, better_f1(test)),
                    cell(runs, better_f1(test, "20ms")),
                    cell(runs, timing(test, "bias_ms")),
                )
                for test, where in _sets(runs).items()
            ]
    return markdown(header, rows)


def hops_table(lines: Lines) -> str:
    """Continuous-time smoothing against frames, at three hops."""
    header = ("hop", "labels", "set", "F1", "F1 at ±20 ms", "bias, ms", "σ of the errors, ms")
    hops = {"drums-5ms": "5 ms", "drums": "10 ms", "drums-20ms": "20 ms"}
    targets = {"frames": "in frames", "continuous": "at their times"}
    rows = []
    for size, hop in hops.items():
        for target, title in targets.items():
            runs = valid(_named(lines, f"hop-{target}"), size=size)
            for test, where in _sets(runs).items():
                values = (
                    f1(test),
                    f1(test, window="20ms"),
                    timing(test, "bias_ms"),
                    timing(test, "sigma_ms"),
                )
                rows.append((hop, title, where, *(cell(runs, value) for value in values)))
    return markdown(header, rows)


def schedules_table(lines: Lines) -> str:
    """Weight of the counts over training, at σ = 50 ms."""
    runs = valid(_named(lines, "schedule", "look-softloc"), noise_ms=50.0)
    header = ("α", *(f"F1, {title}" for title in _sets(runs).values()))
    alphas = list(dict.fromkeys(str(run["settings"]["alpha"]) for run in runs))
    rows = []
    for alpha in alphas:
        part = [run for run in runs if str(run["settings"]["alpha"]) == alpha]
        rows.append((alpha, *(cell(part, f1(test)) for test in _sets(runs))))
    return markdown(header, rows)


def runs_table(lines: Lines) -> str:
    """Count runs, how many converged, and what they cost."""
    names = list(dict.fromkeys(line["name"] for line in lines))
    rows = []
    for name in names:
        part = [line for line in lines if line["name"] == name]
        minutes = [line["seconds"] / 60 for line in part]
        failed = sum("error" in line["result"] for line in part)
        n_converged = str(len(converged(part)))
        rows.append((f"`{name}`", str(len(part)), n_converged, str(failed), spread(minutes)))
    return markdown(("runs", "done", "converged", "failed", "minutes each"), rows)


def _by_name(
    lines: Lines, titles: Mapping[str, str], noises_ms: Sequence[float] | None = None
) -> str:
    """One row for each name and noise: F1 by mass, by peaks and at ±20 ms."""
    header = ("", "σ, ms", "set", "F1 by mass", "F1 by peaks", "by mass at ±20 ms", "bias, ms")
    rows = []
    for name, title in titles.items():
        runs = _named(lines, name)
        for noise_ms in noises_ms or _noises(runs):
            part = valid(runs, noise_ms=noise_ms)
            noise = "10, 50, 150" if name.startswith("annotators") else f"{noise_ms:g}"
            noise = "10" if name == "annotators-best-alone" else noise
            for test, where in _sets(part).items():
                values = (
                    f1(test),
                    f1(test, "peaks"),
                    f1(test, window="20ms"),
                    timing(test, "bias_ms"),
                )
                rows.append((title, noise, where, *(cell(part, value) for value in values)))
    return markdown(header, rows)


# --- Figures 4, 8, 9 -------------------------------------------------------------------------


def looks_figure(lines: Lines) -> Figure | None:
    """Draw the mean prediction around real events: a column a loss, a row a noise."""

    def draw(axes: Axes, run: Line) -> None:
        found = run["result"]["predictions"]["test"]
        for example in found.get("examples", []):
            axes.plot(_lags_ms(found), example, color="0.75", linewidth=0.8)
        if "mean_curve" in found:
            axes.plot(_lags_ms(found), found["mean_curve"], color="C0")
        axes.axvline(0.0, color="C3", linewidth=0.8)

    return _grid(lines, draw, "time after the event, ms")


def errors_figure(lines: Lines) -> Figure | None:
    """Draw the errors of times decoded by mass: a column a loss, a row a noise."""

    def draw(axes: Axes, run: Line) -> None:
        counts = run["result"]["predictions"]["test"]["error_counts"]
        axes.stairs(counts, ERROR_BINS_MS, fill=True)
        axes.axvline(0.0, color="C3", linewidth=0.8)

    return _grid(lines, draw, "estimate minus truth, ms")


def _lags_ms(found: Mapping[str, Any]) -> NDArray[np.float64]:
    reach = len(found["mean_curve"]) // 2
    return np.linspace(-reach, reach, 2 * reach + 1) * float(found["hop_ms"])


def _grid(lines: Lines, draw: Callable[[Axes, Line], None], xlabel: str) -> Figure | None:
    """Draw the first run of each loss and noise."""
    runs = converged(_named(lines, *LOOKS))
    noises = _noises(runs)
    names = [name for name in LOOKS if any(run["name"] == name for run in runs)]
    if not runs:
        return None
    figure = _figure(2.6 * len(names), 1.8 * len(noises))
    for row, noise_ms in enumerate(noises):
        for column, name in enumerate(names):
            axes = figure.add_subplot(len(noises), len(names), row * len(names) + column + 1)
            for run in valid(_named(runs, name), noise_ms=noise_ms)[:1]:
                draw(axes, run)
            if not row:
                axes.set_title(LOOKS[name])
            if not column:
                axes.set_ylabel(f"σ = {noise_ms:g} ms")
            if row == len(noises) - 1:
                axes.set_xlabel(xlabel)
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415 - tables need no matplotlib

    return Figure(figsize=(width, height), layout="constrained")


TABLES: Mapping[str, Callable[[Lines], str]] = {
    "drums-map": map_table,
    "drums-flat": flat_table,
    "drums-clean": clean_table,
    "drums-annotators": annotators_table,
    "drums-equations": equations_table,
    "drums-long": long_table,
    "drums-looks": looks_table,
    "drums-single-looks": single_looks_table,
    "drums-edges": edges_table,
    "drums-reading": reading_table,
    "drums-hops": hops_table,
    "drums-schedules": schedules_table,
    "drums-runs": runs_table,
}
FIGURES: Mapping[str, Callable[[Lines], Figure | None]] = {
    "drums-map": map_figure,
    "drums-looks": looks_figure,
    "drums-errors": errors_figure,
}
