"""What ``softloc evaluate`` prints: tables of text, at most 80 columns wide where names allow.

Conventions
-----------
- Ratios are 0-1 and lose the zero before their point; what is undefined is ``–``.
- Nothing is cut: where names or counts are long, lines are longer.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from softloc.evaluation import (
    FEW_RECORDINGS,
    MATCHER,
    Averaging,
    BootstrapSettings,
    Evaluation,
    Interval,
    Ratios,
    TableRow,
    Uncertainty,
    package_versions,
)

_UNDEFINED = "–"
_WIDTH = 80
#: More classes than this are not shown as a matrix, but as a list of the most frequent confusions.
_MATRIX_CLASSES = 9
_LISTED_CONFUSIONS = 12

#: Names of the rows that are no class.
ROW_NAMES: Mapping[Averaging, str] = {
    "micro": "sum (micro)",
    "labels ignored": "any",
    "macro": "mean over classes",
    "files": "mean over files",
}


def render_evaluation(
    name: str, evaluation: Evaluation, uncertainty: Uncertainty, resampling: BootstrapSettings
) -> str:
    """Text of an evaluation: how it was made, scores, timing errors, confusions, velocities.

    Parameters
    ----------
    name : str
        What to call the estimate.
    evaluation : Evaluation
        Its scores.
    uncertainty : Uncertainty
        Their intervals.
    resampling : BootstrapSettings
        How those were made.

    Returns
    -------
    str
        Lines of text.
    """
    window = format_ms(evaluation.headline_s)
    sections = [
        [*_head(name, evaluation)],
        [f"scores at ±{window}{_about_intervals(evaluation, uncertainty, resampling)}"],
        _lines(_score_table(evaluation, uncertainty)),
        [_sweep_title(evaluation)],
        _lines(_sweep_table(evaluation)),
        [f"timing error, ms, positive = late; conditional on matching within ±{window}"],
        _lines(_timing_table(evaluation)),
        *_confusion_section(evaluation),
        *_velocity_section(evaluation),
    ]
    return _joined(sections)


def render_comparison(
    evaluations: Mapping[str, Evaluation],
    uncertainties: Sequence[Uncertainty],
    resampling: BootstrapSettings,
) -> str:
    """Text of a table with all estimates side by side, and their differences to the first.

    Parameters
    ----------
    evaluations : Mapping[str, Evaluation]
        By name of the estimate, at least two.
    uncertainties : sequence of Uncertainty
        Of each, in the same order.
    resampling : BootstrapSettings
        How those were made.

    Returns
    -------
    str
        Lines of text.
    """
    first, *_ = evaluations
    window_s = evaluations[first].headline_s
    level = _percent(resampling.level)
    table = _table("class", "estimate", "F", level, "difference", level)
    table.columns[1].justify = "left"
    tables = {name: evaluation.table() for name, evaluation in evaluations.items()}
    uncertain = dict(zip(tables, uncertainties, strict=True))
    for rows in _same_rows(tables):
        for place, name in rows:
            row, uncertainty = tables[name][place], uncertain[name]
            title = ROW_NAMES.get(row.averaging, row.name)
            table.add_row(
                title if (place, name) == rows[0] else "",
                name,
                _share(_f_measure(row.ratios[window_s])),
                _range(uncertainty.intervals[place][window_s]),
                *_difference_cells(uncertainty, place, window_s),
            )
    head = [
        f"F at ±{format_ms(window_s)} of {len(evaluations)} estimates, and difference to {first}",
    ]
    if any(map(_has_intervals, uncertainties)):
        resamples = describe_resamples(evaluations[first], resampling)
        head.append(f"{level}: {resamples}; the same for all")
    return _joined([head, _lines(table)])


def format_ms(window_s: float) -> str:
    """Tolerance in words."""
    return f"{window_s * 1000:g} ms"


def _joined(sections: Iterable[Iterable[str]]) -> str:
    """Sections below each other; titles, of one line, stay with their tables."""
    lines: list[str] = []
    for section in sections:
        own = list(section)
        if len(own) == 1 and lines:
            lines.append("")
        lines.extend(own)
    return "\n".join(lines) + "\n"


def _head(name: str, evaluation: Evaluation) -> Iterator[str]:
    settings = evaluation.settings
    yield f"{name}: {evaluation.n_files} recordings, vocabulary {evaluation.vocabulary}"
    versions = package_versions()
    yield ", ".join(f"{package} {versions[package]}" for package in ("softloc", "mir_eval"))
    yield MATCHER
    if settings.combine_s:
        yield f"reference events of a class within {format_ms(settings.combine_s)} are combined"
    if settings.both_empty != "skip":
        value = {"zero": 0, "one": 1}[settings.both_empty]
        yield f"what neither side has counts as {value}"
    for side, counts in (
        ("reference", evaluation.unscored_reference),
        ("estimate", evaluation.unscored_estimate),
    ):
        if counts:
            listed = ", ".join(f"{label} {count}" for label, count in counts.items())
            yield f"not scored in the {side}: {listed}"


def _about_intervals(
    evaluation: Evaluation, uncertainty: Uncertainty, resampling: BootstrapSettings
) -> str:
    if not _has_intervals(uncertainty):
        return ""
    resamples = describe_resamples(evaluation, resampling)
    return f"; {_percent(uncertainty.level)}: of F, {resamples}"


def describe_resamples(evaluation: Evaluation, resampling: BootstrapSettings) -> str:
    """Say of what intervals are made, and whether they can be relied on."""
    few = ": few, too narrow" if evaluation.n_files < FEW_RECORDINGS else ""
    return f"{resampling.n_resamples} resamples of {evaluation.n_files} recordings{few}"


def _has_intervals(uncertainty: Uncertainty) -> bool:
    return any(any(row.values()) for row in uncertainty.intervals)


def _score_table(evaluation: Evaluation, uncertainty: Uncertainty) -> Table:
    table = _table("class", "n_ref", "n_est", "TP", "FP", "FN", "P", "R", "F")
    shown = _has_intervals(uncertainty)
    if shown:
        table.add_column(_percent(uncertainty.level), justify="right", no_wrap=True)
    headline_s = evaluation.headline_s
    for row, intervals in zip(evaluation.table(), uncertainty.intervals, strict=True):
        counts = row.score.counts[headline_s] if row.score else None
        numbers = (
            (counts.n_reference, counts.n_estimate, counts.tp, counts.fp, counts.fn)
            if counts
            else ("",) * 5
        )
        ratios = row.ratios[headline_s]
        values = (ratios.precision, ratios.recall, ratios.f_measure) if ratios else (None,) * 3
        cells = [*map(str, numbers), *map(_share, values)]
        if shown:
            cells.append(_range(intervals[headline_s]))
        table.add_row(ROW_NAMES.get(row.averaging, row.name), *cells)
    return table


def _sweep_title(evaluation: Evaluation) -> str:
    title = "F by tolerance, ± ms"
    if evaluation.aligned is None:
        return title
    return f"{title}; moved: the median timing error of all pairs taken off"


def _sweep_table(evaluation: Evaluation) -> Table:
    windows = [f"{window_s * 1000:g}" for window_s in evaluation.settings.windows_s]
    aligned = evaluation.aligned.table() if evaluation.aligned else None
    if aligned is None:
        table = _table("class", *windows)
    else:
        table = _table("class", "estimate", *windows)
        table.columns[1].justify = "left"
    for place, row in enumerate(evaluation.table()):
        name = ROW_NAMES.get(row.averaging, row.name)
        cells = [_share(_f_measure(ratios)) for ratios in row.ratios.values()]
        if aligned is None:
            table.add_row(name, *cells)
            continue
        moved = aligned[place].ratios.values()
        table.add_row(name, "as it is", *cells)
        shift = f"moved by {_signed(-evaluation.offset_ms)} ms"
        table.add_row("", shift, *(_share(_f_measure(ratios)) for ratios in moved))
    return table


def _timing_table(evaluation: Evaluation) -> Table:
    table = _table("class", "pairs", "bias", "median", "sigma", "MAD", "5 %", "95 %")
    for row in evaluation.table():
        if row.score is None:
            continue
        name, timing = ROW_NAMES.get(row.averaging, row.name), row.score.timing
        if timing is None:
            table.add_row(name, "0", *[_UNDEFINED] * 6)
            continue
        signed = [_signed(value) for value in (timing.bias_ms, timing.median_ms)]
        spreads = [f"{value:.1f}" for value in (timing.sigma_ms, timing.mad_ms)]
        ends = [_signed(value) for value in (timing.p05_ms, timing.p95_ms)]
        table.add_row(name, str(timing.n_pairs), *signed, *spreads, *ends)
    return table


def _confusion_section(evaluation: Evaluation) -> Iterator[list[str]]:
    confusion = evaluation.confusion
    mistaken = confusion.mistaken()
    if not mistaken:
        return
    if len(confusion.labels) <= _MATRIX_CLASSES:
        yield ["class of the reference by class of the estimate that answers it"]
        table = _table("", *confusion.labels, "missed")
        for label, counts in zip((*confusion.labels, "spurious"), confusion.counts, strict=True):
            table.add_row(label, *(str(count) if count else "·" for count in counts))
        yield _lines(table)
        return
    yield [f"most frequent of {sum(count for _, _, count in mistaken)} confusions"]
    table = _table("reference", "estimate", "events")
    table.columns[1].justify = "left"
    for reference, estimate, count in mistaken[:_LISTED_CONFUSIONS]:
        table.add_row(reference, estimate, str(count))
    yield _lines(table)


def _velocity_section(evaluation: Evaluation) -> Iterator[list[str]]:
    velocity = evaluation.velocity
    if velocity is None:
        return
    line = f"{velocity.slope:.2f} × estimate {velocity.intercept:+.1f}"
    yield [f"velocity, positive = too loud; rescaled: {line}, fitted to all pairs"]
    table = _table("class", "pairs", "bias", "MAE", "rescaled MAE", "corr.", "P", "R", "F")
    for label, row in (*velocity.per_class.items(), (ROW_NAMES["micro"], velocity.total)):
        error, ratios = row.error, row.counts.ratios
        cells = (
            ["0", *[_UNDEFINED] * 4]
            if error is None
            else [
                str(error.n_pairs),
                _signed(error.bias),
                f"{error.mean_absolute:.1f}",
                f"{error.rescaled_mean_absolute:.1f}",
                _UNDEFINED if error.correlation is None else f"{error.correlation:+.2f}",
            ]
        )
        values = (ratios.precision, ratios.recall, ratios.f_measure) if ratios else (None,) * 3
        table.add_row(label, *cells, *map(_share, values))
    yield _lines(table)


def _same_rows(tables: Mapping[str, Sequence[TableRow]]) -> list[list[tuple[int, str]]]:
    """Rows of the same kind together: places in the tables and names of the estimates."""
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name, rows in tables.items():
        for place, row in enumerate(rows):
            groups.setdefault((row.averaging, row.name), []).append((place, name))
    order: list[str] = ["class", *ROW_NAMES]
    return [groups[key] for key in sorted(groups, key=lambda key: order.index(key[0]))]


def _difference_cells(uncertainty: Uncertainty, place: int, window_s: float) -> list[str]:
    if uncertainty.differences is None:
        return ["", ""]
    difference = uncertainty.differences[place][window_s]
    if difference is None:
        return [_UNDEFINED, _UNDEFINED]
    return [_share(difference.f_measure, "+"), _range(difference.interval, "+")]


def _f_measure(ratios: Ratios | None) -> float | None:
    return None if ratios is None else ratios.f_measure


def _share(value: float | None, sign: str = "") -> str:
    if value is None:
        return _UNDEFINED
    return f"{round(value, 3) + 0.0:{sign}.3f}".replace("0.", ".", 1)  # + 0.0: no minus zero


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"


def _range(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return _UNDEFINED
    between = " … " if sign else "–"
    return f"{_share(interval.low, sign)}{between}{_share(interval.high, sign)}"


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _table(first: str, *others: str) -> Table:
    """Table without lines: first column to the left, the others to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="")
    table.add_column(first, no_wrap=True)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _lines(table: Table) -> list[str]:
    # Names are the user's: brackets and colons in them mean nothing.
    settings = {"markup": False, "emoji": False, "highlight": False, "color_system": None}
    measure = Console(file=io.StringIO(), width=10_000, **settings)  # type: ignore[arg-type]
    width = max(_WIDTH, measure.measure(table).maximum)
    text = io.StringIO()
    Console(file=text, width=width, **settings).print(table)  # type: ignore[arg-type]
    return [line.rstrip() for line in text.getvalue().splitlines()]
