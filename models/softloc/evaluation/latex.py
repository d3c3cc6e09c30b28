r"""An evaluation as a LaTeX table.

Conventions
-----------
- A ``tabular`` for the package ``booktabs``, to be put into a ``table`` of the paper's own. How it
  was made stands above it as comments.
- Whatever LaTeX would read as a command is escaped; what is undefined is ``--``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from softloc.evaluation.resampling import Interval, Uncertainty
from softloc.evaluation.scores import Evaluation, TableRow

_UNDEFINED = "--"
_NAMES = {
    "micro": "sum (micro)",
    "labels ignored": "any (labels ignored)",
    "macro": "mean over classes (macro)",
    "files": "mean over files",
}
# A bracket or star after the end of a row would be read as its argument.
_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}",
    "*": "{*}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


def to_latex(
    evaluations: Mapping[str, Evaluation],
    uncertainties: Sequence[Uncertainty],
    notes: Sequence[str] = (),
) -> str:
    """Render a table with the rows of one or several evaluations.

    Parameters
    ----------
    evaluations : Mapping[str, Evaluation]
        By name of the estimate; at least one, all with the same tolerances.
    uncertainties : sequence of Uncertainty
        Of each, in the same order.
    notes : sequence of str
        How it was made: lines to be put above it as comments.

    Returns
    -------
    str
        Lines of LaTeX.
    """
    several = len(evaluations) > 1
    first = next(iter(evaluations.values()))
    tables = {name: evaluation.table() for name, evaluation in evaluations.items()}
    uncertain = dict(zip(tables, uncertainties, strict=True))
    body: list[list[str]] = []
    for group in _groups(tables):
        if body and several:
            body.append([r"\addlinespace"])
        for name, place in group:
            row, uncertainty = tables[name][place], uncertain[name]
            cells = [escape(_NAMES.get(row.averaging, row.name))]
            cells += [escape(name)] if several else []
            cells += _score_cells(row, place, uncertainty)
            cells += _difference_cells(place, uncertainty, first.headline_s) if several else []
            body.append(cells)
    columns = "ll" if several else "l"
    header = _header(
        [1000 * window_s for window_s in first.settings.windows_s],
        f"{100 * uncertainties[0].level:g}\\,\\%",
        several=several,
    )
    lines = [
        *(f"% {' '.join(note.split())}" for note in notes),
        f"\\begin{{tabular}}{{{columns}{'r' * (len(header) - len(columns))}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *(cells[0] if len(cells) == 1 else " & ".join(cells) + r" \\" for cells in body),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(escape("50 % of drum_kit"))
    50 \% of drum\_kit
    """
    return "".join(_ESCAPES.get(character, character) for character in " ".join(text.split()))


def _groups(tables: Mapping[str, Sequence[TableRow]]) -> list[list[tuple[str, int]]]:
    """Rows of the same kind together: names of evaluations and places in their tables."""
    groups: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for name, rows in tables.items():
        for place, row in enumerate(rows):
            groups.setdefault((row.averaging, row.name), []).append((name, place))
    order = ["class", *_NAMES]
    return [groups[key] for key in sorted(groups, key=lambda key: order.index(key[0]))]


def _header(windows_ms: Sequence[float], level: str, *, several: bool) -> list[str]:
    return [
        "Class",
        *(["Estimate"] if several else []),
        "P",
        "R",
        f"$F_{{{windows_ms[0]:g}}}$",
        level,
        *(f"$F_{{{window_ms:g}}}$" for window_ms in windows_ms[1:]),
        "bias/ms",
        r"$\sigma$/ms",
        *([r"$\Delta F$", level] if several else []),
    ]


def _score_cells(row: TableRow, place: int, uncertainty: Uncertainty) -> list[str]:
    headline, *others = row.ratios.values()
    timing = row.score.timing if row.score else None
    return [
        _number(headline.precision if headline else None),
        _number(headline.recall if headline else None),
        _number(headline.f_measure if headline else None),
        _interval(next(iter(uncertainty.intervals[place].values()))),
        *(_number(ratios.f_measure if ratios else None) for ratios in others),
        f"${round(timing.bias_ms, 1) + 0.0:+.1f}$" if timing else _UNDEFINED,
        f"{timing.sigma_ms:.1f}" if timing else _UNDEFINED,
    ]


def _difference_cells(place: int, uncertainty: Uncertainty, headline_s: float) -> list[str]:
    if uncertainty.differences is None:
        return ["", ""]
    difference = uncertainty.differences[place][headline_s]
    if difference is None:
        return [_UNDEFINED, _UNDEFINED]
    gap = round(difference.f_measure, 3) + 0.0  # no minus zero
    return [f"${gap:+.3f}$", _interval(difference.interval, sign="+")]


def _number(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:.3f}"


def _interval(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return _UNDEFINED
    return f"$[{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]$"
