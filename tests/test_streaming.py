"""Streams: the same events as a finished recording, when they are told, and in what memory."""

from __future__ import annotations

import functools
import itertools
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from click_model import make_click_model
from clicks import RATE_HZ, bursts
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import make_model

import softloc
from softloc.checkpoints import Checkpoint
from softloc.errors import AudioError, SettingsError
from softloc.formats import write_onsets
from softloc.inference import compute_frames
from softloc.pipeline import Transcriber, from_checkpoint
from softloc.streaming import FrameReader, Stream
from softloc.velocity import VelocityReadOut

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "groove.flac"


@pytest.fixture(scope="module")
def drums() -> Transcriber:
    return softloc.load("drums-small", device="cpu", n_threads=1)


@pytest.fixture(scope="module")
def example() -> np.ndarray:
    samples, _ = soundfile.read(EXAMPLE, dtype="float32", frames=12 * RATE_HZ)
    return np.asarray(samples)


@pytest.fixture(scope="module")
def events(drums: Transcriber, example: np.ndarray) -> list[softloc.Onset]:
    return drums.transcribe(example, RATE_HZ)


def cut(samples: np.ndarray, sizes: Sequence[int]) -> Iterator[np.ndarray]:
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(samples):
            return
        yield samples[start : start + size]
        start += size


def stream_of(
    model: Transcriber, samples: np.ndarray, sizes: Sequence[int], step_frames: int = 8
) -> list[softloc.Onset]:
    """Events of a stream in order of time and label."""
    stream = Stream(model, RATE_HZ, step_frames=step_frames)
    found = [onset for block in cut(samples, sizes) for onset in stream.push(block)]
    return softloc.events.sort_onsets(found + stream.flush())


def assert_same(found: list[softloc.Onset], expected: list[softloc.Onset]) -> None:
    """Equal but for the velocities and the last digits of single precision."""
    assert [onset.label for onset in found] == [onset.label for onset in expected]
    for name, tolerance in (("time_s", 1e-6), ("confidence", 1e-4), ("time_std_s", 1e-5)):
        values = ([getattr(onset, name) for onset in onsets] for onsets in (found, expected))
        np.testing.assert_allclose(*values, atol=tolerance)


@pytest.mark.parametrize("n_samples", [1, 441, 44_100, 100_000])
@pytest.mark.parametrize("step_frames", [1, 7, 2_000])
def test_frames_are_those_of_the_whole_recording(
    n_samples: int, step_frames: int, rng: np.random.Generator
) -> None:
    engine = from_checkpoint(make_model()).engine
    samples = rng.normal(0, 0.1, size=n_samples).astype(np.float32)
    whole = compute_frames(engine, [samples])
    reader = FrameReader(engine, step_frames)
    parts = [reader.push(block) for block in cut(samples, (1_000, 1, 37))] + [reader.flush()]
    found = np.concatenate([part.probabilities for part in parts if part is not None], axis=1)
    assert found.shape == whole.probabilities.shape
    np.testing.assert_allclose(found, whole.probabilities, atol=1e-6)


@settings(max_examples=6)
@given(
    sizes=st.lists(st.integers(1, 60_000), min_size=1, max_size=4).filter(lambda s: max(s) > 2_000),
    step_frames=st.sampled_from([4, 16, 2_000]),
)
def test_a_stream_has_the_events_of_the_recording(
    drums: Transcriber, example: np.ndarray, events: list, sizes: list[int], step_frames: int
) -> None:
    assert len(events) > 50
    assert_same(stream_of(drums, example, sizes, step_frames), events)


@pytest.mark.parametrize("block_s", [1.0, 30.0])
def test_a_file_has_the_same_events_however_it_is_read(
    block_s: float, drums: Transcriber, events: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = functools.partial(softloc.audio.read_blocks, block_s=block_s)
    monkeypatch.setattr(softloc.pipeline, "read_blocks", reader)
    found = drums.transcribe(EXAMPLE)
    assert len(found) > len(events)  # of the beginning only
    monkeypatch.undo()
    whole = drums.transcribe(EXAMPLE)
    assert_same(found, whole)
    assert [onset.velocity for onset in found] == [onset.velocity for onset in whole]


def test_another_sample_rate_is_resampled_without_a_seam(
    drums: Transcriber, example: np.ndarray
) -> None:
    samples = soxr.resample(example[: 5 * RATE_HZ], RATE_HZ, 48_000)
    whole = drums.transcribe(samples, 48_000)
    stream = Stream(drums, 48_000)
    found = [onset for block in cut(samples, (480,)) for onset in stream.push(block)]
    assert_same(softloc.events.sort_onsets(found + stream.flush()), whole)


def test_events_come_when_the_latency_says(drums: Transcriber, example: np.ndarray) -> None:
    stream = Stream(drums, RATE_HZ)
    delays_ms = []
    for number, block in enumerate(cut(example, (441,)), start=1):
        delays_ms += [number * 10.0 - 1000 * onset.time_s for onset in stream.push(block)]
    latency = stream.latency
    # Within a run the centre of mass may lie anywhere: two softnesses beside its points.
    assert min(delays_ms) > latency.typical_ms - latency.step_ms - 60.0
    assert np.median(delays_ms) < latency.typical_ms + 10.0
    assert max(delays_ms) < latency.longest_ms


def test_the_latency_is_that_of_window_network_and_decoding(drums: Transcriber) -> None:
    latency = Stream(drums, step_frames=2).latency
    assert latency.features_ms == pytest.approx(1_024 / 44.1)
    assert latency.network_ms == pytest.approx(160.0)  # six convolutions, and 100 ms of LSTM
    assert latency.decoding_ms == pytest.approx(140.0)  # four softnesses of 30 ms, two frames
    assert latency.typical_ms == pytest.approx(1_024 / 44.1 + 160.0 + 140.0 + 20.0)


def test_a_click_that_is_alone_is_told_after_the_stated_time() -> None:
    stream = Stream(from_checkpoint(make_click_model(("KD",))), step_frames=1)
    samples = bursts([1.0], duration_s=2.0)
    told = (
        (number, stream.push(block)) for number, block in enumerate(cut(samples, (441,)), start=1)
    )
    number, (onset,) = next((number, onsets) for number, onsets in told if onsets)
    delay_ms = number * 10.0 - 1000 * onset.time_s
    assert abs(delay_ms - stream.latency.typical_ms) < 20.0


def test_blocks_may_be_empty_stereo_or_whole_numbers() -> None:
    model = from_checkpoint(make_click_model(("KD",)))
    samples = bursts([0.3, 0.8], duration_s=1.5)
    plain = stream_of(model, samples, (5_000,))
    assert len(plain) == 2
    stereo = np.stack((samples, samples), axis=1)
    assert_same(stream_of(model, stereo, (5_000,)), plain)
    whole = np.rint(samples * 32_767).astype(np.int16)
    assert [round(o.time_s, 3) for o in stream_of(model, whole, (5_000,))] == [
        round(o.time_s, 3) for o in plain
    ]
    stream = Stream(model)
    assert stream.push([]) == []
    assert stream.push(np.zeros((0, 2))) == []
    assert stream.flush() == []


def test_what_is_no_sound_is_refused() -> None:
    stream = Stream(from_checkpoint(make_click_model()))
    with pytest.raises(AudioError, match="sample 1 is nan, no sound"):
        stream.push([0.0, float("nan")])


def test_a_model_that_reads_both_ways_refuses_a_stream() -> None:
    model = from_checkpoint(make_model(bidirectional=True))
    with pytest.raises(SettingsError, match=r"both ways: it needs all of one .*\d+ MB an hour"):
        Stream(model)
    assert isinstance(model.transcribe(np.zeros(44_100), RATE_HZ), list)


def test_a_model_that_reads_both_ways_says_what_memory_it_needs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = from_checkpoint(make_model(bidirectional=True))
    model.transcribe(np.zeros(3 * RATE_HZ), RATE_HZ)
    assert caplog.messages == []
    monkeypatch.setattr(softloc.pipeline, "MUCH_MEMORY_MB", 0.1)
    model.transcribe(np.zeros(30 * RATE_HZ), RATE_HZ)
    (message,) = caplog.messages
    assert message.startswith("the model reads both ways and needs all of a recording at once")


def with_velocity(checkpoint: Checkpoint) -> Checkpoint:
    """Loudness is the mean level in dB."""
    n_classes, n_bands = 2, checkpoint.settings.features.n_bands
    weight = np.full((n_classes, n_bands), 20.0 / np.log(10.0) / n_bands, dtype=np.float32)
    read_out = VelocityReadOut(
        weight, np.array([80.0, 0.0], dtype=np.float32), np.array([True, False])
    )
    parts = (checkpoint.settings, checkpoint.log_mel, checkpoint.network, checkpoint.record)
    return Checkpoint(*parts, read_out)


def test_velocities_are_relative_to_what_was_heard_so_far() -> None:
    model = from_checkpoint(with_velocity(make_click_model(("KD", "HH"))))
    samples = bursts([0.3, 0.9, 1.5], levels_db=[0.0, -12.0, 0.0], duration_s=2.0)
    offline = [onset.velocity for onset in model.transcribe(samples, RATE_HZ)]
    assert offline[::2] == [None] * 3  # HH: not known
    loud, soft, last = (velocity or 0 for velocity in offline[1::2])
    assert loud == pytest.approx(last, abs=2)
    assert loud - soft == pytest.approx(12, abs=2)
    live = [onset.velocity for onset in stream_of(model, samples, (441,), 1)][1::2]
    assert live[0] == 80  # nothing to compare it with
    assert (live[1] or 0) == pytest.approx(80 - 6, abs=1)
    assert live[2] == last


def test_a_stream_holds_on_to_nothing() -> None:
    stream = Stream(from_checkpoint(with_velocity(make_click_model(("KD", "HH")))), step_frames=50)
    samples = bursts(np.arange(0.05, 10.0, 0.11).tolist(), duration_s=10.0)
    held = []
    tracemalloc.start()
    for _ in range(4):
        for block in cut(samples, (20_000,)):
            stream.push(block)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert abs(held[-1] - held[1]) < 20_000


def test_a_stream_ends_once() -> None:
    stream = Stream(from_checkpoint(make_click_model(("KD",))))
    stream.push(bursts([0.3], duration_s=0.35))
    assert len(stream.flush()) == 1
    assert stream.flush() == []
    with pytest.raises(SettingsError, match="this stream has ended"):
        stream.push(np.zeros(10))


@pytest.mark.parametrize("suffix", [".csv", ".mid"])
def test_memory_does_not_grow_with_the_recording(suffix: str, tmp_path: Path) -> None:
    model = from_checkpoint(make_click_model(("KD", "HH")))
    once = bursts(np.arange(0.05, 10.0, 0.11).tolist(), duration_s=10.0)
    peaks = []
    for times in (2, 6):
        recording, out = tmp_path / f"{times}.flac", tmp_path / f"{times}{suffix}"
        soundfile.write(recording, np.clip(np.tile(once, times), -1, 1), RATE_HZ)
        tracemalloc.start()
        with model.listen_long(recording) as found:
            write_onsets(out, found.onsets, is_sorted=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(softloc.read_onsets(out)) == pytest.approx(2 * 91 * times, abs=2 * times)
    assert peaks[1] < peaks[0] + 2_000_000
