"""Models joined into one: what they must have in common, and what the file then holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_model import make_model
from safetensors import safe_open
from safetensors.numpy import save_file

from softloc.checkpoints import load_checkpoint, tensors_of
from softloc.errors import CheckpointError, SettingsError
from softloc.joining import join_models
from softloc.model_files import METADATA_KEY, ModelFile, read_model, write_model
from softloc.velocity import VelocityReadOut


def model_file(seed: int = 0, **changes: Any) -> ModelFile:
    """A small model of random weights, with velocities, and another set of weights per seed."""
    checkpoint = make_model("small")
    rng = np.random.default_rng(seed)
    tensors = tensors_of(checkpoint)
    for name in ("network.output.weight", "network.dense.bias"):
        tensors[name] = rng.normal(size=tensors[name].shape).astype(np.float32)
    mean = np.full(2, 60.0 + seed, np.float32)
    velocity = VelocityReadOut(rng.normal(size=(2, 64)).astype(np.float32), mean, mean > 0)
    tensors |= {f"velocity.{name}": array for name, array in velocity.arrays().items()}
    return ModelFile(replace(checkpoint.settings, **changes), tensors, {"seed": seed})


@pytest.fixture
def joined() -> ModelFile:
    return join_models({"a": model_file(1), "b": model_file(2)})


def test_members_keep_their_weights_and_share_the_rest(joined: ModelFile) -> None:
    assert joined.settings.n_members == 2
    for seed, member in enumerate(joined.members, 1):
        for name, tensor in model_file(seed).part("network").items():
            np.testing.assert_array_equal(member[name], tensor)
    assert joined.velocity is not None
    assert joined.velocity.mean.tolist() == [61.0, 61.0]
    assert joined.record == {"members": [{"seed": 1}, {"seed": 2}]}


def test_joined_models_can_be_joined_again(joined: ModelFile) -> None:
    three = join_models({"ab": joined, "c": model_file(3)})
    assert three.record == {"members": [{"seed": 1}, {"seed": 2}, {"seed": 3}]}
    weights = [member["output.weight"] for member in three.members]
    for seed, weight in enumerate(weights, 1):
        np.testing.assert_array_equal(weight, model_file(seed).tensors["network.output.weight"])


def test_the_file_gives_it_back(joined: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "joined.safetensors"
    write_model(path, joined)
    again = read_model(path)
    assert again.settings == joined.settings
    assert again.tensors.keys() == joined.tensors.keys()
    for name, tensor in joined.tensors.items():
        assert again.tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(again.tensors[name], tensor)
    assert len(load_checkpoint(path).networks) == 2


@pytest.mark.parametrize("n_members", [1, 2])
def test_files_name_the_lowest_format_that_holds_them(n_members: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    models = {str(seed): model_file(seed) for seed in range(n_members)}
    write_model(path, join_models(models) if n_members > 1 else models["0"])
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
    assert header["softloc_format"] == n_members


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"softness_ms": 50.0}, "b cannot be joined with a: softness_ms is 50.0, there 30.0"),
        ({"classes": ("KD", "HH")}, r"b cannot be joined with a: classes is \('KD', 'HH'\), there"),
        ({"event_mass": 3.2}, "event_mass is 3.2, there 1.0"),
    ],
)
def test_models_that_differ_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        join_models({"a": model_file(1), "b": model_file(2, **changes)})


def test_other_shapes_and_filterbanks_are_refused() -> None:
    other = model_file(2)
    shape = replace(other.settings.network, lstm_units=7)
    settings = replace(other.settings, network=shape)
    with pytest.raises(SettingsError, match=r"network.lstm_units is 7, there 32"):
        join_models({"a": model_file(1), "b": replace(other, settings=settings)})
    bank = {"log_mel.filterbank": 2.0 * other.tensors["log_mel.filterbank"]}
    with pytest.raises(SettingsError, match="their filterbanks differ"):
        join_models({"a": model_file(1), "b": replace(other, tensors=other.tensors | bank)})


def test_the_same_network_is_not_joined_twice(joined: ModelFile) -> None:
    with pytest.raises(SettingsError, match="copy holds the same network as a"):
        join_models({"a": model_file(1), "b": model_file(2), "copy": model_file(1)})
    with pytest.raises(SettingsError, match="b holds the same network as ab"):
        join_models({"ab": joined, "b": model_file(2)})


def test_velocities_are_those_of_the_first_that_has_any() -> None:
    mute, heard = model_file(1), model_file(2)
    kept = {name: t for name, t in mute.tensors.items() if not name.startswith("velocity.")}
    joined = join_models({"mute": replace(mute, tensors=kept), "heard": heard})
    assert joined.velocity is not None
    assert joined.velocity.mean.tolist() == [62.0, 62.0]


def test_too_many_members_are_refused() -> None:
    models = {str(seed): model_file(seed) for seed in range(65)}
    with pytest.raises(SettingsError, match="65 members: a model has 1 to 64"):
        join_models(models)


def test_one_model_is_not_joined() -> None:
    with pytest.raises(SettingsError, match="two different ones at least"):
        join_models({"a": model_file()})


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"softloc_format": 1}, "format 1 holds no 2 members"),
        ({"n_members": 3}, r"network3.\S+ is missing"),
        ({"n_members": 1}, "no tensor 'network2"),
        ({"n_members": 2.0}, "n_members is 2.0, not a whole number"),
        ({"n_members": True}, "n_members is True, not a whole number"),
        ({"n_members": 0}, "n_members is 0, not 1 to 64"),
        ({"n_members": 65}, "n_members is 65, not 1 to 64"),
        ({"n_members": 10**9}, "n_members is 1000000000, not 1 to 64"),
    ],
    ids=str,
)
def test_damaged_headers_are_refused(
    joined: ModelFile, header: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "joined.safetensors"
    write_model(path, joined)
    with safe_open(path, framework="np") as file:
        whole = json.loads(file.metadata()[METADATA_KEY])
    save_file(dict(joined.tensors), path, metadata={METADATA_KEY: json.dumps(whole | header)})
    with pytest.raises(CheckpointError, match=told):
        read_model(path)


def test_a_damaged_second_member_is_refused(joined: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "joined.safetensors"
    bias = joined.tensors["network2.dense.bias"].copy()
    bias[0] = np.inf
    write_model(path, replace(joined, tensors=joined.tensors | {"network2.dense.bias": bias}))
    with pytest.raises(CheckpointError, match=r"network2.dense.bias holds inf"):
        read_model(path)
