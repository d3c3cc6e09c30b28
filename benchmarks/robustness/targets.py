"""What is attacked: each reader with its seeds, and what is done with an input.

An input is a file. It is read, and what was read is used: events are written in every form, a
model hears a moment of noise. Now and then the file goes through the command line as well.
"""

from __future__ import annotations

import functools
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import torch

from benchmarks.recordings import clicks, encode, mpeg_frames, without_tag
from benchmarks.robustness.rules import BrokenRuleError, check_refusal, run_command
from softloc.audio import audio_duration_s, read_audio
from softloc.checkpoints import load_training_state
from softloc.decoders import inspect_container
from softloc.engines import ONNX, TORCH
from softloc.errors import AudioError, SoftLocError
from softloc.events import Onset
from softloc.formats import WRITABLE, Provenance, read_label_file, read_onsets, render_file
from softloc.pipeline import load

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
FINDINGS = ROOT / "tests" / "robustness" / "findings"
MODEL = GOLDEN / "checkpoint-format1.safetensors"

_RATE_HZ = 8_000


@dataclass(frozen=True, slots=True)
class Target:
    """A reader under attack.

    Attributes
    ----------
    suffixes : tuple of str
        Of the files that it is given.
    seeds : callable
        Sound files to start from, as name and content.
    attempt : callable
        Read a file and use it; returns whether it was read, not refused.
    command : callable
        The same through the command line.
    command_every : int
        Every so many inputs.
    packages : tuple of str
        Whose coverage guides the search.
    tokens : tuple of bytes
        What to put into inputs.
    max_bytes : int
        Of an input.
    """

    suffixes: tuple[str, ...]
    seeds: Callable[[], Iterator[tuple[str, bytes]]]
    attempt: Callable[[Path], bool]
    command: Callable[[Path], None]
    command_every: int
    packages: tuple[str, ...]
    tokens: tuple[bytes, ...]
    max_bytes: int


def attempt_labels(path: Path) -> bool:
    """Read labels, and write what was read in every form."""
    try:
        content = read_label_file(path)
    except SoftLocError as error:
        check_refusal(error)
        return False
    for onsets in content.recordings.values():
        for form in WRITABLE:
            _write_and_read_again(onsets, form, path.with_name(f"again.{form}"))
    return True


def _write_and_read_again(onsets: list[Onset], form: str, path: Path) -> None:
    try:
        written = render_file(
            path, onsets, format=form, provenance=Provenance(sample_rate_hz=44_1e2)
        )
    except SoftLocError as error:
        check_refusal(error)
        return
    if form == "json":
        path = path.with_suffix(".json")
        path.write_bytes(written)
        again = read_onsets(path)
        if [onset.time_s for onset in again] != [onset.time_s for onset in onsets]:
            raise BrokenRuleError("JSON did not keep the times")


def convert_labels(path: Path) -> None:
    """``softloc convert``."""
    out = path.parent / "out"
    run_command(["convert", str(path), "-f", "csv", "-o", str(out), "--overwrite"], (0, 2))


def attempt_model(path: Path) -> bool:
    """Load a model with each engine and let it hear noise, or load a training state."""
    if path.suffix == ".state":
        return _accepts(functools.partial(load_training_state, path))
    with_torch, with_onnx = (
        _accepts(functools.partial(_hear_noise, path, engine)) for engine in (TORCH, ONNX)
    )
    if with_torch != with_onnx:
        raise BrokenRuleError("one engine takes what the other refuses")
    return with_torch


def _accepts(use: Callable[[], object]) -> bool:
    try:
        use()
    except SoftLocError as error:
        check_refusal(error)
        return False
    return True


def _hear_noise(path: Path, engine: str) -> None:
    noise = np.random.default_rng(0).normal(size=_RATE_HZ // 8)
    load(path, "cpu", engine).transcribe(noise, _RATE_HZ)


def show_model(path: Path) -> None:
    """``softloc models show``, and ``verify`` for what is no model."""
    run_command(["models", "show", str(path), "--json"], (0, 1))
    run_command(["models", "verify", str(path)], (0, 1))


def attempt_audio(path: Path) -> bool:
    """Describe and decode a recording; what comes out must be sound."""
    inspect_container(io.BytesIO(path.read_bytes()))
    try:
        samples = read_audio(path, 44_100).samples
        audio_duration_s(path)
    except AudioError as error:
        check_refusal(error)
        return False
    if samples.dtype != np.float32 or not len(samples) or not np.isfinite(samples).all():
        raise BrokenRuleError("samples are not finite float32 numbers")
    return True


def transcribe_audio(path: Path) -> None:
    """``softloc transcribe`` and ``softloc doctor``."""
    out = path.parent / "out.csv"
    run_command(["transcribe", str(path), "-q", "-m", str(MODEL), "-o", str(out)], (0, 1))
    run_command(["doctor", str(path)], (0, 1))


def label_seeds() -> Iterator[tuple[str, bytes]]:
    """Give all golden text files, and some with rare columns."""
    for path in sorted([*GOLDEN.glob("*"), *(GOLDEN / "foreign").glob("*")]):
        if path.is_file() and path.suffix in TARGETS["text"].suffixes and path.stem != "scores":
            yield path.name, path.read_bytes()
    yield "file.csv", b"file,time_s,label,annotator,softness_ms\na.wav,0.5,KD,me,inf\nb.wav,,\n"
    yield "inf.json", _events_json(softness_ms="inf", annotator="you")


def _events_json(**more: object) -> bytes:
    event = {"time_s": 0.5, "label": "KD", **more}
    return json.dumps({"format": "softloc-events", "format_version": 1, "events": [event]}).encode()


def midi_seeds() -> Iterator[tuple[str, bytes]]:
    """Give the golden file, and one with tempo changes, other channels, odd events, SMPTE time."""
    yield "golden.mid", (GOLDEN / "events.mid").read_bytes()
    midi = mido.MidiFile(type=1, ticks_per_beat=96)
    tempos = mido.MidiTrack(
        [mido.MetaMessage("set_tempo", tempo=tempo, time=96) for tempo in (400_000, 1, 0xFFFFFF)]
    )
    tempos.append(mido.MetaMessage("key_signature", key="F#m"))
    tempos.append(mido.MetaMessage("smpte_offset", frame_rate=29.97))
    tempos.append(mido.MetaMessage("sequencer_specific", data=(1, 2, 3)))
    notes = mido.MidiTrack([mido.MetaMessage("track_name", name="drums"), mido.Message("sysex")])
    for channel in (9, 0):
        for note in (36, 38, 42, 99):
            notes.append(mido.Message("note_on", channel=channel, note=note, time=10))
            notes.append(mido.Message("note_on", channel=channel, note=note, velocity=0))
    notes.append(mido.Message("program_change", program=3))
    midi.tracks += [tempos, notes]
    file = io.BytesIO()
    midi.save(file=file)
    yield "tempos.mid", file.getvalue()
    yield "smpte.mid", file.getvalue().replace(b"\0\x60MTrk", b"\xe7\x28MTrk", 1)


def model_seeds() -> Iterator[tuple[str, bytes]]:
    """Give a model of a few kilobytes in every format, and the state of a training."""
    for path in sorted(GOLDEN.glob("*.safetensors")):
        yield path.name, path.read_bytes()
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    state = {
        "identity": {"settings": "{}", "model": "{}", "data": "0", "validation": "0"},
        "step": 3, "steps": 10, "seconds": 0.5,
        "network": layer.state_dict(), "optimizer": optimizer.state_dict(),
        "best": {}, "best_row": {"step": 3}, "losses": [0.5], "curve": [{"valid_loss": 1.0}],
        "velocity": None,
    }  # fmt: skip
    file = io.BytesIO()
    torch.save(state, file)
    yield "training.state", file.getvalue()


def audio_seeds() -> Iterator[tuple[str, bytes]]:
    """Give a short recording in every wrapping that libsndfile writes."""
    sound = clicks((0.01,), duration_s=0.06)
    stereo = clicks((0.01,), duration_s=0.03, n_channels=2)
    for suffix, form, subtype in (
        (".wav", "WAV", "PCM_16"), (".wav", "WAV", "PCM_24"), (".wav", "WAV", "FLOAT"),
        (".wav", "WAV", "IMA_ADPCM"), (".wav", "WAVEX", "FLOAT"), (".wav", "RF64", "PCM_16"),
        (".flac", "FLAC", "PCM_16"), (".flac", "FLAC", "PCM_24"), (".ogg", "OGG", "VORBIS"),
        (".ogg", "OGG", "OPUS"), (".mp3", "MP3", "MPEG_LAYER_III"), (".aiff", "AIFF", "PCM_16"),
        (".au", "AU", "PCM_16"),
    ):  # fmt: skip
        rate_hz = 48_000 if subtype == "OPUS" else 44_100
        yield f"mono{suffix}", encode(sound, form, subtype, rate_hz)
        if subtype in ("PCM_16", "VORBIS", "MPEG_LAYER_III"):
            yield f"stereo{suffix}", encode(stereo, form, subtype, rate_hz)
    mp3 = encode(sound, "MP3", "MPEG_LAYER_III")
    yield "bare.mp3", without_tag(mp3)
    frames = mpeg_frames(mp3)
    yield "junk.mp3", b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + frames[0] + b"\xff\xfbjunk" + frames[1]


_NUMBERS = (
    b"0", b"-1", b"1e308", b"1e-320", b"nan", b"inf", b"9" * 30, b"0.1", b"1_0", b"\xef\xbc\x91"
)  # fmt: skip
_EXTREMES = (bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80")

TARGETS: Mapping[str, Target] = {
    "text": Target(
        (".csv", ".tsv", ".txt", ".json", ".jams", ".svl", ".xml", ".beats", ".notes", ".onsets"),
        label_seeds,
        attempt_labels,
        convert_labels,
        100,
        ("softloc.formats", "softloc.events", "softloc.vocabulary"),
        (
            *_NUMBERS, b",", b"\t", b";", b"\n", b"\r\n", b'"', b"'", b"#", b"file,time_s,label\n",
            b"\\\t0\t1\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"null", b"[", b"]", b"{", b"}",
            b'"\\ud800"', b"NaN", b"-Infinity", b'"namespace": "note_midi"', b'"data": []',
            b"<!ENTITY a 'b'>", b"&amp;", b"&#0;", b"&#x110000;", b"<![CDATA[", b"<point/>",
            b"<?xml version='1.0' encoding='utf-16'?>", b'type="sparse"', b'frame="1e400"',
            b"\xe2\x80\xa8", b"\xc2\x85", b"\x1c", b"\x0b", b"\xc2\xb2",
        ),
        4_096,
    ),
    "midi": Target(
        (".mid",),
        midi_seeds,
        attempt_labels,
        convert_labels,
        100,
        ("softloc.formats.midi", "mido"),
        (
            *_EXTREMES, b"MThd", b"MTrk", b"\xff\x51\x03", b"\xff\x59\x02", b"\xff\x58\x04",
            b"\xff\x54\x05", b"\xff\x2f\0", b"\xff\x7f", b"\xf0", b"\xf7", b"\x99\x24\x40",
            b"\xff\xff\xff\x7f", b"\x80\x80\x80\0", b"\xff\x01", b"\xff\x20\x01", b"\xff\0\x02",
        ),
        4_096,
    ),
    "checkpoints": Target(
        (".safetensors", ".state"),
        model_seeds,
        attempt_model,
        show_model,
        200,
        (
            "softloc.checkpoints", "softloc.model_files", "softloc.model_weights",
            "softloc.features", "softloc.network", "softloc.velocity", "softloc.engines",
        ),
        (*_NUMBERS, *_EXTREMES, b"null", b"true", b"[]", b"{}", b"F64", b"I8", b"BOOL", b"BF16"),
        1 << 16,
    ),
    "audio": Target(
        (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au"),
        audio_seeds,
        attempt_audio,
        transcribe_audio,
        200,
        ("softloc.decoders", "softloc.audio"),
        (
            *_EXTREMES, b"RIFF", b"RF64", b"ds64", b"data", b"fmt ", b"LIST", b"fLaC", b"OggS",
            b"Xing", b"Info", b"VBRI", b"LAME", b"ID3\4\0\0\x7f\x7f\x7f\x7f", b"FORM", b"SSND",
            b".snd", b"OpusHead", b"\x01vorbis", b"\xff\xfb\x90", b"\xff\xf3\x10", b"ftypM4A ",
        ),
        1 << 16,
    ),
}  # fmt: skip


def silence_log() -> None:
    """Keep the library's remarks on odd files to itself."""
    logging.getLogger("softloc").addHandler(logging.NullHandler())
    logging.getLogger("softloc").propagate = False
