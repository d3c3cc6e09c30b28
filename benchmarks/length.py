"""Memory and cost of a transcription against the length of the recording.

``python -m benchmarks.length`` writes ``benchmarks/results/length.json``;
``python -m benchmarks.length 10 60`` measures only recordings of so many minutes and leaves the
other rows as they are. Ten hours take a few minutes of processor time and 2 GB of disk.

The recordings are the shipped example, played again and again into one FLAC file. Each is
transcribed by a fresh process, start-up included, to CSV and to MIDI. Memory is the greatest
resident size of that process, time is what its processor time was (`wait4`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import soundfile

from softloc import read_onsets

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "length.json"
COMMAND = "python -m benchmarks.length"
EXAMPLE = ROOT / "examples" / "groove.flac"
MINUTES = (10, 60, 600)
MODELS = ("drums",)
SUFFIXES = (".csv", ".mid")

#: Kilobytes or bytes, whatever the system counts resident sizes in.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("minutes", type=int, nargs="*", default=list(MINUTES))
    wanted = parser.parse_args(arguments).minutes
    rows = [row for row in _known_rows() if row["minutes"] not in wanted]
    with tempfile.TemporaryDirectory(prefix="softloc-length-") as folder:
        for minutes in wanted:
            recording = Path(folder) / f"{minutes}.flac"
            duration_s = write_recording(recording, 60.0 * minutes)
            for model in MODELS:
                for suffix in SUFFIXES:
                    row = measure(recording, model, suffix)
                    rows.append({"minutes": minutes, "duration_s": duration_s, **row})
                    print(rows[-1], flush=True)
            recording.unlink()
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "rows": sorted(rows, key=lambda row: (row["model"], row["suffix"], row["minutes"])),
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write_recording(path: Path, at_least_s: float) -> float:
    """Play the example again and again into a FLAC file; return its length in seconds."""
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="int16")
    n_written = 0
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16") as file:
        while n_written < at_least_s * rate_hz:
            file.write(samples)
            n_written += len(samples)
    return n_written / int(rate_hz)


def measure(recording: Path, model: str, suffix: str) -> dict[str, Any]:
    """Transcribe a recording in a process of its own."""
    output = recording.with_suffix(suffix)
    command = [sys.executable, "-m", "softloc_cli", "transcribe", str(recording)]
    started_s, load = time.monotonic(), os.getloadavg()[0]
    process = subprocess.Popen([*command, "-q", "-m", model, "-o", str(output)])  # noqa: S603
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    row = {
        "model": model,
        "suffix": suffix,
        "events": len(read_onsets(output)),
        "peak_mb": round(usage.ru_maxrss * _RSS_UNIT / 1e6, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "wall_s": round(time.monotonic() - started_s, 1),
        "load_before": round(load, 1),
    }
    output.unlink()
    return row


def _known_rows() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    return rows


if __name__ == "__main__":
    main()
