"""WAV, RF64, AIFF, AU, FLAC and Ogg whose headers lie: put right, or refused in one sentence."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recordings import RATE_HZ, clicks, encode, patch

from softloc.audio import audio_duration_s, read_audio
from softloc.decoders import inspect_container
from softloc.errors import AudioError

ORIGINAL = clicks(duration_s=1.5)
N_SAMPLES = len(ORIGINAL)


def stated(form: str, n_bytes: int) -> bytes:
    """A file whose header states so many bytes of sound."""
    data = encode(ORIGINAL, form, "PCM_16")
    if form == "RF64":
        return patch(data, data.index(b"ds64") + 16, struct.pack("<Q", n_bytes))
    if form == "AU":
        return patch(data, 8, struct.pack(">I", n_bytes))
    name, order = (b"SSND", ">I") if form == "AIFF" else (b"data", "<I")
    return patch(data, data.index(name) + 4, struct.pack(order, n_bytes))


def flac(total: int) -> bytes:
    data = encode(ORIGINAL, "FLAC")
    numbers = int.from_bytes(data[18:26], "big") & ~((1 << 36) - 1) | total
    return patch(data, 18, numbers.to_bytes(8, "big"))


#: A file that holds all of the sound, and what is said about it.
LYING: dict[str, tuple[Callable[[], bytes], str]] = {
    "WAV of 0": (lambda: stated("WAV", 0), ""),
    "WAV of 0xffffffff": (lambda: stated("WAV", 0xFFFFFFFF), ""),
    "WAV of 0x7ffff000": (lambda: stated("WAV", 0x7FFFF000), ""),
    "WAV too short": (lambda: stated("WAV", 1000), "its header is wrong"),
    "WAV with all sizes 0": (lambda: patch(stated("WAV", 0), 4, bytes(4)), ""),
    "big-endian WAV of 0": (
        lambda: patch(d := encode(ORIGINAL, "WAV", "PCM_16", endian="BIG"),
                      d.index(b"data") + 4, bytes(4)), ""),
    "RF64 of 0": (lambda: stated("RF64", 0), ""),
    "RF64 too short": (lambda: stated("RF64", 1000), "its header is wrong"),
    "RF64 too long": (lambda: stated("RF64", 1 << 40), ""),
    "AIFF of 0": (lambda: stated("AIFF", 0), ""),
    "AIFF too short": (lambda: stated("AIFF", 1000), "its header is wrong"),
    "AU of 0": (lambda: stated("AU", 0), ""),
    "AU of 0xffffffff": (lambda: stated("AU", 0xFFFFFFFF), ""),
    "AU too short": (lambda: stated("AU", 1000), "its header is wrong"),
    "FLAC of 0": (lambda: flac(0), ""),
    "FLAC too short": (lambda: flac(1000), "its header is wrong"),
    "FLAC too long": (lambda: flac(10**7), "decoding gave 1.500 s of sound where"),
    "FLAC with ID3v1": (lambda: encode(ORIGINAL, "FLAC") + b"TAG" + bytes(125), ""),
    "FLAC with ID3v2": (
        lambda: b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256) + encode(ORIGINAL, "FLAC"), ""),
    "WAV with a chunk behind": (
        lambda: encode(ORIGINAL, "WAV", "PCM_16") + b"LIST" + struct.pack("<I", 8000) + bytes(8000),
        ""),
    "WAV with junk behind": (lambda: encode(ORIGINAL, "WAV", "PCM_16") + bytes(2000), ""),
}  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), LYING.values(), ids=LYING)
def test_all_of_the_sound_is_read(
    tmp_path: Path,
    make: Callable[[], bytes],
    sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "lying.audio"
    path.write_bytes(make())
    samples = read_audio(path, RATE_HZ).samples
    np.testing.assert_allclose(samples, ORIGINAL[:, 0], atol=1e-4)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(sentence)
    assert all(sentence in message and str(path) in message for message in messages)
    np.testing.assert_array_equal(read_audio(_pipe(make()), RATE_HZ).samples, samples)
    if "too long" not in str(sentence) and "where" not in sentence:
        assert audio_duration_s(path) == N_SAMPLES / RATE_HZ


def _pipe(data: bytes) -> io.BytesIO:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    return Pipe(data)


@pytest.mark.parametrize(
    ("form", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("RF64", "PCM_24"), ("AIFF", "PCM_16"), ("AU", "PCM_16")],
)
def test_what_is_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, form: str, subtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = encode(ORIGINAL, form, subtype)
    path = tmp_path / "cut.audio"
    path.write_bytes(data[: len(data) // 2])
    samples = read_audio(path, RATE_HZ).samples
    assert len(samples) == pytest.approx(N_SAMPLES / 2, abs=100)
    np.testing.assert_allclose(samples, ORIGINAL[: len(samples), 0], atol=1e-4)
    [record] = caplog.records
    assert "cut off: the header states 1.500 s, 0.75" in record.getMessage()


@pytest.mark.parametrize(("subtype", "rate_hz"), [("VORBIS", 44_100), ("OPUS", 48_000)])
def test_ogg_that_is_cut_off_or_chained(
    tmp_path: Path, subtype: str, rate_hz: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = encode(clicks(duration_s=4, rate_hz=rate_hz), "OGG", subtype, rate_hz)
    path = tmp_path / "cut.ogg"
    path.write_bytes(data[: len(data) * 2 // 3])
    assert 0 < read_audio(path, rate_hz).duration_s < 3.9
    assert "no page ends its stream" in caplog.records.pop().getMessage()
    caplog.clear()
    path.write_bytes(data + with_serial(data, b"next"))
    found = read_audio(path, rate_hz)
    assert found.duration_s == pytest.approx(4)
    assert "only the first is read" in caplog.records.pop().getMessage()


def with_serial(ogg: bytes, serial: bytes) -> bytes:
    """The same stream under another number: what follows the first in a chained file."""
    pages = [bytearray(b"OggS" + page) for page in ogg.split(b"OggS")[1:]]
    for page in pages:
        page[14:18], page[22:26] = serial, bytes(4)
        checksum = 0
        for byte in page:  # RFC 3533: not the CRC-32 of zlib, whose bits are reversed
            checksum ^= byte << 24
            for _ in range(8):
                checksum = checksum << 1 ^ (0x104C11DB7 if checksum & 0x80000000 else 0)
        page[22:26] = checksum.to_bytes(4, "little")
    return b"".join(pages)


@pytest.mark.parametrize("form", ["WAV", "RF64", "AIFF"])
def test_files_without_a_sample_are_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / "empty.audio"
    path.write_bytes(encode(np.zeros((0, 1)), form))
    with pytest.raises(AudioError, match=r"0 samples|no sample can be decoded"):
        read_audio(path, RATE_HZ)


@pytest.mark.parametrize("n_channels", [1, 2, 8])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e9])
def test_samples_that_are_no_sound_are_refused_where_they_are(
    tmp_path: Path, value: float, n_channels: int
) -> None:
    samples = clicks(n_channels=n_channels).astype(np.float64)
    samples[22_050, -1] = value
    path = tmp_path / "no sound.wav"
    path.write_bytes(encode(samples, "WAV", "DOUBLE"))
    with pytest.raises(AudioError, match=r"no sound\.wav: sample 22050 is .*, at 0\.500 s"):
        read_audio(path, RATE_HZ)


def test_beyond_full_scale_and_dc_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    samples = 5 * ORIGINAL + 0.25
    path.write_bytes(encode(samples, "WAV", "FLOAT"))
    np.testing.assert_array_equal(read_audio(path, RATE_HZ).samples, samples[:, 0])


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    path.write_bytes(encode(np.zeros((10, 65)), "WAV", "PCM_16"))
    with pytest.raises(AudioError, match="65 channels, more than 64"):
        read_audio(path, RATE_HZ)


def test_a_whole_file_goes_to_the_decoder_as_it_is() -> None:
    for form in ("WAV", "RF64", "AIFF", "AU", "FLAC"):
        container = inspect_container(io.BytesIO(encode(ORIGINAL, form)))
        assert container.name == form
        assert container.pieces == ()
        assert container.warnings == container.remarks == ()
        assert container.header_s == pytest.approx(1.5, abs=1e-3)


def test_flac_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    data = encode(clicks(duration_s=4), "FLAC")
    path = tmp_path / "cut.flac"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"cut\.flac: damaged at \d\.\d s of 4\.0 s \(flac dec"):
        read_audio(path, RATE_HZ)


def test_a_wav_beyond_what_its_header_can_count_says_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(stated("WAV", 1000))
    with path.open("r+b") as file:
        file.truncate((5 << 30) + 44)  # a hole, which takes no place
    with path.open("rb") as file:
        (warning,) = inspect_container(file).warnings
    assert warning.startswith("its header is wrong")
    assert "only the first 4 GiB are read" in warning
