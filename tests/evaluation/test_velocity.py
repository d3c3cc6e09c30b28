"""Velocities against mir_eval, and by hand."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.evaluation import Counts, EvaluationSettings, VelocityScore, evaluate
from softloc.events import Onset

AS_WRITTEN = EvaluationSettings(classes="as-written")


def velocities(
    reference: list[Onset], estimate: list[Onset], settings: EvaluationSettings = AS_WRITTEN
) -> VelocityScore:
    score = evaluate({"a": reference}, {"a": estimate}, settings).velocity
    assert score is not None
    return score


def hits(label: str, *values: int | None, late_s: float = 0.0) -> list[Onset]:
    return [Onset(step + 1 + late_s, label, velocity=value) for step, value in enumerate(values)]


NOTES = st.lists(
    # A second or more apart, so that there is a single matching; None is not played.
    st.tuples(
        st.sampled_from(["36", "38", "60"]),
        st.integers(1, 127),
        st.one_of(st.none(), st.tuples(st.integers(1, 127), st.sampled_from([0.0, 0.013, 0.4]))),
    ),
    min_size=1,
    max_size=30,
)


@given(NOTES)
def test_found_velocities_are_those_of_mir_eval(
    notes: list[tuple[str, int, tuple[int, float] | None]],
) -> None:
    reference = [
        Onset(step + 1.0, label, velocity=loud) for step, (label, loud, _) in enumerate(notes)
    ]
    estimate = [
        Onset(step + 1 + heard[1], label, velocity=heard[0])
        for step, (label, _, heard) in enumerate(notes)
        if heard
    ]

    def sides(onsets: list[Onset]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        times_s = np.array([onset.time_s for onset in onsets])
        pitches = mir_eval.util.midi_to_hz(np.array([int(onset.label) for onset in onsets]))
        loud = np.array([onset.velocity for onset in onsets], dtype=float)
        return np.stack([times_s, times_s + 0.1], axis=1), pitches, loud

    result = evaluate({"a": reference}, {"a": estimate}, AS_WRITTEN)
    if not result.total.counts[0.05].tp:
        assert result.velocity is None
        return
    assert result.velocity is not None
    theirs = mir_eval.transcription_velocity.precision_recall_f1_overlap(
        *sides(reference), *sides(estimate), offset_ratio=None
    )
    ratios = result.velocity.total.counts.ratios
    assert ratios is not None
    assert (ratios.precision, ratios.recall, ratios.f_measure) == pytest.approx(theirs[:3])


def test_errors_by_hand() -> None:
    reference = [*hits("KD", 40, 60, 80, 100), *hits("SD", 50, 90)]
    estimate = [*hits("KD", 30, 50, 60, 120), *hits("SD", 60, 100, late_s=0.01)]
    score = velocities(reference, estimate)
    kick = score.per_class["KD"].error
    assert kick is not None
    assert (kick.n_pairs, kick.bias, kick.mean_absolute) == (4, -5.0, 15.0)
    assert kick.correlation == pytest.approx(
        np.corrcoef([40, 60, 80, 100], [30, 50, 60, 120])[0, 1]
    )
    slope, intercept = np.polyfit([30, 50, 60, 120, 60, 100], [40, 60, 80, 100, 50, 90], 1)
    assert (score.slope, score.intercept) == pytest.approx((slope, intercept))
    rescaled = slope * np.array([30, 50, 60, 120]) + intercept
    assert kick.rescaled_mean_absolute == pytest.approx(np.abs(rescaled - [40, 60, 80, 100]).mean())
    assert score.total.error is not None
    assert score.total.error.bias == 0.0


def test_another_scale_is_no_error_after_rescaling() -> None:
    reference = hits("KD", 20, 60, 100)
    score = velocities(reference, hits("KD", 55, 75, 95))
    assert (score.slope, score.intercept) == pytest.approx((2.0, -90.0))
    kick = score.per_class["KD"]
    assert kick.error is not None
    assert kick.error.rescaled_mean_absolute == pytest.approx(0, abs=1e-9)
    assert kick.counts == Counts(3, 0, 0)
    assert kick.error.correlation == pytest.approx(1.0)


def test_the_line_is_fitted_to_all_recordings_at_once() -> None:
    # A line through each recording by itself would leave no error at all.
    references = {"a": hits("KD", 20, 60), "b": hits("KD", 20, 60)}
    estimates = {"a": hits("KD", 20, 60), "b": hits("KD", 60, 100)}
    score = evaluate(references, estimates).velocity
    assert score is not None
    slope, intercept = np.polyfit([20, 60, 60, 100], [20, 60, 20, 60], 1)
    assert (score.slope, score.intercept) == pytest.approx((slope, intercept))
    assert score.total.counts.tp == 2  # the softest and the loudest lie on it


def test_constant_velocities_have_no_correlation() -> None:
    score = velocities(hits("KD", 40, 50, 90), hits("KD", 100, 100, 100))
    error = score.per_class["KD"].error
    assert error is not None
    assert error.correlation is None
    assert (error.bias, error.mean_absolute) == (40.0, 40.0)
    assert error.rescaled_mean_absolute == pytest.approx(np.abs([20, 10, -30]).mean())


def test_velocities_of_one_side_are_not_compared() -> None:
    some = hits("KD", 40, None, 90)
    assert evaluate({"a": hits("KD", None, None)}, {"a": hits("KD", 40, 90)}).velocity is None
    assert evaluate({"a": hits("KD", 40, 90)}, {"a": hits("KD", None, None)}).velocity is None
    score = velocities(some, hits("KD", 40, 100, 90))
    assert score.total.error is not None
    assert score.total.error.n_pairs == 2
    assert score.total.counts == Counts(2, 1, 1)  # the second is not found


def test_unscored_and_unmatched_events_do_not_bend_the_errors() -> None:
    reference = [*hits("KD", 40, 80), Onset(9.0, "OT", velocity=1)]
    estimate = [*hits("KD", 40, 80), Onset(9.0, "OT", velocity=127), Onset(7.0, "KD", velocity=1)]
    score = velocities(reference, estimate)
    assert score.total.error is not None
    assert (score.total.error.n_pairs, score.total.error.mean_absolute) == (2, 0.0)
    assert score.total.counts == Counts(2, 1, 0)
