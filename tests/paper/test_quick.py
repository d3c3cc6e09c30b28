"""Tiny runs of the paper's experiments from the command line, and the page made of their lines."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from benchmarks.paper import audio, drums, piano
from benchmarks.paper.__main__ import main
from benchmarks.paper.audio_report import better_f1
from benchmarks.paper.curves import LoopSettings
from benchmarks.paper.drums_report import map_table, nadaraya_watson
from benchmarks.paper.report import NOT_RUN, PAGE, load_report, render
from benchmarks.paper.report import main as report
from benchmarks.paper.runs import (
    EXPERIMENTS,
    Outcome,
    append_line,
    current_lines,
    line_of,
    load_experiment,
    missing,
    read_lines,
    run_all,
    with_settings,
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    only = ["--only", "look-cross-entropy", "--only", "edges-*"]
    main(["drums", "--quick", "-o", str(folder), *only])
    main(["piano", "--quick", "-o", str(folder), "--only", "labels"])
    return folder


def test_lines_say_what_was_run(output: Path) -> None:
    look, edges = read_lines("drums", output / "results")
    assert (look["name"], edges["name"]) == ("look-cross-entropy", "edges-distribution")
    assert (look["steps"], look["seed"], look["settings"]["loss"]) == (60, 0, "cross-entropy")
    assert look["command"] == (
        "python -m benchmarks.paper drums --quick -o DIR --only look-cross-entropy --only 'edges-*'"
    )
    assert len(look["validation_curve"]) == 5
    assert look["result"]["noisy_valid_f1"] > 0.7
    assert better_f1("test")(look) > 70.0  # clicks that a child could find
    assert not list((output / "drums" / "states").iterdir())


def test_nothing_is_run_again(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = read_lines("piano", output / "results")
    main(["piano", "--quick", "-o", str(output), "--only", "labels"])
    assert read_lines("piano", output / "results") == lines
    main(["piano", "--quick", "-o", str(output), "--only", "labels", "--list"])
    assert "0 of 3 runs are missing" in capsys.readouterr().out


def test_a_killed_training_on_audio_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "LoopSettings", partial(LoopSettings, state_interval_s=0.0))
    (listed,) = [run for run in drums.runs(quick=True) if run.name == "look-label-smoothing"]
    run = with_settings(listed, steps=10, validations=4)
    n_steps = 0

    def kill_after_six() -> None:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 6:
            raise KeyboardInterrupt

    run_all(drums, [run], tmp_path, results=tmp_path / "whole", quick=True)
    with pytest.raises(KeyboardInterrupt):
        run_all(
            drums, [run], tmp_path, results=tmp_path / "cut", quick=True, on_step=kill_after_six
        )
    run_all(drums, [run], tmp_path, results=tmp_path / "cut", quick=True, on_step=kill_after_six)
    assert n_steps == 10
    ((whole,), (cut,)) = (read_lines("drums", tmp_path / name) for name in ("whole", "cut"))
    assert cut["result"] == whole["result"]
    assert cut["validation_curve"] == whole["validation_curve"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["piano"], "where is the piano pack.*SOFTLOC_DATA"),
        (["drums", "--only", "nonsense-*"], "no run of drums is named nonsense"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOFTLOC_DATA", raising=False)
    with pytest.raises(SystemExit, match=f"^error: {sentence}"):
        main([*arguments, "-o", str(tmp_path)])


@pytest.mark.parametrize("share", ["3/2", "0/1", "x"])
def test_a_share_must_be_one(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["drums", "-o", "x", "--shard", share])
    assert f"invalid shard value: '{share}'" in capsys.readouterr().err


def test_tables_and_figures_come_from_the_lines(output: Path) -> None:
    page = output / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    report(["--results", str(output / "results"), "--page", str(page)])
    text = page.read_text(encoding="utf-8")
    (look,) = [r for r in read_lines("drums", output / "results") if r["name"].startswith("look")]
    labels = re.search(r"\| test \| 100\.0 \| (\d+\.\d) \| (\d+\.\d) \|", text)
    assert labels is not None
    assert float(labels[1]) == pytest.approx(68.3, abs=8.0)  # erf(1 / √2), few labels
    assert "`edges-distribution` | 1 |" in text
    assert render(page, output / "results") == text
    assert (output / "figures" / "drums-looks.png").is_file() == look["converged"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_table_has_its_place(experiment: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in load_report(experiment).TABLES:
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1
    for name in load_report(experiment).FIGURES:
        assert f"figures/{name}.png" in text


def test_the_page_agrees_with_the_results() -> None:
    assert render() == PAGE.read_text(encoding="utf-8"), "run python -m benchmarks.paper.report"


def test_no_run_is_listed_twice() -> None:
    for experiment in (drums, piano):
        for quick in (True, False):
            runs = experiment.runs(quick=quick)
            assert missing(runs, []) == runs
            digests = [(run.key.rsplit("-", 1)[1], run.seed) for run in runs]
            assert len(set(digests)) == len(runs)  # nor under two names
    assert sum(run.name == "map" for run in drums.runs(quick=False)) >= 60
    noises_ms = {
        run.settings["noise_ms"] for run in piano.runs(quick=False) if run.name == "softloc"
    }
    assert noises_ms == {0.0, 50.0, 100.0, 150.0, 200.0, 500.0, 1000.0}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_sweep_that_is_stopped_has_every_method_once_before_it_repeats(experiment: str) -> None:
    """All names but the map's, whose seeds are places, come with seed 0 first."""
    runs = [run for run in load_experiment(experiment).runs(quick=False) if run.name != "map"]
    seeds = [run.seed for run in runs]
    assert seeds == sorted(seeds)
    assert {run.name for run in runs if run.seed == 0} == {run.name for run in runs}


def test_some_of_the_map_comes_early() -> None:
    names = [run.name for run in drums.runs(quick=False)]
    first = names.index("map")
    assert "clean-softloc" in names[:first]
    assert names[first : first + 20] == ["map"] * 20
    assert "annotators-each" in names[first + 20 :]


def test_lines_of_earlier_settings_are_in_no_table(tmp_path: Path) -> None:
    now = next(run for run in piano.runs(quick=False) if run.name == "labels")
    earlier = with_settings(now, noise_ms=77.0)
    scores = {"scores": {"close": {"50ms": {"F1": 12.5}}}}
    for run in (earlier, now):
        append_line(line_of(run, Outcome(0, 0.0, (), scores)), tmp_path)
    assert [line["key"] for line in current_lines("piano", tmp_path)] == [now.key]
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    text = render(page, tmp_path)
    assert "| set | σ = 50 ms |" in text
    assert "77" not in text.split("<!-- piano-labels -->")[1].split("<!--")[0]


def test_half_precision_learns_the_same(tmp_path: Path, half_precision: str) -> None:
    """Training computes with half the digits: the curve is near, the scores have all digits."""
    (listed,) = [run for run in drums.runs(quick=True) if run.name == "look-cross-entropy"]
    lines = []
    for precision in ("float32", half_precision):
        run = with_settings(listed, steps=20, validations=4, precision=precision)
        run_all(drums, [run], tmp_path, results=tmp_path, quick=True)
        lines.append(read_lines("drums", tmp_path)[-1])
    curves = [[loss for _, loss in line["validation_curve"]] for line in lines]
    assert curves[0] != curves[1]
    assert curves[0] == pytest.approx(curves[1], rel=0.05)


def test_the_map_averages_what_is_near() -> None:
    places = [(0.0, 0.0), (100.0, 0.0)]
    estimates = nadaraya_watson(places, [10.0, 20.0], [(0.0, 0.0), (50.0, 40.0), (1e5, 0.0)])
    assert estimates.tolist() == pytest.approx([10.0, 15.0, 20.0])
    # Of a sweep that has only begun the table tells no more than is there.
    settings = {"noise_ms": 20.0, "softness_ms": 80.0, "steps": 1}
    scores = {"scores": {"test": {"mass": {"50ms": {"F1": 81.0}}}}}
    line = {"name": "map", "settings": settings, "converged": True, "result": scores}
    rows = [row.split(" | ") for row in map_table([line]).splitlines()[2:]]
    assert rows[0] == ["| kits never heard (1)", "10", "–", "–", "–", "–", "– |"]
    assert rows[3] == ["| kits never heard (1)", "75", "81.0", "81.0", "–", "–", "– |"]


def test_tables_without_lines_say_so() -> None:
    for experiment in EXPERIMENTS:
        for make in load_report(experiment).TABLES.values():
            assert make([]) == NOT_RUN
