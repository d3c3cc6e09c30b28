"""An evaluation as plain data, for JSON and for tables.

Conventions
-----------
- Tolerances are in ms; ratios are 0-1; what is undefined is None.
- Whoever reads a score needs to know how it was made, so program, matcher, vocabulary, tolerances,
  averaging and the hashes of the inputs travel with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from softloc.evaluation.confusion import Confusion
from softloc.evaluation.counts import Ratios
from softloc.evaluation.matching import MATCHER
from softloc.evaluation.resampling import Difference, Interval, Uncertainty
from softloc.evaluation.scores import Averaging, Evaluation, TableRow
from softloc.evaluation.settings import BootstrapSettings, EvaluationSettings
from softloc.evaluation.velocity import VELOCITY_TOLERANCE, VelocityRow, VelocityScore
from softloc.versions import installed_versions

#: What a distance has to be, in words.
TOLERANCE_RULE = "a distance of exactly the tolerance is a hit, on times in whole microseconds"

#: What the rows of the table are, in words.
AVERAGING: Mapping[Averaging, str] = {
    "class": "counts of a class summed over recordings",
    "micro": "counts summed over classes and recordings",
    "labels ignored": "labels ignored, events merged that are close together",
    "macro": "mean over classes",
    "files": "mean over recordings",
}

#: The key of each row in JSON; classes have their own.
_KEYS: Mapping[Averaging, str] = {
    "micro": "sum",
    "labels ignored": "any",
    "macro": "mean_over_classes",
    "files": "mean_over_files",
}


def to_json(
    evaluation: Evaluation,
    inputs: Mapping[str, str] | None = None,
    uncertainty: Uncertainty | None = None,
    resampling: BootstrapSettings | None = None,
) -> dict[str, Any]:
    """All of an evaluation as a dictionary that `json.dumps` takes.

    Parameters
    ----------
    evaluation : Evaluation
        The scores.
    inputs : mapping, optional
        SHA-256 of the inputs, by name.
    uncertainty : Uncertainty, optional
        Its intervals and differences (`softloc.evaluation.bootstrap`).
    resampling : BootstrapSettings, optional
        How those were made.

    Returns
    -------
    dict
        Versions, settings, and the rows of the table.
    """
    document = {
        "versions": package_versions(),
        "matcher": MATCHER,
        "tolerance": TOLERANCE_RULE,
        "inputs_sha256": dict(inputs or {}),
        "vocabulary": evaluation.vocabulary,
        "classes": list(evaluation.per_class),
        **_settings(evaluation.settings),
        "averaging": {_KEYS.get(kind, "per_class"): words for kind, words in AVERAGING.items()},
        "n_files": evaluation.n_files,
        **_table(evaluation, uncertainty),
        "confusion": _confusion(evaluation.confusion),
        "velocity": _velocity(evaluation.velocity),
        "aligned": None,
        "bootstrap": None,
        "unscored": {
            "reference": dict(evaluation.unscored_reference),
            "estimate": dict(evaluation.unscored_estimate),
        },
    }
    if evaluation.aligned is not None:
        document["aligned"] = {"offset_ms": evaluation.offset_ms, **_table(evaluation.aligned)}
    if resampling is not None:
        document["bootstrap"] = {
            "unit": "recordings, paired across estimates",
            "intervals": "percentiles",
            **asdict(resampling),
        }
    return document


def package_versions() -> dict[str, str]:
    """Versions of what a score depends on."""
    return installed_versions(("softloc", "mir_eval", "numpy"))


def to_rows(
    evaluation: Evaluation, uncertainty: Uncertainty | None = None
) -> list[dict[str, object]]:
    """Flatten the scores: one row for each row of the table and each tolerance.

    Parameters
    ----------
    evaluation : Evaluation
        The scores.
    uncertainty : Uncertainty, optional
        Its intervals and differences.

    Returns
    -------
    list of dict
        Columns ``row, averaging, window_ms, n_ref, n_est, tp, fp, fn, precision, recall, f_measure,
        f_low, f_high, f_difference, f_difference_low, f_difference_high, f_aligned, bias_ms,
        median_ms, sigma_ms, mad_ms, p05_ms, p95_ms``; those that do not apply are left out or None.
        Timing errors are those of the first tolerance.
    """
    rows: list[dict[str, object]] = []
    aligned = evaluation.aligned.table() if evaluation.aligned else None
    for place, row in enumerate(evaluation.table()):
        for window in _windows(row, place, uncertainty):
            window_s = next(w for w in row.ratios if _ms(w) == window["window_ms"])
            difference = window.pop("difference", None)
            if difference is not None:
                window["f_difference"] = difference["f_measure"]
                window["f_difference_low"] = difference["low"]
                window["f_difference_high"] = difference["high"]
            if aligned is not None:
                moved = aligned[place].ratios[window_s]
                window["f_aligned"] = moved.f_measure if moved else None
            own: dict[str, object] = {"row": row.name, "averaging": row.averaging, **window}
            if row.score and row.score.timing and window_s == evaluation.headline_s:
                own |= asdict(row.score.timing)
                del own["n_pairs"]
            rows.append(own)
    return rows


def _settings(settings: EvaluationSettings) -> dict[str, Any]:
    return {
        "windows_ms": [_ms(window_s) for window_s in settings.windows_s],
        "merge_any_ms": _ms(settings.merge_s),
        "combine_reference_ms": _ms(settings.combine_s),
        "both_empty": settings.both_empty,
        "align_offset": settings.align_offset,
    }


def _table(evaluation: Evaluation, uncertainty: Uncertainty | None = None) -> dict[str, Any]:
    per_class: dict[str, Any] = {}
    document: dict[str, Any] = {"per_class": per_class}
    for place, row in enumerate(evaluation.table()):
        windows = _windows(row, place, uncertainty)
        if row.score is None:
            document[_KEYS[row.averaging]] = windows
            continue
        timing = asdict(row.score.timing) if row.score.timing else None
        content = {"windows": windows, "timing": timing}
        if row.averaging == "class":
            per_class[row.name] = content
        else:
            document[_KEYS[row.averaging]] = content
    return document


def _windows(row: TableRow, place: int, uncertainty: Uncertainty | None) -> list[dict[str, Any]]:
    windows = []
    for window_s, ratios in row.ratios.items():
        window: dict[str, Any] = {"window_ms": _ms(window_s)}
        if row.score is not None:
            counts = row.score.counts[window_s]
            window |= {"n_ref": counts.n_reference, "n_est": counts.n_estimate, **asdict(counts)}
        window |= _ratios(ratios)
        if uncertainty is not None:
            low, high = _ends(uncertainty.intervals[place][window_s])
            window |= {"f_low": low, "f_high": high}
            if uncertainty.differences is not None:
                window["difference"] = _difference(uncertainty.differences[place][window_s])
        windows.append(window)
    return windows


def _ratios(ratios: Ratios | None) -> dict[str, float | None]:
    if ratios is None:
        return {"precision": None, "recall": None, "f_measure": None}
    return asdict(ratios)


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else interval


def _difference(difference: Difference | None) -> dict[str, float | None] | None:
    if difference is None:
        return None
    low, high = _ends(difference.interval)
    return {"f_measure": difference.f_measure, "low": low, "high": high}


def _confusion(confusion: Confusion) -> dict[str, Any]:
    return {
        "rows": [*confusion.labels, "spurious"],
        "columns": [*confusion.labels, "missed"],
        "counts": [list(row) for row in confusion.counts],
    }


def _velocity(velocity: VelocityScore | None) -> dict[str, Any] | None:
    if velocity is None:
        return None
    return {
        "slope": velocity.slope,
        "intercept": velocity.intercept,
        "tolerance_of_range": VELOCITY_TOLERANCE,
        "per_class": {label: _velocity_row(row) for label, row in velocity.per_class.items()},
        "sum": _velocity_row(velocity.total),
    }


def _velocity_row(row: VelocityRow) -> dict[str, Any]:
    return {
        "error": asdict(row.error) if row.error else None,
        **asdict(row.counts),
        **_ratios(row.counts.ratios),
    }


def _ms(time_s: float) -> float:
    return round(time_s * 1000, 6)
