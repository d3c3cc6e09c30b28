"""The lists of versions belong together: what is tested, what is hashed, what is promised."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROMISED = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
#: What extras add, but for `live`, whose devices no test has.
OF_EXTRAS = [
    Requirement(text)
    for extra, texts in PROJECT["project"]["optional-dependencies"].items()
    for text in texts
    if extra != "live"
]
FOR_TESTS = [
    Requirement(text)
    for group in ("test", "paper", "lint", "fuzz")
    for text in PROJECT["dependency-groups"][group]
    if isinstance(text, str)  # the others include a group that stands here itself
]


def pinned(name: str) -> dict[str, Version]:
    """Names and versions of a list."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [line.split()[0].split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(project): Version(version) for project, version in pins}


def test_lowest_versions_are_those_that_are_promised() -> None:
    lowest = {
        canonicalize_name(each.name): Version(spec.version)
        for each in (*PROMISED, *OF_EXTRAS)
        for spec in each.specifier
        if spec.operator == ">="
    }
    assert len(lowest) == len(PROMISED) + len(OF_EXTRAS)
    listed = pinned("constraints-minimum.txt")
    assert {name: listed[name] for name in lowest} == lowest
    assert listed.keys() - lowest.keys() == {"click"}  # typer's, whose old releases set no bound


@pytest.mark.parametrize("requirement", [*PROMISED, *OF_EXTRAS, *FOR_TESTS], ids=str)
def test_versions_that_are_tested_fulfil_what_is_asked_for(requirement: Requirement) -> None:
    assert pinned("constraints.txt")[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_tested_version_has_a_hash() -> None:
    tested = pinned("constraints.txt")
    # Builds of torch differ by registry.
    assert pinned("constraints-hashes.txt") | {"torch": tested["torch"]} == tested
    lines = (ROOT / "constraints-hashes.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line)
