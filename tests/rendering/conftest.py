"""Tiny kits and grooves, made on the spot: short noise bursts with an instant attack."""

from __future__ import annotations

import csv
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile as sf

RATE_HZ = 44_100
ONSET = 88

COLUMNS = [
    "path", "kit", "family", "split", "class", "articulation", "layer", "n_layers", "velocity_lo",
    "velocity_hi", "source_peak_db", "duration_s", "licence", "tier", "author", "source", "type",
    "attack_ms",
]  # fmt: skip

CLASSES = {
    "kick": "KD", "snare": "SD", "side_stick": "SD", "closed": "HH", "open": "HH", "pedal": "HH",
    "tom_hi": "TT", "tom_lo": "TT", "crash": "CY", "ride": "CY", "cowbell": "OT",
}  # fmt: skip

#: kit -> (family, split, tier, articulations)
KITS = {
    "red": ("colours", "train", "A", tuple(CLASSES)),
    "green": ("greens", "train", "B", ("kick", "snare", "closed")),
    "grey": ("greys", "train", "P", ("kick", "snare", "closed", "tom_lo")),
    "blue": ("blues", "valid", "A", ("kick", "snare", "closed", "open", "tom_lo", "crash")),
    "white": ("whites", "test", "A", tuple(CLASSES)),
}


def burst(seed: int, duration_s: float = 0.12, decay_s: float = 0.03) -> np.ndarray:
    """A noise burst whose first sample is at full height, sample 88 of the file."""
    rng = np.random.default_rng(seed)
    length = int(duration_s * RATE_HZ)
    audio = np.zeros(ONSET + length, dtype=np.float32)
    time_s = np.arange(length) / RATE_HZ
    audio[ONSET:] = rng.uniform(-1, 1, length) * np.exp(-time_s / decay_s)
    audio[ONSET] = 1.0
    return audio * np.float32(0.89)


def write_kits(folder: Path) -> list[dict[str, str]]:
    rows = []
    for number, (kit, (family, split, tier, articulations)) in enumerate(KITS.items()):
        (folder / kit).mkdir(parents=True)
        for articulation in articulations:
            layers = 3 if articulation in ("snare", "closed") else 1
            for layer in range(1, layers + 1):
                name = f"{kit}/{articulation}_x_l{layer}of{layers}.flac"
                seed = 1000 * number + 10 * list(CLASSES).index(articulation) + layer
                long = articulation in ("open", "crash", "ride")
                audio = burst(seed, 0.6, 0.2) if long else burst(seed)
                sf.write(folder / name, audio, RATE_HZ, subtype="PCM_16")
                rows.append(
                    {
                        "path": name, "kit": kit, "family": family, "split": split,
                        "class": CLASSES[articulation], "articulation": articulation,
                        "layer": str(layer), "n_layers": str(layers),
                        "velocity_lo": str(1 + 127 * (layer - 1) // layers),
                        "velocity_hi": str(127 * layer // layers),
                        "source_peak_db": str(-10 * (layers - layer)), "duration_s": "0.1",
                        "licence": "CC0-1.0", "tier": tier, "author": "nobody", "source": "made",
                        "type": "acoustic", "attack_ms": "0.0",
                    }
                )  # fmt: skip
    write_manifest(folder, rows)
    return rows


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_midi(path: Path, notes: list[tuple[float, int, int]]) -> None:
    """Notes as (seconds, note, velocity), at 120 bpm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    track = mido.MidiTrack()
    now = 0
    for time_s, note, velocity in sorted(notes):
        tick = round(time_s * 960)
        track.append(mido.Message("note_on", note=note, velocity=velocity, time=tick - now))
        now = tick
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(track)
    file.save(path)


def write_grooves(folder: Path) -> None:
    lines = ["id,style,bpm,beat_type,midi_filename,duration,split"]
    for split in ("train", "validation", "test"):
        for number in range(2):
            name = f"{split}/{number}.mid"
            step_s = 0.15 + 0.05 * number
            notes = [
                (step_s * step, note, 40 + (37 * step) % 80)
                for step in range(80)
                for note in ((36, 42), (42,), (38, 44), (46,), (51, 45), (49, 22))[step % 6]
            ]
            write_midi(folder / name, notes)
            lines.append(f"{split}/{number},rock,120,beat,{name},12.0,{split}")
    (folder / "info.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def kits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kits")
    write_kits(folder)
    return folder


@pytest.fixture(scope="session")
def grooves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grooves")
    write_grooves(folder)
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(20_240_229)


def onset_of(audio: np.ndarray) -> int:
    """First sample at -30 dB re the peak."""
    magnitude = np.abs(audio)
    return int(np.argmax(magnitude >= magnitude.max() * 10**-1.5))


@pytest.fixture(name="onset_of")
def _onset_of():
    return onset_of


@pytest.fixture(name="burst")
def _burst():
    return burst


@pytest.fixture(name="write_kits")
def _write_kits():
    return write_kits


@pytest.fixture(name="write_manifest")
def _write_manifest():
    return write_manifest


@pytest.fixture(name="write_midi")
def _write_midi():
    return write_midi


BACKING_COLUMNS = [
    "path", "instrument", "family", "split", "midi_note", "layer", "source_peak_db", "duration_s",
    "licence", "author", "source", "tuning_cents", "attack_ms",
]  # fmt: skip

#: instrument -> (family, split, licence, author)
INSTRUMENTS = {
    "round_bass": ("strings", "train", "CC0-1.0", "Ann"),
    "square_guitar": ("frets", "train", "CC-BY-3.0", "Ben"),
    "small_sax": ("reeds", "valid", "CC-BY-4.0", "Cid"),
    "old_piano": ("keys", "test", "CC0-1.0", "Dee"),
}


def pitched_note(midi_note: int, duration_s: float = 0.4) -> np.ndarray:
    """A decaying cosine: at full height from sample 88 on."""
    time_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    tone = np.cos(2 * np.pi * 440 * 2 ** ((midi_note - 69) / 12) * time_s) * np.exp(-3 * time_s)
    return np.concatenate([np.zeros(ONSET), 0.89 * tone]).astype(np.float32)


def write_backing(folder: Path) -> list[dict[str, str]]:
    rows = []
    for instrument, (family, split, licence, author) in INSTRUMENTS.items():
        (folder / instrument).mkdir(parents=True)
        for midi_note in (40, 52, 64):
            for layer in (1, 2):
                name = f"{instrument}/{midi_note:03d}_l{layer}.flac"
                sf.write(folder / name, pitched_note(midi_note), RATE_HZ, subtype="PCM_16")
                values = [
                    name, instrument, family, split, midi_note, layer, "-3.0", "0.4",
                    licence, author, "made", "" if midi_note == 40 else "0", "0.0",
                ]  # fmt: skip
                rows.append(dict(zip(BACKING_COLUMNS, map(str, values), strict=True)))
    write_backing_manifest(folder, rows)
    return rows


def write_backing_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, BACKING_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def backing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backing")
    write_backing(folder)
    return folder


@pytest.fixture(name="write_backing")
def _write_backing():
    return write_backing


@pytest.fixture(name="write_backing_manifest")
def _write_backing_manifest():
    return write_backing_manifest
