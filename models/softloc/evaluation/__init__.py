"""Scoring events against events: pairing files, matching times, counting, reporting."""

from softloc.evaluation.annotators import refuse_several_annotators, select_annotator
from softloc.evaluation.classes import AS_WRITTEN, Classes, choose_classes
from softloc.evaluation.matching import MATCHER, match_times, merge_times
from softloc.evaluation.pairing import Pairing, pair_recordings
from softloc.evaluation.report import package_versions, to_json, to_rows
from softloc.evaluation.scores import (
    Counts,
    Evaluation,
    EvaluationSettings,
    Ratios,
    RowScore,
    TimingError,
    evaluate,
)

__all__ = [
    "AS_WRITTEN",
    "MATCHER",
    "Classes",
    "Counts",
    "Evaluation",
    "EvaluationSettings",
    "Pairing",
    "Ratios",
    "RowScore",
    "TimingError",
    "choose_classes",
    "evaluate",
    "match_times",
    "merge_times",
    "package_versions",
    "pair_recordings",
    "refuse_several_annotators",
    "select_annotator",
    "to_json",
    "to_rows",
]
