"""Tensors of model files: what no recording should be needed to find out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

import softloc
from softloc.checkpoints import load_checkpoint, make_checkpoint, save_checkpoint
from softloc.errors import CheckpointError
from softloc.model_files import ModelFile, pretrained_index, read_model
from softloc.model_weights import _largest_values
from softloc_cli.app import app

GOLDEN = Path(__file__).parent / "golden" / "checkpoint-format1.safetensors"
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "groove.flac"

Array = NDArray[np.generic]
Change = Callable[[Array], Array]


def put(value: float) -> Change:
    def change(tensor: Array) -> Array:
        changed = tensor.copy()
        changed.flat[-1] = value
        return changed

    return change


def rewrite(path: Path, **changes: Change | Array | None) -> None:
    """Write the golden model with other tensors; None leaves one out."""
    with safe_open(GOLDEN, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    for name, change in changes.items():
        if change is None:
            del tensors[name]
        else:
            tensors[name] = change(tensors[name]) if callable(change) else change
    save_file(tensors, path, metadata=metadata)


BANK, DEVIATION = "log_mel.filterbank", "network.feature_deviation"
KERNEL, NORM = "network.convolutions.1.weight", "network.convolutions.2"

DAMAGED: dict[str, tuple[str, Change | Array | None, str]] = {
    "unknown tensor": (
        "network.extra", np.zeros(1, np.float32), r"has no tensor 'network\.extra'"
    ),
    "part that nobody knows": (
        "a\nb", np.zeros(1, np.float32), r"has no tensor 'a\\nb'"
    ),
    "window": ("log_mel.window", np.full(256, -1.0, np.float32), r"no tensor 'log_mel\.window'"),
    "unknown tensor of velocities": (
        "velocity.extra", np.zeros(1, np.float32), r"no tensor 'velocity\.extra'"
    ),
    "velocities without their mean": ("velocity.mean", None, r"velocity\.mean is missing"),
    "missing": (f"{NORM}.running_var", None, r"running_var is missing, .* ask for \(1,\)"),
    "wrong shape": (BANK, np.transpose, r"filterbank is of shape \(16, 129\)"),
    "integers": (
        "network.output.bias", lambda a: a.astype(np.int8), r"output\.bias is of type int8"
    ),
    "not a number": (KERNEL, put(np.nan), r"1\.weight holds nan, which is not finite"),
    "infinite": ("network.output.bias", put(-np.inf), r"bias holds -inf, which is not finite"),
    "infinite in single precision": (
        "network.dense.weight",
        lambda a: put(1e300)(a.astype(np.float64)),
        r"dense\.weight holds 1e\+300, which is not finite",
    ),
    "no deviation": (DEVIATION, put(0.0), r"feature_deviation holds 0, not 1e-06 to 3\.4\d+e\+38"),
    "denormal deviation": (DEVIATION, put(1e-45), r"deviation holds 1\.4\d+e-45, not 1e-06"),
    "negative deviation": (DEVIATION, put(-1.0), r"feature_deviation holds -1, not"),
    "negative filter": (BANK, put(-0.25), r"filterbank holds -0\.25, not 0 to 1e\+06"),
    "loud filter": (BANK, put(1e30), r"filterbank holds 1e\+30, not 0 to 1e\+06"),
    "negative variance": (f"{NORM}.running_var", put(-1.0), r"running_var holds -1, not 0 to"),
    "overflow in a convolution": (KERNEL, put(3e38), r"1\.weight holds ±3e\+38: loud sound"),
    "overflow in a normalisation": (f"{NORM}.weight", put(3e37), r"2\.weight holds ±3e\+37: loud"),
    "overflow in the LSTM": ("network.lstm.weight_ih_l0", put(1e37), r"weight_ih_l0 holds ±1e\+37"),
    "overflow in a dense layer": ("network.dense.bias", put(-2e38), r"dense\.bias holds ±2e\+38"),
    "overflow of a mean": ("network.feature_mean", put(1e38), r"feature_mean holds ±1e\+38"),
    "overflow of velocities": ("velocity.weight", put(1e37), r"velocity\.weight holds ±1e\+37"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_damage_is_named_when_the_file_is_opened(engine: str, case: str, tmp_path: Path) -> None:
    name, change, sentence = DAMAGED[case]
    path = tmp_path / "a.safetensors"
    rewrite(path, **{name: change})
    with pytest.raises(CheckpointError, match=rf"a\.safetensors: .*damaged \(.*{sentence}") as told:
        softloc.load(path, engine=engine)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("case", ["unknown tensor", "no deviation", "negative filter", "missing"])
def test_both_engines_refuse_with_the_same_words_and_exit_code(case: str, tmp_path: Path) -> None:
    name, change, _ = DAMAGED[case]
    path = tmp_path / "a.safetensors"
    rewrite(path, **{name: change})
    told = []
    for engine in ("torch", "onnx"):
        arguments = ["transcribe", str(EXAMPLE), "-m", str(path), "-f", "csv", "--engine", engine]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1
        assert result.stdout == ""
        told.append(result.stderr)
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 1 or "a.safetensors" in told[0]


@pytest.mark.parametrize("name", [*pretrained_index(), str(GOLDEN)])
def test_bounds_hold_for_the_loudest_sound(name: str) -> None:
    """What is refused by a bound must be bounded by it: noise that clips, a billion times."""
    model = read_model(name)
    bounds = dict.fromkeys(["network.output.weight"], 0.0)
    for names, bound in _largest_values(model.tensors, model.settings.network, "network"):
        bounds[names[0]] = bound
    checkpoint = make_checkpoint(model)
    shape = model.settings.network
    n_frames = shape.look_back_frames + 20 + shape.look_ahead_frames
    rng = np.random.default_rng(0)
    n_samples = model.settings.features.n_samples_for(n_frames)
    loud = torch.from_numpy(rng.choice([-1e6, 1e6], (1, n_samples)).astype(np.float32))
    with torch.inference_mode():
        logits, _ = checkpoint.network(checkpoint.log_mel(loud))
    assert 0 < logits.abs().max().item() <= bounds["network.output.weight"] < 1e30


def test_half_and_double_precision_are_read(tmp_path: Path) -> None:
    """Weights of another width are the same weights."""
    path = tmp_path / "a.safetensors"
    for dtype in (np.float16, np.float64):
        rewrite(path, **{"network.output.weight": lambda a, d=dtype: a.astype(d)})
        for engine in ("torch", "onnx"):
            assert softloc.load(path, engine=engine).settings.classes


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(GOLDEN)
    save_checkpoint(tmp_path / "a.safetensors", checkpoint)
    again = read_model(tmp_path / "a.safetensors")
    assert isinstance(again, ModelFile)
    assert again.tensors.keys() == read_model(GOLDEN).tensors.keys()
