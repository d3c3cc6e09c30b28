"""Readers of time series: tiny files of the same form, and what is said of bad ones."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.paper.series import (
    SMOKERS,
    STEP_SAMPLES,
    TARGETS,
    read_ludb,
    read_puffmarker,
)
from softloc.errors import AnnotationError

ANNOTATIONS = """record,lead,time,label
7,ii,0.300,QRS
7,ii,0.420,T
7,v2,0.500,QRS
7,ii,0.318,QRS
7,ii,0.800,QRS
9,ii,0.000,QRS
"""


@pytest.fixture
def ludb(tmp_path: Path) -> Path:
    """Two records of 1 s and two leads; the R wave of record 7 is in the sample of 0.3 s."""
    signals = np.zeros((2, 2, 500), dtype=np.int16)
    signals[:, :, 1::2] = 10
    signals[0, 1, 150] = 1_000
    np.savez(
        tmp_path / "ludb.npz",
        signals=signals,
        records=np.array([7, 9]),
        leads=np.array(["v2", "ii"]),
        fs=500,
    )
    (tmp_path / "annotations.csv").write_text(ANNOTATIONS, encoding="utf-8")
    (tmp_path / "spans.csv").write_text(
        "record,lead,start,end,n_p,n_qrs,n_t\n"
        "7,v2,0.0,0.998,0,1,0\n7,ii,0.170,0.818,0,3,1\n9,ii,0.0,0.998,0,1,0\n",
        encoding="utf-8",
    )
    (tmp_path / "folds.csv").write_text("record,fold,rhythm\n7,4,x\n9,0,y\n", encoding="utf-8")
    return tmp_path


def test_ludb(ludb: Path) -> None:
    first, second = read_ludb(ludb, "QRS")
    assert (first.name, first.fold, second.name, second.fold) == ("7", 4, "9", 0)
    # Steps of 80 ms that lie inside 0.170 to 0.818 s: those from 0.24 to 0.80 s.
    assert first.features.shape == (7, 2 * 8)
    # 0.300 and 0.318 s share the first step; 0.800 s lies beyond the last whole one.
    assert first.events.tolist() == [0]
    assert second.features.shape == (12, 2 * 8)
    assert second.events.tolist() == [0]
    (t_wave,) = read_ludb(ludb, "T")[0].events
    assert t_wave == 2
    highest = first.features[:, 5]  # statistic by statistic, lead by lead: maximum of lead ii
    assert highest.argmax() == 0
    assert highest[0] > 10 * abs(highest[1:]).max()


def test_features_of_a_step(ludb: Path) -> None:
    """Computed literally from the samples of one step and its neighbours."""
    series = read_ludb(ludb, "QRS")[1]
    with np.load(ludb / "ludb.npz") as arrays:
        samples = arrays["signals"][1].astype(float)[:, : 12 * STEP_SAMPLES]
    scaled = (samples - np.median(samples, axis=1)[:, None]) / samples.std(axis=1)[:, None]
    step = 5
    here = scaled[:, step * STEP_SAMPLES : (step + 1) * STEP_SAMPLES]
    expected = [
        [row.mean() for row in here],
        [row.min() for row in here],
        [row.max() for row in here],
        [row.std() for row in here],
        [min(b - a for a, b in pairwise(row)) for row in here],
        [max(b - a for a, b in pairwise(row)) for row in here],
        [0.0, 0.0],
        [0.0, 0.0],
    ]
    assert series.features[step] == pytest.approx(np.concatenate(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("annotations.csv", "record,lead,time,label\n7,ii,soon,QRS\n", r"line 2: 'soon' is no num"),
        ("annotations.csv", "record,lead,time,label\n8,ii,0.1,QRS\n", "no signal of record '8'"),
        ("annotations.csv", "record,lead,label\n", "line 1: there must be columns"),
        ("annotations.csv", "record,lead,time,label\n7,ii,0.1\n", "line 2: has 3 cells, not 4"),
        ("annotations.csv", "record,lead,time,label\n7,ii,-0.1,QRS\n", "before the record begins"),
        ("folds.csv", "record,fold\n7,1\n", "record 9 has no span or no fold"),
        ("folds.csv", "record,fold\n7,nan\n", "line 2: 'nan' is no number"),
        ("ludb.npz", "not an archive", "not a file of NumPy arrays"),
        ("spans.csv", None, "there is no such file"),
        ("ludb.npz", None, "there is no such file"),
    ],
)
def test_bad_ludb(ludb: Path, file: str, text: str | None, message: str) -> None:
    (ludb / file).unlink()
    if text is not None:
        (ludb / file).write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=message) as caught:
        read_ludb(ludb, "QRS")
    assert str(ludb) in str(caught.value)


def test_an_array_is_missing(ludb: Path) -> None:
    np.savez(ludb / "ludb.npz", records=np.array([7]))
    with pytest.raises(AnnotationError, match="leads"):
        read_ludb(ludb, "QRS")


@pytest.fixture
def puffmarker(tmp_path: Path) -> Path:
    """Six smokers of four breaths; 84 minutes pass between the second and the third."""
    for smoker in SMOKERS:
        times_ms = (0, 4_000, 5_044_000, 5_048_000)
        rows = [f"{ms},0,{i + smoker},{-i}" for i, ms in enumerate(times_ms)]
        text = "\n".join(["time,id,a,b", *rows, ""])
        (tmp_path / f"features_{smoker}.csv").write_text(text, encoding="utf-8")
        labels = "\n".join(["n,t,x,label", *(f"0,0,0,{int(i % 2 == 1)}" for i in range(4))])
        (tmp_path / f"predictions_{smoker}.csv").write_text(labels, encoding="utf-8")
    return tmp_path


def test_puffmarker(puffmarker: Path) -> None:
    series = read_puffmarker(puffmarker)
    assert len({each.name for each in series}) == 2 * len(SMOKERS)
    assert [each.fold for each in series] == [fold for fold in range(6) for _ in range(2)]
    assert series[1].features.tolist() == [[12.0, -2.0], [13.0, -3.0]]
    assert all(each.events.tolist() == [1] for each in series)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("features_11.csv", "t,i,a\n0,0,1\n", "has 4 breaths, but features_11.csv 1"),
        ("features_11.csv", "t,i\n0,0\n", "has 2 columns, so no features"),
        ("features_11.csv", "t,i,a\n0,0,1\n1,0\n", "line 3: has 2 columns, unlike the others"),
        ("features_11.csv", "t,i,a\n0,0,x\n", "line 2: 'x' is no number"),
        ("features_11.csv", "t,i,a\n", "has no breaths"),
        ("predictions_12.csv", "a,b\n0,0\n", "line 2: has 2 columns"),
        ("predictions_12.csv", None, "there is no such file"),
    ],
)
def test_bad_puffmarker(puffmarker: Path, file: str, text: str | None, message: str) -> None:
    (puffmarker / file).unlink()
    if text is not None:
        (puffmarker / file).write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=message):
        read_puffmarker(puffmarker)


@pytest.mark.data
def test_the_pack(data_root: Path) -> None:
    if not (data_root / "ecg").is_dir():
        pytest.skip(f"{os.fspath(data_root)} has no ecg")
    for target, n_peaks in zip(TARGETS, (1831, 1642), strict=True):
        series = read_ludb(data_root / "ecg", target)
        assert np.bincount([each.fold for each in series]).tolist() == [34, 34, 33, 33, 33, 33]
        # What is lost lies in the steps that the span ends cut, or shares a step.
        assert 0.9 * n_peaks < sum(len(each.events) for each in series) <= n_peaks
        assert all(np.isfinite(each.features).all() for each in series)
