"""Build steps: put uPlot, which draws the reports, into the wheel, and make it reproducible.

All else stands in ``pyproject.toml``. The script comes from the package ``uplot-python``, a
requirement of the build alone; its own licence (MIT) is at the head of the file. An editable
install leaves the checkout as it is and reads that package itself (`softloc.report.chart_library`).
"""

from importlib.util import find_spec
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
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


class WheelOfPlainRights(bdist_wheel):
    """Give all files the same rights, so that a wheel does not depend on who has built it."""

    def write_wheelfile(self, *arguments: str, **options: str) -> None:
        """Write the last of the files, then set their rights."""
        super().write_wheelfile(*arguments, **options)
        for path in Path(self.bdist_dir).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


setup(cmdclass={"build_py": BuildWithCharts, "bdist_wheel": WheelOfPlainRights})
