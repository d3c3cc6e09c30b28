"""Make tables and figures from the lines: ``python -m benchmarks.paper.report``.

Replaces what stands between ``<!-- name -->`` and ``<!-- /name -->`` in ``benchmarks/paper/
README.md`` and draws ``benchmarks/paper/figures/<name>.png``. Nothing else is read than the lines
of `benchmarks.paper.runs` that belong to runs as they are listed now (a sweep that was stopped
gives tables of what is there, with the number of runs beside each mean); a table or figure without
any line says so, or is not drawn.

The module ``benchmarks.paper.<experiment>_report`` has

``TABLES : Mapping[str, Callable[[Sequence[Line]], str]]``
    From the name of a table to what makes its Markdown from the experiment's lines.
``FIGURES : Mapping[str, Callable[[Sequence[Line]], Figure | None]]``
    The same for figures of matplotlib.
"""

from __future__ import annotations

import argparse
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.paper.runs import EXPERIMENTS, RESULTS, Line, current_lines
from benchmarks.tables.markdown import replace_table
from softloc.files import atomic_path, write_text_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = Path(__file__).resolve().parent / "README.md"
NOT_RUN = "*not run yet*"


class Report(Protocol):
    """What a module ``<experiment>_report`` offers."""

    TABLES: Mapping[str, Callable[[Sequence[Line]], str]]
    FIGURES: Mapping[str, Callable[[Sequence[Line]], Figure | None]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Bring the page and its figures up to date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the lines")
    parser.add_argument("--page", type=Path, default=PAGE, help="page that has the marks")
    options = parser.parse_args(arguments)
    write_text_atomic(options.page, render(options.page, options.results))
    for name in EXPERIMENTS:
        lines = current_lines(name, options.results)
        for title, draw in load_report(name).FIGURES.items():
            figure = draw(lines) if lines else None
            if figure is not None:
                save(figure, options.page.parent / "figures" / f"{title}.png")


def render(page: Path = PAGE, results: Path = RESULTS) -> str:
    """Return the text of the page with all tables replaced."""
    text = page.read_text(encoding="utf-8")
    for name in EXPERIMENTS:
        lines = current_lines(name, results)
        for title, make in load_report(name).TABLES.items():
            text = replace_table(text, title, functools.partial(_made, make, lines))
    return text


def _made(make: Callable[[Sequence[Line]], str], lines: Sequence[Line]) -> str:
    return make(lines) if lines else NOT_RUN


def load_report(experiment: str) -> Report:
    """Import what makes tables and figures of an experiment."""
    module: Report = importlib.import_module(f"benchmarks.paper.{experiment}_report")
    return module


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes for the same figure."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table of Markdown; `NOT_RUN` if it has no rows."""
    if not rows:
        return NOT_RUN
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write mean ± standard deviation and how many they are; one value stands alone."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (1)"
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f} ({len(values)})"


def cell(lines: Sequence[Line], value: Callable[[Line], float | None], digits: int = 1) -> str:
    """Write the spread of a value over runs; only those that converged count, and it says so."""
    counted = converged(lines)
    found = [v for v in map(value, counted) if v is not None]
    n_left_out = len(lines) - len(counted)
    note = f"; {n_left_out} not converged" if n_left_out else ""
    return spread(found, digits) + note


def converged(lines: Sequence[Line]) -> list[Line]:
    """Keep the runs that count: those that converged, and those that train nothing."""
    return [line for line in lines if line["converged"] or not line["settings"]["steps"]]


def valid(lines: Sequence[Line], **settings: Any) -> list[Line]:
    """Keep the lines of runs that did not fail and have all these settings."""
    return [
        line
        for line in lines
        if "error" not in line["result"]
        and all(line["settings"].get(key) == value for key, value in settings.items())
    ]


if __name__ == "__main__":
    main()
