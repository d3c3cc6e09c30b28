"""The wheel: exactly what belongs into it, and it works from an empty directory."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "softloc_cli": "softloc_cli",
    "models/softloc": "softloc",
    "pretrained": "softloc/pretrained",
}
MAX_BYTES = 8_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(out),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def expected_files() -> set[str]:
    """Everything under the source folders that git would keep, and what the build adds."""
    found = {f"softloc/report/vendor/{name}" for name in ("uPlot.iife.js", "uPlot.min.css")}
    for source, target in SOURCES.items():
        for path in (ROOT / source).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(f"{target}/{path.relative_to(ROOT / source).as_posix()}")
    return found


@pytest.mark.slow
def test_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    assert names == expected_files()
    assert len(licences) == 1
    assert wheel.stat().st_size < MAX_BYTES


@pytest.mark.slow
def test_the_installed_command_transcribes_from_an_empty_directory(
    wheel: Path, tmp_path: Path
) -> None:
    """The wheel alone on the path: neither the checkout nor an editable install is seen."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import sys, softloc, softloc_cli\n"
        f"assert softloc.__file__.startswith({str(site)!r}), softloc.__file__\n"
        f"assert softloc_cli.__file__.startswith({str(site)!r}), softloc_cli.__file__\n"
        "from softloc_cli.app import main\n"
        f"sys.argv = ['softloc', 'transcribe', {str(ROOT / 'examples' / 'groove.flac')!r}, "
        "'-o', 'groove.mid']\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (empty / "groove.mid").read_bytes().startswith(b"MThd")
