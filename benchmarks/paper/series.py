"""Time series with point events: LUDB electrocardiograms, and puffMarker for those who own it.

Both become a list of `Series`: features of each step, the steps that hold an event, and the fold
that is left out together. Labels are whole steps here, and so is their noise.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softloc.errors import AnnotationError

#: The lead whose labels are used; the others only give features.
LABELLED_LEAD = "ii"
TARGETS = ("QRS", "T")
#: Samples of LUDB in one step: 80 ms. A beat has about ten steps, as puffs have breaths.
STEP_SAMPLES = 40
N_FOLDS = 6

#: Who took part in puffMarker's training sessions, by the number in the names of the files.
SMOKERS = (10, 11, 12, 14, 15, 16)
#: A longer gap between breaths begins another session. The published code has the number without
#: a unit; in milliseconds it is 83 minutes, in microseconds every slow breath would be a session.
SESSION_GAP_MS = 5_000_000
#: Timestamps and the identity of a breath, which are no features.
_PUFF_COLUMNS_NOT_FEATURES = 2
_PUFF_LABEL_COLUMN = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One recording.

    Attributes
    ----------
    name : str
        Unique.
    fold : int
        Series of one fold are left out together.
    features : ndarray of float32, shape (n_steps, n_features)
    events : ndarray of int, shape (n_events,)
        Step of each event, in order; no step twice in the truth, any in noisy labels.
    """

    name: str
    fold: int
    features: NDArray[np.float32]
    events: NDArray[np.int64]


def read_ludb(folder: Path, target: str) -> list[Series]:
    """Read the ECG pack: one series per record, with the peaks of QRS or T that lead ii has.

    A record is cut to its annotated span, on a grid of steps that begins with the record. Every
    step has eight numbers of each of four leads: mean, lowest and highest sample, standard
    deviation, steepest fall and rise, and how far the mean lies above that of the step before and
    of the step after. Samples are centred by the median of the span and divided by its standard
    deviation.

    Parameters
    ----------
    folder : Path
        Holds ``ludb.npz``, ``annotations.csv``, ``spans.csv`` and ``folds.csv``.
    target : {"QRS", "T"}

    Returns
    -------
    list of Series
        In order of record.

    Raises
    ------
    AnnotationError
        If a file is missing or damaged, or has a value that makes no sense; names the line.
    """
    signals, records, leads, rate_hz = _read_signals(folder / "ludb.npz")
    if LABELLED_LEAD not in leads:
        raise AnnotationError(f"{folder / 'ludb.npz'}: there is no lead {LABELLED_LEAD}")
    folds = {
        row["record"]: _whole(row["fold"], where)
        for where, row in _rows(folder / "folds.csv", ("record", "fold"))
    }
    spans = {
        row["record"]: (_seconds(row["start"], where), _seconds(row["end"], where))
        for where, row in _rows(folder / "spans.csv", ("record", "lead", "start", "end"))
        if row["lead"] == LABELLED_LEAD
    }
    peaks_s: dict[str, list[float]] = {record: [] for record in records}
    columns = ("record", "lead", "time", "label")
    for where, row in _rows(folder / "annotations.csv", columns):
        if row["record"] not in peaks_s:
            raise AnnotationError(f"{where}: there is no signal of record {row['record']!r}")
        if (row["lead"], row["label"]) == (LABELLED_LEAD, target):
            peaks_s[row["record"]].append(_seconds(row["time"], where))
    series = []
    for record, signal in zip(records, signals, strict=True):
        if record not in spans or record not in folds:
            raise AnnotationError(f"{folder}: record {record} has no span or no fold")
        first, last = (round(time_s * rate_hz) for time_s in spans[record])
        begin, end = -(-first // STEP_SAMPLES), (last + 1) // STEP_SAMPLES
        steps = np.array([round(t * rate_hz) // STEP_SAMPLES for t in peaks_s[record]], dtype=int)
        events = np.unique(steps[(steps >= begin) & (steps < end)]) - begin
        series.append(Series(record, folds[record], _describe(signal, begin, end), events))
    return series


def _read_signals(path: Path) -> tuple[NDArray[np.int16], list[str], list[str], int]:
    try:
        with np.load(path) as arrays:
            records = [str(record) for record in arrays["records"]]
            leads = [str(lead) for lead in arrays["leads"]]
            return arrays["signals"], records, leads, int(arrays["fs"])
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: there is no such file; is the folder right?") from error
    except KeyError as error:
        raise AnnotationError(f"{path}: {error.args[0]}") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise AnnotationError(f"{path}: not a file of NumPy arrays ({error})") from error


def _describe(signal: NDArray[np.int16], begin: int, end: int) -> NDArray[np.float32]:
    """Turn (leads, samples) into the features of steps begin to end."""
    samples = slice(begin * STEP_SAMPLES, end * STEP_SAMPLES)
    inside = signal[:, samples].astype(np.float64)
    centre = np.median(inside, axis=1, keepdims=True)
    # A lead that fell off is flat.
    scale = np.maximum(inside.std(axis=1, keepdims=True), 1.0)
    level = ((inside - centre) / scale).reshape(len(signal), end - begin, STEP_SAMPLES)
    slope = np.diff(level, axis=2)
    mean = level.mean(axis=2)
    padded = np.pad(mean, ((0, 0), (1, 1)), mode="edge")
    rows = (
        mean,
        level.min(axis=2),
        level.max(axis=2),
        level.std(axis=2),
        slope.min(axis=2),
        slope.max(axis=2),
        mean - padded[:, :-2],
        mean - padded[:, 2:],
    )
    return np.concatenate(rows).T.astype(np.float32)


def read_puffmarker(folder: Path) -> list[Series]:
    """Read the training sessions of puffMarker (Saleheen et al., 2015), which are on request.

    The form is that which the published code of SoftLoc reads (``PuffDetection.py`` of its AAAI
    2021 repository): for each of six smokers ``features_<n>.csv``, a breath a row, with a
    timestamp in milliseconds, one column that is no feature, and the features; and
    ``predictions_<n>.csv`` with the same rows, whose fourth column is 1 where the breath is a puff.
    Both have a line of names. A gap of more than 83 minutes begins another session. Nobody here
    has the files: this was tested on made-up ones of that form only.

    Parameters
    ----------
    folder : Path
        Holds the files.

    Returns
    -------
    list of Series
        One per session; a smoker is a fold.

    Raises
    ------
    AnnotationError
        If a file is missing, a cell is no number, or the two files differ in length.
    """
    series = []
    for fold, smoker in enumerate(SMOKERS):
        features_path = folder / f"features_{smoker}.csv"
        table = _numbers(features_path)
        if table.shape[1] <= _PUFF_COLUMNS_NOT_FEATURES:
            raise AnnotationError(f"{features_path}: has {table.shape[1]} columns, so no features")
        labels_path = folder / f"predictions_{smoker}.csv"
        is_puff = _numbers(labels_path, _PUFF_LABEL_COLUMN)[:, 0]
        if len(is_puff) != len(table):
            raise AnnotationError(
                f"{labels_path}: has {len(is_puff)} breaths, but {features_path.name} {len(table)}"
            )
        starts = np.flatnonzero(np.diff(table[:, 0]) > SESSION_GAP_MS) + 1
        for session, rows in enumerate(np.split(np.arange(len(table)), starts)):
            features = table[rows, _PUFF_COLUMNS_NOT_FEATURES:].astype(np.float32)
            puffs = np.flatnonzero(is_puff[rows] == 1)
            series.append(Series(f"{smoker}-{session}", fold, features, puffs))
    return series


def _numbers(path: Path, column: int | None = None) -> Floats:
    """Read all columns of numbers below a line of names, or one of them."""
    rows: list[list[float]] = []
    for where, cells in _lines(path):
        wanted = cells if column is None else cells[column : column + 1]
        if not wanted or (rows and len(wanted) != len(rows[0])):
            raise AnnotationError(f"{where}: has {len(cells)} columns, unlike the others")
        rows.append([_number(cell, where) for cell in wanted])
    if not rows:
        raise AnnotationError(f"{path}: has no breaths")
    return np.array(rows)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield where a row of a CSV file stands, and its cells by column."""
    names: list[str] | None = None
    for where, cells in _lines(path, skip=0):
        if names is None:
            names = cells
            if set(columns) - set(names):
                raise AnnotationError(f"{where}: there must be columns {', '.join(columns)}")
        elif len(cells) != len(names):
            raise AnnotationError(f"{where}: has {len(cells)} cells, not {len(names)}")
        else:
            yield where, dict(zip(names, cells, strict=True))


def _lines(path: Path, skip: int = 1) -> Iterator[tuple[str, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, cells in enumerate(csv.reader(file), start=1):
                if number > skip and cells:
                    yield f"{path}, line {number}", cells
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: there is no such file; is the folder right?") from error


def _number(text: str, where: str) -> float:
    return _parse(text, where, float)


def _whole(text: str, where: str) -> int:
    return int(_parse(text, where, int))


def _seconds(text: str, where: str) -> float:
    time_s = _number(text, where)
    if time_s < 0:
        raise AnnotationError(f"{where}: {text} is before the record begins")
    return time_s


def _parse(text: str, where: str, kind: Callable[[str], float]) -> float:
    try:
        value = kind(text)
    except ValueError as error:
        raise AnnotationError(f"{where}: {text!r} is no number") from error
    if not np.isfinite(value):
        raise AnnotationError(f"{where}: {text!r} is no number")
    return value
