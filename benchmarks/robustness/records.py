"""Lines of ``benchmarks/results/robustness.jsonl``."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results" / "robustness.jsonl"
_PACKAGES = ("softloc", "numpy", "torch", "safetensors", "soundfile", "mido", "av", "atheris")


def append_record(command: str, results: Path = RESULTS, **values: Any) -> None:
    """Append what a campaign counted, and on what it ran.

    Parameters
    ----------
    command : str
        That repeats it.
    results : Path
        File of JSON lines.
    **values
        Counts and settings.
    """
    record = {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), **_versions()},
        **values,
    }
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Short hash of the checkout's commit, with a plus where files differ from it."""
    root = Path(__file__).resolve().parents[2]
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],  # noqa: S607
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return text.strip()
