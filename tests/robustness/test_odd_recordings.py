"""Recordings and labels at their limits, through the commands: events or a sentence, a code."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click_model import make_click_model
from clicks import bursts
from numpy.typing import NDArray
from typer.testing import CliRunner

from softloc.checkpoints import load_checkpoint, save_checkpoint
from softloc.formats import read_onsets
from softloc_cli.app import app

RATE_HZ = 44_100
TIMES_S = [0.3, 0.9]
TINY = ("--size", "small", "--steps", "3", "--batch-size", "4", "--window", "0.6",
        "--threads", "1", "-d", "cpu", "--softness", "30")  # fmt: skip


def spoilt(value: float) -> NDArray[np.float32]:
    samples = np.zeros(RATE_HZ, np.float32)
    samples[22_050] = value
    return samples


#: No sound, and what is said of it.
REFUSED = {
    "nan": (spoilt(math.nan), "sample 22050 is nan, no sound, at 0.500 s"),
    "infinite": (spoilt(math.inf), "sample 22050 is inf, no sound"),
    "minus infinite": (spoilt(-math.inf), "sample 22050 is -inf, no sound"),
    "ten million": (spoilt(1e7), "sample 22050 is 10000000.0, no sound"),
    "no samples": (np.zeros(0, np.float32), "the recording is empty (0 samples)"),
}

#: Odd, but sound.
READ = {
    "silence": np.zeros(RATE_HZ),
    "one sample": np.zeros(1),
    "one loud sample": np.ones(1),
    "denormal": np.full(RATE_HZ, 1e-40),
    "direct current": np.ones(RATE_HZ),
    "square": np.sign(np.sin(np.arange(RATE_HZ) * 2 * np.pi * 50 / RATE_HZ) + 1e-9),
    "largest": np.tile([1e6, -1e6], RATE_HZ // 2),
    "beyond full scale": 4.0 * bursts(TIMES_S, 1.5),
}

#: What sounds the same, however it is stored: rate, subtype.
STORED = {
    "24 bit": (RATE_HZ, "PCM_24"),
    "32 bit": (RATE_HZ, "PCM_32"),
    "float": (RATE_HZ, "FLOAT"),
    "double": (RATE_HZ, "DOUBLE"),
    "384 kHz": (384_000, "PCM_16"),
}


def store(folder: Path, name: str) -> Path:
    """Write one of the recordings above."""
    path = folder / f"{name}.wav"
    if name in STORED:
        rate_hz, subtype = STORED[name]
        base_hz = 48_000 if rate_hz % 48_000 == 0 else RATE_HZ
        samples = np.repeat(bursts(TIMES_S, 1.5, rate_hz=base_hz), rate_hz // base_hz)
        soundfile.write(path, samples, rate_hz, subtype=subtype)
    else:
        samples = REFUSED[name][0] if name in REFUSED else READ[name].astype(np.float32)
        soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    return path


def of_rate(rate_hz: int) -> bytes:
    """A WAV file that claims a sample rate."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", 400) + bytes(400)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "clicks.safetensors"
    save_checkpoint(path, make_click_model())
    return path


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize("name", REFUSED)
def test_no_sound_is_refused_in_a_sentence(
    name: str, engine: str, model: Path, tmp_path: Path
) -> None:
    song, out = store(tmp_path, name), tmp_path / "a.csv"
    code, stdout, stderr = run("transcribe", song, "-m", model, "-o", out, "--engine", engine)
    assert (code, stdout) == (1, "")
    assert f"error: {song}: {REFUSED[name][1]}" in stderr
    assert len(stderr.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize("name", READ)
def test_odd_sound_gives_sane_events(name: str, engine: str, model: Path, tmp_path: Path) -> None:
    song, out = store(tmp_path, name), tmp_path / "a.csv"
    code, _, stderr = run("transcribe", song, "-m", model, "-o", out, "--engine", engine)
    assert code == 0, stderr
    events = read_onsets(out)
    for event in events:
        assert 0.0 <= event.time_s <= len(READ[name]) / RATE_HZ
        assert event.confidence is None or 0.0 <= event.confidence <= 1.0
    if name in ("silence", "one sample", "denormal"):
        assert events == []
    if name == "beyond full scale":
        found = [event.time_s for event in events if event.label == "KD"]
        assert all(min(abs(time_s - each) for each in found) < 0.01 for time_s in TIMES_S)


@pytest.mark.parametrize("name", STORED)
def test_every_way_to_store_it_gives_the_same_events(
    name: str, model: Path, tmp_path: Path
) -> None:
    song, out = store(tmp_path, name), tmp_path / "a.csv"
    code, _, stderr = run("transcribe", song, "-m", model, "-o", out)
    assert code == 0, stderr
    found = [event.time_s for event in read_onsets(out) if event.label == "KD"]
    assert found == pytest.approx(TIMES_S, abs=0.012)


@pytest.mark.parametrize(("rate_hz", "code"), [(1, 1), (999, 1), (1_000, 0), (768_001, 1)])
def test_rates_of_headers(rate_hz: int, code: int, model: Path, tmp_path: Path) -> None:
    song = tmp_path / "a.wav"
    song.write_bytes(of_rate(rate_hz))
    found, _, stderr = run("transcribe", song, "-m", model, "-o", tmp_path / "a.csv")
    assert found == code, stderr
    if code:
        assert f"a sample rate of {rate_hz} Hz lies outside 1000-768000 Hz" in stderr


def test_a_batch_goes_on_after_what_is_no_sound(model: Path, tmp_path: Path) -> None:
    songs, out = tmp_path / "songs", tmp_path / "out"
    songs.mkdir()
    for name in (*REFUSED, *READ):
        store(songs, name)
    (songs / "1 Hz.wav").write_bytes(of_rate(1))
    code, _, stderr = run("transcribe", songs, "-m", model, "-o", out, "-f", "csv")
    assert code == 3
    assert sorted(path.name.split(".")[0] for path in out.iterdir()) == sorted(READ)
    for name, (_, sentence) in REFUSED.items():
        assert f"{name}.wav: {sentence}" in stderr


def write_labels(folder: Path, names: Iterable[str], n_labels: int = 1) -> Path:
    """A table with so many labels at the very start of each recording."""
    rows = [f"{name}.wav,0.0,KD\n" for name in names for _ in range(n_labels)]
    table = folder / "labels.csv"
    table.write_text("file,time_s,label\n" + "".join(rows), encoding="utf-8")
    return table


def numbers_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers_in(each)]
    return [float(value)] if isinstance(value, int | float) else []


@pytest.mark.parametrize("n_labels", [1, 500])
def test_training_on_odd_sound_stays_finite(n_labels: int, tmp_path: Path) -> None:
    """With one label each, and with more labels than a recording has frames."""
    for name in (*READ, *STORED):
        store(tmp_path, name)
    table = write_labels(tmp_path, (*READ, *STORED), n_labels)
    model = tmp_path / "m.safetensors"
    code, _, stderr = run("train", "--labels", table, "-o", model, *TINY)
    assert code == 0, stderr
    lines = (tmp_path / "m.curve.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        numbers = numbers_in(json.loads(line))
        assert numbers
        assert all(map(math.isfinite, numbers)), line
    trained = load_checkpoint(model).network.state_dict()
    assert all(bool(tensor.isfinite().all()) for tensor in trained.values())


@pytest.mark.parametrize(("name", "code"), [("nan", 1), ("no samples", 2)])
def test_training_names_what_is_no_sound(name: str, code: int, tmp_path: Path) -> None:
    for each in ("silence", name):
        store(tmp_path, each)
    table, model = write_labels(tmp_path, ("silence", name)), tmp_path / "m.safetensors"
    found, _, stderr = run("train", "--labels", table, "-o", model, *TINY)
    assert found == code
    assert f"{name}.wav: {REFUSED[name][1]}" in stderr
    assert not model.exists()


@pytest.mark.slow
def test_labels_by_the_million(tmp_path: Path) -> None:
    """All of them are read and scored, and checked for a training."""
    n_recordings, n_labels = 4, 1_000_000
    rng = np.random.default_rng(0)
    times_s = np.sort(rng.uniform(0.0, 9.9, n_labels)).round(6).tolist()
    table = tmp_path / "labels.csv"
    with table.open("w", encoding="utf-8") as file:
        file.write("file,time_s,label\n")
        file.writelines(f"{i % n_recordings}.wav,{t:.6f},KD\n" for i, t in enumerate(times_s))
    for number in range(n_recordings):
        soundfile.write(tmp_path / f"{number}.wav", rng.normal(0, 0.1, 10 * RATE_HZ), RATE_HZ)
    code, stdout, stderr = run("evaluate", table, table, "--json", "-")
    assert code == 0, stderr
    first = json.loads(stdout)["results"][0]["per_class"]["KD"]["windows"][0]
    assert first["n_ref"] == first["tp"] == n_labels
    model = tmp_path / "m.safetensors"
    code, _, stderr = run("train", "--labels", table, "-o", model, "--dry-run")
    assert code == 0, stderr
    assert "KD 750000" in stderr
