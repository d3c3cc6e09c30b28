"""Segmental F1: worked by hand, and the same as a slow version that follows the text literally."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paper.segments import mean_f1, segmental_f1, segments_of, step_accuracy

sequences = st.lists(st.integers(0, 3), min_size=1, max_size=24)
pairs = sequences.flatmap(
    lambda truth: st.tuples(
        st.just(truth), st.lists(st.integers(0, 3), min_size=len(truth), max_size=len(truth))
    )
)
overlaps = st.sampled_from([0.1, 0.25, 0.5, 0.75])


def classes(text: str) -> np.ndarray:
    return np.array([int(letter) for letter in text])


def literal_f1(truth: list[int], predicted: list[int], overlap: float) -> float:
    """Sets of steps instead of intervals."""

    def cut(row: list[int]) -> list[tuple[int, set[int]]]:
        segments, first = [], 0
        for label, group in itertools.groupby(row):
            length = len(list(group))
            if label != 0:
                segments.append((label, set(range(first, first + length))))
            first += length
        return segments

    true, found = cut(truth), cut(predicted)
    used: set[int] = set()
    for label, steps in found:
        best, best_index = Fraction(0), None
        for index, (other, wanted) in enumerate(true):
            ratio = Fraction(len(steps & wanted), len(steps | wanted))
            if other == label and ratio > best:
                best, best_index = ratio, index
        if best_index is not None and best >= Fraction(str(overlap)):
            used.add(best_index)
    return 2 * len(used) / (len(true) + len(found)) if true or found else 1.0


def test_segments() -> None:
    segments = segments_of(classes("0011102"))
    assert segments.starts.tolist() == [0, 2, 5, 6]
    assert segments.ends.tolist() == [2, 5, 6, 7]
    assert segments.classes.tolist() == [0, 1, 0, 2]
    assert segments.without(0).classes.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("truth", "predicted", "overlap", "expected"),
    [
        ("0111220", "0111220", 0.5, 1.0),
        # The 1 overlaps by 2 of 4 steps, exactly one half; the 2 by 1 of 3.
        ("0111200", "0011220", 0.5, 1.0),
        ("1110222", "0011122", 0.5, 0.5),
        # Over-segmented: three pieces of one action, one hit; 2 · 1 / (1 + 3).
        ("1111111", "1101011", 0.1, 0.5),
        # The middle one was right, but the class is not.
        ("0111000", "0222000", 0.1, 0.0),
        # Background alone counts nothing, invented actions do.
        ("0000000", "0000000", 0.5, 1.0),
        ("0000000", "0110000", 0.5, 0.0),
        ("0110000", "0000000", 0.5, 0.0),
    ],
)
def test_by_hand(truth: str, predicted: str, overlap: float, expected: float) -> None:
    assert segmental_f1(classes(truth), classes(predicted), overlap) == pytest.approx(expected)


def test_a_true_segment_is_taken_once_and_only_the_best_is_tried() -> None:
    """The second prediction lies best in a segment that is taken; it may not have another one."""
    truth, predicted = classes("1111110110"), classes("1101110000")
    # [0, 2) takes the first true segment at 2 / 6; [3, 6) finds it taken.
    assert segmental_f1(truth, predicted, 0.1) == pytest.approx(2 * 1 / (2 + 2))


@given(pairs, overlaps)
def test_the_same_as_literally(pair: tuple[list[int], list[int]], overlap: float) -> None:
    truth, predicted = pair
    ours = segmental_f1(np.array(truth), np.array(predicted), overlap)
    assert ours == pytest.approx(literal_f1(truth, predicted, overlap))


@given(pairs)
def test_a_higher_threshold_never_scores_higher(pair: tuple[list[int], list[int]]) -> None:
    truth, predicted = map(np.array, pair)
    scores = [segmental_f1(truth, predicted, overlap) for overlap in (0.1, 0.25, 0.5, 0.9)]
    assert scores == sorted(scores, reverse=True)


def test_videos_count_the_same_whatever_their_length() -> None:
    short = (classes("11"), classes("11"))
    long = (classes("1111122222"), classes("3333333333"))
    assert mean_f1([short, long], 0.5) == 0.5
    assert step_accuracy([short, long]) == 0.5


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 true steps, but 2"):
        segmental_f1(classes("111"), classes("11"), 0.5)
