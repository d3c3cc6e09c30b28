"""Scoring events against events: pairing files, matching times, counting, reporting."""

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
from softloc.evaluation.report import AVERAGING, TOLERANCE_RULE, package_versions, to_json, to_rows
from softloc.evaluation.resampling import (
    FEW_RECORDINGS,
    BootstrapSettings,
    Difference,
    Interval,
    Uncertainty,
    bootstrap,
    resample_f,
)
from softloc.evaluation.scores import Averaging, Evaluation, RowScore, TableRow, evaluate
from softloc.evaluation.settings import AlignOffset, BothEmpty, EvaluationSettings
from softloc.evaluation.timing import TimingError
from softloc.evaluation.velocity import VelocityError, VelocityRow, VelocityScore

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
