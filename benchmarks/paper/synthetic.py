"""Small corpora that need no data: for ``--quick``, and for long events.

``hits``: three kinds of short sounds (thump, noise, tick) labelled KD, SD, HH. ``tones``: sustained
tones of some pitches, labelled with their MIDI note. ``spans``: sustained tones, one after the
other, labelled ``begin`` and ``end`` (Section 2 of the paper: a long event is two point events).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from softloc.files import write_text_atomic

RATE_HZ = 16_000
NOTES = (60, 64, 67)

Samples = NDArray[np.float64]
Rows = list[tuple[float, str]]


def ensure_corpus(folder: Path, kind: str, n_files: int, duration_s: float, seed: int) -> Path:
    """Make a corpus unless it is there; return its table of labels.

    Parameters
    ----------
    folder : Path
        Where it goes.
    kind : {"hits", "tones", "spans"}
        See the module.
    n_files : int
        Recordings.
    duration_s : float
        Of each.
    seed : int
        Of all randomness.
    """
    table = folder / "labels.csv"
    if table.exists():
        return table
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "time_s", "label"])
    for index in range(n_files):
        name = f"{kind}-{seed}-{index:03d}.flac"
        samples, rows = _MAKERS[kind](duration_s, np.random.default_rng([seed, index]))
        sf.write(folder / name, np.clip(samples, -1.0, 1.0), RATE_HZ, subtype="PCM_16")
        writer.writerows([name, f"{time_s:.6f}", label] for time_s, label in sorted(rows))
    write_text_atomic(table, text.getvalue())
    return table


def _hits(duration_s: float, rng: np.random.Generator) -> tuple[Samples, Rows]:
    samples = _silence(duration_s, rng)
    rows: Rows = []
    for label, sound in _hit_sounds(rng).items():
        for time_s in _times(duration_s, 0.35, rng):
            _add(samples, time_s, rng.uniform(0.4, 1.0) * sound)
            rows.append((time_s, label))
    return samples, rows


def _hit_sounds(rng: np.random.Generator) -> Mapping[str, Samples]:
    place_s = np.arange(round(0.12 * RATE_HZ)) / RATE_HZ
    thump = np.sin(2 * np.pi * 70.0 * place_s) * np.exp(-place_s / 0.04)
    noise = rng.normal(0.0, 0.3, len(place_s)) * np.exp(-place_s / 0.03)
    tick = np.sin(2 * np.pi * 6000.0 * place_s) * np.exp(-place_s / 0.008)
    return {"KD": 0.5 * thump, "SD": 0.5 * noise, "HH": 0.3 * tick}


def _tones(duration_s: float, rng: np.random.Generator) -> tuple[Samples, Rows]:
    samples = _silence(duration_s, rng)
    rows: Rows = []
    for note in NOTES:
        for time_s in _times(duration_s, 0.5, rng):
            _add(samples, time_s, _tone(note, rng.uniform(0.2, 0.4)))
            rows.append((time_s, str(note)))
    return samples, rows


def _spans(duration_s: float, rng: np.random.Generator) -> tuple[Samples, Rows]:
    samples = _silence(duration_s, rng)
    rows: Rows = []
    time_s = rng.uniform(0.1, 0.5)
    while True:
        length_s = rng.uniform(0.2, 0.8)
        if time_s + length_s > duration_s - 0.1:
            return samples, rows
        note = int(rng.integers(48, 73))
        _add(samples, time_s, _tone(note, length_s, decay_s=np.inf))
        rows += [(time_s, "begin"), (time_s + length_s, "end")]
        time_s += length_s + rng.uniform(0.15, 0.6)


_MAKERS: Mapping[str, Callable[[float, np.random.Generator], tuple[Samples, Rows]]] = {
    "hits": _hits,
    "tones": _tones,
    "spans": _spans,
}


def _silence(duration_s: float, rng: np.random.Generator) -> Samples:
    return rng.normal(0.0, 1e-4, round(duration_s * RATE_HZ))


def _times(duration_s: float, mean_gap_s: float, rng: np.random.Generator) -> list[float]:
    """Draw times whose gaps are at least a third of their mean."""
    times, time_s = [], rng.uniform(0.05, mean_gap_s)
    while time_s < duration_s - 0.1:
        times.append(time_s)
        time_s += mean_gap_s * (1 / 3 + rng.exponential(2 / 3))
    return times


def _tone(note: int, length_s: float, decay_s: float = 0.3) -> Samples:
    """Make harmonics that begin and end within 2 ms."""
    place_s = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    pitch_hz = 440.0 * 2.0 ** ((note - 69) / 12)
    harmonics = [np.sin(2 * np.pi * k * pitch_hz * place_s) / k for k in range(1, 6)]
    ramp = np.minimum(np.minimum(place_s, length_s - place_s) / 0.002, 1.0)
    return np.asarray(0.2 * np.sum(harmonics, axis=0) * np.exp(-place_s / decay_s) * ramp)


def _add(samples: Samples, time_s: float, sound: Samples) -> None:
    start = round(time_s * RATE_HZ)
    cut = sound[: len(samples) - start]
    samples[start : start + len(cut)] += cut
