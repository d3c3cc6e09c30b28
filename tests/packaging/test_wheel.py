"""The wheel: exactly what belongs into it, and it works from an empty directory."""

from __future__ import annotations

import os
import shutil
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


#: What a wheel is made of.
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE", *SOURCES)


def build(source: Path, out: Path, **environment: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True,
        capture_output=True,
        env={**os.environ, **environment},
    )
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


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


@pytest.mark.slow
def test_two_builds_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    """From checkouts of other times, in other folders, by people with other rights."""
    wheels = []
    for number, (age_s, rights) in enumerate(((0, 0o644), (1_000_000, 0o600))):
        source = tmp_path / f"source{number}"
        for name in BUILT_FROM:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, source / name, ignore=ignored)
            else:
                source.mkdir(exist_ok=True)
                shutil.copy(ROOT / name, source / name)
        for path in source.rglob("*"):
            if path.is_file():
                path.chmod(rights)
                os.utime(path, (path.stat().st_atime - age_s, path.stat().st_mtime - age_s))
        wheels.append(build(source, tmp_path / f"dist{number}", SOURCE_DATE_EPOCH="1700000000"))
    assert wheels[0].name == wheels[1].name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


@pytest.mark.slow
def test_an_installation_that_may_not_be_written_works_and_stays_as_it_is(
    wheel: Path, tmp_path: Path
) -> None:
    """No rights in the installation, nor in the home: it works all the same."""
    site, home = tmp_path / "site", tmp_path / "home"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    home.mkdir()
    for path in (*site.rglob("*"), site, home):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(path.relative_to(site) for path in site.rglob("*"))
    mount = f"mount --bind {site} {site} && mount -o remount,ro,bind {site} &&"
    root = (
        ""
        if os.getuid()
        else f"{mount} mount --bind {home} {home} && mount -o remount,ro,bind {home} &&"
    )
    command = (
        f"{root} {sys.executable} -c 'from softloc_cli.app import main; main()' "
        f"transcribe {ROOT / 'examples' / 'groove.flac'} -o {tmp_path / 'groove.mid'}"
    )
    shell = ["unshare", "--mount", "sh", "-c"] if root else ["sh", "-c"]
    if root and subprocess.run([*shell, f"{mount} true"], check=False).returncode:
        pytest.skip("root writes everywhere, and nothing can be mounted here")
    environment = {**os.environ, "PYTHONPATH": str(site), "HOME": str(home)}
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [*shell, command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    for path in (*site.rglob("*"), site, home):
        if path.is_dir():
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "groove.mid").read_bytes().startswith(b"MThd")
    assert sorted(path.relative_to(site) for path in site.rglob("*")) == before
