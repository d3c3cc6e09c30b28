"""uPlot, which draws the waveform and the time axis of a page.

Its script is not kept in the repository. A wheel of softloc carries it: ``setup.py`` takes it from
the package ``uplot-python`` when the wheel is built. A checkout reads it from that package, where
it is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from softloc.errors import SettingsError

SCRIPT, STYLE = "uPlot.iife.js", "uPlot.min.css"


class ChartLibrary(NamedTuple):
    """Script and style sheet of uPlot; its licence is named at the head of the script."""

    script: str
    style: str


def load_chart_library() -> ChartLibrary:
    """Read uPlot from this package or from ``uplot-python``.

    Raises
    ------
    SettingsError
        If neither has it.
    """
    for folder in _folders():
        if (folder / SCRIPT).is_file() and (folder / STYLE).is_file():
            return ChartLibrary(
                (folder / SCRIPT).read_text(encoding="utf-8"),
                (folder / STYLE).read_text(encoding="utf-8"),
            )
    raise SettingsError(
        "a report needs uPlot, which this installation lacks; `pip install uplot-python` brings it"
    )


def _folders() -> Iterator[Path]:
    yield Path(str(files("softloc.report"))) / "vendor"
    # Found, not imported: importing it would bring IPython along.
    package = importlib.util.find_spec("uplot")
    for location in (package.submodule_search_locations or ()) if package else ():
        yield Path(location) / "static"
