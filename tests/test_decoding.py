"""Decoding by mass: properties that hold for every network."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softloc.decoding import (
    PointReader,
    _Search,
    decode_onsets,
    decode_points,
    decoding_softness_ms,
)
from softloc.loss import soft_localization_loss
from softloc.timebase import FrameGrid

GRID = FrameGrid(44_100, 441)
SOFTNESS_FRAMES = 3.0

#: Farther apart than this, points do not feel each other.
FAR = 12 * int(SOFTNESS_FRAMES)

probability_rows = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.7, 0.9, 1.0])
)


def decode(p: np.ndarray, softness_frames: float = SOFTNESS_FRAMES) -> list[float]:
    return decode_points(p, softness_frames).frames.tolist()


def distance(p: np.ndarray, frames: tuple[int, ...], softness_frames: float) -> float:
    """The loss itself, with the points as labels, far from the window's ends."""
    pad = 12 * math.ceil(softness_frames)
    labels = np.zeros(len(p) + 2 * pad)
    np.add.at(labels, np.array(frames, dtype=int) + pad, 1.0)
    predicted = torch.from_numpy(np.pad(p, pad))[None, None]
    loss = soft_localization_loss(predicted, torch.from_numpy(labels)[None, None], softness_frames)
    return float(loss)


@settings(max_examples=25)
@given(
    hnp.arrays(np.float64, st.integers(3, 7), elements=st.sampled_from([0.0, 0.1, 0.3, 0.9])),
    st.sampled_from([0.6, 1.0, 2.0]),
)
def test_no_other_number_of_points_is_nearer(p: np.ndarray, softness_frames: float) -> None:
    """Against all sets of whole frames: none beats the answer by more than greed may cost."""
    nearest = min(
        distance(p, frames, softness_frames)
        for n in range(4)
        for frames in itertools.combinations_with_replacement(range(len(p)), n)
    )
    answer = tuple(round(frame) for frame in decode(p, softness_frames))
    # The answer's times are real; rounded to frames it may be a little farther.
    assert distance(p, answer, softness_frames) <= nearest + 0.5


@given(probability_rows, st.integers(0, 100))
def test_shifting_frames_shifts_events_exactly(p: np.ndarray, shift: int) -> None:
    inside = np.pad(p, FAR)
    later = np.concatenate([np.zeros(shift), inside])
    np.testing.assert_allclose(decode(later), np.array(decode(inside)) + shift, atol=1e-6)


@given(probability_rows, probability_rows)
def test_an_isolated_unit_of_mass_adds_one_event(before: np.ndarray, after: np.ndarray) -> None:
    without = np.concatenate([before, np.zeros(2 * FAR + 2), after])
    with_unit = without.copy()
    start = len(before) + FAR
    with_unit[start : start + 2] = (0.25, 0.75)
    added = decode(with_unit)
    assert len(added) == len(decode(without)) + 1
    assert min(abs(frame - (start + 0.75)) for frame in added) < 0.1


@pytest.mark.parametrize("mass", [0.3, 0.49, 0.51, 1.0, 1.4, 1.6, 2.4, 2.6])
def test_a_sharp_mass_is_rounded_to_whole_events(mass: float) -> None:
    p = np.zeros(80)
    p[40] = mass
    assert decode(p) == [40.0] * math.floor(mass + 0.5)


def test_silence_gives_none() -> None:
    assert decode(np.zeros(100)) == []
    assert decode(np.zeros(1)) == []
    assert decode(np.full(1000, 0.01)) == []


def test_first_and_last_frame() -> None:
    p = np.zeros(10)
    p[0] = p[9] = 0.9
    assert decode(p) == pytest.approx([0.0, 9.0], abs=0.01)
    assert decode(np.array([0.8])) == [0.0]


@pytest.mark.parametrize("softness_ms", [10.0, 30.0, 100.0])
def test_two_hits_15_ms_apart(softness_ms: float) -> None:
    grid = FrameGrid(44_100, 220)
    p = np.zeros((1, 200))
    p[0, 100] = p[0, 103] = 0.97  # 15 ms at a hop of 5 ms
    onsets = decode_onsets(p, ["SD"], grid, softness_ms=softness_ms)
    assert [onset.time_s for onset in onsets] == pytest.approx(
        [100 * grid.hop_s, 103 * grid.hop_s], abs=1e-9
    )
    p = np.zeros((1, 200))
    p[0, 100:102] = 0.97  # neighbouring frames
    assert len(decode_onsets(p, ["SD"], GRID, softness_ms=softness_ms)) == 2


def test_a_spread_event_is_found_between_frames() -> None:
    frames = np.arange(60)
    for centre in (30.0, 30.3, 30.5, 30.9):
        p = np.exp(-0.5 * ((frames - centre) / 2.0) ** 2)
        points = decode_points(p / p.sum(), SOFTNESS_FRAMES)
        assert points.frames == pytest.approx([centre], abs=0.02)
        assert points.masses == pytest.approx([1.0], abs=0.01)
        assert points.deviations_frames == pytest.approx([2.0], abs=0.05)


def test_regular_hits_are_all_found_however_spread() -> None:
    frames = np.arange(300)
    true = np.arange(20.0, 280.0, 11.0)
    for spread in (0.3, 1.0, 2.5):
        p = sum(
            0.9 * kernel / kernel.sum()
            for kernel in (np.exp(-0.5 * ((frames - centre) / spread) ** 2) for centre in true)
        )
        assert decode(np.asarray(p)) == pytest.approx(true.tolist(), abs=0.3)


def test_stretched_labels_are_one_event() -> None:
    p = np.zeros(40)
    p[15:18] = 0.95
    points = decode_points(p, SOFTNESS_FRAMES, event_mass=3.0)
    assert points.frames == pytest.approx([16.0])


@settings(max_examples=20)
@given(st.floats(1.0, 8.0))
def test_the_softness_does_not_matter_for_sharp_points(softness_frames: float) -> None:
    p = np.zeros(200)
    p[[20, 80, 81, 150]] = (0.9, 0.95, 0.9, 0.7)
    assert decode(p, softness_frames) == pytest.approx([20, 80, 81, 150], abs=0.06)


def test_an_untrained_network_is_decoded_in_finite_time() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.0, 0.6, size=2_000)
    points = decode_points(p, SOFTNESS_FRAMES)
    assert len(points.frames) == pytest.approx(p.sum(), rel=0.2)
    assert (np.diff(points.frames) >= 0).all()


def test_events_in_every_frame_cost_no_more_than_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    n_moves = 0
    move = _Search._move

    def counted(search: _Search, index: int) -> float:
        nonlocal n_moves
        n_moves += 1
        return move(search, index)

    monkeypatch.setattr(_Search, "_move", counted)
    n_frames = 1_000
    points = decode_points(np.ones(n_frames), softness_frames=11.4)
    np.testing.assert_allclose(points.frames, np.arange(n_frames), atol=1e-6)
    assert n_moves < 60 * n_frames


def test_decode_onsets_labels_sorts_and_clips() -> None:
    p = np.zeros((2, 200))
    p[0, 150], p[1, 20] = 0.8, 0.95
    p[1, 80:82] = (0.95, 0.4)
    onsets = decode_onsets(p, ["KD", "x"], GRID, softness_ms=30.0, midi_notes=[35, None])
    assert [(o.label, o.midi_note, round(o.time_s, 2)) for o in onsets] == [
        ("x", None, 0.2),
        ("x", None, 0.8),
        ("KD", 35, 1.5),
    ]
    assert onsets[1].confidence == 1.0
    assert onsets[0].time_std_s == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("softness_ms", [30.0, 50.0, 100.0, 200.0])
def test_hits_in_a_row_keep_their_places_however_soft_the_labels_were(softness_ms: float) -> None:
    rng = np.random.default_rng(0)
    hits = 50 + 18 * np.arange(24)
    shape = np.exp(-0.5 * (np.arange(-3, 4) / 1.5) ** 2)
    p = np.full((1, 550), 0.003)  # a little everywhere, and less than one on each hit
    for hit in hits:
        p[0, hit - 3 : hit + 4] += rng.uniform(0.6, 0.95) * shape / shape.sum()
    onsets = decode_onsets(p, ["HH"], GRID, softness_ms=softness_ms)
    assert [onset.time_s for onset in onsets] == pytest.approx((0.01 * hits).tolist(), abs=0.005)


def test_softness_to_decode_with_is_that_of_the_training_within_bounds() -> None:
    softness_ms = [0.0, 10.0, 30.0, 50.0, 60.0, 100.0, 10_000.0, math.inf]
    used_ms = [decoding_softness_ms(value) for value in softness_ms]
    assert used_ms == [10.0, 10.0, 30.0, 50.0, 60.0, 60.0, 60.0, 30.0]


@pytest.mark.parametrize("softness_ms", [0.0, 3.0, math.inf])
def test_extreme_softness_has_a_meaning(softness_ms: float) -> None:
    p = np.zeros((1, 100))
    p[0, 50] = 0.9
    (onset,) = decode_onsets(p, ["KD"], GRID, softness_ms=softness_ms)
    assert onset.time_s == pytest.approx(0.5)


def cut(p: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Pieces of these sizes, again and again."""
    pieces, start = [], 0
    for size in itertools.cycle(sizes):
        if start >= len(p):
            return pieces
        pieces.append(p[start : start + size])
        start += size
    return pieces


def hazy(n_frames: int, rng: np.random.Generator, level: float) -> np.ndarray:
    """Sharp events on a background that never gets quite silent."""
    p = level * rng.uniform(size=n_frames) ** 4
    p[rng.uniform(size=n_frames) < 0.06] += 0.8
    return np.minimum(p, 1.0)


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=6),
    st.integers(0, 1_000),
    st.sampled_from([0.0, 0.02, 0.2, 1.0]),
    st.sampled_from([1.0, 3.0, 6.5]),
)
def test_events_do_not_depend_on_the_pieces(
    sizes: list[int], seed: int, level: float, softness_frames: float
) -> None:
    p = hazy(400, np.random.default_rng(seed), level)
    whole = decode_points(p, softness_frames)
    reader = PointReader(softness_frames)
    parts = [reader.push(piece) for piece in cut(p, sizes)] + [reader.flush()]
    for expected, found in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.concatenate(found).tolist() == expected.tolist()


@settings(max_examples=10)
@given(st.integers(0, 1_000), st.sampled_from([0.0, 0.05, 0.3, 1.0]), st.sampled_from([1.0, 3.0]))
def test_an_event_is_told_in_time_and_none_comes_after_its_time(
    seed: int, level: float, softness_frames: float
) -> None:
    """However long it never gets quiet: the delay has a bound, and so has what is still open."""
    p = hazy(500, np.random.default_rng(seed), level)
    reader = PointReader(softness_frames)
    alone, longest = reader.delay_frames
    assert alone < longest
    decided = 0
    for known, probability in enumerate(p, start=1):
        found = reader.push(np.array([probability])).frames
        assert (found >= decided - 1e-9).all()
        assert (known - found <= longest).all()
        assert known - reader.decided_frames <= longest
        decided = reader.decided_frames


def test_an_event_that_is_alone_is_told_after_four_softnesses() -> None:
    p = np.zeros(60)
    p[20] = 0.9
    reader = PointReader(SOFTNESS_FRAMES)
    told = next(t for t, x in enumerate(p) if len(reader.push(np.array([x])).frames))
    assert told - 20 + 1 == reader.delay_frames[0] == 4 * SOFTNESS_FRAMES + 2


def test_memory_does_not_grow_with_the_frames() -> None:
    reader = PointReader(SOFTNESS_FRAMES)
    rng = np.random.default_rng(0)
    sizes = []
    for level in (0.0, 0.2, 0.0, 1.0, 0.0):
        for _ in range(4):
            reader.push(hazy(500, rng, level))
        sizes.append(reader._mass.end - reader._mass.first)
    assert max(sizes) < 300
