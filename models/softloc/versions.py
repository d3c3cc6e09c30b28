"""Which versions of packages are installed, for what is written down beside results."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

#: Of what is not installed, such as a checkout that is run where it lies.
UNKNOWN = "unknown"


def installed_version(package: str) -> str:
    """Version of an installed package; `UNKNOWN` where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of Python, then of these packages, as of `installed_version`."""
    versions = {package: installed_version(package) for package in packages}
    return {"python": platform.python_version(), **versions}
