"""Velocities: the fit, what does not change them, and louder hits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click_model import make_click_model
from clicks import RATE_HZ, bursts, write_played_corpus
from hypothesis import given
from hypothesis import strategies as st

from softloc.audio_store import AudioStore
from softloc.checkpoints import Checkpoint
from softloc.datasets import Classes, Dataset, LabelSequence, build_dataset
from softloc.engines import TorchEngine
from softloc.evaluation import match_times
from softloc.events import Onset
from softloc.features import LEVEL_FLOOR, LOG_GAIN, LogMel, band_levels, mel_filterbank
from softloc.formats import read_corpus, read_onsets, write_onsets
from softloc.inference import compute_frames, compute_probabilities
from softloc.network import OnsetNetwork
from softloc.pipeline import from_checkpoint
from softloc.presets import SIZES
from softloc.timebase import FrameGrid, seconds_to_microseconds
from softloc.velocity import (
    AFTER_S,
    BEFORE_S,
    HeardEvents,
    VelocityReadOut,
    event_peaks,
    fill_unknown,
    fit_class,
    fit_read_out,
    fit_ridge,
    set_velocities,
)
from softloc.velocity_fitting import (
    bands_engine,
    draw_recordings,
    fit_velocities,
    match_velocities,
    match_window_s,
)

GRID = FrameGrid(44_100, 441)
KICK_AND_HAT = Classes(("KD", "HH"))


def read_dataset(table: Path) -> Dataset:
    return build_dataset(read_corpus(table), KICK_AND_HAT, None, softness_ms=10.0)


def make_store(dataset: Dataset, path: Path) -> AudioStore:
    return AudioStore([recording.audio for recording in dataset.recordings], RATE_HZ, path)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, AudioStore]:
    folder = tmp_path_factory.mktemp("played")
    dataset = read_dataset(write_played_corpus(folder))
    return dataset, make_store(dataset, folder / "audio.pcm")


@pytest.fixture(scope="module")
def fitted(played: tuple[Dataset, AudioStore]) -> Checkpoint:
    """The click model with velocities."""
    model = make_click_model()
    return dataclasses.replace(model, velocity=fit_velocities(model, *played))


def known_read_out(
    weight: list[list[float]], mean: list[float], known: list[bool]
) -> VelocityReadOut:
    return VelocityReadOut(
        np.array(weight, np.float32), np.array(mean, np.float32), np.array(known, np.bool_)
    )


# ---- the fit


def slow_ridge(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Least squares with one more row for each penalised weight."""
    n, n_inputs = inputs.shape
    rows, values = list(inputs), list(targets)
    for j in range(n_inputs):
        row = np.zeros(n_inputs)
        row[j] = np.sqrt(penalty * n * np.mean(inputs[:, j] ** 2))
        rows.append(row)
        values.append(0.0)
    return np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]


@pytest.mark.parametrize("penalty", [1e-6, 0.1, 1.0, 30.0])
def test_ridge_is_least_squares_with_a_penalty(penalty: float, rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) * [1.0, 9.0, 0.1, 1.0, 1.0, 4.0]
    targets = inputs @ rng.normal(size=6) + rng.normal(size=200)
    expected = slow_ridge(inputs, targets, penalty)
    np.testing.assert_allclose(fit_ridge(inputs, targets, penalty), expected, rtol=1e-8)


def test_ridge_gives_nothing_to_inputs_that_never_vary(rng: np.random.Generator) -> None:
    inputs = np.stack([rng.normal(size=50), np.zeros(50)], axis=1)
    weights = fit_ridge(inputs, 3.0 * inputs[:, 0], penalty=1e-9)
    np.testing.assert_allclose(weights, [3.0, 0.0], atol=1e-6)


def planted(rng: np.random.Generator, n_recordings: int = 5) -> list[HeardEvents]:
    """Velocities of 60 on average, 20 to a neper, in recordings of any level."""
    recordings = []
    for _ in range(n_recordings):
        levels = rng.normal(size=(60, 1))
        levels -= levels.mean()
        recordings.append(HeardEvents(levels + rng.uniform(-9.0, 0.0), 60.0 + 20.0 * levels[:, 0]))
    return recordings


def test_levels_of_recordings_do_not_matter(rng: np.random.Generator) -> None:
    fitted = fit_class(planted(rng))
    assert fitted is not None
    weights, mean = fitted
    np.testing.assert_allclose(weights, [20.0], rtol=1e-9)  # the penalty's shrinking is undone
    assert mean == pytest.approx(60.0)


def test_events_without_label_do_not_move_the_mean_of_those_with(rng: np.random.Generator) -> None:
    """Quiet false alarms make labelled events stand out; on average they keep their velocity."""
    recordings = [
        HeardEvents(
            np.concatenate([e.levels, np.full((30, 1), e.levels.min() - 1.0)]),
            np.concatenate([e.velocities, np.full(30, np.nan)]),
        )
        for e in planted(rng)
    ]
    fitted = fit_class(recordings)
    assert fitted is not None
    weights, mean = fitted
    said = np.concatenate(
        [mean + (e.levels - e.levels.mean()) @ weights - e.velocities for e in recordings]
    )
    assert np.nanmean(said) == pytest.approx(0.0, abs=1e-9)


def test_what_says_too_little_is_not_fitted(rng: np.random.Generator) -> None:
    recordings = planted(rng)
    assert fit_class(recordings, min_labels=300) is not None
    assert fit_class(recordings, min_labels=301) is None
    alike = [HeardEvents(e.levels, np.full(len(e.levels), 100.0)) for e in recordings]
    assert fit_class(alike) is None
    deaf = [HeardEvents(np.zeros_like(e.levels), e.velocities) for e in recordings]
    assert fit_class(deaf) is None
    assert fit_class([]) is None
    assert fit_read_out([alike, []], n_bands=1) is None
    read_out = fit_read_out([alike, recordings], n_bands=1)
    assert read_out is not None
    assert read_out.known.tolist() == [False, True]


def test_classes_that_are_not_fitted_keep_what_was_known() -> None:
    new = known_read_out([[1.0], [0.0]], [50.0, 0.0], [True, False])
    old = known_read_out([[2.0], [3.0]], [60.0, 70.0], [True, True])
    both = fill_unknown(new, old)
    assert both is not None
    assert both.weight.tolist() == [[1.0], [3.0]]
    assert both.mean.tolist() == [50.0, 70.0]
    assert both.known.tolist() == [True, True]
    assert fill_unknown(None, old) is old
    assert fill_unknown(new, None) is new


# ---- events and labels


@given(
    times_s=st.lists(st.floats(-0.02, 0.62), max_size=8),
    rows=st.lists(st.lists(st.floats(-5, 5), min_size=60, max_size=60), min_size=1, max_size=3),
)
def test_peaks_are_maxima_around_the_events(times_s: list[float], rows: list[list[float]]) -> None:
    peaks = event_peaks(np.array(rows), np.array(times_s), GRID)
    assert peaks.shape == (len(times_s), len(rows))
    for i, time_s in enumerate(times_s):
        first, last = (GRID.nearest_frames(time_s + by_s) for by_s in (-BEFORE_S, AFTER_S))
        for j, row in enumerate(rows):
            window = [row[min(max(t, 0), 59)] for t in range(int(first), int(last) + 1)]
            assert peaks[i, j] == max(window)


def test_velocities_are_centred_clipped_and_left_out_where_unknown() -> None:
    read_out = known_read_out([[1.0], [1.0]], [60.0, 50.0], [True, False])
    loudness = np.zeros((2, 300))
    loudness[0, [50, 150, 250]] = (500.0, 90.0, 10.0)
    onsets = [
        Onset(0.5, "HH", confidence=0.7),
        Onset(0.5, "KD", confidence=0.8),
        Onset(1.5, "KD"),
        Onset(2.5, "KD"),
    ]
    result = set_velocities(onsets, loudness, read_out, ("KD", "HH"), GRID)
    assert [onset.velocity for onset in result] == [None, 127, 1, 1]
    loudness[0, [50, 150, 250]] = (130.0, 90.0, 110.0)
    result = set_velocities(onsets, loudness, read_out, ("KD", "HH"), GRID)
    assert [onset.velocity for onset in result] == [None, 80, 40, 60]
    assert [dataclasses.replace(onset, velocity=None) for onset in result] == onsets
    assert set_velocities([], loudness, read_out, ("KD", "HH"), GRID) == []
    (alone,) = set_velocities(onsets[1:2], loudness, read_out, ("KD", "HH"), GRID)
    assert alone.velocity == 60


def test_labels_give_their_velocities_to_the_events_they_match() -> None:
    sequence = LabelSequence(
        "",
        times_s=np.array([0.5, 1.0, 1.0, 1.5]),
        classes=np.array([0, 0, 1, 0]),
        softness_ms=np.zeros(4),
        velocities=np.array([40, 80, 99, 0]),
    )
    times_s = np.array([0.55, 0.97, 1.5, 3.0])
    found = match_velocities(times_s, sequence, 0, 0.05)
    np.testing.assert_array_equal(found, [40.0, 80.0, np.nan, np.nan])
    bare = dataclasses.replace(sequence, velocities=None)
    assert np.isnan(match_velocities(times_s, bare, 0, 0.05)).all()


def test_imprecise_labels_are_matched_widely() -> None:
    assert match_window_s(10.0) == 0.05
    assert match_window_s(80.0) == pytest.approx(0.16)
    assert match_window_s(float("inf")) == 0.05


def test_only_recordings_with_velocities_are_drawn(played: tuple[Dataset, AudioStore]) -> None:
    dataset, _ = played
    first, second = dataset.recordings
    bare = dataclasses.replace(
        first, sequences=(dataclasses.replace(first.sequences[0], velocities=None),)
    )
    mixed = dataclasses.replace(dataset, recordings=(bare, second, second, second))
    assert draw_recordings(mixed, 1e9, seed=0) == [1, 2, 3]
    assert len(draw_recordings(mixed, 65.0, seed=0)) == 2
    assert len(draw_recordings(mixed, 1.0, seed=0)) == 1
    assert draw_recordings(mixed, 65.0, seed=3) == draw_recordings(mixed, 65.0, seed=3)
    assert draw_recordings(dataclasses.replace(dataset, recordings=(bare,)), 1e9, seed=0) == []


# ---- what is heard


def test_band_levels_are_logarithms_of_magnitudes() -> None:
    magnitudes = torch.tensor([0.0, 1e-5, 1e-3, 1.0])
    levels = band_levels(torch.log1p(LOG_GAIN * magnitudes))
    torch.testing.assert_close(levels, torch.log(magnitudes + LEVEL_FLOOR), atol=1e-4, rtol=1e-4)


def test_turning_down_lowers_all_bands_alike(rng: np.random.Generator) -> None:
    model = make_click_model()
    samples = rng.normal(0.0, 0.1, size=20_000).astype(np.float32)
    loud, soft = (
        compute_frames(bands_engine(model), [gain * samples]).heard
        for gain in (np.float32(1.0), np.float32(0.25))
    )
    np.testing.assert_allclose(loud - soft, np.log(4.0), atol=0.01)


def test_an_impulse_is_heard_in_its_frame() -> None:
    model = make_click_model()
    for frame in (0, 1, 50, 99):
        samples = np.zeros(100 * 441, dtype=np.float32)
        samples[frame * 441] = 1.0
        frames = compute_frames(bands_engine(model), [samples])
        assert frames.heard.shape == (32, 100)
        assert (frames.heard.argmax(axis=1) == frame).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_any_cut_gives_the_same_loudness(bidirectional: bool, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    size = SIZES["small"]
    network = OnsetNetwork(size.network(2, bidirectional=bidirectional)).eval()
    log_mel = LogMel(size.features, torch.from_numpy(mel_filterbank(size.features)))
    engine = TorchEngine(log_mel, [network], rng.normal(size=(2, 64)))
    samples = rng.normal(0, 0.1, size=100_000).astype(np.float32)

    def pieces(size: int) -> Iterator[np.ndarray]:
        return (samples[start : start + size] for start in range(0, len(samples), size))

    whole = compute_frames(engine, [samples])
    assert whole.heard.shape == whole.probabilities.shape
    assert whole.heard.std() > 1.0
    for block, chunk_frames in ((7_001, 2_000), (100_000, 37), (441, 50)):
        cut = compute_frames(engine, pieces(block), chunk_frames)
        np.testing.assert_allclose(cut.heard, whole.heard, atol=1e-3)
    deaf = TorchEngine(log_mel, [network])
    plain = compute_probabilities(deaf, [samples])
    np.testing.assert_array_equal(whole.probabilities, plain)
    assert compute_frames(deaf, [samples]).heard.shape == (0, plain.shape[1])


# ---- the whole chain


def test_the_fit_is_deterministic(played: tuple[Dataset, AudioStore], fitted: Checkpoint) -> None:
    again = fit_velocities(make_click_model(), *played)
    assert again is not None
    assert fitted.velocity is not None
    for name, array in fitted.velocity.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_labels_without_velocities_give_no_read_out(played: tuple[Dataset, AudioStore]) -> None:
    dataset, store = played
    bare = [
        dataclasses.replace(
            recording,
            sequences=tuple(dataclasses.replace(s, velocities=None) for s in recording.sequences),
        )
        for recording in dataset.recordings
    ]
    assert (
        fit_velocities(
            make_click_model(), dataclasses.replace(dataset, recordings=tuple(bare)), store
        )
        is None
    )


def test_velocities_of_an_unheard_recording_are_found(tmp_path: Path, fitted: Checkpoint) -> None:
    corpus = read_corpus(write_played_corpus(tmp_path, n_recordings=1, duration_s=10.0, seed=9))
    (name, labels), *_ = corpus.recordings.items()
    events = from_checkpoint(fitted).transcribe(corpus.root / name)
    wanted, given = (
        [onset for onset in onsets if onset.label == "KD"] for onsets in (labels, events)
    )
    times_us = [seconds_to_microseconds([o.time_s for o in onsets]) for onsets in (wanted, given)]
    pairs = match_times(*times_us, 0.02)
    assert len(pairs) >= 0.95 * len(wanted)
    both = np.array([(wanted[i].velocity, given[j].velocity) for i, j in pairs], dtype=float)
    both -= both.mean(axis=0)  # what is played harder throughout cannot be heard
    assert np.abs(both[:, 0] - both[:, 1]).mean() < 4.0
    assert np.abs(both[:, 0]).mean() > 20.0
    write_onsets(tmp_path / "a.mid", events)
    written = {(o.label, round(o.time_s, 2)): o.velocity for o in read_onsets(tmp_path / "a.mid")}
    assert all(written[o.label, round(o.time_s, 2)] == o.velocity for o in events)


def velocities_at(model: Checkpoint, samples: np.ndarray, times_s: list[float]) -> np.ndarray:
    """Velocities of kicks that are known to be there."""
    assert model.velocity is not None
    blocks = [samples.astype(np.float32)]
    engine = TorchEngine(model.log_mel, model.networks, model.velocity.weight)
    frames = compute_frames(engine, blocks)
    kicks = [Onset(time_s, "KD") for time_s in times_s]
    played = set_velocities(kicks, frames.heard, model.velocity, ("KD", "HH"), GRID)
    return np.array([onset.velocity for onset in played])


def test_louder_hits_have_larger_velocities(fitted: Checkpoint) -> None:
    times_s = [0.2 + 0.2 * i for i in range(8)]
    levels_db = [-7.0, -1.0, -5.0, 0.0, -3.0, -6.0, -2.0, -4.0]
    velocities = velocities_at(fitted, bursts(times_s, levels_db=levels_db), times_s)
    assert np.argsort(velocities).tolist() == np.argsort(levels_db).tolist()
    assert np.ptp(velocities) == pytest.approx(7.0 / 0.15, abs=10.0)


def test_the_level_of_a_recording_does_not_matter(fitted: Checkpoint) -> None:
    times_s = [0.2 + 0.2 * i for i in range(8)]
    samples = bursts(times_s, levels_db=[-3.0 * (i % 4) for i in range(8)])
    velocities = velocities_at(fitted, samples, times_s)
    assert np.ptp(velocities) > 40
    for gain_db in (-12.0, 6.0):
        turned = velocities_at(fitted, samples * 10 ** (gain_db / 20), times_s)
        assert np.abs(turned - velocities).max() <= 1


def test_models_without_velocities_give_none() -> None:
    events = from_checkpoint(make_click_model()).transcribe(bursts([0.5, 1.0]), RATE_HZ)
    assert len(events) == 4
    assert [event.velocity for event in events] == [None] * 4
