"""The time axis: exact rates, round trips, whole microseconds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import SettingsError
from softloc.timebase import FrameGrid, seconds_to_microseconds

grids = st.builds(
    FrameGrid, sample_rate_hz=st.integers(8000, 192_000), hop_samples=st.integers(1, 4096)
)


def test_frame_rate_is_exact() -> None:
    grid = FrameGrid(22_050, 256)
    assert grid.frame_rate == Fraction(22_050, 256)
    assert grid.frame_rate != 86


@given(grids, st.integers(0, 10_000_000))
def test_frames_survive_the_way_to_seconds_and_back(grid: FrameGrid, frame: int) -> None:
    assert grid.nearest_frames(grid.frames_to_seconds(frame)) == frame


@given(grids, st.floats(0, 36_000))
def test_seconds_survive_the_way_to_frames_and_back(grid: FrameGrid, time_s: float) -> None:
    assert grid.frames_to_seconds(grid.seconds_to_frames(time_s)) == pytest.approx(time_s)


def test_halves_go_up() -> None:
    assert FrameGrid(1000, 10).nearest_frames([0.005, 0.015, 0.0149]).tolist() == [1, 2, 1]


def test_frames_cover_the_signal() -> None:
    grid = FrameGrid(1000, 10)
    assert [grid.n_frames(n) for n in (0, 1, 10, 11, 20)] == [1, 1, 1, 2, 2]


def test_duration_in_frames() -> None:
    grid = FrameGrid(44_100, 441)
    assert grid.ms_to_frames(25.0) == 2.5
    assert grid.hop_s == 0.01


@pytest.mark.parametrize(("rate", "hop"), [(0, 1), (44_100, 0), (-1, 1)])
def test_impossible_grids_are_refused(rate: int, hop: int) -> None:
    with pytest.raises(SettingsError, match="must be positive"):
        FrameGrid(rate, hop)


def test_microseconds_undo_float_noise() -> None:
    # 0.1 + 0.2 - 0.25 is not 0.05 in binary.
    times = seconds_to_microseconds([0.1 + 0.2, 0.25])
    assert times[0] - times[1] == 50_000
    assert times.dtype == np.int64
