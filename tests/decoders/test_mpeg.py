"""MP3 streams whose tags are missing or wrong: all of the sound, at its time, with one sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recordings import (
    RATE_HZ,
    clicks,
    encode,
    encode_by_ffmpeg,
    mpeg_frames,
    patch,
    shift_ms,
    without_tag,
)

from softloc.audio import audio_duration_s, read_audio
from softloc.decoders.mpeg import inspect_mpeg, parse_header
from softloc.errors import AudioError

ORIGINAL = clicks()
ID3V2 = b"ID3\x04\x00\x00\x00\x00\x20\x00" + bytes(4096)  # such as a picture


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return encode(ORIGINAL, "MP3")


def tag_place(mp3: bytes) -> int:
    return mp3.index(b"Xing")


def lame_place(mp3: bytes) -> int:
    return mp3.index(b"LAME") + 21


def quiet_then_loud(rate_hz: int = RATE_HZ) -> np.ndarray:
    """Sound whose first frames have a bit rate far from the mean."""
    rng = np.random.default_rng(0)
    return np.concatenate([1e-5 * rng.normal(size=rate_hz), 0.3 * rng.normal(size=3 * rate_hz)])


def test_the_headers_of_real_frames_are_read(mp3: bytes) -> None:
    header = parse_header(mp3[:4])
    assert header is not None
    assert (header.version, header.layer, header.rate_hz, header.mono) == (1, 3, 44_100, True)
    frames = mpeg_frames(mp3)
    assert sum(map(len, frames)) == len(mp3)
    # ISO/IEC 11172-3: 128 kbit/s at 44.1 kHz, without and with padding.
    assert [parse_header(bytes((0xFF, 0xFB, b, 0)))[4:] for b in (0x90, 0x92)] == [  # type: ignore[index]
        (417, 1152),
        (418, 1152),
    ]


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xfb\xf0\x00", b"\xff\xfb\x9c\x00", b"\xff\xf9\x90\x00", b"RIFF"]
)
def test_what_is_no_header_is_none(data: bytes) -> None:
    assert parse_header(data) is None


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_stream_without_a_count_is_read_to_its_end(tmp_path: Path, rate_hz: int) -> None:
    """The symptom is libsndfile's: it guesses the length from the first frames and stops there."""
    original = quiet_then_loud(rate_hz)[::-1]
    data = without_tag(encode(original, "MP3", rate_hz=rate_hz))
    truncated, _ = soundfile.read(io.BytesIO(data))
    assert len(truncated) < 0.8 * len(original)
    path = tmp_path / "vbr.mp3"
    path.write_bytes(data)
    found = read_audio(path, rate_hz).samples
    assert len(original) <= len(found) <= len(original) + 3 * 1152
    assert audio_duration_s(path) == len(found) / rate_hz


def with_count(n_frames: int) -> Callable[[bytes], bytes]:
    return lambda mp3: patch(mp3, tag_place(mp3) + 8, n_frames.to_bytes(4, "big"))


def without_count(mp3: bytes) -> bytes:
    """The tag as an encoder writes it that does not count: the fields behind move up."""
    first, *others = mpeg_frames(mp3)
    place = tag_place(first)
    first = patch(first, place + 7, b"\x0e")
    return b"".join([first[: place + 8], first[place + 12 :], bytes(4), *others])


#: How to damage a file, what is said, and how many samples at the end may be gone.
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str, int]] = {
    "sound": (lambda b: b, "", 0),
    "count of 0": (with_count(0), "states 0.000 s", 0),
    "count of 1": (with_count(1), "states 0.026 s", 0),
    "count of a million": (with_count(10**6), "states 26122.449 s", 0),
    "no count": (without_count, "", 0),
    "delay and padding of 0": (lambda b: patch(b, lame_place(b), bytes(3)), "no gapless tag", 0),
    "impossible delay": (
        lambda b: patch(b, lame_place(b), b"\xff\xf0\x00"), "no gapless tag", 0),
    "tag of another encoder": (
        lambda b: patch(b, lame_place(b) - 21, bytes(30)), "no gapless tag", 0),
    "ID3v2 with a picture": (lambda b: ID3V2 + b, "", 0),
    "two ID3v2 tags": (lambda b: ID3V2 + ID3V2 + b, "", 0),
    "ID3v2 longer than the file": (
        lambda b: b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + b, "", 0),
    "ID3v2 shorter than it is": (
        lambda b: b"ID3\x04\x00\x00\x00\x00\x00\x10" + bytes(600) + b, "", 0),
    "ID3v1": (lambda b: b + b"TAG" + bytes(125), "", 0),
    "APE and ID3v1": (lambda b: b + b"APETAGEX" + bytes(120) + b"TAG" + bytes(125), "", 0),
    "junk before": (lambda b: b"\x12\x34" * 700 + b, "", 0),
    "zeros before": (lambda b: bytes(3000) + b, "", 0),
    "false sync before": (lambda b: b"\xff\xfb\x90\x64" * 300 + b, "", 0),
    "last frame cut": (lambda b: b[:-20], "", 2 * 1152),
    "second half gone": (lambda b: b[: len(b) // 2], "cut off, or its tag is wrong", RATE_HZ),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "sentence", "lost_samples"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_headers(
    *,
    tmp_path: Path,
    mp3: bytes,
    damage: Callable[[bytes], bytes],
    sentence: str,
    lost_samples: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "damaged.mp3"
    path.write_bytes(damage(mp3))
    samples = read_audio(path, RATE_HZ).samples
    assert len(ORIGINAL) - lost_samples <= len(samples) <= len(ORIGINAL) + 3 * 1152
    assert abs(shift_ms(samples, ORIGINAL[:, 0])) < 0.1
    assert audio_duration_s(path) == len(samples) / RATE_HZ
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(sentence)
    assert all(sentence in message and str(path) in message for message in messages)


def test_junk_amid_the_stream_is_left_out(
    tmp_path: Path, mp3: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """libsndfile gives up at such a place."""
    frames = mpeg_frames(mp3)
    middle = len(frames) // 2
    path = tmp_path / "junk.mp3"
    path.write_bytes(b"".join([*frames[:middle], bytes(5000), *frames[middle:]]))
    samples = read_audio(path, RATE_HZ).samples
    assert len(samples) == len(ORIGINAL)
    assert abs(shift_ms(samples, ORIGINAL[:, 0])) < 0.1
    [record] = caplog.records
    assert "5000 bytes amid the stream are no sound" in record.getMessage()


def test_what_was_cut_out_of_a_longer_stream_counts_from_the_cut(tmp_path: Path) -> None:
    original = clicks() + 0.05 * np.random.default_rng(0).normal(size=ORIGINAL.shape)
    frames = mpeg_frames(encode(original, "MP3"))
    path = tmp_path / "cut.mp3"
    for n_gone, remarks in ((0, 0), (7, 1)):
        path.write_bytes(b"".join(frames[1 + n_gone :]))
        container = inspect_mpeg(io.BytesIO(path.read_bytes()))
        assert container is not None
        assert len([text for text in container.remarks if "cut out of a longer" in text]) == remarks
        expected = original[n_gone * 1152 :, 0]
        assert abs(shift_ms(read_audio(path, RATE_HZ).samples, expected)) < 0.1


def test_junk_in_layer_ii_is_left_out(tmp_path: Path) -> None:
    path = encode_by_ffmpeg(tmp_path / "a.mp2", ORIGINAL, "mp2")
    whole = read_audio(path, RATE_HZ).samples
    frames = mpeg_frames(path.read_bytes())
    path.write_bytes(b"".join([bytes(2500), *frames[:20], bytes(5000), *frames[20:]]))
    np.testing.assert_array_equal(read_audio(path, RATE_HZ).samples, whole)


def test_a_stream_of_text_is_none() -> None:
    assert inspect_mpeg(io.BytesIO(b"this is not audio" * 1000)) is None
    assert inspect_mpeg(io.BytesIO(b"")) is None
    assert inspect_mpeg(io.BytesIO(b"\xff" * 100_000)) is None


def test_only_a_tag_is_empty(tmp_path: Path, mp3: bytes) -> None:
    path = tmp_path / "tag.mp3"
    path.write_bytes(mpeg_frames(mp3)[0])
    with pytest.raises(AudioError, match=r"tag\.mp3"):
        read_audio(path, RATE_HZ)


def test_a_whole_file_goes_to_the_decoder_as_it_is(mp3: bytes) -> None:
    container = inspect_mpeg(io.BytesIO(mp3))
    assert container is not None
    assert container.pieces == ()
    assert (container.shift_samples, container.shift_assumed) == (1105, False)
    assert container.n_samples == len(ORIGINAL)
