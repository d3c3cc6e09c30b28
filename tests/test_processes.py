"""Several processes, and parts of a batch, learn what one process learns."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_processes as tiny
from clicks import write_corpus

from softloc.audio_store import AudioStore
from softloc.checkpoints import load_checkpoint
from softloc.datasets import Dataset
from softloc.errors import SettingsError
from softloc.presets import SIZES
from softloc.processes import ALONE, Team, join_team, own_device
from softloc.training_files import curve_path, picture_path, state_path
from softloc.training_settings import Execution

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def tiny_size() -> Iterator[None]:
    tiny.register()
    yield
    del SIZES["tiny"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus")).parent


@pytest.fixture(scope="module")
def dataset(corpus: Path) -> Dataset:
    return tiny.read_dataset(corpus)


@pytest.fixture(scope="module")
def of_two(
    corpus: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """Folder and findings of two processes that train together."""
    folder = tmp_path_factory.mktemp("two")
    until_killed = tiny.train(dataset, folder / "alone", losses=tiny.Losses(tiny.KILLED_AFTER))
    assert len(until_killed) == tiny.KILLED_AFTER + 1
    assert state_path(folder / "alone" / "model.safetensors").exists()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "models"), str(ROOT / "tests"), str(ROOT)]),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    command = [sys.executable, tiny.__file__, str(corpus), str(folder)]
    said = {rank: folder / f"stderr-{rank}.log" for rank in ("0", "1")}
    with contextlib.ExitStack() as stack:
        processes = [
            subprocess.Popen(
                command,
                env=common | {"RANK": rank, "LOCAL_RANK": rank},
                stderr=stack.enter_context(path.open("w", encoding="utf-8")),
            )
            for rank, path in said.items()
        ]
        codes = _wait_for_all(processes)
    assert codes == [0, 0], "\n".join(path.read_text(encoding="utf-8") for path in said.values())
    return folder, torch.load(folder / "found.pt")


def _wait_for_all(processes: list[subprocess.Popen[bytes]]) -> list[int]:
    """Exit codes; as torchrun would, all are ended when one has failed: they may wait for it."""
    while any(process.poll() is None for process in processes):
        if any(process.returncode for process in processes):
            for process in processes:
                process.kill()
        time.sleep(0.1)
    return [process.returncode for process in processes]


@pytest.fixture(scope="module")
def of_one(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Losses of one process."""
    return tiny.train(dataset, tmp_path_factory.mktemp("one"))


def test_gradients_of_two_processes_are_those_of_one(
    of_two: tuple[Path, dict[str, Any]], dataset: Dataset, tmp_path: Path
) -> None:
    _, found = of_two
    alone = tiny.find_gradients(dataset, tmp_path, ALONE)
    assert found["gradients"].keys() == alone.keys()
    assert max(float(tensor.abs().max()) for tensor in alone.values()) > 0.01
    for name, tensor in alone.items():
        torch.testing.assert_close(
            found["gradients"][name],
            tensor,
            atol=1e-5,
            rtol=1e-5,
            msg=lambda text, n=name: n + text,
        )


def test_losses_of_two_processes_are_those_of_one(
    of_two: tuple[Path, dict[str, Any]], of_one: list[float]
) -> None:
    _, found = of_two
    assert len(of_one) == tiny.N_STEPS
    assert np.ptp(of_one) > 0.1
    np.testing.assert_allclose(found["losses"], of_one, atol=1e-3)


def test_two_processes_write_one_model(of_two: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = of_two
    model = folder / "whole" / "model.safetensors"
    checkpoint = load_checkpoint(model)
    assert checkpoint.record["processes"] == 2
    written = {model, curve_path(model), picture_path(model), model.with_suffix(".run.json")}
    assert {path for path in model.parent.iterdir() if path.suffix != ".pcm"} == written


def test_one_process_goes_on_where_two_were_killed(
    of_two: tuple[Path, dict[str, Any]],
    of_one: list[float],
    dataset: Dataset,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, found = of_two
    assert len(found["until_killed"]) == tiny.KILLED_AFTER + 1
    assert state_path(folder / "killed" / "model.safetensors").exists()
    losses = tiny.train(dataset, folder / "killed", resume=True)
    assert len(losses) == tiny.N_STEPS - tiny.KILLED_AFTER
    np.testing.assert_allclose(losses, of_one[tiny.KILLED_AFTER :], atol=1e-3)
    assert "processes was 2 and is 1 now" in caplog.text


def test_two_processes_go_on_where_one_was_killed(
    of_two: tuple[Path, dict[str, Any]], of_one: list[float]
) -> None:
    folder, found = of_two
    assert len(found["resumed"]) == tiny.N_STEPS - tiny.KILLED_AFTER
    np.testing.assert_allclose(found["resumed"], of_one[tiny.KILLED_AFTER :], atol=1e-3)
    model = folder / "alone" / "model.safetensors"
    assert load_checkpoint(model).record["processes"] == 2
    assert not state_path(model).exists()


def test_parts_of_a_batch_add_up(dataset: Dataset, tmp_path: Path) -> None:
    """Without batch normalisation, which sees one part at a time."""
    tiny.register(batch_norm=False)
    try:
        whole = tiny.train(dataset, tmp_path / "whole")
        parts = tiny.train(dataset, tmp_path / "parts", Execution(accumulate=4))
    finally:
        tiny.register()
    assert np.ptp(whole) > 0.1
    np.testing.assert_allclose(parts, whole, atol=1e-4)


def test_shares_are_all_rows_once() -> None:
    for size in (1, 2, 4):
        rows = [list(range(8)[Team(rank, size).share(8)]) for rank in range(size)]
        assert [row for part in rows for row in part] == list(range(8))
        assert {len(part) for part in rows} == {8 // size}


def test_what_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="batch_size 6 does not fall into equal parts for 2"):
        Execution(team=Team(0, 2), accumulate=2).check_batch(6)
    with pytest.raises(SettingsError, match="accumulate must be at least 1"):
        Execution(accumulate=0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("cuda") == "cuda:1"
    assert own_device("cpu") == "cpu"
    with pytest.raises(SettingsError, match="not on mps"), join_team("mps"):
        pass


def test_processes_read_the_same_decoded_audio(dataset: Dataset, tmp_path: Path) -> None:
    audio = [recording.audio for recording in dataset.recordings]
    store = AudioStore(audio, 11_025, tmp_path / "samples.pcm")
    pickled = pickle.dumps(store)
    assert len(pickled) < 1_000
    again = pickle.loads(pickled)
    for index in range(len(audio)):
        assert again.n_samples(index) == store.n_samples(index)
        np.testing.assert_array_equal(again.read(index, -5, 20_000), store.read(index, -5, 20_000))


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "expected, but not set"),  # WORLD_SIZE left over from another program
        ({"RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}, r"127\.0\.0\.1"),
        ({"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}, "1/2 clients joined"),
    ],
)
def test_processes_that_do_not_meet_say_so(
    environment: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "2", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("softloc.processes._MEETING", timedelta(seconds=1))
    with (
        pytest.raises(SettingsError, match=rf"do not find each other \(.*{reason}.*torchrun"),
        join_team("cpu"),
    ):
        pass
