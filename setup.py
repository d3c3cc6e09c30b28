"""Build step: put uPlot, which draws the reports, into the wheel.

All else stands in ``pyproject.toml``. The script comes from the package ``uplot-python``, a
requirement of the build alone; its own licence (MIT) is at the head of the file. An editable
install leaves the checkout as it is and reads that package itself (`softloc.report.chart_library`).
"""

from importlib.util import find_spec
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = ("uPlot.iife.js", "uPlot.min.css")


class BuildWithCharts(build_py):
    """Copy the chart library beside the modules that are built."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        package = find_spec("uplot")
        if package is None or not package.submodule_search_locations:
            message = "building softloc needs uplot-python: `pip install uplot-python`"
            raise ModuleNotFoundError(message)
        source = Path(next(iter(package.submodule_search_locations))) / "static"
        target = Path(self.build_lib) / "softloc" / "report" / "vendor"
        target.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            self.copy_file(str(source / name), str(target / name))


setup(cmdclass={"build_py": BuildWithCharts})
