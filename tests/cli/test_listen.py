"""``softloc listen``: a file as the microphone, lines and MIDI out, exit codes."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import mido
import pytest
import soundfile
from clicks import RATE_HZ, bursts
from typer.testing import CliRunner, Result

from softloc_cli.app import app


def listen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["listen", *map(str, arguments)])


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", bursts([0.25, 0.7], duration_s=1.6), RATE_HZ)
    return tmp_path / "a.wav"


def test_lines_of_text(song: Path, click_model: Path) -> None:
    result = listen("--from", song, "--as-fast-as-possible", "-m", click_model)
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [label for _, label in rows] == ["HH", "KD", "HH", "KD"]
    times_s = [float(time_s) for time_s, _ in rows]
    assert times_s == pytest.approx([0.25, 0.25, 0.7, 0.7], abs=0.02)
    summary = result.stderr.splitlines()
    assert summary[0].startswith("4 events in 1.6 s; ")
    assert " of one core; latency by design " in summary[0]
    assert summary[1].startswith("measured: median ")


def test_lines_of_json_and_no_summary(song: Path, click_model: Path) -> None:
    result = listen(
        "--from", song, "--as-fast-as-possible", "-m", click_model, "-f", "json", "-q",
        "--seconds", "0.5",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stderr == ""
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(event["label"], event["midi_note"]) for event in events] == [("HH", 42), ("KD", 36)]
    assert "velocity" not in events[0]


def test_a_midi_port(song: Path, click_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Port(mido.ports.BaseOutput):  # type: ignore[misc]
        def _send(self, message: mido.Message) -> None:
            sent.append(message)

    def open_output(name: str, **options: Any) -> Port:
        assert options == {"virtual": True}
        return Port(name)

    sent: list[mido.Message] = []
    monkeypatch.setitem(sys.modules, "rtmidi", types.ModuleType("rtmidi"))
    monkeypatch.setattr(mido, "open_output", open_output)
    result = listen(
        "--from", song, "--as-fast-as-possible", "-m", click_model, "--virtual-port", "softloc",
        "--note-map", "KD=35",
    )  # fmt: skip
    assert result.exit_code == 0
    starts = [message.note for message in sent if message.type == "note_on"]
    assert starts == [42, 35, 42, 35]
    assert sum(message.type == "note_off" for message in sent) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--as-fast-as-possible",), "needs a recording: --from FILE"),
        (("--from", "no.wav"), "no.wav: no such recording"),
        (("--from", "{song}", "--input", "1"), "--from and --input contradict"),
        (
            ("--from", "{song}", "--midi-port", "a", "--virtual-port", "b"),
            "--midi-port and --virtual-port contradict",
        ),
        (("--from", "{song}", "--midi-port", "a"), r"pip install 'softloc[live]'"),
        ((), r"pip install 'softloc[live]'"),
    ],
)
def test_wrong_usage(
    arguments: tuple[str, ...], message: str, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("rtmidi", "sounddevice"):
        monkeypatch.setitem(sys.modules, module, None)
    result = listen(*(str(song) if argument == "{song}" else argument for argument in arguments))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_recording_that_is_none(tmp_path: Path, click_model: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    result = listen("--from", tmp_path / "a.wav", "-m", click_model)
    assert result.exit_code == 1
    assert "a.wav" in result.stderr
