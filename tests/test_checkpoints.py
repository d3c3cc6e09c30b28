"""Model files: round trip, damage, names, versions."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import softloc.model_files
from softloc.checkpoints import (
    Checkpoint,
    load_checkpoint,
    load_training_state,
    save_checkpoint,
    save_training_state,
)
from softloc.errors import CheckpointError, SettingsError
from softloc.features import LogMel, mel_filterbank
from softloc.files import file_sha256
from softloc.model_files import (
    FORMAT_VERSION,
    ModelSettings,
    default_notes,
    pretrained_index,
)
from softloc.network import OnsetNetwork
from softloc.presets import SIZES
from softloc.velocity import VelocityReadOut

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(3)
    classes = ("KD", "60", "door slam")
    size = SIZES["small"]
    network = OnsetNetwork(size.network(3)).eval()
    log_mel = LogMel(size.features, torch.from_numpy(mel_filterbank(size.features)))
    notes = default_notes(classes)
    settings = ModelSettings(
        size.features, network.settings, classes, notes, softness_ms=40.0, event_mass=3.0
    )
    return Checkpoint(settings, log_mel, network, {"seed": 3, "licence": "MIT"})


def silent_velocity(n_classes: int) -> VelocityReadOut:
    return VelocityReadOut(
        np.zeros((n_classes, 64), np.float32),
        np.zeros(n_classes, np.float32),
        np.zeros(n_classes, np.bool_),
    )


def rewrite(path: Path, **changes: object) -> None:
    """Change the header of a model file."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["softloc"])
    save_file(tensors, path, metadata={"softloc": json.dumps({**header, **changes})})


def test_round_trip(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "my model.safetensors"
    save_checkpoint(path, checkpoint)
    loaded = load_checkpoint(path)
    assert loaded.settings == checkpoint.settings
    assert loaded.settings.midi_notes == (36, 60, None)
    assert loaded.record == {"seed": 3, "licence": "MIT"}
    features = torch.randn(1, 40, 2, checkpoint.settings.features.n_bands)
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.network(features)[0], checkpoint.network(features)[0], atol=0, rtol=0
        )
    torch.testing.assert_close(loaded.log_mel.filterbank, checkpoint.log_mel.filterbank)


def test_velocities_travel_with_the_model(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, checkpoint)
    assert load_checkpoint(path).velocity is None
    velocity = VelocityReadOut(
        np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32),
        np.array([60.0, 0.0, 70.0], np.float32),
        np.array([True, False, True]),
    )
    save_checkpoint(path, dataclasses.replace(checkpoint, velocity=velocity))
    loaded = load_checkpoint(path)
    assert loaded.velocity is not None
    for name, array in velocity.arrays().items():
        np.testing.assert_array_equal(loaded.velocity.arrays()[name], array)
    for name, tensor in checkpoint.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)


def test_velocities_that_do_not_fit_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, dataclasses.replace(checkpoint, velocity=silent_velocity(2)))
    with pytest.raises(CheckpointError, match=r"a\.safetensors: the model file is damaged"):
        load_checkpoint(path)
    velocity = silent_velocity(3)
    velocity.mean[1] = float("inf")
    save_checkpoint(path, dataclasses.replace(checkpoint, velocity=velocity))
    with pytest.raises(
        CheckpointError, match=r"damaged \(velocity\.mean holds inf, which is not finite\)"
    ):
        load_checkpoint(path)


def test_damaged_files_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    for name, data in (("empty", b""), ("text", b"hello"), ("cut", whole[: len(whole) // 2])):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"a\.safetensors: not a model file, or damaged"):
            load_checkpoint(path)
        assert name


def test_a_file_that_is_cut_while_it_is_read_does_no_harm(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mapped into memory, what is missing would end the process (SIGBUS)."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, checkpoint)
    load = softloc.model_files.load_tensors

    def cut_and_load(content: bytes) -> dict[str, np.ndarray]:
        path.write_bytes(content[:1_000])
        return load(content)

    monkeypatch.setattr(softloc.model_files, "load_tensors", cut_and_load)
    assert load_checkpoint(path).record == checkpoint.record
    with pytest.raises(CheckpointError, match="not a model file, or damaged"):
        load_checkpoint(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no disk
    with pytest.raises(CheckpointError, match=r"no model is larger than 512 MiB"):
        load_checkpoint(path)


@given(
    version=st.integers(1, FORMAT_VERSION),
    places=st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=4),
    values=st.binary(min_size=4, max_size=4),
    cut=st.floats(0.0, 1.0),
)
def test_any_bytes_are_read_or_refused_in_a_sentence(
    version: int, places: list[float], values: bytes, cut: float
) -> None:
    """Bytes changed, two thirds of them in the header, and the end cut off."""
    content = bytearray((GOLDEN / f"checkpoint-format{version}.safetensors").read_bytes())
    header = int.from_bytes(content[:8], "little")
    for number, (place, value) in enumerate(zip(places, values, strict=False)):
        content[int(place * (len(content) if number % 3 == 2 else header))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content[: int(cut * len(content))] if cut < 0.5 else content)
        told = f"{path}: no error"
        try:
            model = load_checkpoint(path)
            assert len(model.networks) == model.settings.n_members
        except CheckpointError as error:
            told = str(error)
        assert told.startswith(f"{path}: ")
        assert "\n" not in told


def test_as_many_networks_as_the_settings_say(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="2 networks for 1 members"):
        dataclasses.replace(checkpoint, others=(checkpoint.network,))
    for n_members in (0, 65):
        with pytest.raises(SettingsError, match=f"{n_members} members: a model has 1 to 64"):
            dataclasses.replace(checkpoint.settings, n_members=n_members)


def test_foreign_and_newer_files_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not one that softloc wrote"):
        load_checkpoint(path)
    save_checkpoint(path, checkpoint)
    rewrite(path, softloc_format=FORMAT_VERSION + 1)
    with pytest.raises(CheckpointError, match="newer than this softloc knows"):
        load_checkpoint(path)
    save_checkpoint(path, checkpoint)
    rewrite(path, classes=["KD"])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_unknown_names_list_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softloc.model_files, "pretrained_index", lambda: {"drums": {}})
    with pytest.raises(SettingsError, match="did you mean 'drums'"):
        load_checkpoint("drum")


def test_shipped_models_agree_with_the_index() -> None:
    folder = Path(str(files("softloc.pretrained")))
    index = pretrained_index()
    assert "drums" in index
    for name, entry in index.items():
        assert file_sha256(folder / entry["file"]) == entry["sha256"]
        assert (folder / f"{name}.md").is_file(), "every shipped model has a card"
        assert (folder / entry["file"]).stat().st_size < 4_000_000


def test_a_wrong_hash_is_refused(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "drums.safetensors", checkpoint)
    monkeypatch.setattr(softloc.model_files, "files", lambda _: tmp_path)
    (tmp_path / "index.json").write_text(
        json.dumps({"drums": {"file": "drums.safetensors", "sha256": "0" * 64}})
    )
    with pytest.raises(CheckpointError, match="installation is damaged"):
        load_checkpoint("drums")


def test_settings_that_do_not_fit_are_refused() -> None:
    size = SIZES["small"]
    for classes, features, sentence in (
        (("KD",), size.features, "1 classes"),
        (("KD", "SD"), SIZES["large"].features, "expects 64 bands"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            ModelSettings(features, size.network(2), classes, default_notes(classes), 30.0)


def test_training_states_run_no_code(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    save_training_state(path, {"step": 3, "weights": {"w": torch.arange(4.0)}})
    assert load_training_state(path)["weights"]["w"].tolist() == [0.0, 1.0, 2.0, 3.0]
    torch.save({"evil": np.random.default_rng}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        load_training_state(path)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        load_training_state(tmp_path / "none.state")


def test_a_damaged_training_state_is_refused_in_one_sentence_alone(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "a.state"
    save_training_state(path, {"step": 3})
    content = path.read_bytes()
    assert b"\x80\x02}q" in content  # the pickle's protocol, then what it holds
    path.write_bytes(content.replace(b"\x80\x02}q", b"\x80\x69\x00q"))
    with pytest.raises(CheckpointError, match="damaged"):
        load_training_state(path)
    assert not recwarn.list
