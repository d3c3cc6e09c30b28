"""The ECG experiment: who sees which labels, windows, the network, and runs on made-up series."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.paper import curves, ecg, video
from benchmarks.paper.__main__ import main
from benchmarks.paper.ecg import LEVELS, METHODS, Fold, PuffNetwork, make_up_series
from benchmarks.paper.runs import Context, Experiment, Outcome, Run, missing, read_lines
from benchmarks.paper.series import N_FOLDS, Series
from softloc.losses import LossSettings, make_loss


def test_noisy_labels_train_and_validate_and_exact_ones_test() -> None:
    series = make_up_series()
    labels = {each.name: each.events + 1 for each in series}
    for k in range(N_FOLDS):
        fold: Fold = ecg._fold(series, labels, k)
        assert {each.fold for each in fold.test} == {k}
        assert {each.fold for each in fold.valid} == {(k + 1) % N_FOLDS}
        names = {each.name for part in (fold.train, fold.valid, fold.test) for each in part}
        assert names == {each.name for each in series}
        assert len(fold.train) + len(fold.valid) + len(fold.test) == len(series)
        exact = {each.name: each.events for each in series}
        for each in [*fold.train, *fold.valid]:
            assert each.events.tolist() == (exact[each.name] + 1).tolist()
        for each in fold.test:
            assert each.events.tolist() == exact[each.name].tolist()
        rows = np.concatenate([each.features for each in fold.train])
        assert rows.mean(0) == pytest.approx(0.0, abs=1e-5)
        assert rows.std(0) == pytest.approx(1.0, abs=1e-5)


def test_windows_lie_inside_series_and_carry_their_counts() -> None:
    def numbered(index: int, n_steps: int) -> Series:
        features = np.stack([np.full(n_steps, index), np.arange(n_steps)], 1).astype(np.float32)
        return Series(str(index), 0, features, np.array([0, 4, 4, n_steps - 1]))

    series = [numbered(0, 12), numbered(1, 6)]
    windows = ecg._Padded.of(series).windows(np.random.default_rng(0), 300, 8)
    starts = set()
    for features, counts, mask in zip(
        windows.features, windows.counts[:, 0], windows.mask[:, 0], strict=True
    ):
        index, first = int(features[0, 0]), int(features[0, 1])
        n_steps = len(series[index].features)
        assert mask.tolist() == [first + i < n_steps for i in range(8)]
        steps = features[mask, 1].long().tolist()
        assert steps == list(range(first, min(first + 8, n_steps)))
        wanted = [series[index].events.tolist().count(step) for step in steps]
        assert counts[mask].long().tolist() == wanted
        starts.add((index, first))
    # The longer series may begin at any of 5 steps, the shorter one is taken whole.
    assert starts == {(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)}


def test_the_network_looks_back_only() -> None:
    torch.manual_seed(0)
    network = PuffNetwork(5).eval()
    features = torch.randn(1, 30, 5)
    changed = features.clone()
    changed[0, 17] += 3.0
    with torch.no_grad():
        difference = (network(changed) - network(features))[0, 0].abs()
    assert network(features).shape == (1, 1, 30)
    assert difference[:17].max() == 0.0
    assert difference[17] > 0.0
    # The paper's sizes: 14 units each, and one output.
    assert sum(p.numel() for p in network.parameters()) == (5 * 14 + 14) + 4 * 14 * 30 + 15


def test_labels_of_cross_entropy_are_one_step_long() -> None:
    settings = LossSettings("cross-entropy", label_length_ms=ecg._STEP_MS)
    loss = make_loss(settings, ecg._STEP_RATE_HZ)
    logits, counts = torch.randn(2, 1, 9), torch.zeros(2, 1, 9)
    counts[0, 0, 3], counts[1, 0, 8] = 1, 2  # two labels in one step count once here
    plain = functional.binary_cross_entropy_with_logits(logits, counts.clamp(max=1)) * 9
    assert float(loss(logits, counts, 3.0, 0.0)) == pytest.approx(float(plain), rel=1e-5)


def test_every_method_gets_every_level() -> None:
    runs = ecg.runs(quick=False)
    assert missing(runs, []) == list(runs)
    cells = {
        (s["data"], s["target"], s["method"], s["noise"], s["level"], run.seed)
        for run in runs
        if (s := run.settings)
    }
    assert len(cells) == 2 * len(METHODS) * len(LEVELS) * ecg.N_REPETITIONS
    networks = [run.settings for run in runs if run.settings["method"] != "lr-m"]
    assert len({(s["steps"], s["batch"], s["learning_rate"]) for s in networks}) == 1


def test_puffmarker_is_listed_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTLOC_DATA", str(tmp_path))
    assert {run.settings["data"] for run in ecg.runs(quick=False)} == {"ludb"}
    (tmp_path / "puffmarker").mkdir()
    assert {run.settings["data"] for run in ecg.runs(quick=False)} == {"ludb", "puffmarker"}


@pytest.mark.parametrize("name", ["ecg", "video"])
def test_quick_runs_find_what_was_made_up(name: str, tmp_path: Path) -> None:
    main([name, "--quick", "-o", str(tmp_path)])
    lines = read_lines(name, tmp_path / "results")
    assert len(lines) == 3
    for line in lines:
        assert line["validation_curve"][-1][1] < 0.8 * line["validation_curve"][0][1]
        if name == "ecg":
            noisy = line["settings"]["level"] > 0
            assert (line["result"]["labels_f1"] < 0.6) == noisy
            # By rounded noise of one step a third of the labels stays, and most are found again.
            assert np.mean(line["result"]["f1"]["paper"]) > 0.7


@pytest.mark.parametrize("experiment", [ecg, video], ids=["ecg", "video"])
def test_a_killed_run_goes_on_to_the_same_result(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = functools.partial(curves.LoopSettings, state_interval_s=0.0)
    monkeypatch.setattr(experiment, "LoopSettings", often)
    run = experiment.runs(quick=True)[0]
    run = Run(run.experiment, run.name, {**run.settings, "steps": 12}, run.seed)

    def train(state: str, on_step: Callable[[], None] = lambda: None) -> Outcome:
        return experiment.train(run, Context(tmp_path, tmp_path / f"{state}.state", True, on_step))

    steps: list[None] = []

    def kill_at_7() -> None:
        steps.append(None)
        if len(steps) == 7:
            raise KeyboardInterrupt

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("killed", kill_at_7)
    resumed = train("killed", lambda: steps.append(None))
    assert len(steps) == 12
    assert resumed.curve == whole.curve
    assert resumed.result == whole.result
