"""Files of earlier versions are read for ever; those of later ones are refused by name."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from softloc.checkpoints import load_checkpoint, load_training_state
from softloc.errors import CheckpointError
from softloc.formats import read_onsets
from softloc.model_files import FORMAT_VERSION
from softloc.pipeline import from_checkpoint
from softloc_cli.app import app

GOLDEN = Path(__file__).parent / "golden"
NEWER = FORMAT_VERSION + 1
EXAMPLE = str(Path(__file__).parents[1] / "examples" / "groove.flac")


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_model_of_every_format_loads_and_answers_as_it_did(version: int) -> None:
    path = GOLDEN / f"checkpoint-format{version}.safetensors"
    golden = runpy.run_path(str(GOLDEN / "new_checkpoint.py"))
    transcriber = from_checkpoint(load_checkpoint(path))
    found = transcriber.transcribe(golden["golden_signal"](), golden["RATE_HZ"])
    wanted = read_onsets(path.with_suffix(".json"))
    assert len(wanted) == 2 * len(golden["TIMES_S"])
    assert [(o.label, o.midi_note) for o in found] == [(o.label, o.midi_note) for o in wanted]
    for name, tolerance in (("time_s", 1e-4), ("confidence", 1e-3), ("time_std_s", 1e-4)):
        values = [getattr(onset, name) for onset in found]
        assert values == pytest.approx([getattr(onset, name) for onset in wanted], abs=tolerance)
    for onset, was in zip(found, wanted, strict=True):
        assert (onset.velocity is None) == (was.velocity is None)
        assert abs((onset.velocity or 0) - (was.velocity or 0)) <= 1


def test_golden_model_has_every_part() -> None:
    checkpoint = load_checkpoint(GOLDEN / f"checkpoint-format{FORMAT_VERSION}.safetensors")
    assert checkpoint.velocity is not None
    assert checkpoint.settings.network.lstm_delay_frames
    assert checkpoint.settings.network.batch_norm
    assert len(checkpoint.networks) == checkpoint.settings.n_members == 2
    assert checkpoint.settings.midi_notes == (36, None)
    assert checkpoint.record == {"licence": "MIT"}


@pytest.fixture
def newer_model(tmp_path: Path) -> Path:
    """A file of the next format: nothing but the version may be relied on."""
    path = tmp_path / "new.safetensors"
    with safe_open(GOLDEN / "checkpoint-format1.safetensors", framework="pt") as file:
        tensors = {"all.new": file.get_tensor("network.output.bias")}
    header = {"softloc_format": NEWER, "network": ["unheard", "of"]}
    save_file(tensors, path, metadata={"softloc": json.dumps(header)})
    return path


def test_newer_format_is_refused_whatever_else_it_holds(newer_model: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"format {NEWER} is newer .* upgrade softloc"):
        load_checkpoint(newer_model)


@pytest.mark.parametrize(
    "arguments",
    [
        ("transcribe", EXAMPLE, "-f", "csv", "--engine", "torch", "-m"),
        ("transcribe", EXAMPLE, "-f", "csv", "--engine", "onnx", "-m"),
        ("models", "show"),
        ("models", "verify"),
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-2]}",
)
def test_commands_refuse_a_newer_format(arguments: tuple[str, ...], newer_model: Path) -> None:
    result = CliRunner().invoke(app, [*arguments, str(newer_model)])
    assert result.exit_code == 1
    assert result.stdout == ""
    told = (
        f"error: {newer_model}: format {NEWER} is newer than this softloc knows "
        f"({FORMAT_VERSION}); upgrade softloc"
    )
    assert result.stderr.splitlines() == [told]


def test_training_state_of_another_program_is_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "a.state"
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="not the state of a training"):
        load_training_state(path)
