"""Scoring events against events: pairing files, matching times, counting, reporting.

The names are imported when they are first used: a command line that only needs the settings does
not pay for the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softloc.evaluation.annotators import refuse_several_annotators, select_annotator
    from softloc.evaluation.classes import AS_WRITTEN, Classes, choose_classes
    from softloc.evaluation.confusion import Confusion
    from softloc.evaluation.counts import Counts, Ratios
    from softloc.evaluation.latex import to_latex
    from softloc.evaluation.matching import MATCHER, match_times, merge_times
    from softloc.evaluation.pairing import Pairing, pair_recordings
    from softloc.evaluation.recordings import (
        ClassMatches,
        Hit,
        RecordingMatches,
        match_recording,
        match_recordings,
    )
    from softloc.evaluation.report import (
        AVERAGING,
        TOLERANCE_RULE,
        package_versions,
        to_json,
        to_rows,
    )
    from softloc.evaluation.resampling import (
        FEW_RECORDINGS,
        Difference,
        Interval,
        Uncertainty,
        bootstrap,
        resample_f,
    )
    from softloc.evaluation.scores import Averaging, Evaluation, RowScore, TableRow, evaluate
    from softloc.evaluation.settings import (
        AlignOffset,
        BootstrapSettings,
        BothEmpty,
        EvaluationSettings,
    )
    from softloc.evaluation.timing import TimingError
    from softloc.evaluation.velocity import VelocityError, VelocityRow, VelocityScore

_MODULES = {
    "annotators": (
        "refuse_several_annotators",
        "select_annotator",
    ),
    "classes": (
        "AS_WRITTEN",
        "Classes",
        "choose_classes",
    ),
    "confusion": ("Confusion",),
    "counts": (
        "Counts",
        "Ratios",
    ),
    "latex": ("to_latex",),
    "matching": (
        "MATCHER",
        "match_times",
        "merge_times",
    ),
    "pairing": (
        "Pairing",
        "pair_recordings",
    ),
    "recordings": (
        "ClassMatches",
        "Hit",
        "RecordingMatches",
        "match_recording",
        "match_recordings",
    ),
    "report": (
        "AVERAGING",
        "TOLERANCE_RULE",
        "package_versions",
        "to_json",
        "to_rows",
    ),
    "resampling": (
        "FEW_RECORDINGS",
        "Difference",
        "Interval",
        "Uncertainty",
        "bootstrap",
        "resample_f",
    ),
    "scores": (
        "Averaging",
        "Evaluation",
        "RowScore",
        "TableRow",
        "evaluate",
    ),
    "settings": (
        "AlignOffset",
        "BootstrapSettings",
        "BothEmpty",
        "EvaluationSettings",
    ),
    "timing": ("TimingError",),
    "velocity": (
        "VelocityError",
        "VelocityRow",
        "VelocityScore",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AS_WRITTEN",
    "AVERAGING",
    "FEW_RECORDINGS",
    "MATCHER",
    "TOLERANCE_RULE",
    "AlignOffset",
    "Averaging",
    "BootstrapSettings",
    "BothEmpty",
    "ClassMatches",
    "Classes",
    "Confusion",
    "Counts",
    "Difference",
    "Evaluation",
    "EvaluationSettings",
    "Hit",
    "Interval",
    "Pairing",
    "Ratios",
    "RecordingMatches",
    "RowScore",
    "TableRow",
    "TimingError",
    "Uncertainty",
    "VelocityError",
    "VelocityRow",
    "VelocityScore",
    "bootstrap",
    "choose_classes",
    "evaluate",
    "match_recording",
    "match_recordings",
    "match_times",
    "merge_times",
    "package_versions",
    "pair_recordings",
    "refuse_several_annotators",
    "resample_f",
    "select_annotator",
    "to_json",
    "to_latex",
    "to_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softloc.evaluation' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"softloc.evaluation.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
