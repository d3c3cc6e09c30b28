"""An evaluation as plain data, for JSON and for tables.

Conventions
-----------
- Tolerances are in ms; ratios are 0-1; what is undefined is None.
- Whoever reads a score needs to know how it was made, so program, matcher, vocabulary, tolerances
  and the hashes of the inputs travel with it.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from softloc.evaluation.counts import Counts, Ratios
from softloc.evaluation.matching import MATCHER
from softloc.evaluation.scores import Evaluation, RowScore


def to_json(evaluation: Evaluation, inputs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """All of an evaluation as a dictionary that `json.dumps` takes.

    Parameters
    ----------
    evaluation : Evaluation
        The scores.
    inputs : mapping, optional
        SHA-256 of the inputs, by name.

    Returns
    -------
    dict
        Versions, settings, and the rows of the table.
    """
    settings = evaluation.settings
    return {
        "versions": package_versions(),
        "matcher": MATCHER,
        "inputs_sha256": dict(inputs or {}),
        "vocabulary": evaluation.vocabulary,
        "classes": list(evaluation.per_class),
        "windows_ms": [_ms(window_s) for window_s in settings.windows_s],
        "merge_any_ms": _ms(settings.merge_s),
        "n_files": evaluation.n_files,
        "per_class": {label: _row(row) for label, row in evaluation.per_class.items()},
        "any": _row(evaluation.any),
        "sum": _row(evaluation.total),
        "mean_over_classes": _means(evaluation.class_means),
        "mean_over_files": _means(evaluation.file_means),
        "unscored": {
            "reference": dict(evaluation.unscored_reference),
            "estimate": dict(evaluation.unscored_estimate),
        },
    }


def package_versions() -> dict[str, str]:
    """Versions of what a score depends on."""
    versions = {"python": platform.python_version()}
    for package in ("softloc", "mir_eval", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions[package] = "unknown"
    return versions


def to_rows(evaluation: Evaluation) -> list[dict[str, object]]:
    """Flatten the scores: one row for each row of the table and each tolerance.

    Parameters
    ----------
    evaluation : Evaluation
        The scores.

    Returns
    -------
    list of dict
        Columns ``row, window_ms, n_ref, n_est, tp, fp, fn, precision, recall, f_measure, bias_ms,
        median_ms, sigma_ms, mad_ms, p05_ms, p95_ms``; empty where undefined. Timing errors are
        those of the first tolerance.
    """
    rows = []
    named = {**evaluation.per_class, "any": evaluation.any, "sum": evaluation.total}
    for name, row in named.items():
        timing = asdict(row.timing) if row.timing else {}
        timing.pop("n_pairs", None)
        for window_s, counts in row.counts.items():
            own = timing if window_s == evaluation.headline_s else {}
            rows.append({"row": name, **_window(window_s, counts), **own})
    means = {"mean over classes": evaluation.class_means, "mean over files": evaluation.file_means}
    for name, by_window in means.items():
        rows.extend(
            {"row": name, "window_ms": _ms(window_s), **_ratios(ratios)}
            for window_s, ratios in by_window.items()
        )
    return rows


def _row(row: RowScore) -> dict[str, Any]:
    return {
        "windows": [_window(window_s, counts) for window_s, counts in row.counts.items()],
        "timing": asdict(row.timing) if row.timing else None,
    }


def _window(window_s: float, counts: Counts) -> dict[str, Any]:
    return {
        "window_ms": _ms(window_s),
        "n_ref": counts.n_reference,
        "n_est": counts.n_estimate,
        **asdict(counts),
        **_ratios(counts.ratios),
    }


def _means(means: Mapping[float, Ratios | None]) -> list[dict[str, Any]]:
    return [{"window_ms": _ms(window_s), **_ratios(ratios)} for window_s, ratios in means.items()]


def _ratios(ratios: Ratios | None) -> dict[str, float | None]:
    if ratios is None:
        return {"precision": None, "recall": None, "f_measure": None}
    return asdict(ratios)


def _ms(time_s: float) -> float:
    return round(time_s * 1000, 6)
