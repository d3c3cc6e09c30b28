"""Runs of the paper's experiments: none twice, none lost, the same after being killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.paper import curves
from benchmarks.paper.curves import LoopSettings, fit, seeded
from benchmarks.paper.runs import (
    Context,
    Line,
    Outcome,
    Run,
    has_converged,
    missing,
    read_lines,
    run_all,
    time_step,
    with_settings,
)
from softloc.errors import SoftLocError, TrainingError

SETTINGS = LoopSettings(steps=40, learning_rate=0.05, validations=8, decay_share=0.5)


def test_learning_rates_fall_and_settle() -> None:
    settles = LoopSettings(10, decay_share=0.6, settle_share=0.2)
    rates = [curves._decay(progress, settles) for progress in np.linspace(0.0, 1.0, 101)]
    assert rates[:21] == [1.0] * 21
    assert (np.diff(rates[20:81]) < 0.0).all()
    assert rates[50] == pytest.approx((1.0 + curves.SETTLED_RATE) / 2)  # half a cosine's middle
    assert rates[80:] == pytest.approx([curves.SETTLED_RATE] * 21)
    assert curves._decay(1.0, SETTINGS) == pytest.approx(0.0)
    assert curves._decay(0.9, LoopSettings(10)) == 1.0


class Toy:
    """An experiment that fits a line with a layer of dropout; it can be killed at a step."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.trained: list[str] = []

    def runs(self, *, quick: bool) -> Sequence[Run]:
        return [Run("toy", "line", {"steps": 12, "slope": slope}, 1) for slope in (1.0, 2.0)]

    def train(self, run: Run, context: Context) -> Outcome:
        self.trained.append(run.key)
        n_steps = 0

        def on_step() -> None:
            nonlocal n_steps
            n_steps += 1
            context.on_step()
            if n_steps == self.fail_at:
                raise KeyboardInterrupt

        model = seeded(lambda: nn.Sequential(nn.Dropout(0.2), nn.Linear(1, 1)), run.seed)
        done = fit(
            model,
            lambda m, rng, _: loss_of(m, rng, run.settings["slope"]),
            lambda m: float(loss_of(m, np.random.default_rng(9), run.settings["slope"])),
            LoopSettings(12, 0.05, 0.5, validations=4, state_interval_s=0.0),
            context.state,
            on_step=on_step,
        )
        weights = [value.flatten().tolist() for value in model.state_dict().values()]
        return Outcome(done.step, done.seconds, done.curve, {"weights": weights})

    def check(self, lines: Sequence[Line]) -> None:
        assert len(lines) == 2


def loss_of(model: nn.Module, rng: np.random.Generator, slope: float) -> Tensor:
    x = torch.from_numpy(rng.normal(size=(8, 1)).astype(np.float32))
    loss: Tensor = (model(x) - slope * x).square().mean()
    return loss


def results(folder: Path) -> list[Any]:
    return [line["result"] for line in read_lines("toy", folder)]


def test_a_killed_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    toy = Toy()
    run_all(toy, toy.runs(quick=False), tmp_path / "a", results=tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run_all(Toy(fail_at=7), toy.runs(quick=False), tmp_path / "b", results=tmp_path / "b")
    assert not results(tmp_path / "b")
    n_steps = 0

    def count() -> None:
        nonlocal n_steps
        n_steps += 1

    rest = Toy()
    run_all(rest, toy.runs(quick=False), tmp_path / "b", results=tmp_path / "b", on_step=count)
    assert n_steps == 12 - 7 + 12
    assert results(tmp_path / "b") == results(tmp_path / "a")
    assert not list((tmp_path / "b" / "states").iterdir())
    again = Toy()
    run_all(again, toy.runs(quick=False), tmp_path / "b", results=tmp_path / "b")
    assert not again.trained


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    toy = Toy()
    run_all(toy, toy.runs(quick=False)[:1], tmp_path, results=tmp_path)
    path = tmp_path / "paper-toy.jsonl"
    path.write_text(path.read_text() + '{"key": "li')
    with pytest.raises(SoftLocError, match=r"paper-toy.jsonl, line 2: not a line of results"):
        read_lines("toy", tmp_path)


def test_a_run_is_another_if_its_settings_are() -> None:
    run = Run("toy", "line", {"steps": 3, "noise": [1, 2]}, 0)
    assert run.key == Run("toy", "line", {"noise": [1, 2], "steps": 3}, 0, cost="x").key
    others = [with_settings(run, steps=4), Run("toy", "line", run.settings, 1)]
    assert len({run.key, *(other.key for other in others)}) == 3
    assert missing([run, *others], [{"key": run.key}]) == others
    with pytest.raises(ValueError, match="two runs"):
        missing([run, run], [])


def test_a_diverged_run_has_a_line_and_does_not_stop_the_others(tmp_path: Path) -> None:
    class Diverging(Toy):
        def train(self, run: Run, context: Context) -> Outcome:
            if run.settings["slope"] == 1.0:
                raise TrainingError("the loss is not finite at step 7")
            return super().train(run, context)

    toy = Diverging()
    run_all(toy, toy.runs(quick=False), tmp_path, results=tmp_path)
    first, second = read_lines("toy", tmp_path)
    assert first["result"] == {"error": "the loss is not finite at step 7"}
    assert not first["converged"]
    assert "weights" in second["result"]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([5.0, 3.0, 1.0, 1.0, 0.995], True),
        ([5.0, 3.0, 1.0, 1.0, 0.985], False),
        ([5.0, 3.0, 2.0, 1.0, 4.0], True),
        ([1.0], False),
        ([], False),
    ],
)
def test_converged_means_less_than_one_percent_over_the_last_fifth(
    losses: list[float], expected: bool
) -> None:
    curve = [(20 * (i + 1), loss) for i, loss in enumerate(losses)]
    assert has_converged(curve) is expected


def test_the_weights_of_the_lowest_validation_loss_are_kept(tmp_path: Path) -> None:
    """Validation that likes the tenth step best, whatever the loss says."""
    model = nn.Linear(1, 1)
    seen: list[list[float]] = []

    def validate(module: nn.Module) -> float:
        seen.append([value.item() for value in module.parameters()])
        return abs(len(seen) - 2)

    done = fit(
        model, lambda m, rng, _: loss_of(m, rng, 2.0), validate, SETTINGS, tmp_path / "s.state"
    )
    assert done.best_step == 10
    assert [value.item() for value in model.parameters()] == seen[1]
    assert [step for step, _ in done.curve] == list(range(5, 41, 5))


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(TrainingError, match="step 1"):
        fit(
            model,
            lambda m, rng, _: loss_of(m, rng, 1.0) * float("nan"),
            lambda _: 0.0,
            SETTINGS,
            tmp_path / "x.state",
        )


def test_timing_leaves_nothing_behind(tmp_path: Path) -> None:
    toy = Toy()
    assert time_step(toy, toy.runs(quick=False)[0], tmp_path, n_steps=5) > 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
