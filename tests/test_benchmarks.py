"""Benchmarks: the rival decoder does what it says, and no figure was typed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from benchmarks.drums.experiment import first_minutes
from benchmarks.drums.pictures import choose_stretches
from benchmarks.drums.velocity import Found, score
from benchmarks.peak_picking import PeakSettings, pick_peaks, tune_peaks
from benchmarks.tables.markdown import replace_table
from benchmarks.tables.pages import PAGES, TABLES
from softloc.errors import SettingsError
from softloc.events import Corpus, Onset
from softloc.timebase import FrameGrid

GRID = FrameGrid(44_100, 441)


def test_peaks_are_local_maxima_above_the_threshold() -> None:
    p = np.zeros((2, 40))
    p[0, [0, 10, 12, 20, 39]] = (0.9, 0.6, 0.7, 0.2, 0.8)  # 10 and 12 are closer than 30 ms
    p[1, [15, 16]] = (0.5, 0.5)
    onsets = pick_peaks(p, ["KD", "SD"], GRID, PeakSettings(0.3))
    found = [(onset.label, round(onset.time_s / GRID.hop_s)) for onset in onsets]
    assert found == [("KD", 0), ("KD", 12), ("SD", 15), ("KD", 39)]


def test_smoothing_joins_what_is_spread() -> None:
    p = np.zeros((1, 60))
    p[0, [28, 32]] = 0.5
    assert len(pick_peaks(p, ["KD"], GRID, PeakSettings(0.1))) == 2
    (onset,) = pick_peaks(p, ["KD"], GRID, PeakSettings(0.1, smoothing_ms=30.0))
    assert onset.time_s == pytest.approx(30 * GRID.hop_s)


def literal_peaks(row: NDArray[np.float32], reach: int, threshold: float) -> list[int]:
    """Frames that are above all `reach` frames before and not below any of those after."""
    return [
        frame
        for frame, value in enumerate(row)
        if value >= threshold
        and all(value > other for other in row[max(frame - reach, 0) : frame])
        and all(value >= other for other in row[frame + 1 : frame + reach + 1])
    ]


@pytest.mark.parametrize(("hop", "reach"), [(220, 6), (441, 3), (882, 2), (1323, 1)])
def test_peaks_are_those_of_the_definition(hop: int, reach: int) -> None:
    grid = FrameGrid(44_100, hop)
    # Few levels: neighbours are often equal.
    p = np.random.default_rng(0).integers(0, 6, size=(3, 300)).astype(np.float32) / 5
    names = ["KD", "SD", "HH"]
    for threshold in (0.01, 0.4, 1.0):
        onsets = pick_peaks(p, names, grid, PeakSettings(threshold))
        for row, name in zip(p, names, strict=True):
            found = [round(o.time_s / grid.hop_s) for o in onsets if o.label == name]
            assert found == literal_peaks(row, reach, threshold)


def test_the_settings_with_the_best_f1_are_chosen() -> None:
    def f1_of(peaks: PeakSettings) -> float:
        return -abs(peaks.threshold - 0.31) - abs(peaks.smoothing_ms - 19.0)

    assert tune_peaks(f1_of) == PeakSettings(0.3, 20.0)


def test_errors_of_velocities() -> None:
    """Two recordings, one of them labelled 10 higher; false alarms and unmatched events aside."""
    times_s = np.arange(10.0)
    truth = np.array([20.0, 40, 60, 80, 100, 30, 50, 70, 90, np.nan])
    given = np.where(np.isnan(truth), 127.0, 50.0 + 0.5 * (truth - 60.0))
    plain = [Found(times_s, truth + up, {"given": given}) for up in (0.0, 10.0)]
    # Turned down, one event is lost and the others are 3 lower.
    quieter = [
        Found(times_s[1:] + 0.01, found.velocities[1:], {"given": given[1:] - 3.0})
        for found in plain
    ]
    scores = score([plain], [quieter], lambda _, found: found.inputs["given"], ["KD"])
    errors = [np.abs(given[:9] - truth[:9] - up).mean() for up in (0.0, 10.0)]
    assert scores["KD"] == {
        "events": 18,
        "recordings": 2,
        "mae": pytest.approx(np.mean(errors), abs=1e-3),
        "mae_affine": 0.0,
        "r": 1.0,
        "gain": 3.0,
    }
    assert scores["mean"]["mae"] == scores["KD"]["mae"]
    constant = score([plain], [quieter], lambda _, found: np.full(len(found.times_s), 60.0), ["KD"])
    assert constant["KD"]["r"] == 0.0
    assert constant["KD"]["mae_affine"] == pytest.approx(np.abs(truth[:9] - 60.0).mean(), abs=1e-3)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name + "/" + page.name)
def test_tables_agree_with_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert any(f"<!-- {name} -->" in text for name in TABLES)
    for name, make in TABLES.items():
        assert replace_table(text, name, make) == text, f"run python -m benchmarks.tables: {name}"


def test_campaigns_are_summed_and_doubtful_counts_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(n: int, survived: int, landed: int | None = None) -> dict[str, int]:
        more = {} if landed is None else {"landed": landed}
        return {"injected": n, "survived": survived, **more}

    def fuzz(inputs: int, **bad: int) -> dict[str, object]:
        counts = {"read": 1, "refused": 2, "by_command": 3, "crashes": 0, "hangs": 0}
        counts |= {"over_memory": 0} | bad
        return {"campaign": "fuzz midi", "seconds": 90.0, "inputs": inputs, **counts}

    runs = [
        {"campaign": "faults batch", "kill": fault(10, 10), "interrupt": fault(20, 20)},
        {"campaign": "faults training", "kill": fault(50, 49, 48), "interrupt": fault(50, 50, 37)},
        {"campaign": "faults batch", "kill": fault(5, 5, 4), "disk": fault(4, 3)},
        {"campaign": "load batch"},
        fuzz(1_000),
        fuzz(500, crashes=1, hangs=2),
    ]
    lines = "".join(json.dumps(run) + "\n" for run in runs)
    (tmp_path / "robustness.jsonl").write_text(lines)
    monkeypatch.setattr("benchmarks.tables.results.RESULTS", tmp_path)
    assert TABLES["faults"]().splitlines()[2:] == [
        "| batch | 15 of 15 | – | – | 3 of 4 | – |",
        "| training | 49 of 50 | 50 of 50 | – | – | – |",
    ]
    assert TABLES["fuzz"]().splitlines()[2:] == ["| midi | 3 | 1,500 | 2 | 4 | 6 | 1 | 2 | 0 |"]
    assert TABLES["survival"]().splitlines()[2:] == [
        "| damaged MIDI files | 1,497 of 1,500 |",
        "| kill -9: batch, training | 64 of 65 |",
        "| Ctrl-C: training | 50 of 50 |",
        "| full disk: batch | 3 of 4 |",
    ]


def test_stretches_hold_the_labels_of_their_seconds(tmp_path):
    rows = ["file,time_s,label", "a.flac,0.5,KD", "a.flac,3.0,SD", "a.flac,9.0,HH", "b.flac,,"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    starts = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        (stretch,) = choose_stretches(tmp_path / "labels.csv", "real", 5, rng)
        assert stretch.path == tmp_path / "a.flac"
        starts.add(stretch.start_s)
        inside = [o.time_s - stretch.start_s for o in stretch.onsets]
        assert inside
        assert all(0.0 <= time_s < 4.0 for time_s in inside)
    assert len(starts) > 1


def test_the_first_minutes_of_a_corpus_are_those_of_a_shorter_one(tmp_path: Path) -> None:
    """The renderer stops with the recording that fills the minutes; so does what is taken."""
    names = [f"audio/train-{number:05d}.wav" for number in range(4)]
    (tmp_path / "audio").mkdir()
    for name in names:
        sf.write(tmp_path / name, np.zeros(25 * 1_000), 1_000)
    shuffled = {name: [Onset(0.1, "KD")] for name in (names[2], names[0], names[3], names[1])}
    corpus = Corpus(tmp_path / "labels.csv", "table", tmp_path, shuffled)
    assert list(first_minutes(corpus, 1).recordings) == names[:3]
    sf.write(tmp_path / names[1], np.zeros(35 * 1_000), 1_000)  # exactly a minute
    assert list(first_minutes(corpus, 1).recordings) == names[:2]
    with pytest.raises(SettingsError, match=r"holds 0\.\d minutes less than 2"):
        first_minutes(corpus, 2)
