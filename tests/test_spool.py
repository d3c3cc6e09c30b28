"""Events that wait in a file."""

from __future__ import annotations

import numpy as np
import pytest

from softloc import spool
from softloc.errors import OutputError
from softloc.spool import EVENT, EventSpool, Labeller
from softloc.velocity import centred_velocities


def make_events(n_events: int, rng: np.random.Generator) -> np.ndarray:
    events = np.zeros(n_events, dtype=EVENT)
    events["time_s"] = np.sort(rng.uniform(0.0, 100.0, n_events))
    events["label"] = rng.integers(0, 3, n_events)
    events["mass"] = rng.uniform(0.5, 1.4, n_events)
    events["time_std_s"] = rng.uniform(0.0, 0.1, n_events)
    events["loudness"] = rng.normal(0.0, 30.0, n_events)
    return events


def make_spool() -> EventSpool:
    return EventSpool(Labeller(("KD", "SD", "x"), (36, 38, None), np.array([80.0, 60.0, np.nan])))


@pytest.mark.parametrize("memory_bytes", [1, 1 << 20])
def test_events_come_back_as_often_as_wanted(
    memory_bytes: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", memory_bytes)
    events = make_events(10_000, rng)
    kept = make_spool()
    for part in np.array_split(events, 7):
        kept.add(part)
    assert len(kept) == 10_000
    onsets = list(kept)
    assert [onset.time_s for onset in onsets] == events["time_s"].tolist()
    assert [onset.label for onset in onsets[:100]] == [
        ("KD", "SD", "x")[i] for i in events["label"][:100]
    ]
    assert onsets[0].confidence == min(float(events["mass"][0]), 1.0)
    assert {onset.midi_note for onset in onsets if onset.label == "x"} == {None}
    # Two readers at a time do not disturb each other.
    assert [(a.time_s, b.velocity) for a, b in zip(kept, kept, strict=True)] == [
        (onset.time_s, onset.velocity) for onset in onsets
    ]
    kept.close()


def test_velocities_are_centred_over_all_events(rng: np.random.Generator) -> None:
    events = make_events(500, rng)
    kept = make_spool()
    for part in np.array_split(events, 50):
        kept.add(part)
    for index, (label, mean) in enumerate((("KD", 80.0), ("SD", 60.0))):
        loudness = events["loudness"][events["label"] == index]
        expected = centred_velocities(loudness, mean).tolist()
        assert [onset.velocity for onset in kept if onset.label == label] == expected
    assert {onset.velocity for onset in kept if onset.label == "x"} == {None}
    kept.close()


def test_a_full_disk_says_so(rng: np.random.Generator) -> None:
    kept = make_spool()
    kept._file.close()

    class Full:
        def seek(self, *_: int) -> None:
            raise OSError(28, "No space left on device")

    kept._file = Full()  # type: ignore[assignment]
    with pytest.raises(OutputError, match=r"cannot keep events in .*: No space left"):
        kept.add(make_events(3, rng))
