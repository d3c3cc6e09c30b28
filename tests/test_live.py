"""Playing now: a file as the device, a dummy as the MIDI port, a clock that is wound by hand."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from click_model import make_click_model
from clicks import RATE_HZ, bursts

from softloc import live
from softloc.errors import AudioError, OutputError, SettingsError
from softloc.events import Onset
from softloc.live import BLOCK_S, FilePlayer, Microphone, MidiSender, listen
from softloc.pipeline import Transcriber, from_checkpoint

TIMES_S = [0.25, 0.7, 1.15]


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


class Port(mido.ports.BaseOutput):  # type: ignore[misc]
    """Keeps what is sent."""

    def __init__(self, name: str) -> None:
        self.sent: list[mido.Message] = []
        super().__init__(name)

    def _send(self, message: mido.Message) -> None:
        self.sent.append(message)


@pytest.fixture(scope="module")
def model() -> Transcriber:
    return from_checkpoint(make_click_model(("KD",)))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.wav"
    soundfile.write(path, bursts(TIMES_S, duration_s=1.6), RATE_HZ, subtype="FLOAT")
    return path


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, Port]:
    """MIDI ports of a machine that has two, and lets others be made."""
    opened: dict[str, Port] = {}

    def open_output(name: str, **_: Any) -> Port:
        return opened.setdefault(name, Port(name))

    monkeypatch.setitem(sys.modules, "rtmidi", types.ModuleType("rtmidi"))
    monkeypatch.setattr(mido, "open_output", open_output)
    monkeypatch.setattr(mido, "get_output_names", lambda: ["Synth 1", "Drums 20:0"])
    return opened


def test_a_file_is_played_in_its_own_time(recording: Path) -> None:
    clock = Clock()
    player = FilePlayer(recording, clock=clock, wait=clock.wait)
    samples: list[np.ndarray] = []
    for block in player.blocks():
        samples.append(block.samples)
        position_s = sum(map(len, samples)) / RATE_HZ
        assert clock.now_s == pytest.approx(100.0 + position_s)
        assert block.heard_s == pytest.approx(clock.now_s)
    assert len(samples) == 160
    whole, _ = soundfile.read(recording, dtype="float32")
    np.testing.assert_array_equal(np.concatenate(samples), whole)


def test_who_is_late_does_not_wait(recording: Path) -> None:
    clock = Clock()
    blocks = FilePlayer(recording, clock=clock, wait=clock.wait).blocks()
    next(blocks)
    clock.now_s += 0.5
    late = next(blocks)
    assert clock.now_s == pytest.approx(100.5 + BLOCK_S)
    assert late.heard_s == pytest.approx(100.0 + 2 * BLOCK_S)


def test_events_are_told_while_the_file_plays(model: Transcriber, recording: Path) -> None:
    clock = Clock()
    told: list[tuple[float, Onset]] = []
    done = listen(
        model,
        FilePlayer(recording, clock=clock, wait=clock.wait),
        lambda onset: told.append((clock.now_s - 100.0, onset)),
        clock=clock,
    )
    assert [round(onset.time_s, 1) for _, onset in told] == pytest.approx(TIMES_S, abs=0.06)
    waited_ms = [1000 * (now_s - onset.time_s) for now_s, onset in told]
    assert waited_ms == pytest.approx([done.latency.typical_ms] * 3, abs=50.0)
    assert [1000 * delay_s for delay_s in done.delays_s] == pytest.approx(waited_ms)
    assert done.delay_ms(1.0) == pytest.approx(max(waited_ms))
    assert (done.n_events, done.n_overruns) == (3, 0)
    assert done.audio_s == pytest.approx(1.6)
    assert done.cpu_share > 0


def test_the_rest_is_told_at_the_end_or_when_interrupted(
    model: Transcriber, recording: Path
) -> None:
    told: list[Onset] = []
    player = FilePlayer(recording, real_time=False)
    done = listen(model, player, told.append, seconds=0.3)
    assert [onset.time_s for onset in told] == pytest.approx([0.25], abs=0.02)
    assert done.delays_s == []
    assert done.delay_ms(0.5) is None

    def interrupt(onset: Onset) -> None:
        told.append(onset)
        if len(told) == 1:
            raise KeyboardInterrupt

    told.clear()
    done = listen(model, FilePlayer(recording, real_time=False), interrupt)
    assert 0.25 < done.audio_s < 1.0
    assert len(told) == done.n_events


def test_notes_start_and_end(ports: dict[str, Port]) -> None:
    clock = Clock()
    sender = MidiSender("Drums", {"KD": 35}, clock=clock)
    (port,) = ports.values()
    assert port.name == "Drums 20:0"
    sender.tell(Onset(0.0, "KD", velocity=90))
    clock.now_s += 0.05
    sender.tick()
    sender.tell(Onset(0.1, "KD"))  # again, while it sounds
    sender.tell(Onset(0.1, "60"))
    clock.now_s += 0.06
    sender.tick()
    sender.tell(Onset(0.2, "SD"))
    sender.tell(Onset(0.2, "OT"))  # has no note
    sender.close()
    assert [(m.type, m.channel, m.note, m.velocity) for m in port.sent] == [
        ("note_on", 9, 35, 90),
        ("note_off", 9, 35, 0),
        ("note_on", 9, 35, 100),
        ("note_on", 0, 60, 100),
        ("note_off", 9, 35, 0),
        ("note_off", 0, 60, 0),
        ("note_on", 9, 38, 100),
        ("note_off", 9, 38, 0),
    ]
    assert port.closed


def test_a_port_that_is_not_there(ports: dict[str, Port]) -> None:
    with pytest.raises(SettingsError, match="no MIDI port 'Drumz': did you mean 'Drums 20:0'"):
        MidiSender("Drumz")
    MidiSender("mine", virtual=True).close()
    assert list(ports) == ["mine"]


def test_a_port_that_goes_away(ports: dict[str, Port], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Port, message: mido.Message) -> None:
        raise OSError("unplugged")

    monkeypatch.setattr(Port, "_send", fail)
    with pytest.raises(OutputError, match="cannot send to the MIDI port: unplugged"):
        MidiSender("Synth").tell(Onset(0.0, "KD"))


@pytest.mark.parametrize("module", ["rtmidi", "sounddevice"])
def test_what_is_not_installed_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=r"pip install 'softloc\[live\]'"):
        MidiSender("Synth") if module == "rtmidi" else Microphone()


class SoundCard(types.ModuleType):
    """What of sounddevice is used: an input of two channels that plays blocks when it is opened."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self, blocks: list[np.ndarray]) -> None:
        super().__init__("sounddevice")
        self.to_play = blocks
        self.opened: dict[str, Any] = {}

    def query_devices(self, device: object = None, kind: str | None = None) -> Any:
        card = {"name": "Card", "max_input_channels": 2, "default_samplerate": 44_100.0}
        if kind is None:
            return [{"name": "Speaker", "max_input_channels": 0}, card]
        if device not in (None, 1, "Card"):
            raise ValueError(f"No input device matching {device!r}")
        return card

    def InputStream(self, **options: Any) -> SoundCard:  # noqa: N802 - its name
        self.opened = options
        return self

    def __enter__(self) -> None:
        for number, block in enumerate(self.to_play):
            when = types.SimpleNamespace(inputBufferAdcTime=5.0, currentTime=5.03)
            lost = types.SimpleNamespace(input_overflow=number == 1)
            self.opened["callback"](block, len(block), when, lost)

    def __exit__(self, *_: object) -> None:
        self.to_play = []


def test_a_microphone(model: Transcriber, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = bursts(TIMES_S, duration_s=1.6)
    stereo = np.stack((samples, samples), axis=1).astype(np.float32)
    card = SoundCard([stereo[i : i + 441] for i in range(0, len(stereo), 441)])
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    monkeypatch.setattr(live, "SILENT_DEVICE_S", 0.01)
    clock = Clock()
    first = next(Microphone("1", clock).blocks())
    assert card.opened["samplerate"] == 44_100
    assert card.opened["device"] == 1
    np.testing.assert_allclose(first.samples, samples[:441], atol=1e-7)
    # Its last sample was heard 20 ms before the block came.
    assert first.heard_s == pytest.approx(100.0 - 0.02)


def test_a_microphone_that_falls_silent(
    model: Transcriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [np.zeros((441, 2), np.float32)] * 3
    monkeypatch.setitem(sys.modules, "sounddevice", SoundCard(blocks))
    monkeypatch.setattr(live, "SILENT_DEVICE_S", 0.01)
    microphone = Microphone()
    with pytest.raises(AudioError, match=r"given nothing for 0.01 s: is it unplugged"):
        listen(model, microphone, lambda onset: None)
    assert microphone.n_overruns == 1
    with pytest.raises(SettingsError, match=r"no sound input 'Mike' here .*; there are: 1 Card"):
        Microphone("Mike")
