"""Clicks beside the recording: to the sample, never clipped, in flat memory."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from softloc.audio import BLOCK_S
from softloc.errors import SettingsError
from softloc.events import Onset
from softloc.report.clicks import click_pitches, render_click
from softloc.report.sonification import ClickReader, ClickTrack, write_sonification

RATE_HZ = 8_000


def write_tone(path: Path, duration_s: float, level: float = 0.5, rate_hz: int = RATE_HZ) -> Path:
    time_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    soundfile.write(path, level * np.sin(300 * time_s), rate_hz, subtype="FLOAT", format="WAV")
    return path


def sonify(path: Path, onsets: list[Onset], name: str = "check.wav") -> np.ndarray:
    target = path.parent / name
    write_sonification(target, path, onsets)
    samples, _ = soundfile.read(target, dtype="float64")
    return samples


@pytest.mark.parametrize("name", ["check.wav", "check.flac"])
def test_clicks_start_at_the_sample_of_their_event(tmp_path: Path, name: str) -> None:
    # At the start, off the grid of samples, at the last sample, and at the seam of two blocks.
    times_s = [0.0, 0.50006, 1.0, BLOCK_S - 1 / RATE_HZ, BLOCK_S + 0.5, 11.0 - 1 / RATE_HZ]
    source = write_tone(tmp_path / "tone.wav", 11.0)
    samples = sonify(source, [Onset(time_s, "KD") for time_s in times_s], name)
    assert samples.shape == (88_000, 2)
    loud = np.abs(samples[:, 1]) > 1e-6
    starts = np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]]))
    # A click crosses 0 on its way: what follows within its length belongs to it.
    first = [start for i, start in enumerate(starts) if i == 0 or start - starts[i - 1] > 240]
    assert first == [0, 4_000, 8_000, 79_999, 84_000, 87_999]
    assert samples[first, 1] == pytest.approx(0.5, abs=1e-6)


def test_the_left_side_is_the_recording(tmp_path: Path) -> None:
    source = write_tone(tmp_path / "tone.wav", 1.0)
    original, _ = soundfile.read(source)
    left = sonify(source, [Onset(0.2, "KD")])[:, 0]
    assert np.abs(left - original).max() < 2**-23


def test_classes_have_distinct_pitches() -> None:
    for labels in (("KD", "SD", "HH", "TT", "CY"), ("zap", "bang"), ("60", "61", "72")):
        pitches = click_pitches(labels)
        assert len(set(pitches)) == len(labels)
        assert all(later / earlier > 1.05 for earlier, later in itertools.pairwise(pitches))
    assert click_pitches(("69",)) == (440.0,)
    assert click_pitches(()) == ()


def test_the_pitch_is_heard_in_the_click(tmp_path: Path) -> None:
    rate_hz = 44_100
    click = render_click(2_000.0, rate_hz)
    spectrum = np.abs(np.fft.rfft(click, 1 << 16))
    assert spectrum.argmax() * rate_hz / (1 << 16) == pytest.approx(2_000, rel=0.01)
    assert click[0] == 1.0


def test_nothing_clips(tmp_path: Path) -> None:
    loud = write_tone(tmp_path / "loud.wav", 1.0, level=3.0)
    samples = sonify(loud, [Onset(0.5, label) for label in ("KD", "SD", "HH", "TT")] * 5)
    assert np.abs(samples).max() < 1.0
    assert np.abs(samples[:, 0]).max() > 0.99
    assert np.flatnonzero(samples[:, 1])[0] == 4_000


def test_events_outside_have_no_click(tmp_path: Path) -> None:
    source = write_tone(tmp_path / "tone.wav", 1.0)
    onsets = [Onset(-0.1, "KD"), Onset(0.5, "KD"), Onset(1.0, "KD")]
    assert write_sonification(tmp_path / "check.wav", source, onsets) == 2
    samples, _ = soundfile.read(tmp_path / "check.wav")
    assert np.flatnonzero(samples[:, 1])[0] == 4_000


def test_an_open_file_is_read_from_its_start(tmp_path: Path) -> None:
    source = write_tone(tmp_path / "tone.wav", 1.0)
    content = io.BytesIO(source.read_bytes())
    content.read()
    write_sonification(tmp_path / "a.wav", content, [Onset(0.5, "KD")])
    write_sonification(tmp_path / "b.wav", source, [Onset(0.5, "KD")])
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    source = write_tone(tmp_path / "tone.wav", 0.1)
    with pytest.raises(SettingsError, match=r"\.wav or a \.flac file, not 'check.mp3'"):
        write_sonification(tmp_path / "check.mp3", source, [])
    assert [path.name for path in tmp_path.iterdir()] == ["tone.wav"]


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from(["KD", "SD", "HH"])), max_size=30),
    st.lists(st.integers(1, 900), min_size=1, max_size=40),
)
def test_blocks_do_not_matter(events: list[tuple[float, str]], lengths: list[int]) -> None:
    track = ClickTrack([Onset(time_s, label) for time_s, label in events], RATE_HZ, sum(lengths))
    reader = ClickReader(track)
    pieces = np.concatenate([reader.read(length) for length in lengths])
    # The literal version: every click added where it belongs.
    whole = np.zeros(sum(lengths) + RATE_HZ)
    for time_s, label in events:
        start = round(time_s * RATE_HZ)
        if start < sum(lengths):
            click = track.click_of[label]
            whole[start : start + len(click)] += click
    np.testing.assert_allclose(pieces, whole[: sum(lengths)], atol=1e-5)
