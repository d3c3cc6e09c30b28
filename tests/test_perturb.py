"""Perturbation: the identity, the statistics of each noise, independence of the draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import SettingsError
from softloc.events import Corpus, Onset
from softloc.perturb import Noise, PerturbSettings, perturb

N = 20_000
HOUR_S = 3600.0


def corpus_of(**recordings: Sequence[Onset]) -> Corpus:
    return Corpus(
        Path("labels.csv"), "table", Path(), {name: list(own) for name, own in recordings.items()}
    )


def spread_labels(n: int, label: str = "KD", annotator: str | None = None) -> list[Onset]:
    return [Onset(10.0 + index, label, annotator=annotator) for index in range(n)]


def shifts_ms(settings: PerturbSettings, n: int = N) -> np.ndarray:
    _, report = perturb(corpus_of(a=spread_labels(n)), settings)
    return report.shifts_ms


@given(
    st.lists(st.builds(Onset, st.floats(-5, HOUR_S), st.sampled_from(["KD", "SD"]))),
    st.integers(0, 2**63),
)
def test_no_noise_is_the_identity(onsets: list[Onset], seed: int) -> None:
    corpus = corpus_of(a=sorted(onsets, key=lambda o: (o.time_s, o.label)), b=[])
    perturbed, report = perturb(corpus, PerturbSettings(seed=seed), {"a": 1.0})
    assert perturbed == corpus
    assert (report.bias_ms, report.sigma_ms, report.n_before_start, report.n_after_end) == (0,) * 4


@pytest.mark.parametrize(
    ("noise", "sigma_ms"),
    [
        (Noise("normal", 25.0), 25.0),
        (Noise("rounded", 25.0), math.hypot(25.0, 10.0 / math.sqrt(12))),
        (Noise("uniform", 30.0), 30.0 / math.sqrt(3)),
        (Noise("shift", 40.0), 40.0),
        (Noise("skew", 25.0), 25.0),
        (Noise("laplace", 25.0), 25.0),
    ],
)
def test_spread_means_what_the_table_says(noise: Noise, sigma_ms: float) -> None:
    draws = shifts_ms(PerturbSettings(noise=noise, step_ms=10.0))
    # Five standard errors; the kurtosis of a Laplace draw doubles that of sigma.
    assert np.mean(draws) == pytest.approx(0.0, abs=5 * sigma_ms / math.sqrt(N))
    assert np.std(draws) == pytest.approx(sigma_ms, rel=5 * math.sqrt(5 / 4 / N))


def test_shapes_of_the_noises() -> None:
    normal = PerturbSettings(noise=Noise("normal", 25.0), step_ms=10.0)
    rounded = shifts_ms(replace(normal, noise=Noise("rounded", 25.0)))
    assert np.abs(rounded / 10 - np.rint(rounded / 10)).max() < 1e-6
    uniform = shifts_ms(replace(normal, noise=Noise("uniform", 25.0)))
    assert 24.9 < np.abs(uniform).max() <= 25.0 + 1e-6
    shift = shifts_ms(replace(normal, noise=Noise("shift", 25.0)))
    assert set(np.rint(shift * 1000)) == {-25_000, 25_000}
    laplace = shifts_ms(replace(normal, noise=Noise("laplace", 25.0)))
    assert np.mean(np.abs(laplace)) == pytest.approx(25 / math.sqrt(2), rel=0.03)


@pytest.mark.parametrize("shape", [0.0, 4.0, -4.0])
def test_skewness_follows_the_shape(shape: float) -> None:
    draws = shifts_ms(PerturbSettings(noise=Noise("skew", 25.0), shape=shape))
    delta = shape / math.hypot(1, shape)
    m = delta * math.sqrt(2 / math.pi)
    expected = (4 - math.pi) / 2 * m**3 / (1 - m**2) ** 1.5
    assert np.mean((draws / 25) ** 3) == pytest.approx(expected, abs=0.15)


def test_offset_and_drift_are_exact() -> None:
    settings = PerturbSettings(offset_ms=-12.5, drift_ppm=100.0)
    perturbed, report = perturb(corpus_of(a=[Onset(100.0, "KD"), Onset(0.2, "KD")]), settings)
    times = sorted(onset.time_s for onset in perturbed.recordings["a"])
    assert times == pytest.approx([0.2 - 0.0125 + 0.00002, 100 - 0.0125 + 0.01], abs=1e-12)
    assert report.bias_ms == pytest.approx((-12.5 + 0.02 - 12.5 + 10) / 2)


def test_same_seed_same_result_other_seed_another() -> None:
    corpus = corpus_of(a=spread_labels(50))
    settings = PerturbSettings(noise=Noise("normal", 25.0), drop=0.1, insert=0.1)
    once, _ = perturb(corpus, settings)
    assert perturb(corpus, settings)[0] == once
    assert perturb(corpus, replace(settings, seed=1))[0] != once


def test_order_and_company_of_recordings_do_not_matter() -> None:
    a, b = spread_labels(20), spread_labels(20)
    settings = PerturbSettings(noise=Noise("laplace", 25.0), drop=0.2, insert=0.2, swap=0.2, seed=3)
    both = perturb(corpus_of(a=a, b=b), settings)[0].recordings
    turned = perturb(corpus_of(b=b, a=a), settings)[0].recordings
    alone = perturb(corpus_of(b=b), settings)[0].recordings
    assert both == turned
    assert both["b"] == alone["b"]
    assert both["a"] != both["b"]


def test_one_setting_does_not_change_the_draws_of_another() -> None:
    corpus = corpus_of(a=spread_labels(200))
    noise = PerturbSettings(noise=Noise("normal", 5.0))
    all_times = {onset.time_s for onset in perturb(corpus, noise)[0].recordings["a"]}
    fewer = perturb(corpus, replace(noise, drop=0.5, swap=0.5))[0].recordings["a"]
    assert 60 < len(fewer) < 140
    assert {onset.time_s for onset in fewer} <= all_times


def test_per_file_shares_one_draw() -> None:
    corpus = corpus_of(a=spread_labels(10), b=spread_labels(10))
    settings = PerturbSettings(noise=Noise("normal", 25.0), per="file")
    recordings = perturb(corpus, settings)[0].recordings
    shifts = [
        {round((onset.time_s % 1 + 0.5) % 1, 9) for onset in onsets}
        for onsets in recordings.values()
    ]
    assert [len(own) for own in shifts] == [1, 1]
    assert shifts[0] != shifts[1]


def test_per_annotator_shares_one_draw_over_all_files() -> None:
    ann, bob = (spread_labels(3, annotator=name) for name in ("ann", "bob"))
    settings = PerturbSettings(noise=Noise("normal", 25.0), per="annotator")
    recordings = perturb(corpus_of(a=[*ann, *bob], b=ann), settings)[0].recordings
    shifts: dict[str | None, set[float]] = {}
    for onset in (onset for onsets in recordings.values() for onset in onsets):
        error_s = onset.time_s - round(onset.time_s)
        shifts.setdefault(onset.annotator, set()).add(round(error_s, 9))
    assert [len(own) for own in shifts.values()] == [1, 1]
    assert shifts["ann"] != shifts["bob"]
    with pytest.raises(SettingsError, match=r"a: the KD at 10.000000 s names no annotator"):
        perturb(corpus_of(a=spread_labels(1)), settings)


@pytest.mark.parametrize(
    ("bounds", "times"),
    [("clip", [0.0, 0.45, 1.0]), ("drop", [0.45]), ("keep", [-0.05, 0.45, 1.05])],
)
def test_bounds(bounds: str, times: list[float]) -> None:
    labels = [Onset(0.0, "KD"), Onset(0.5, "KD"), Onset(1.1, "KD")]
    settings = PerturbSettings(offset_ms=-50.0, bounds=bounds)  # type: ignore[arg-type]
    perturbed, report = perturb(corpus_of(a=labels), settings, {"a": 1.0})
    assert [round(onset.time_s, 9) for onset in perturbed.recordings["a"]] == times
    assert (report.n_before_start, report.n_after_end) == (1, 1)


def test_no_upper_bound_without_durations() -> None:
    perturbed, report = perturb(corpus_of(a=[Onset(5.0, "KD")]), PerturbSettings(offset_ms=100))
    assert perturbed.recordings["a"][0].time_s == 5.1
    assert report.n_after_end == 0


def test_drop_insert_and_swap_rates() -> None:
    labels = [
        Onset(float(i), "KD" if i % 2 else "SD", midi_note=36 + 2 * (i % 2)) for i in range(N)
    ]
    settings = PerturbSettings(drop=0.1, insert=0.2, swap=0.3)
    perturbed, report = perturb(corpus_of(a=labels), settings, {"a": float(N)})
    assert report.n_dropped == pytest.approx(0.1 * N, rel=0.1)
    assert report.n_inserted == pytest.approx(0.2 * N, rel=0.1)
    assert report.n_swapped == pytest.approx(0.3 * 0.9 * N, rel=0.1)
    written = perturbed.recordings["a"]
    assert report.n_written == len(written) == N - report.n_dropped + report.n_inserted
    assert written == sorted(written, key=lambda onset: (onset.time_s, onset.label))
    swapped = [onset for onset in written if onset.midi_note is None]
    assert len(swapped) == report.n_swapped
    assert all(onset.label == ("SD" if onset.time_s % 2 else "KD") for onset in swapped)


def test_extremes() -> None:
    corpus = corpus_of(a=spread_labels(10), b=[])
    nothing, report = perturb(corpus, PerturbSettings(drop=1.0))
    assert nothing.recordings == {"a": [], "b": []}
    assert (report.bias_ms, report.n_dropped) == (0.0, 10)
    # A recording with one class cannot confuse it.
    assert perturb(corpus, PerturbSettings(swap=1.0))[0] == corpus
    doubled, _ = perturb(corpus, PerturbSettings(insert=1.0))
    assert len(doubled.recordings["a"]) == 20


@pytest.mark.parametrize(
    ("text", "step_ms", "expected"),
    [
        ("normal:25ms", None, Noise("normal", 25.0)),
        ("laplace: 12.5 ms", None, Noise("laplace", 12.5)),
        ("uniform:25", None, Noise("uniform", 25.0)),
        ("rounded:2", 10.0, Noise("rounded", 20.0)),
        ("rounded:2steps", 10.0, Noise("rounded", 20.0)),
        ("normal:25ms", 10.0, Noise("normal", 25.0)),
        ("shift:1e1", None, Noise("shift", 10.0)),
    ],
)
def test_noise_is_read(text: str, step_ms: float | None, expected: Noise) -> None:
    assert Noise.parse(text, step_ms) == expected
    assert Noise.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gauss:25ms", "unknown noise 'gauss'"),
        ("norml:25ms", "did you mean 'normal'"),
        ("normal", "write KIND:SPREAD, as normal:25ms"),
        ("normal:25s", "cannot read the noise"),
        ("normal:-1ms", "spread of the noise cannot be -1"),
        ("normal:1.2.3", "cannot read the noise"),
        ("normal:1e999ms", "spread of the noise cannot be inf"),
        ("rounded:2steps", "give their length with --step"),
    ],
)
def test_bad_noise_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Noise.parse(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"drop": 1.5}, "drop is a probability 0-1, not 1.5"),
        ({"swap": math.nan}, "swap is a probability"),
        ({"insert": -0.1}, "insert is a probability"),
        ({"offset_ms": math.inf}, "offset_ms must be a finite number"),
        ({"drift_ppm": -2e6}, "turn time around"),
        ({"step_ms": 0.0}, "a step must have a length"),
        ({"noise": Noise("rounded", 5.0)}, "rounded noise needs .* --step"),
        ({"per": "track"}, "per cannot be 'track'"),
        ({"bounds": "clp"}, "bounds cannot be 'clp': did you mean 'clip'"),
    ],
)
def test_nonsense_settings_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        PerturbSettings(**fields)  # type: ignore[arg-type]
