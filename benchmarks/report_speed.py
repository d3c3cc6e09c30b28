"""How large a report is, how long it takes, and how smoothly it plays.

``python -m benchmarks.report_speed`` writes ``benchmarks/results/report_speed.json``.

Recordings are made of seeded noise bursts at random times over a faint hum, labelled in five
classes; the estimate misses one event in twenty, adds as many false alarms and shifts the rest by
normal noise of 8 ms. The page is opened in headless Chromium at 1400 x 1000 pixels, without a
graphics card. While it plays with clicks on, the intervals between animation frames are taken for
ten seconds: with the view that a page opens with, with the whole recording in view, and with a view
that is zoomed and moved in every frame. The load average says how busy the machine was with other
work. The shift of the sound is where the cross-correlation of what the browser decoded with what
was written has its maximum.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from softloc.evaluation import EvaluationSettings
from softloc.events import Onset, sort_onsets
from softloc.report import compare_recordings, read_media, write_report

COMMAND = "python -m benchmarks.report_speed"
RESULTS = Path(__file__).resolve().parent / "results" / "report_speed.json"
SEED = 20
RATE_HZ = 44_100
CLASSES = ("KD", "SD", "HH", "TT", "CY")
MEASURED_S = 10.0


@dataclass(frozen=True)
class Case:
    """A recording to be shown."""

    minutes: float
    events: int


CASES = {
    "1 minute": Case(1, 1_000),
    "10 minutes": Case(10, 10_000),
    "60 minutes": Case(60, 60_000),
}

FRAMES = """async ([seconds, mode]) => {
    const times = [];
    const end = performance.now() + 1000 * seconds;
    let step = 0;
    await new Promise((done) => {
        const frame = (now) => {
            times.push(now);
            if (mode === "moving") {
                const span = 8 + 6 * Math.sin(step++ / 20);
                const start = 20 + step / 60;
                softloc.setView(start, start + span);
            }
            if (now < end) requestAnimationFrame(frame);
            else done();
        };
        requestAnimationFrame(frame);
    });
    return times.slice(1).map((time, i) => time - times[i]);
}"""


def draw_events(case: Case, rng: np.random.Generator) -> tuple[list[Onset], list[Onset]]:
    """Return reference and estimate."""
    duration_s = 60 * case.minutes
    times_s = np.sort(rng.uniform(0.1, duration_s - 0.5, case.events))
    labels = rng.choice(CLASSES, case.events)
    reference = [Onset(float(t), str(label)) for t, label in zip(times_s, labels, strict=True)]
    kept = rng.random(case.events) >= 0.05
    shifts_s = rng.normal(0.0, 0.008, case.events)
    estimate = [
        Onset(onset.time_s + float(shift_s), onset.label, confidence=0.9)
        for onset, keep, shift_s in zip(reference, kept, shifts_s, strict=True)
        if keep
    ]
    estimate += [
        Onset(float(rng.uniform(0.1, duration_s)), str(rng.choice(CLASSES)), confidence=0.5)
        for _ in range(case.events // 20)
    ]
    return reference, sort_onsets(estimate)


def write_recording(path: Path, case: Case, onsets: list[Onset], rng: np.random.Generator) -> None:
    """Write noise bursts at the events, a minute at a time."""
    n = round(60 * RATE_HZ)
    burst_s = np.arange(round(0.15 * RATE_HZ)) / RATE_HZ
    decays_s = dict(zip(CLASSES, (0.05, 0.03, 0.01, 0.04, 0.06), strict=True))
    tail = np.zeros(len(burst_s))
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        for minute in range(int(case.minutes)):
            samples = np.zeros(n + len(burst_s))
            samples[: len(tail)] = tail
            samples[:n] += 0.01 * np.sin(2 * np.pi * 100 * np.arange(n) / RATE_HZ)
            for onset in onsets:
                start = round(onset.time_s * RATE_HZ) - minute * n
                if 0 <= start < n:
                    burst = rng.normal(size=len(burst_s)) * np.exp(-burst_s / decays_s[onset.label])
                    samples[start : start + len(burst)] += 0.1 * burst
            file.write(np.clip(samples[:n], -1, 1))
            tail = samples[n:]


def build(folder: Path, case: Case) -> dict[str, Any]:
    """Write the page; return size, time and memory."""
    rng = np.random.default_rng(SEED)
    reference, estimate = draw_events(case, rng)
    write_recording(folder / "recording.wav", case, reference, rng)
    begin = time.perf_counter()
    media = read_media(folder / "recording.wav")
    settings = EvaluationSettings()
    ((_, comparison),) = compare_recordings({"a": reference}, {"a": estimate}, settings)
    write_report(folder / "page.html", "recording", comparison, media)
    seconds = time.perf_counter() - begin
    return {
        "page_mb": round((folder / "page.html").stat().st_size / 1e6, 2),
        "codec": media.audio.codec if media.audio else None,
        "sample_rate_hz": media.audio.sample_rate_hz if media.audio else None,
        "written_in_s": round(seconds, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def measure_frames(page: Page) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield intervals between frames while the page plays, for each way of looking at it."""
    duration_s = page.evaluate("softloc.data.duration_s")
    page.select_option("#clicks", "estimate")
    for mode in ("opening view", "whole recording", "moving"):
        page.evaluate("softloc.seek(20)")
        if mode == "whole recording":
            page.evaluate("(end) => softloc.setView(0, end)", duration_s)
        else:
            page.evaluate("softloc.setView(18, 30)")
        page.evaluate("if (!softloc.playing) document.getElementById('play').click()")
        page.wait_for_timeout(1_000)
        intervals_ms = page.evaluate(FRAMES, [MEASURED_S, mode])
        if not page.evaluate("softloc.playing"):
            raise RuntimeError("the page has stopped playing")
        yield (
            mode,
            {
                "frames": len(intervals_ms),
                "median_ms": round(statistics.median(intervals_ms), 2),
                "p95_ms": round(float(np.percentile(intervals_ms, 95)), 2),
                "longest_ms": round(max(intervals_ms), 1),
                "load_average": round(os.getloadavg()[0], 2),
            },
        )


def measure_shifts(page: Page, recording: Path) -> list[int]:
    """Return by how many samples what the browser decoded is late, at some places."""
    seconds = soundfile.info(recording).frames // RATE_HZ
    return [
        _shift(page, recording, start_s)
        for start_s in np.linspace(1, seconds - 2, 5).astype(int).tolist()
    ]


def _shift(page: Page, recording: Path, start_s: int) -> int:
    rate = page.evaluate("softloc.data.media.audio.sample_rate_hz")
    samples = soundfile.read(recording, start=start_s * RATE_HZ, frames=RATE_HZ)[0]
    own: NDArray[np.float64] = soxr.resample(samples, RATE_HZ, rate)
    n = len(own)
    arguments = [start_s * rate, n]
    decoded = np.array(page.evaluate("([a, n]) => softloc.samples(a, n)", arguments))
    spectrum = np.fft.rfft(decoded, 2 * n) * np.fft.rfft(own, 2 * n).conj()
    peak = int(np.fft.irfft(spectrum).argmax())
    return peak if peak < n else peak - 2 * n


def show(folder: Path, executable: str | None) -> dict[str, Any]:
    """Open the page; return how it does."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"],
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        begin = time.perf_counter()
        page.goto((folder / "page.html").as_uri())
        page.evaluate("softloc.ready")
        opened_s = time.perf_counter() - begin
        result = {
            "browser": f"Chromium {browser.version}",
            "opened_in_s": round(opened_s, 2),
            "frames": dict(measure_frames(page)),
            "shift_samples": measure_shifts(page, folder / "recording.wav"),
        }
        browser.close()
    return result


def main() -> None:
    """Measure all cases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--browser", default=shutil.which("chromium"), help="path of Chromium")
    executable = parser.parse_args().browser
    results = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            built = build(Path(folder), case)
            results[name] = {"case": asdict(case), **built, **show(Path(folder), executable)}
        print(name, json.dumps(results[name]), flush=True)
    packages = ("numpy", "playwright", "soundfile", "uplot-python")
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "method": __doc__,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "processor": {"machine": platform.machine(), "cores": os.cpu_count()},
        "results": results,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {RESULTS.name}")


if __name__ == "__main__":
    main()
