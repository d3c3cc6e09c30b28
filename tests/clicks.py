"""Synthetic recordings with known onsets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 44_100

#: Centre frequency and decay of each synthetic drum.
_SOUNDS = {"KD": (80.0, 0.12), "SD": (1_500.0, 0.08), "HH": (9_000.0, 0.03)}


def render_hit(label: str, rng: np.random.Generator) -> np.ndarray:
    """One hit: a decaying tone with noise, starting at its peak."""
    frequency_hz, decay_s = _SOUNDS[label]
    time_s = np.arange(int(6 * decay_s * RATE_HZ)) / RATE_HZ
    tone = np.cos(2 * np.pi * frequency_hz * time_s) + 0.3 * rng.normal(size=len(time_s))
    return 0.3 * tone * np.exp(-time_s / decay_s)


def render(events: list[tuple[float, str]], duration_s: float, seed: int = 0) -> np.ndarray:
    """Hits at exact samples, with faint noise behind."""
    rng = np.random.default_rng(seed)
    samples = 1e-4 * rng.normal(size=int(duration_s * RATE_HZ))
    for time_s, label in events:
        start = round(time_s * RATE_HZ)
        hit = render_hit(label, rng)[: len(samples) - start]
        samples[start : start + len(hit)] += hit
    return samples


def random_events(
    duration_s: float, rng: np.random.Generator, labels: tuple[str, ...] = ("KD", "SD", "HH")
) -> list[tuple[float, str]]:
    """About four hits a second, at least 60 ms apart, off the frame grid."""
    times_s = np.cumsum(rng.uniform(0.06, 0.4, size=int(8 * duration_s)))
    times_s = times_s[times_s < duration_s]
    return [(float(t), str(rng.choice(labels))) for t in times_s]


def write_corpus(
    folder: Path, n_recordings: int = 4, duration_s: float = 6.0, seed: int = 0
) -> Path:
    """Recordings with a table of exact labels; returns the table."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = ["file,time_s,label"]
    for index in range(n_recordings):
        events = random_events(duration_s, rng)
        name = f"take {index}.wav"
        soundfile.write(folder / name, render(events, duration_s, index), RATE_HZ)
        rows += [f"{name},{time_s:.6f},{label}" for time_s, label in events]
    table = folder / "labels.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def bursts(
    times_s: list[float],
    duration_s: float = 2.0,
    rate_hz: int = 44_100,
    levels_db: list[float] | None = None,
) -> np.ndarray:
    """Bursts of noise that start at these times, as loud as each other or so many dB louder."""
    rng = np.random.default_rng(0)
    samples = np.zeros(int(duration_s * rate_hz))
    for time_s, level_db in zip(times_s, levels_db or [0.0] * len(times_s), strict=True):
        start = round(time_s * rate_hz)
        length = min(4_000, len(samples) - start)
        samples[start : start + length] += (
            0.3 * rng.normal(size=length) * np.exp(-np.arange(length) / 800)
        ) * 10.0 ** (level_db / 20.0)
    return samples


def write_played_corpus(
    folder: Path, n_recordings: int = 2, duration_s: float = 30.0, seed: int = 0
) -> Path:
    """Bursts played with velocities of 20-120, 0.15 dB each, in recordings of unequal levels.

    Every burst has two labels, KD and HH.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = ["file,time_s,label,velocity"]
    for index in range(n_recordings):
        times_s = np.arange(0.1, duration_s - 0.1, 0.12) + rng.uniform(0.0, 0.01)
        velocities = rng.integers(20, 121, size=len(times_s))
        levels_db = 0.15 * (velocities - 127.0) + rng.uniform(-6.0, 6.0)
        name = f"take {index}.flac"
        samples = bursts(times_s.tolist(), duration_s, levels_db=levels_db.tolist())
        soundfile.write(folder / name, np.clip(samples, -1.0, 1.0), RATE_HZ, subtype="PCM_24")
        rows += [
            f"{name},{time_s:.6f},{label},{velocity}"
            for time_s, velocity in zip(times_s, velocities, strict=True)
            for label in ("KD", "HH")
        ]
    table = folder / "labels.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table
