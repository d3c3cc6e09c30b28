"""``softloc models``: listed, shown, verified, joined."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click_model import make_click_model
from random_model import make_model
from typer.testing import CliRunner

import softloc.model_files
from softloc.checkpoints import save_checkpoint
from softloc.model_files import pretrained_index
from softloc_cli.app import app


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["models", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_list_gives_the_index() -> None:
    code, stdout, stderr = run("list")
    assert (code, stderr) == (0, "")
    rows = [line.split("\t") for line in stdout.splitlines()]
    index = pretrained_index()
    assert {name: digest for name, _, digest in rows} == {n: e["sha256"] for n, e in index.items()}
    assert json.loads(run("list", "--json")[1]) == index


def test_show_gives_what_the_file_holds(click_model: Path) -> None:
    code, stdout, _ = run("show", click_model, "--json")
    facts = json.loads(stdout)
    assert code == 0
    assert facts["classes"] == {"KD": 36, "HH": 42}
    assert facts["sha256"] == sha256(click_model)
    assert facts["bytes"] == click_model.stat().st_size
    assert facts["softness_ms"] == 10.0
    assert facts["features"]["n_bands"] == 32
    network = make_click_model().network
    assert facts["n_weights"] == sum(weight.numel() for weight in network.parameters())
    lines = dict(line.split("\t", 1) for line in run("show", click_model)[1].splitlines())
    assert lines["classes.HH"] == "42"
    assert lines["features.n_bands"] == "32"


def test_show_knows_how_far_a_model_looks_ahead(click_model: Path) -> None:
    """One convolution takes a frame of 10 ms more, a frame half a window of 2048 samples."""
    facts = json.loads(run("show", click_model, "--json")[1])
    assert facts["look_ahead_ms"] == pytest.approx(10 + 1000 * 1024 / 44_100, abs=0.05)


def test_show_says_what_memory_a_model_needs(click_model: Path, tmp_path: Path) -> None:
    assert json.loads(run("show", click_model, "--json")[1])["memory_mb_an_hour"] == 0
    path = tmp_path / "both.safetensors"
    save_checkpoint(path, make_model("large", bidirectional=True))
    # 100 frames a second: 96 values twice, and in each direction four gates and an output of 96.
    expected_mb = 360_000 * (2 * 96 + 2 * 5 * 96) * 4 / 1e6
    facts = json.loads(run("show", path, "--json")[1])
    assert facts["memory_mb_an_hour"] == pytest.approx(expected_mb, abs=1)


def test_cards(click_model: Path) -> None:
    code, stdout, _ = run("show", "drums", "--card")
    assert code == 0
    assert stdout.startswith("# `drums`")
    code, _, stderr = run("show", click_model, "--card")
    assert code == 2
    assert "only shipped models have a card" in stderr


def test_whole_models_are_verified(click_model: Path) -> None:
    code, stdout, stderr = run("verify")
    assert (code, stderr) == (0, "")
    assert [line.split("\t")[:2] for line in stdout.splitlines()] == [
        [name, "ok"] for name in pretrained_index()
    ]
    digest = sha256(click_model)
    assert run("verify", click_model, "--sha256", digest.upper())[0] == 0


def test_damage_is_found(
    tmp_path: Path, click_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(click_model.read_bytes()[:-10])
    code, stdout, stderr = run("verify", click_model, cut, tmp_path / "none")
    assert code == 3
    assert stdout == f"{click_model}\tok\t{sha256(click_model)}\n"
    assert f"{cut}: not a model file, or damaged" in stderr
    assert "none: neither a model file nor a shipped model" in stderr
    assert run("verify", cut)[0] == 1
    code, _, stderr = run("verify", click_model, "--sha256", "0" * 64)
    assert code == 1
    assert f"SHA-256 is {sha256(click_model)}, not 000" in stderr
    assert run("verify", click_model, cut, "--sha256", "0" * 64)[0] == 2
    index = {"drums": {"file": "drums.safetensors", "sha256": "0" * 64, "format": "1"}}
    monkeypatch.setattr(softloc.model_files, "pretrained_index", lambda: index)
    code, stdout, stderr = run("verify")
    assert (code, stdout) == (1, "")
    assert "the index says 000" in stderr


def test_weights_that_are_not_finite_are_found(tmp_path: Path) -> None:
    checkpoint = make_click_model()
    checkpoint.network.output.bias.data[0] = float("nan")
    path = tmp_path / "nan.safetensors"
    save_checkpoint(path, checkpoint)
    code, _, stderr = run("verify", path)
    assert code == 1
    assert "network.output.bias holds nan, which is not finite" in stderr


@pytest.fixture
def two_models(tmp_path: Path) -> tuple[Path, Path]:
    """The click model, and one that hears rarer."""
    checkpoint = make_click_model()
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in paths:
        save_checkpoint(path, checkpoint)
        checkpoint.network.output.bias.data -= 1.0
    return paths


def test_joined_models_are_one(two_models: tuple[Path, Path], tmp_path: Path) -> None:
    joined = tmp_path / "joined.safetensors"
    code, stdout, stderr = run("join", *two_models, "-o", joined)
    assert (code, stdout, stderr) == (0, "", f"{joined}: 2 members\n")
    facts = json.loads(run("show", joined, "--json")[1])
    assert facts["n_members"] == 2
    assert (
        facts["n_weights"] == 2 * json.loads(run("show", two_models[0], "--json")[1])["n_weights"]
    )
    assert run("verify", joined)[0] == 0
    lines = run("show", "drums")[1].splitlines()
    assert sum(line.startswith("record.members.2.settings.size\tlarge") for line in lines) == 1


def test_a_model_joined_with_its_like_says_the_same(
    two_models: tuple[Path, Path], tmp_path: Path
) -> None:
    first, like, joined = two_models[0], tmp_path / "like.safetensors", tmp_path / "j.safetensors"
    checkpoint = make_click_model()
    checkpoint.network.output.bias.data += 1e-4
    save_checkpoint(like, checkpoint)
    assert run("join", first, like, "-o", joined)[0] == 0
    recording = str(Path(__file__).resolve().parents[2] / "examples" / "groove.flac")
    answers = [
        CliRunner().invoke(app, ["transcribe", recording, "-m", str(model), "-o", "-"]).stdout
        for model in (first, joined)
    ]
    assert answers[0].count("\tKD\n") > 1
    assert answers[1] == answers[0]


def test_what_cannot_be_joined_is_refused(two_models: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = two_models
    target = tmp_path / "joined.safetensors"
    code, stdout, stderr = run("join", first, "drums", "-o", target)
    assert (code, stdout) == (2, "")
    assert f"drums cannot be joined with {first}: classes is " in stderr
    assert run("join", first, "-o", target)[0] == 2
    code, _, stderr = run("join", first, first, "-o", target)
    assert (code, stderr) == (2, f"error: {first} is named twice\n")
    link = tmp_path / "link.safetensors"
    link.symlink_to(first)
    code, _, stderr = run("join", first, link, "-o", target)
    assert (code, stderr) == (2, f"error: {link} holds the same network as {first}\n")
    assert run("join", first, tmp_path / "none", "-o", target)[0] == 2
    assert "ends in .safetensors" in run("join", first, second, "-o", tmp_path / "joined.pt")[2]
    assert not target.exists()
    was = first.read_bytes()
    code, _, stderr = run("join", first, second, "-o", second)
    assert code == 2
    assert "exists already; give --overwrite to replace it" in stderr
    assert run("join", first, second, "-o", second, "--overwrite")[0] == 0
    assert first.read_bytes() == was
    assert json.loads(run("show", second, "--json")[1])["n_members"] == 2
