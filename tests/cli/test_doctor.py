"""``softloc doctor``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from recordings import clicks, encode, without_tag
from typer.testing import CliRunner, Result

from softloc import model_files
from softloc_cli import __version__
from softloc_cli.app import app


def doctor(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mp3 = encode(clicks(), "MP3")
    (tmp_path / "a.flac").write_bytes(encode(clicks(n_channels=2), "FLAC", "PCM_24"))
    (tmp_path / "b.mp3").write_bytes(without_tag(mp3))
    (tmp_path / "c.mp3").write_bytes(mp3)
    (tmp_path / "labels.csv").write_text("time_s,label\n")
    return tmp_path


def test_a_file_in_words(folder: Path) -> None:
    result = doctor(folder / "b.mp3")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == str(folder / "b.mp3")
    rows = dict(line.strip().split(maxsplit=1) for line in lines[1:])
    assert rows["container"] == "MP3"
    assert rows["codec"] == "MPEG-1 layer III, 44100 Hz, 1 channel"
    assert rows["decoder"].startswith("libsndfile 1.")
    assert rows["length"].startswith("header not stated, decoded 1.8")
    assert rows["tags"].startswith("frames=")
    assert rows["shift"] == "25.1 ms, corrected (assumed, the file does not tell)"
    assert rows["level"].startswith("peak -")
    assert rows["warning"].startswith("no gapless tag")
    assert result.stderr == ""


def test_a_folder_as_json(folder: Path) -> None:
    result = doctor("--json", folder)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["softloc"] == __version__
    files = {Path(entry["file"]).name: entry for entry in document["files"]}
    assert list(files) == ["a.flac", "b.mp3", "c.mp3"]
    assert files["a.flac"]["codec"] == "PCM_24"
    assert files["a.flac"]["n_channels"] == 2
    assert [files[name]["shift_assumed"] for name in files] == [False, True, False]
    assert files["c.mp3"]["tags"]["encoder"].startswith("LAME")
    assert files["c.mp3"]["warnings"] == []


def test_recordings_are_found_as_transcribe_finds_them(folder: Path) -> None:
    (folder / "a.flac").rename(folder / ".hidden.flac")
    (folder / "take").mkdir()
    (folder / "c.mp3").rename(folder / "take" / "c.mp3")

    def examined(*arguments: object) -> list[str]:
        result = doctor("--json", *arguments)
        assert result.exit_code == 0
        return [Path(entry["file"]).name for entry in json.loads(result.stdout)["files"]]

    assert examined(folder) == ["b.mp3"]
    assert examined(folder, "--recursive") == ["b.mp3", "c.mp3"]
    assert sorted(examined(f"{folder}/**/*.mp3")) == ["b.mp3", "c.mp3"]


def test_bad_files_set_the_exit_code(folder: Path) -> None:
    bad = folder / "bad.wav"
    bad.write_text("no sound")
    result = doctor(folder / "a.flac", bad)
    assert result.exit_code == 3
    assert "container" in result.stdout
    assert result.stderr.startswith(f"error: {bad}: not audio that can be read")
    assert len(result.stderr.splitlines()) == 1
    result = doctor("--json", bad)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["files"][0]["error"].startswith(f"{bad}: not audio")
    result = doctor(folder / "a.flac", folder / "missing.wav")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no such file or folder" in result.stderr
    (folder / "empty").mkdir()
    assert doctor(folder / "empty").exit_code == 2


def test_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor("--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["versions"]["softloc"] == __version__
    assert {"torch", "soundfile", "libsndfile"} <= set(document["versions"])
    assert document["devices"]["auto means"] in document["devices"]
    assert document["engine"] == {"auto means": "onnx"}
    assert document["threads"]["torch"] >= 1
    sha256 = model_files.pretrained_index()["drums"]["sha256"]
    assert document["models"]["drums"] == f"whole, SHA-256 {sha256}"
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(pyproject.read_text())["project"]["optional-dependencies"]
    assert document["extras"].keys() == extras.keys()
    assert "python-rtmidi" in document["extras"]["live"]
    lines = doctor().stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "versions", "engine", "devices", "threads", "models", "extras"
    ]  # fmt: skip


def test_a_damaged_model_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "file_sha256", lambda path: "0" * 64)
    result = doctor()
    assert result.exit_code == 1
    assert (
        "error: shipped models are damaged: drums, drums-small, onsets; install softloc again"
        in result.stderr
    )
