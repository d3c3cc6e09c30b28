"""Training: learns, resumes exactly, refuses what does not belong together."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click_model import make_click_model
from clicks import write_corpus, write_played_corpus

from softloc.checkpoints import (
    Checkpoint,
    load_checkpoint,
    load_training_state,
    save_training_state,
)
from softloc.datasets import Classes, Dataset, build_dataset, choose_classes
from softloc.errors import CheckpointError, SettingsError, TrainingError
from softloc.formats import read_corpus
from softloc.losses import LossSettings
from softloc.training import fit
from softloc.training_files import record_path, state_path
from softloc.training_observers import Observer
from softloc.training_settings import (
    TrainingSettings,
    require_precision,
    warn_of_slow_precision,
)
from softloc.training_validation import Validation
from softloc.velocity import VelocityReadOut

TINY = TrainingSettings(
    size="small", steps=12, batch_size=2, window_s=0.6, validations=3, average_steps=5, seed=4
)
#: The same, with a state after every step.
OFTEN = dataclasses.replace(TINY, state_interval_s=0.0)


class KilledError(Exception):
    """Stands for kill -9."""


class KillAfter(Observer):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_step(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    table = write_corpus(tmp_path_factory.mktemp("corpus"))
    corpus = read_corpus(table)
    dataset = build_dataset(corpus, choose_classes("auto", corpus), None, softness_ms=30.0)
    return dataset.split(0.25, seed=0)


def train(
    datasets: tuple[Dataset, Dataset],
    folder: Path,
    settings: TrainingSettings = TINY,
    *,
    resume: bool = False,
    observer: Observer | None = None,
    clean: bool = True,
) -> Path:
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    output = folder / "model.safetensors"
    fit(
        datasets[0],
        Validation(datasets[1], clean=clean),
        settings,
        output,
        work,
        resume=resume,
        observer=observer,
    )
    return output


def killed_training(datasets: tuple[Dataset, Dataset], folder: Path, after_steps: int) -> None:
    """Begin a training and kill it in the middle of a step."""
    with pytest.raises(KilledError):
        train(datasets, folder, OFTEN, observer=KillAfter(after_steps))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).network.state_dict()


def same(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("killed_after", [1, 5, 11])
def test_a_killed_training_resumes_to_the_same_weights(
    datasets: tuple[Dataset, Dataset], tmp_path: Path, killed_after: int
) -> None:
    whole = train(datasets, tmp_path / "whole")
    # The step that dies is not in the last saved state.
    killed_training(datasets, tmp_path / "killed", killed_after + 1)
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    resumed = train(datasets, tmp_path / "killed", OFTEN, resume=True)
    assert same(weights(whole), weights(resumed))
    assert not state_path(resumed).exists()


def test_half_the_digits_learn_nearly_the_same(
    datasets: tuple[Dataset, Dataset], tmp_path: Path, half_precision: str
) -> None:
    losses: dict[str, list[float]] = {}
    for precision in ("float32", half_precision):
        settings = dataclasses.replace(TINY, precision=precision, validations=12)
        output = train(datasets, tmp_path / precision, settings)
        curve = json.loads(record_path(output).read_text())["curve"]
        losses[precision] = [row["train_loss"] for row in curve]
        kinds = {tensor.dtype for tensor in weights(output).values() if tensor.is_floating_point()}
        assert kinds == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    # Processors without bfloat16 imitate it with other roundings: 2.2 % have been seen.
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_a_precision_that_cannot_be_had_is_refused(
    datasets: tuple[Dataset, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn.LSTM, "forward", fail)
    with pytest.raises(SettingsError, match=r"PyTorch \S+ cannot compute with it .* float32"):
        train(datasets, tmp_path, dataclasses.replace(TINY, precision="bfloat16"))
    require_precision("float32", "cpu")
    require_precision("bfloat16", "cuda")


@pytest.mark.parametrize(
    ("capability", "precision", "device", "is_told"),
    [
        ("AVX2", "bfloat16", "cpu", True),
        ("AVX2", "bfloat16", "cuda:1", False),
        ("AVX2", "float32", "cpu", False),
        ("AVX512", "bfloat16", "cpu", False),
        ("DEFAULT", "bfloat16", "cpu", False),  # another family: it may have them
    ],
)
def test_a_precision_that_is_slow_here_is_told(
    capability: str,
    precision: str,
    device: str,
    *,
    is_told: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    warn_of_slow_precision(precision, device)
    assert (f"this processor ({capability}) has no instructions for it" in caplog.text) == is_told


def test_the_seed_decides(datasets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    first = train(datasets, tmp_path / "first")
    again = train(datasets, tmp_path / "again")
    other = train(datasets, tmp_path / "other", dataclasses.replace(TINY, seed=5))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_resuming_with_other_settings_is_refused(
    datasets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    killed_training(datasets, tmp_path, 3)
    with pytest.raises(CheckpointError, match="other settings"):
        train(datasets, tmp_path, dataclasses.replace(TINY, learning_rate=1.0), resume=True)
    with pytest.raises(CheckpointError, match="other data"):
        train((datasets[1], datasets[1]), tmp_path, TINY, resume=True)


def test_states_name_a_model_as_earlier_versions_do(
    datasets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    """What is added to the settings of models must not keep an old state from going on."""
    killed_training(datasets, tmp_path, 2)
    state = load_training_state(state_path(tmp_path / "model.safetensors"))
    described = json.loads(state["identity"]["model"])
    assert described.keys() == {
        "classes", "event_mass", "features", "midi_notes", "network", "softness_ms"
    }  # fmt: skip


DAMAGE = {
    "a step as text": {"step": "3"},
    "steps beyond the end": {"step": 99},
    "no steps": {"steps": None},
    "no network": {"network": {}},
    "another network": {"network": {"output.bias": torch.zeros(1_000)}},
    "no optimizer": {"optimizer": []},
    "a filterbank of another size": {"filterbank": torch.zeros(3, 3)},
    "a filterbank that could be repeated": {"filterbank": torch.zeros(1)},
    "velocities that are none": {"velocity": {"weight": torch.zeros(2)}},
    "losses as text": {"losses": "abc"},
    "losses that are no list": {"losses": 3},
    "a curve that is none": {"curve": 7},
    "a curve of words": {"curve": [{"step": "x"}]},
    "no best row": {"best_row": [1]},
    "a best row of words": {"best_row": {"step": "x"}},
    "best weights that are none": {"best": "x"},
    "best weights of another network": {"best": {"a": torch.zeros(1)}},
}


def damaged_optimizers(sound: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """States of an optimiser that it would take, and fail with in its next step."""
    (group,) = sound["param_groups"]
    first = next(iter(sound["state"]))
    moments = {**sound["state"][first], "exp_avg": torch.zeros(3)}
    return {
        "betas as text": {**sound, "param_groups": [{**group, "betas": "x"}]},
        "eps as text": {**sound, "param_groups": [{**group, "eps": "x"}]},
        "moments of another shape": {**sound, "state": {**sound["state"], first: moments}},
        "moments as text": {**sound, "state": "x"},
    }


def test_a_damaged_state_is_refused_in_a_sentence(
    datasets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    killed_training(datasets, tmp_path, 3)
    path = state_path(tmp_path / "model.safetensors")
    sound = load_training_state(path)
    for name, change in DAMAGE.items():
        save_training_state(path, {**sound, **change})
        with pytest.raises(CheckpointError, match="the saved training is damaged") as caught:
            train(datasets, tmp_path, OFTEN, resume=True)
        assert len(str(caught.value).splitlines()) == 1, name
    for name, optimizer in damaged_optimizers(sound["optimizer"]).items():
        save_training_state(path, {**sound, "optimizer": optimizer})
        with pytest.raises(CheckpointError, match="the saved training is damaged"):
            train(datasets, tmp_path, OFTEN, resume=True)
        assert path.exists(), name
    save_training_state(path, {k: v for k, v in sound.items() if k != "best"})
    with pytest.raises(CheckpointError, match="'best'"):
        train(datasets, tmp_path, OFTEN, resume=True)


def test_the_record_tells_how_it_was_made(
    datasets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    output = train(datasets, tmp_path)
    record = json.loads(record_path(output).read_text())
    assert record["settings"]["seed"] == 4
    assert record["data"]["recordings"] == 3
    assert record["data"]["sha256"] == datasets[0].sha256()
    assert [row["step"] for row in record["curve"]] == [4, 8, 12]
    assert {"f1_50ms", "f1_20ms"} <= set(record["best"])
    assert load_checkpoint(output).record["settings"] == record["settings"]


def test_exact_labels_choose_by_f1_and_noisy_ones_by_the_loss(
    datasets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    rows = [
        {"valid_loss": 1.0, "f1_50ms": 0.2, "f1_20ms": 0.1},
        {"valid_loss": 2.0, "f1_50ms": 0.4, "f1_20ms": 0.2},
        {"valid_loss": 3.0, "f1_50ms": 0.5, "f1_20ms": 0.05},
        {"valid_loss": 4.0, "f1_50ms": math.nan, "f1_20ms": math.nan},
    ]
    exact, noisy = (Validation(datasets[1], clean=clean) for clean in (True, False))
    assert max(rows, key=exact.quality) is rows[1]
    assert max(rows, key=noisy.quality) is rows[0]
    record = json.loads(record_path(train(datasets, tmp_path, clean=False)).read_text())
    assert record["best"] == min(record["curve"], key=lambda row: row["valid_loss"])


def test_noisy_validation_labels_are_counted_widely(
    datasets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    settings = dataclasses.replace(TINY, softness_ms=100.0)
    output = train(datasets, tmp_path, settings, clean=False)
    record = json.loads(record_path(output).read_text())
    assert "f1_200ms" in record["best"]
    assert record["validation"]["labels"] == "as noisy as the training labels"
    noisy = Validation(datasets[1], clean=False)
    assert noisy.tolerances_s(10.0) == (0.05,)
    assert noisy.tolerances_s(math.inf) == (0.05,)


@pytest.mark.parametrize("name", ["cross-entropy", "count", "label-smoothing", "shift-tolerant"])
def test_every_loss_trains(datasets: tuple[Dataset, Dataset], tmp_path: Path, name: str) -> None:
    settings = dataclasses.replace(TINY, loss=LossSettings(name=name))
    output = train(datasets, tmp_path, settings)
    record = json.loads(record_path(output).read_text())
    assert all(math.isfinite(row["valid_loss"]) for row in record["curve"])
    mass = load_checkpoint(output).settings.event_mass
    assert mass == (3.0 if name == "cross-entropy" else 1.0)


def test_starting_from_a_model_keeps_its_weights(
    datasets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    output = train(datasets, tmp_path / "first")
    start = load_checkpoint(output)
    still = dataclasses.replace(TINY, steps=1, validations=1, learning_rate=1e-9)
    work = tmp_path / "work"
    work.mkdir()
    fine = tmp_path / "fine.safetensors"
    fit(datasets[0], Validation(datasets[1], clean=True), still, fine, work, init=start)
    for name, tensor in weights(fine).items():
        if tensor.is_floating_point() and "running" not in name:
            torch.testing.assert_close(tensor, weights(output)[name], atol=1e-5, rtol=0)
    # Of several members the first one is trained on.
    mute = copy.deepcopy(start.network)
    mute.output.bias.data -= 100.0
    two = dataclasses.replace(start.settings, n_members=2)
    joined = dataclasses.replace(start, settings=two, others=(mute,))
    fit(datasets[0], Validation(datasets[1], clean=True), still, fine, work, init=joined)
    assert load_checkpoint(fine).settings.n_members == 1
    torch.testing.assert_close(
        weights(fine)["output.bias"], weights(output)["output.bias"], atol=1e-5, rtol=0
    )
    # Other classes take a new output layer and keep the rest.
    renamed = dataclasses.replace(
        datasets[0], classes=dataclasses.replace(datasets[0].classes, names=("a", "b", "c"))
    )
    held = dataclasses.replace(datasets[1], classes=renamed.classes)
    fit(renamed, Validation(held, clean=True), still, fine, work, init=start)
    assert not torch.equal(weights(fine)["output.weight"], weights(output)["output.weight"])
    torch.testing.assert_close(
        weights(fine)["dense.weight"], weights(output)["dense.weight"], atol=1e-5, rtol=0
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    corpus = read_corpus(write_played_corpus(tmp_path_factory.mktemp("played")))
    return build_dataset(corpus, Classes(("KD", "HH")), None, softness_ms=30.0).split(0.5, seed=0)


def without_velocities(dataset: Dataset) -> Dataset:
    recordings = [
        dataclasses.replace(
            recording,
            sequences=tuple(dataclasses.replace(s, velocities=None) for s in recording.sequences),
        )
        for recording in dataset.recordings
    ]
    return dataclasses.replace(dataset, recordings=tuple(recordings))


def fine_tune(
    datasets: tuple[Dataset, Dataset],
    folder: Path,
    init: Checkpoint,
    *,
    resume: bool = False,
    observer: Observer | None = None,
) -> Path:
    """Two steps that change next to nothing."""
    folder.mkdir(exist_ok=True)
    output = folder / "model.safetensors"
    still = dataclasses.replace(
        TINY, steps=2, validations=1, learning_rate=1e-9, state_interval_s=0.0
    )
    fit(
        datasets[0],
        Validation(datasets[1], clean=True),
        still,
        output,
        folder,
        init=init,
        resume=resume,
        observer=observer,
    )
    return output


def test_velocities_are_fitted_where_labels_carry_them(
    played: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    clicks = make_click_model()
    output = fine_tune(played, tmp_path / "played", clicks)
    velocity = load_checkpoint(output).velocity
    assert velocity is not None
    assert velocity.known.tolist() == [True, True]
    record = json.loads(record_path(output).read_text())
    assert record["velocity"] == pytest.approx({"KD": 70.0, "HH": 70.0}, abs=8.0)
    # A resumed training fits the same.
    with pytest.raises(KilledError):
        fine_tune(played, tmp_path / "killed", clicks, observer=KillAfter(2))
    resumed = load_checkpoint(fine_tune(played, tmp_path / "killed", clicks, resume=True)).velocity
    assert resumed is not None
    for name, array in velocity.arrays().items():
        np.testing.assert_array_equal(resumed.arrays()[name], array)


def test_labels_without_velocities_keep_those_of_the_start(
    played: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    bare = (without_velocities(played[0]), played[1])
    clicks = make_click_model()
    output = fine_tune(bare, tmp_path / "none", clicks)
    assert load_checkpoint(output).velocity is None
    assert json.loads(record_path(output).read_text())["velocity"] == {}
    start = VelocityReadOut(
        np.full((2, 32), 3.0, np.float32), np.full(2, 60.0, np.float32), np.ones(2, np.bool_)
    )
    knowing = dataclasses.replace(clicks, velocity=start)
    with pytest.raises(KilledError):
        fine_tune(bare, tmp_path / "kept", knowing, observer=KillAfter(2))
    # The saved state knows what it started from.
    kept = load_checkpoint(fine_tune(bare, tmp_path / "kept", clicks, resume=True)).velocity
    assert kept is not None
    for name, array in start.arrays().items():
        np.testing.assert_array_equal(kept.arrays()[name], array)


def test_minutes_choose_the_steps(datasets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    class Plan(Observer):
        steps = 0

        def on_plan(self, steps: int, first_step: int) -> None:
            self.steps = steps
            raise KilledError

    plans = [Plan(), Plan()]
    for plan, minutes in zip(plans, (0.01, 1.0), strict=True):
        with pytest.raises(KilledError):
            train(
                datasets,
                tmp_path / str(minutes),
                dataclasses.replace(TINY, minutes=minutes),
                observer=plan,
            )
    assert 1 <= plans[0].steps < plans[1].steps


@pytest.mark.slow
def test_it_learns_through_noise(tmp_path: Path) -> None:
    """A few hundred steps on clicks with noisy labels: the answers are better than the labels."""
    from softloc.evaluation import EvaluationSettings, evaluate
    from softloc.perturb import Noise, PerturbSettings, perturb
    from softloc.pipeline import from_checkpoint

    exact = read_corpus(write_corpus(tmp_path / "train", n_recordings=12))
    noisy, _ = perturb(exact, PerturbSettings(noise=Noise("normal", 40.0), seed=1))
    classes = choose_classes("auto", exact)
    dataset = build_dataset(noisy, classes, None, softness_ms=40.0)
    settings = dataclasses.replace(
        TINY, steps=700, batch_size=8, window_s=2.0, learning_rate=5e-3, average_steps=50
    )
    output = train(dataset.split(0.2, seed=0), tmp_path, settings, clean=False)
    unheard = read_corpus(write_corpus(tmp_path / "test", n_recordings=2, seed=99))
    transcriber = from_checkpoint(load_checkpoint(output))
    estimates = {name: transcriber.transcribe(unheard.root / name) for name in unheard.recordings}
    window = EvaluationSettings(windows_s=(0.020,))
    answered = evaluate(unheard.recordings, estimates, window).class_means[0.020]
    labelled = evaluate(exact.recordings, noisy.recordings, window).class_means[0.020]
    assert answered is not None
    assert labelled is not None
    assert labelled.f_measure < 0.5
    assert answered.f_measure > 0.8


def test_a_training_that_runs_away_stops(datasets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    wild = dataclasses.replace(TINY, learning_rate=1e30, warmup_share=0.001)
    with pytest.raises(TrainingError, match=r"not finite at step \d+; try a lower"):
        train(datasets, tmp_path, wild)
    assert not (tmp_path / "model.safetensors").exists()


def test_settings_are_checked() -> None:
    for wrong in (
        {"steps": 0},
        {"minutes": -1.0},
        {"softness_ms": math.nan},
        {"window_s": 0.0},
        {"validation_share": 1.0},
        {"size": "huge"},
    ):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            dataclasses.replace(TINY, **wrong)
