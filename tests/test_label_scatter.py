"""How noisy labels are, found without the truth: with misses, strays and whole classes unheard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.events import Onset
from softloc.label_scatter import LabelScatter, estimate_scatter

LENGTH_S = 120.0
Corpus = Mapping[str, Sequence[Onset]]


def drawn_hits(rng: np.random.Generator, n_recordings: int = 4) -> dict[str, list[Onset]]:
    """Hats on eighths, kicks and snares now and then, as far apart as drums are."""
    every_s = {"HH": 0.25, "KD": 0.5, "SD": 1.0}
    return {
        f"{number}.wav": [
            Onset(float(time_s), label)
            for label, step_s in every_s.items()
            for time_s in np.arange(1.0, LENGTH_S - 1.0, step_s * rng.uniform(0.9, 1.1))
            if rng.random() < 0.8
        ]
        for number in range(n_recordings)
    }


def shifted(
    corpus: Corpus, rng: np.random.Generator, sigma_s: float, offset_s: float = 0.0
) -> dict[str, list[Onset]]:
    return {
        name: [
            Onset(onset.time_s + float(rng.normal(offset_s, sigma_s)), onset.label)
            for onset in onsets
        ]
        for name, onsets in corpus.items()
    }


def estimate(labels: Corpus, events: Corpus) -> LabelScatter:
    found = estimate_scatter(labels, events, dict.fromkeys(labels, LENGTH_S))
    assert found is not None
    return found


@pytest.mark.parametrize("sigma_s", [0.003, 0.010, 0.030, 0.060, 0.100])
def test_the_noise_of_labels_is_found(sigma_s: float) -> None:
    rng = np.random.default_rng(1)
    hits = drawn_hits(rng)
    found = estimate(shifted(hits, rng, sigma_s, offset_s=0.012), hits)
    assert found.sigma_s == pytest.approx(sigma_s, rel=0.05)
    assert found.offset_s == pytest.approx(0.012, abs=0.005)
    assert found.stray_share < 0.03
    assert found.n_labels == sum(map(len, hits.values()))


@pytest.mark.parametrize("sigma_s", [0.010, 0.030, 0.060, 0.100])
def test_a_class_that_is_not_heard_and_events_too_many_widen_it_little(sigma_s: float) -> None:
    rng = np.random.default_rng(2)
    hits = drawn_hits(rng)
    labels = shifted(hits, rng, sigma_s)
    heard = {
        name: [onset for onset in onsets if onset.label != "HH" and rng.random() < 0.95]
        + [Onset(float(t), "HH") for t in rng.uniform(0.0, LENGTH_S, 60)]
        + [Onset(float(t), "KD") for t in rng.uniform(0.0, LENGTH_S, 20)]
        for name, onsets in hits.items()
    }
    found = estimate(labels, heard)
    assert found.sigma_s == pytest.approx(sigma_s, rel=0.1)
    assert found.stray_share > 0.3


@pytest.mark.parametrize("missed", [0.1, 0.3])
def test_single_hits_missed_in_a_steady_rhythm_make_it_too_small(missed: float) -> None:
    """What is told of it in `softloc.label_scatter`: by less than a third."""
    rng = np.random.default_rng(7)
    hits = drawn_hits(rng)
    heard = {
        name: [onset for onset in onsets if rng.random() > missed] for name, onsets in hits.items()
    }
    assert 0.67 < estimate(shifted(hits, rng, 0.050), heard).sigma_s / 0.050 < 1.05


def slow_log_likelihood(
    labels: Corpus, events: Corpus, sigma_s: float, offset_s: float, stray: Mapping[str, float]
) -> float:
    total = 0.0
    for name, onsets in labels.items():
        for onset in onsets:
            near = [e.time_s for e in events[name] if e.label == onset.label]
            density = stray[name] / LENGTH_S
            for time_s in near:
                z = (onset.time_s - time_s - offset_s) / sigma_s
                normal = math.exp(-(z**2) / 2) / (sigma_s * math.sqrt(2 * math.pi))
                density += (1 - stray[name]) * normal / len(near)
            total += math.log(density)
    return total


def test_it_is_a_maximum_of_the_likelihood() -> None:
    rng = np.random.default_rng(3)
    hits = {name: onsets[:40] for name, onsets in drawn_hits(rng, 2).items()}  # all of class HH
    labels = shifted(hits, rng, 0.040, offset_s=-0.01)
    events = {name: onsets[::2] for name, onsets in hits.items()}
    found = estimate(labels, events)
    # The shares of strays have to be found again: they are not told for each recording.
    shares = np.linspace(0.01, 0.99, 99)

    def best(sigma_s: float, offset_s: float) -> float:
        return sum(
            max(
                slow_log_likelihood({name: labels[name]}, events, sigma_s, offset_s, {name: share})
                for share in shares
            )
            for name in labels
        )

    top = best(found.sigma_s, found.offset_s)
    for factor in (0.9, 1.1):
        assert best(factor * found.sigma_s, found.offset_s) < top
    for step_s in (-0.005, 0.005):
        assert best(found.sigma_s, found.offset_s + step_s) < top


def test_labels_on_their_events_have_no_noise() -> None:
    hits = drawn_hits(np.random.default_rng(4))
    found = estimate(hits, hits)
    assert 0 < found.sigma_s < 0.001
    assert found.offset_s == pytest.approx(0, abs=1e-6)


def test_where_events_have_nothing_to_do_with_labels_nothing_is_said() -> None:
    hits = drawn_hits(np.random.default_rng(5))
    lengths_s = dict.fromkeys(hits, LENGTH_S)
    far = {name: [Onset(LENGTH_S + 10, label) for label in ("KD", "SD", "HH")] for name in hits}
    other = {name: [Onset(onset.time_s, "TT") for onset in rows] for name, rows in hits.items()}
    rng = np.random.default_rng(8)
    unrelated = {
        name: [Onset(float(rng.uniform(0, LENGTH_S)), onset.label) for onset in rows]
        for name, rows in hits.items()
    }
    for events in ({}, far, other, unrelated):
        assert estimate_scatter(hits, events, lengths_s) is None
    few = {"0.wav": hits["0.wav"][:9]}
    assert estimate_scatter(few, hits, lengths_s) is None
    assert estimate_scatter({}, hits, {}) is None


times = st.floats(0.0, LENGTH_S, allow_subnormal=False)
corpora = st.lists(st.builds(Onset, times, st.sampled_from(["a", "b"])), min_size=10, max_size=40)


@given(labels=corpora, events=corpora)
def test_any_corpus_gives_finite_numbers(labels: list[Onset], events: list[Onset]) -> None:
    found = estimate_scatter({"x": labels}, {"x": events}, {"x": LENGTH_S})
    if found is not None:
        assert 0 < found.sigma_s < 2.0
        assert abs(found.offset_s) <= 1.0
        assert 0 <= found.stray_share <= 1


def test_neither_the_clock_nor_the_order_of_recordings_matters() -> None:
    rng = np.random.default_rng(6)
    hits = drawn_hits(rng)
    labels = shifted(hits, rng, 0.030)

    def moved(corpus: Corpus) -> dict[str, list[Onset]]:
        return {
            name: [Onset(onset.time_s + 64.0, onset.label) for onset in corpus[name]]
            for name in reversed(corpus)
        }

    here, there = estimate(labels, hits), estimate(moved(labels), moved(hits))
    assert there.sigma_s == pytest.approx(here.sigma_s, abs=1e-6)
    assert there.offset_s == pytest.approx(here.offset_s, abs=1e-6)
