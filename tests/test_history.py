"""What is kept of a stream: places stay, memory does not grow."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from softloc.history import History


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 25)), max_size=30), st.integers(-5, 5))
def test_places_mean_the_same_as_in_an_endless_array(
    steps: list[tuple[int, int]], first: int
) -> None:
    history: History[np.float64] = History(np.float64, (2,), capacity=4, first=first)
    everything = np.zeros((0, 2))
    for n_new, n_kept in steps:
        new = np.arange(2.0 * n_new).reshape(-1, 2) + len(everything)
        history.append(new)
        everything = np.concatenate((everything, new))
        history.forget(history.end - n_kept)
        assert history.end == first + len(everything)
        assert history.end - history.first <= max(n_kept, 0) or history.first == first
        np.testing.assert_array_equal(
            history.view(history.first, history.end), everything[history.first - first :]
        )


def test_memory_is_taken_once() -> None:
    history: History[np.float32] = History(np.float32, capacity=100)
    history.append_zeros(30)
    memory = history.view(0, 1).base
    for _ in range(1_000):
        history.append(np.ones(7, np.float32))
        history.forget(history.end - 40)
    assert history.view(history.first, history.end).base is memory
    assert history.end == 7_030


def test_a_view_can_be_written_to() -> None:
    history: History[np.float64] = History(np.float64)
    history.append(np.arange(5.0))
    history.view(1, 3)[:] += 10.0
    assert history.view(0, 5).tolist() == [0.0, 11.0, 12.0, 3.0, 4.0]
