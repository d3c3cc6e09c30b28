"""What FFmpeg decodes: told and untold shifts, refusals, and what happens without PyAV."""

from __future__ import annotations

import io
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import RATE_HZ, clicks, encode, encode_by_ffmpeg, shift_ms

from softloc.audio import read_audio
from softloc.decoders import has_ffmpeg, open_stream
from softloc.errors import AudioError

ORIGINAL = clicks()


@pytest.fixture(scope="module")
def m4a(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("m4a") / "a.m4a"
    return encode_by_ffmpeg(path, ORIGINAL, "aac", "mp4").read_bytes()


@pytest.fixture(scope="module")
def webm(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("webm") / "a.webm"
    return encode_by_ffmpeg(path, clicks(rate_hz=48_000), "libopus", rate_hz=48_000).read_bytes()


@pytest.fixture
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)


def test_a_stream_is_read_like_a_file(m4a: bytes) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    samples = read_audio(Pipe(m4a), RATE_HZ).samples
    assert abs(shift_ms(samples, ORIGINAL[:, 0])) < 1.0


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_name_is_no_address(
    m4a: bytes, protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        path = Path(f"{protocol}:127.0.0.1:{server.getsockname()[1]}.m4a")
        path.write_bytes(m4a)
        whole = read_audio(path, RATE_HZ).samples
        with pytest.raises(TimeoutError):
            server.accept()
    np.testing.assert_array_equal(whole, read_audio(io.BytesIO(m4a), RATE_HZ).samples)


def test_a_list_that_is_called_a_recording_leads_nowhere(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "other.wav", ORIGINAL, RATE_HZ)
    (tmp_path / "list.wav").write_text("ffconcat version 1.0\nfile other.wav\n")
    with pytest.raises(AudioError, match=r"list\.wav"):
        read_audio(tmp_path / "list.wav", RATE_HZ)


def test_blocks_join_to_the_whole(m4a: bytes) -> None:
    whole = read_audio(io.BytesIO(m4a), RATE_HZ).samples
    with open_stream(io.BytesIO(m4a)) as stream:
        blocks = []
        while len(block := stream.read(997)):
            assert block.shape[1] == 1
            blocks.append(block[:, 0])
    assert {len(block) for block in blocks[:-1]} == {997}
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_a_cut_longer_than_a_block_is_cut_whole(tmp_path: Path) -> None:
    path = encode_by_ffmpeg(tmp_path / "a.aac", ORIGINAL, "aac", "adts")
    with open_stream(path) as stream:
        assert stream.container.cut_samples == 1024
        first = stream.read(100)
    np.testing.assert_array_equal(first[:, 0], read_audio(path, RATE_HZ).samples[:100])


@pytest.mark.parametrize("n_channels", [2, 7, 8, 9, 24])
def test_every_channel_is_read(n_channels: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV (softloc[av]) is not installed")
    path = tmp_path / "a.mov"
    layout = f"{n_channels} channels"
    levels = 1_000 * np.arange(1, n_channels + 1, dtype=np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout)
        samples = np.tile(levels, 2_000)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_stream(path) as opened:
        found = opened.read(3_000)
    np.testing.assert_array_equal(found, np.tile(levels / 2**15, (2_000, 1)))


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV (softloc[av]) is not installed")
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"silent\.mp4: holds no sound, only pictures"):
        read_audio(path, RATE_HZ)


def test_what_libsndfile_cannot_open_goes_to_ffmpeg(tmp_path: Path) -> None:
    """A CAF file whose length is left open, as its specification allows."""
    pytest.importorskip("av", reason="PyAV (softloc[av]) is not installed")
    data = encode(ORIGINAL, "CAF", "PCM_16")
    place = data.index(b"data") + 4
    path = tmp_path / "open.caf"
    path.write_bytes(data[:place] + b"\xff" * 8 + data[place + 8 :])
    with open_stream(path) as stream:
        assert stream.decoder.startswith("PyAV")
        assert stream.container.name == "CAF"
    np.testing.assert_allclose(read_audio(path, RATE_HZ).samples, ORIGINAL[:, 0], atol=1e-4)


@pytest.mark.usefixtures("without_pyav")
@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"\x1a\x45\xdf\xa3", "Matroska/WebM"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"ID3\x04\0\0\0\0\0\0\xff\xf9\x50\x80", "AAC"),
        (b"\x30\x26\xb2\x75", "ASF/WMA"),
    ],
)
def test_without_pyav_one_sentence_says_what_to_do(tmp_path: Path, head: bytes, name: str) -> None:
    assert not has_ffmpeg()
    path = tmp_path / "song.m4a"
    path.write_bytes(head + bytes(2000))
    with pytest.raises(AudioError) as caught:
        read_audio(path, RATE_HZ)
    assert str(caught.value) == (
        f"{path}: {name} needs the optional decoder: pip install 'softloc[av]', or convert it "
        f"`ffmpeg -i {path} out.flac`"
    )


@pytest.mark.usefixtures("without_pyav")
def test_without_pyav_the_rest_is_read_and_refused_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(encode(ORIGINAL, "MP3"))
    assert len(read_audio(path, RATE_HZ).samples) == len(ORIGINAL)
    path.write_bytes(b"this is not audio")
    with pytest.raises(AudioError, match=r"not audio that can be read .* more with pip install"):
        read_audio(path, RATE_HZ)


@pytest.mark.parametrize("suffix", ["wav", "raw", "m4a", "webm", "xyz"])
def test_text_is_refused_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text.{suffix}"
    path.write_text("this is not audio\n" * 50)
    with pytest.raises(AudioError, match=r"not audio that can be read|holds no sound") as caught:
        read_audio(path, RATE_HZ)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["m4a", "webm"])
@settings(max_examples=40)
@given(
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    in_header=st.booleans(),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_never_a_crash(
    name: str,
    request: pytest.FixtureRequest,
    places: list[tuple[float, int]],
    in_header: bool,
    kept: float,
) -> None:
    damaged = bytearray(request.getfixturevalue(name))
    reach = min(len(damaged), 600) if in_header else len(damaged)
    for place, byte in places:
        damaged[int(place * reach)] = byte
    del damaged[int(kept * len(damaged)) :]
    try:
        samples = read_audio(io.BytesIO(bytes(damaged)), RATE_HZ).samples
    except AudioError as error:
        sentences = str(error).splitlines()
    else:
        sentences = [""]
        assert np.isfinite(samples).all()
    assert len(sentences) == 1
