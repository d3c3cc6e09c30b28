"""Reading recordings: right samples, right rate, one sentence for what is not audio."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from softloc.audio import (
    Waveform,
    audio_duration_s,
    make_waveform,
    read_audio,
    read_blocks,
    resample_blocks,
)
from softloc.audio_store import AudioStore
from softloc.errors import AudioError

RATE_HZ = 44_100


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


def test_mono_is_the_mean_of_the_channels(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = rng.uniform(-1, 1, size=(1000, 8)).astype(np.float32)
    waveform = read_audio(write(tmp_path / "eight.wav", samples), RATE_HZ)
    np.testing.assert_allclose(waveform.samples, samples.mean(axis=1), atol=1e-6)


def test_samples_beyond_full_scale_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "loud.wav", np.array([0.0, 3.5, -2.0], dtype=np.float32))
    assert read_audio(path, RATE_HZ).samples.tolist() == [0.0, 3.5, -2.0]


def test_blocks_join_to_the_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = rng.uniform(-1, 1, size=RATE_HZ).astype(np.float32)
    path = write(tmp_path / "a.wav", samples)
    blocks = list(read_blocks(path, block_s=0.07))
    assert len(blocks) > 10
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), samples)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000, 192_000])
def test_an_impulse_stays_at_its_time_through_resampling(tmp_path: Path, rate_hz: int) -> None:
    samples = np.zeros(rate_hz, dtype=np.float32)
    samples[rate_hz // 2] = 1.0
    waveform = read_audio(write(tmp_path / "click.wav", samples, rate_hz), RATE_HZ)
    assert len(waveform.samples) == pytest.approx(RATE_HZ, abs=1)
    assert abs(int(np.abs(waveform.samples).argmax()) - RATE_HZ // 2) <= 1


def test_resampling_does_not_depend_on_the_blocks(rng: np.random.Generator) -> None:
    samples = rng.uniform(-1, 1, size=48_000).astype(np.float32)

    def resampled(size: int) -> np.ndarray:
        blocks = [Waveform(samples[i : i + size], 48_000) for i in range(0, len(samples), size)]
        return np.concatenate(list(resample_blocks(blocks, RATE_HZ)))

    np.testing.assert_allclose(resampled(997), resampled(48_000), atol=1e-6)


def test_what_resamples_to_nothing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "one.wav", np.array([0.25], dtype=np.float32), rate_hz=192_000)
    with pytest.raises(AudioError, match="too short"):
        read_audio(path, RATE_HZ)


def test_one_sample_is_audio(tmp_path: Path) -> None:
    path = write(tmp_path / "one.wav", np.array([0.25], dtype=np.float32))
    assert read_audio(path, RATE_HZ).samples.tolist() == [0.25]
    assert audio_duration_s(path) == pytest.approx(1 / RATE_HZ)


def test_a_pipe_that_cannot_seek_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = rng.uniform(-1, 1, size=500).astype(np.float32)
    data = write(tmp_path / "a.wav", samples).read_bytes()

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    np.testing.assert_array_equal(read_audio(Pipe(data), RATE_HZ).samples, samples)


def test_bad_recordings_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is not audio")
    empty = tmp_path / "empty.wav"
    empty.touch()
    silent = write(tmp_path / "silent.wav", np.zeros(0, dtype=np.float32))
    broken = write(tmp_path / "nan.wav", np.array([0.0, np.nan, 0.0], dtype=np.float32))
    for path, sentence in (
        (tmp_path / "missing.wav", "no such file"),
        (tmp_path, "is a folder"),
        (text, "not audio that can be read"),
        (empty, "0 bytes"),
        (silent, "0 samples"),
        (broken, "sample 1 is nan, no sound"),
    ):
        with pytest.raises(AudioError, match=sentence) as caught:
            read_audio(path, RATE_HZ)
        assert str(path) in str(caught.value)


def test_a_recording_cut_off_in_the_middle(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, rng.uniform(-1, 1, size=5 * RATE_HZ), RATE_HZ)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    path.write_bytes(bytes(data))
    with pytest.raises(AudioError, match=r"cut\.flac: damaged at \d"):
        read_audio(path, RATE_HZ)


def test_arrays_are_checked() -> None:
    integers = make_waveform(np.array([[16384, 0], [-32768, 0]], dtype=np.int16), RATE_HZ)
    assert integers.samples.tolist() == [0.25, -0.5]
    bytes_ = make_waveform(np.array([0, 128, 255], dtype=np.uint8), RATE_HZ)
    assert bytes_.samples == pytest.approx([-1.0, 0.0, 1.0], abs=0.01)
    for samples, rate_hz, sentence in (
        (np.zeros((2, 2, 2)), RATE_HZ, "shape"),
        (np.zeros((2, 44_100)), RATE_HZ, "is it transposed"),
        (np.zeros(4, dtype=bool), RATE_HZ, "not bool"),
        (np.array([0.0, 1e20]), RATE_HZ, "sample 1 is"),
        (np.zeros(0), RATE_HZ, "no samples"),
        (np.zeros((5, 0)), RATE_HZ, "no samples"),
        (np.array([np.inf]), RATE_HZ, "sample 0"),
        (np.zeros(4), 1, "1 Hz"),
    ):
        with pytest.raises(AudioError, match=sentence):
            make_waveform(samples, rate_hz)


def test_a_recording_read_again_is_not_complained_about_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The store reads what exceeds full scale twice."""
    data = write(tmp_path / "a.wav", np.full(20_000, 1.5, dtype=np.float32)).read_bytes()
    path = tmp_path / "cut.wav"
    path.write_bytes(data[: len(data) // 2])
    store = AudioStore([path], RATE_HZ, tmp_path / "samples")
    assert store.read(0, 0, 1)[0] == pytest.approx(1.5, abs=1e-4)
    assert len(caplog.records) == 1
    assert "cut off: the header states" in caplog.records[0].getMessage()
