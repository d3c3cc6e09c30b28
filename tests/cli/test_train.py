"""``softloc train`` and the way through all commands: perturb, train, transcribe, evaluate."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer
from clicks import write_corpus
from typer.testing import CliRunner

from softloc.checkpoints import load_checkpoint
from softloc.errors import SettingsError
from softloc.label_scatter import LabelScatter
from softloc.training_files import record_path
from softloc.training_settings import TrainingSettings
from softloc_cli.app import app
from softloc_cli.train import _work_folder

TINY = (
    "--size", "small", "--steps", "8", "--batch-size", "2", "--window", "0.6", "--threads", "1",
    "-d", "cpu",
)  # fmt: skip


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", n_recordings=3, duration_s=3.0)


def test_from_noisy_labels_to_scores(tmp_path: Path, labels: Path) -> None:
    """All four commands, one after the other, with labels at both ends of a recording."""
    with labels.open("a", encoding="utf-8") as file:
        file.write("take 0.wav,0.000000,KD\ntake 0.wav,2.999990,KD\n")
    noisy, model, out = tmp_path / "noisy.csv", tmp_path / "m.safetensors", tmp_path / "out"
    perturbing = ("perturb", labels, "--noise", "normal:200ms", "--audio", labels.parent)
    assert run(*perturbing, "-o", noisy)[0] == 0
    code, stdout, stderr = run(
        "train", "--labels", noisy, "--audio", labels.parent, "-o", model, "--softness", 200, *TINY
    )
    assert (code, stdout) == (0, ""), stderr
    assert "validation labels are as noisy as the training labels" in stderr
    assert "F1 ±400 ms" in stderr
    assert model.exists()
    assert not model.with_suffix(".state").exists()
    assert not list(tmp_path.glob(".m-*")), "decoded audio is removed"
    assert run("transcribe", labels.parent, "-o", out, "-f", "csv", "-m", model)[0] == 0
    code, stdout, _ = run("evaluate", labels, out, "--json", "-")
    assert code == 0
    assert json.loads(stdout)["results"]


def test_dry_run_reports_everything_and_writes_nothing(tmp_path: Path, labels: Path) -> None:
    model = tmp_path / "m.safetensors"
    code, _, stderr = run("train", "--labels", labels, "-o", model, "--dry-run")
    assert code == 0
    assert "2 recordings" in stderr
    assert list(tmp_path.iterdir()) == [labels.parent]
    with labels.open("a", encoding="utf-8") as file:
        file.write("take 0.wav,9999,KD\nmissing.wav,1,KD\n")
    code, _, stderr = run("train", "--labels", labels, "-o", model, "--dry-run")
    assert code == 2
    assert "9999.000000 s is far outside" in stderr
    assert "missing.wav: no such recording" in stderr


def test_of_a_joined_model_the_first_is_started_from(tmp_path: Path, labels: Path) -> None:
    options = ("--labels", labels, "-o", tmp_path / "m.safetensors", "--dry-run")
    code, _, stderr = run("train", *options, "--init", "drums")
    assert code == 0
    assert "drums has 2 members: the first one is trained on" in stderr.splitlines()
    assert "members" not in run("train", *options, "--init", "drums-small")[2]


def test_exact_validation_labels(tmp_path: Path, labels: Path) -> None:
    valid = write_corpus(tmp_path / "valid", n_recordings=1, duration_s=2.0, seed=7)
    code, _, stderr = run(
        "train", "--labels", labels, "--valid-labels", valid, "-o", tmp_path / "m.safetensors",
        *TINY,
    )  # fmt: skip
    assert code == 0
    assert "F1 ±50 ms" in stderr
    assert "F1 ±20 ms" in stderr


def test_how_noisy_the_labels_seem_is_told_where_nobody_says_they_are_exact(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = LabelScatter(sigma_s=0.0234, offset_s=0.0, stray_share=0.1, n_labels=100)
    monkeypatch.setattr("softloc.training_validation.estimate_scatter", lambda *_: found)
    model, valid = tmp_path / "m.safetensors", write_corpus(tmp_path / "valid", 1, 2.0)
    told = "the labels lie about 23 ms (standard deviation) from what the model hears"
    code, _, stderr = run("train", "--labels", labels, "-o", model, "--softness", 40, *TINY)
    assert code == 0
    assert f"{told}, its own errors included; --softness was 40" in stderr.splitlines()
    assert json.loads(record_path(model).read_text())["best"]["label_sigma_ms"] == pytest.approx(
        23.4
    )
    options = ("--labels", labels, "--valid-labels", valid, "-o", model, "--overwrite", *TINY)
    assert told not in run("train", *options)[2]
    monkeypatch.setattr("softloc.training_validation.estimate_scatter", lambda *_: None)
    code, _, stderr = run("train", "--labels", labels, "-o", model, "--overwrite", *TINY)
    assert code == 0
    assert "standard deviation" not in stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--loss", "crossentropy"), "cross-entropy"),
        (("--size", "lage"), "did you mean 'large'"),
        (("--alpha", "2"), "alpha"),
        (("--classes", "KD,KD"), "listed twice"),
        (("--seed", "-1"), "seed must be 0 or more"),
        (("--window", "inf"), "window_s must be positive"),
        (("--classes", "KD,SD"), "unknown class 'HH'"),
        (("--init", "drums", "--size", "small"), "--init brings its own network"),
        (("--annotator-softness", "ann"), "write it as ann=50"),
        (("--annotator-softness", "ann=50"), "unknown annotator 'ann'"),
        (("--resume",), "no interrupted training to resume"),
        (("--resume", "--overwrite"), "contradict each other"),
        (("--softness", "-1"), "softness_ms"),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path, labels: Path, options: tuple[str, ...], sentence: str
) -> None:
    code, _, stderr = run(
        "train", "--labels", labels, "-o", tmp_path / "m.safetensors", *options, "--dry-run"
    )
    assert code == 2, stderr
    assert sentence in stderr


def test_what_exists_is_not_overwritten(tmp_path: Path, labels: Path) -> None:
    model = tmp_path / "m.safetensors"
    model.write_text("precious")
    code, _, stderr = run("train", "--labels", labels, "-o", model, *TINY)
    assert code == 2
    assert "--overwrite" in stderr
    assert model.read_text() == "precious"
    code, _, stderr = run("train", "--labels", labels, "-o", tmp_path / "m.pt", *TINY)
    assert code == 2
    assert "ends in .safetensors" in stderr


def test_dry_run_finds_recordings_that_break_off(tmp_path: Path, labels: Path) -> None:
    damaged = labels.parent / "take 1.wav"
    samples, rate_hz = soundfile.read(damaged)
    samples[1000] = np.nan
    soundfile.write(damaged, samples, rate_hz, subtype="FLOAT")
    model = tmp_path / "m.safetensors"
    code, _, stderr = run("train", "--labels", labels, "-o", model, "--dry-run")
    assert code == 1
    assert "take 1.wav: sample 1000 is nan" in stderr


def test_folders_of_the_user_are_left_alone(tmp_path: Path, labels: Path) -> None:
    precious = tmp_path / "m.cache" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    assert run("train", "--labels", labels, "-o", tmp_path / "m.safetensors", *TINY)[0] == 0
    assert precious.read_text() == "mine"
    left = {path.name for path in tmp_path.iterdir()}
    beside = {"m.run.json", "m.curve.jsonl", "m.curve.png"}
    assert left == {"corpus", "m.cache", "m.safetensors", *beside}


def test_recordings_to_learn_from_do_not_validate(tmp_path: Path, labels: Path) -> None:
    code, _, stderr = run(
        "train", "--labels", labels, "--valid-labels", labels, "-o", tmp_path / "m.safetensors"
    )
    assert code == 2
    assert "in the training and in the validation labels" in stderr


def test_labels_crowded_at_the_end_of_a_recording(tmp_path: Path) -> None:
    """More labels than frames in what is left after the last whole window."""
    rows = ["file,time_s,label"]
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(round(0.605 * 44_100)), 44_100)
        rows += [f"{name},{time_s},KD" for time_s in (0.1, 0.7, 0.8, 0.9, 1.0)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows) + "\n")
    code, _, stderr = run("train", "--labels", table, "-o", tmp_path / "m.safetensors", *TINY)
    assert code == 0, stderr
    assert "4 labels outside the recording moved to its ends" in stderr


def start(labels: Path, model: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "softloc_cli", "train", "--labels", str(labels), "-o", str(model),
        *TINY, "--steps", "400", "--save-every", "0", "--seed", "3", *options,
    ]  # fmt: skip


@pytest.mark.slow
def test_killed_with_signal_9_it_resumes_exactly(tmp_path: Path, labels: Path) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    subprocess.run(start(labels, whole), check=True, capture_output=True)
    process = subprocess.Popen(start(labels, killed), stderr=subprocess.DEVNULL)
    state = killed.with_suffix(".state")
    while not state.exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    assert state.exists()
    assert len(list(tmp_path.glob(".killed-*.softloc-cache"))) == 1
    refused = subprocess.run(start(labels, killed), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    result = subprocess.run(
        start(labels, killed, "--resume"), check=True, capture_output=True, text=True
    )
    assert "going on after" in result.stderr
    assert not list(tmp_path.glob(".killed-*.softloc-cache")), "what was left is removed"
    weights = [load_checkpoint(path).network.state_dict() for path in (whole, killed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_model_of_a_similar_name_may_be_trained_beside(tmp_path: Path, labels: Path) -> None:
    with _work_folder(tmp_path / "drums-small.safetensors"):
        code, _, stderr = run(
            "train", "--labels", labels, "-o", tmp_path / "drums.safetensors", *TINY, "--steps", 1
        )
        assert code == 0, stderr
        with (
            pytest.raises(SettingsError, match="another softloc is training this model"),
            _work_folder(tmp_path / "drums-small.safetensors"),
        ):
            pass


def test_what_could_not_be_read_again_is_not_trained(tmp_path: Path, labels: Path) -> None:
    model = tmp_path / "m.safetensors"
    loss = ("--loss", "cross-entropy", "--label-length", 3_000_000)
    code, _, stderr = run("train", "--labels", labels, "-o", model, *TINY, *loss)
    assert (code, model.exists()) == (2, False)
    assert "no model file could hold this: event_mass is 300001.0" in stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-size", 10**9), "more than 36000 s of audio a step"),
        (("--window", 1e9), "more than 36000 s of audio a step"),
        (("--seed", 10**23), "seed must be less than"),
    ],
)
def test_what_no_machine_can_do_is_refused(
    options: tuple[object, ...], message: str, tmp_path: Path, labels: Path
) -> None:
    code, _, stderr = run("train", "--labels", labels, "-o", tmp_path / "m.safetensors", *TINY,
                          *options)  # fmt: skip
    assert code == 2
    assert message in stderr


def test_infinite_softness_is_still_json(tmp_path: Path, labels: Path) -> None:
    model = tmp_path / "m.safetensors"
    code, _, stderr = run("train", "--labels", labels, "-o", model, *TINY, "--softness", "inf")
    assert code == 0, stderr
    texts = (model.with_suffix(".run.json").read_text(), run("models", "show", model, "--json")[1])
    for text in texts:
        assert "inf" in json.dumps(json.loads(text, parse_constant=pytest.fail))
    assert load_checkpoint(model).settings.softness_ms == float("inf")


def test_the_help_tells_the_defaults_of_the_library() -> None:
    settings = TrainingSettings()
    told = {
        "size": settings.size, "loss": settings.loss.name, "softness": settings.softness_ms,
        "measure": settings.loss.measure, "alpha": settings.loss.alpha,
        "label_length": settings.loss.label_length_ms, "steps": settings.steps,
        "batch_size": settings.batch_size, "window": settings.window_s,
        "learning_rate": settings.learning_rate, "precision": settings.precision,
        "seed": settings.seed, "save_every": settings.state_interval_s,
    }  # fmt: skip
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    shown = {option.name: option.show_default for option in command.params}
    for name, value in told.items():
        assert shown[name] == (f"{value:g}" if isinstance(value, int | float) else value), name
    named = {name for name, text in shown.items() if isinstance(text, str)}
    assert named == set(told)
