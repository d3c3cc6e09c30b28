"""What the campaigns of load compare, and that they notice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import soundfile

from benchmarks.robustness.load import (
    PATTERN_S,
    SILENCE_S,
    _by_repetition,
    _counts,
    _cpu_of_hour,
    _differences,
    _largest_difference_ms,
    load_batch,
    write_excerpts,
    write_repetitions,
)
from softloc import Onset


def test_excerpts_are_those_of_their_seed(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        folder.mkdir()
        write_excerpts(folder, 3, seed)
    first, again, other = ([path.read_bytes() for path in sorted(f.iterdir())] for f in folders)
    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == 3
    for path in folders[0].iterdir():
        assert 1.0 <= soundfile.info(path).duration < 2.0


def test_pattern_repeats_and_ends_in_silence(tmp_path: Path) -> None:
    write_repetitions(tmp_path / "a.wav", 2)
    assert soundfile.info(tmp_path / "a.wav").format == "RF64"
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    first, second = samples.reshape(2, PATTERN_S * rate_hz)
    assert (first == second).all()
    assert not first[-SILENCE_S * rate_hz :].any()
    assert first[: -SILENCE_S * rate_hz].any()


def test_events_are_compared_by_repetition() -> None:
    pattern = [Onset(0.5, "KD"), Onset(1.0, "SD"), Onset(7.0, "KD")]
    shifted = [Onset(PATTERN_S + onset.time_s + 0.002, onset.label) for onset in pattern]
    first, second = _by_repetition([*pattern, *shifted], 2)
    assert _counts(first) == _counts(second) == {"KD": 2, "SD": 1}
    assert _largest_difference_ms([(first, pattern)]) == 0.0
    assert _largest_difference_ms([(first, pattern), (second, pattern)]) == pytest.approx(2.0)
    assert _counts(second[1:]) != _counts(first)


def test_processor_time_of_an_hour_is_read_between_looks() -> None:
    """Two seconds for each byte of the first half, three for each of the second."""
    progress = [(0, 1.0), (3, 7.0), (6, 13.0), (12, 31.0)]
    assert _cpu_of_hour(progress, 12, 0, 4) == 6.0
    assert _cpu_of_hour(progress, 12, 3, 4) == 9.0
    assert _cpu_of_hour([], 12, 0, 4) is None


def test_missing_and_changed_results_are_counted() -> None:
    found, wanted = {"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3", "c": b"4"}
    assert _differences(found, wanted, "alone") == {
        "compared_with_alone": 3,
        "different_from_alone": 2,
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_small_batch_is_measured() -> None:
    rows = load_batch(4, 2, [2], 1, seed=0)
    assert [(row["files"], row["jobs"]) for row in rows] == [(2, 2), (4, 2)]
    for row in rows:
        assert row["results_missing"] == row["different_from_alone"] == 0
        assert len(row["peak_mb_of_workers"]) == 2
        assert row["peak_mb"] > 10.0
    assert sum(row["compared_with_alone"] for row in rows) >= 2
