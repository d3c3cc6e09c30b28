"""Nothing asks the network: what runs, runs in a cellar."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from clicks import write_corpus

ROOT = Path(__file__).resolve().parents[2]

#: Refuses what leads out of the machine, before any module of ours is imported.
GUARD = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
                 "urllib.Request"):
        raise SystemExit(f"the network was asked: {event} {arguments}")
sys.addaudithook(refuse)
from softloc_cli.app import main
sys.argv = ["softloc", *sys.argv[1:]]
main()
"""


#: Put before a command so that it has no network at all, not even that of this machine.
SWITCHED_OFF = ("unshare", "--user", "--map-root-user", "--net")


@pytest.fixture(params=["watched", "switched off"])
def prefix(request: pytest.FixtureRequest) -> Sequence[str]:
    """What to put before a command: nothing, as it is watched anyway, or a namespace of its own.

    The watch tells what was asked, but does not see what libraries in C do.
    """
    if request.param == "watched":
        return ()
    may = (
        shutil.which("unshare")
        and not subprocess.run([*SWITCHED_OFF, "true"], check=False, capture_output=True).returncode
    )
    if not may:
        pytest.skip("no network namespace can be made here: only watched")
    return SWITCHED_OFF


def run(*arguments: object, prefix: Sequence[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", GUARD, *map(str, arguments)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_guard_sees_a_request() -> None:
    code = GUARD.replace("from softloc_cli", "import socket; socket.getaddrinfo('a.b', 80)\n#")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "the network was asked: socket.getaddrinfo" in done.stderr


@pytest.mark.parametrize("prefix", ["switched off"], indirect=True)
def test_what_is_switched_off_is_off(prefix: Sequence[str]) -> None:
    code = (
        "import socket\n"
        "names = [name for _, name in socket.if_nameindex()]\n"
        "print([name for name in names if name != 'lo'])\n"
        "socket.create_connection(('127.0.0.1', 9), 5)\n"
    )
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n"
    assert "Network is unreachable" in done.stderr


def test_transcribing_needs_no_network(tmp_path: Path, prefix: Sequence[str]) -> None:
    out = tmp_path / "a.mid"
    run("transcribe", ROOT / "examples" / "groove.flac", "-o", out, prefix=prefix)
    assert out.read_bytes().startswith(b"MThd")


def test_no_library_reports_home(tmp_path: Path) -> None:
    """ONNX Runtime would: it queues events in the user's cache from the moment it is loaded."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    told = {"CI", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "TEAMCITY_VERSION", "TF_BUILD"}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in told},
        "HOME": str(home), "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }  # fmt: skip
    command = (
        "-m", "softloc_cli", "transcribe", str(ROOT / "examples" / "groove.flac"),
        "-o", str(tmp_path / "a.mid"), "--engine", "onnx",
    )  # fmt: skip
    subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)
    assert [*home.rglob("*"), *temporary.rglob("*")] == []


@pytest.mark.slow
def test_training_and_pages_need_no_network(tmp_path: Path, prefix: Sequence[str]) -> None:
    table = write_corpus(tmp_path / "corpus", n_recordings=2, duration_s=4.0)
    model, page = tmp_path / "a.safetensors", tmp_path / "page.html"
    few = ("--size", "small", "--steps", "2", "--batch-size", "2", "--window", "1", "-d", "cpu")
    run("train", "--labels", table, "-o", model, *few, prefix=prefix)
    run("evaluate", table, table, "--html", f"{page}/", prefix=prefix)
    assert model.exists()
    text = (page / "index.html").read_text()
    assert "https://" not in text.replace("https://github.com/leeoniya/uPlot", "")
