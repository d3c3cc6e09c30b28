"""Reports to see and hear: a self-contained page, and clicks mixed beside the recording."""

from softloc.report.chart_library import load_chart_library
from softloc.report.comparison import (
    ClassSummary,
    Comparison,
    Item,
    Verdict,
    compare_recordings,
    list_events,
    list_matches,
    sum_summaries,
)
from softloc.report.page import IndexEntry, ReportMedia, read_media, write_index, write_report
from softloc.report.settings import ReportSettings
from softloc.report.sonification import (
    SONIFICATION_FORMATS,
    sonification_format,
    write_sonification,
)

__all__ = [
    "SONIFICATION_FORMATS",
    "ClassSummary",
    "Comparison",
    "IndexEntry",
    "Item",
    "ReportMedia",
    "ReportSettings",
    "Verdict",
    "compare_recordings",
    "list_events",
    "list_matches",
    "load_chart_library",
    "read_media",
    "sonification_format",
    "sum_summaries",
    "write_index",
    "write_report",
    "write_sonification",
]
