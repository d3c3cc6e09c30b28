"""Noise of whole steps, decoding of steps, and F1 at zero tolerance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paper.step_decoding import (
    THRESHOLDS,
    above,
    best_threshold,
    by_mass,
    decode_and_score,
    peaks,
)
from benchmarks.paper.step_noise import (
    StepCounts,
    StepNoise,
    StepNoiseKind,
    count_hits,
    noisy_labels,
    shift_steps,
)
from softloc.errors import SettingsError

KINDS: tuple[StepNoiseKind, ...] = ("normal", "shift", "skew", "skew-biased")
MANY = np.full(40_000, 1_000)
steps = st.lists(st.integers(0, 12), max_size=12)


def errors(kind: StepNoiseKind, level: float, seed: int = 0) -> np.ndarray:
    return shift_steps(MANY, StepNoise(kind, level), seed, "a") - MANY


@pytest.mark.parametrize("kind", KINDS)
def test_level_0_changes_nothing(kind: StepNoiseKind) -> None:
    labels = np.array([0, 3, 3, 59])
    assert shift_steps(labels, StepNoise(kind, 0.0), 7, "a").tolist() == labels.tolist()


@pytest.mark.parametrize("level", [1.0, 2.0, 4.0])
def test_rounded_normal(level: float) -> None:
    drawn = errors("normal", level)
    # Rounding adds the variance of a uniform distribution over one step, but for small levels.
    assert drawn.mean() == pytest.approx(0.0, abs=4 * level / 200)
    assert drawn.std() == pytest.approx(np.sqrt(level**2 + 1 / 12), rel=0.02)
    share_0 = np.mean(drawn == 0)
    assert share_0 == pytest.approx({1.0: 0.3829, 2.0: 0.1974, 4.0: 0.0995}[level], abs=0.01)


def test_shifts_are_early_or_late_equally_often() -> None:
    drawn = Counter(errors("shift", 3.0).tolist())
    assert set(drawn) == {-3, 3}
    assert drawn[3] == pytest.approx(len(MANY) / 2, rel=0.03)


def test_skew_normal_as_published() -> None:
    """|δ| = 2/√5 and mean -|δ| √(2/π) at scale 1; the tail is early."""
    biased, centred = errors("skew-biased", 2.0), errors("skew", 2.0)
    assert biased.mean() == pytest.approx(2 * -0.7136, abs=0.03)
    assert biased.std() == pytest.approx(np.sqrt(4 * (1 - 0.7136**2) + 1 / 12), rel=0.02)
    assert centred.mean() == pytest.approx(0.0, abs=0.05)
    assert centred.std() == pytest.approx(np.sqrt(4 + 1 / 12), rel=0.02)
    for drawn in (biased, centred):
        deviation = drawn - drawn.mean()
        # The skewness of shape -2, which rounding waters down a little.
        assert np.mean(deviation**3) / drawn.std() ** 3 == pytest.approx(-0.43, abs=0.06)


def test_draws_depend_on_seed_and_name() -> None:
    noise = StepNoise("normal", 3.0)
    first = shift_steps(MANY, noise, 1, "a")
    assert np.array_equal(first, shift_steps(MANY, noise, 1, "a"))
    assert not np.array_equal(first, shift_steps(MANY, noise, 2, "a"))
    assert not np.array_equal(first, shift_steps(MANY, noise, 1, "b"))


def test_a_recording_is_shifted_as_a_whole() -> None:
    noise = StepNoise("shift", 6.0, per_recording=True)
    labels = np.array([10, 20, 31])
    moves = {tuple(shift_steps(labels, noise, 0, str(name)) - labels) for name in range(20)}
    assert moves == {(6, 6, 6), (-6, -6, -6)}


@given(st.lists(st.integers(0, 29), max_size=9), st.sampled_from(KINDS), st.integers(0, 99))
def test_labels_stay_inside_and_none_is_lost(
    labels: list[int], kind: StepNoiseKind, seed: int
) -> None:
    noisy = noisy_labels(sorted(labels), 30, StepNoise(kind, 4.0), seed, "a")
    assert len(noisy) == len(labels)
    assert np.all(np.diff(noisy) >= 0)
    assert all(0 <= step < 30 for step in noisy)


def test_noise_that_cannot_be() -> None:
    with pytest.raises(SettingsError, match="'gamma'"):
        StepNoise("gamma", 1.0)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="-1"):
        StepNoise("normal", -1.0)


# --- F1 at zero tolerance --------------------------------------------------------------------


def test_hits_by_hand() -> None:
    counts = count_hits([3, 10, 20], [3, 11, 20, 20, 40])
    # 3 and one of the 20s are right; 11 is one step off, so wrong twice.
    assert counts == StepCounts(hits=2, invented=3, missed=1)
    assert counts.f1 == pytest.approx(2 * 2 / (3 + 5))
    assert count_hits([], []).f1 == 1.0
    assert count_hits([5], []).f1 == 0.0


@given(steps, steps)
def test_hits_the_same_as_literally(truth: list[int], found: list[int]) -> None:
    left, hits = list(truth), 0
    for step in found:
        if step in left:
            left.remove(step)
            hits += 1
    assert count_hits(truth, found) == StepCounts(hits, len(found) - hits, len(left))


def test_counts_are_pooled() -> None:
    counts = StepCounts(1, 0, 0) + StepCounts(0, 1, 3)
    assert counts.f1 == pytest.approx(2 * 1 / (2 + 1 + 3))


# --- decoding --------------------------------------------------------------------------------


def test_steps_and_peaks_above_a_threshold() -> None:
    p = np.array([0.9, 0.4, 0.4, 0.1, 0.5, 0.5, 0.2, 0.3])
    assert above(p, 0.3).tolist() == [0, 1, 2, 4, 5]
    assert peaks(p, 0.2).tolist() == [0, 4, 7]
    assert peaks(p, 0.45).tolist() == [0, 4]


def test_mass_is_rounded_to_steps() -> None:
    p = np.zeros(40)
    p[[10, 11]] = 0.3, 0.6
    p[30] = 0.9
    assert by_mass(p, 2.0).tolist() == [11, 30]


def test_thresholds_come_from_validation_alone() -> None:
    p = np.array([0.0, 0.35, 0.0, 0.75, 0.0])
    only_high, both = np.array([3]), np.array([1, 3])
    assert best_threshold([(only_high, p)], above) == 0.4
    assert best_threshold([(both, p)], above) == THRESHOLDS[0]
    scores = decode_and_score([(only_high, p)], [(both, p)], 0.8, 2.0)
    assert scores["threshold"].threshold == 0.4
    assert scores["threshold"].f1 == pytest.approx(2 / 3)
    assert scores["paper"].f1 == 0.0
    assert scores["paper"].threshold is None
