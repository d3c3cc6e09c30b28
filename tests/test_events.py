"""Events: what no event can be, order, names of recordings."""

from __future__ import annotations

import math

import pytest

from softloc.errors import AnnotationError
from softloc.events import Onset, recording_stem, sort_onsets


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"time_s": math.nan}, "finite number, not nan"),
        ({"time_s": math.inf}, "finite number, not inf"),
        ({"time_s": 1e300}, "beyond all recordings"),
        ({"time_s": -9.3e12}, "beyond all recordings"),
        ({"label": ""}, "has no label"),
        ({"midi_note": 128}, "0-127, not 128"),
        ({"velocity": 0}, "1-127, not 0"),
        ({"confidence": 1.2}, "0-1, not 1.2"),
        ({"confidence": math.nan}, "0-1, not nan"),
        ({"time_std_s": -0.1}, "time_std_s cannot be -0.1"),
        ({"softness_ms": math.nan}, "softness_ms cannot be nan"),
    ],
)
def test_impossible_events_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        Onset(**{"time_s": 1.0, "label": "KD", **fields})  # type: ignore[arg-type]


def test_onset_at_zero_and_before_is_an_event() -> None:
    assert Onset(0.0, "KD").time_s == 0.0
    assert Onset(-0.01, "KD").time_s == -0.01


def test_infinite_softness_is_allowed() -> None:
    assert Onset(0.0, "KD", softness_ms=math.inf).softness_ms == math.inf


def test_order_is_by_time_then_label() -> None:
    onsets = [Onset(1.0, "SD"), Onset(0.5, "HH"), Onset(1.0, "KD")]
    assert [(o.time_s, o.label) for o in sort_onsets(onsets)] == [
        (0.5, "HH"), (1.0, "KD"), (1.0, "SD"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("song.wav", "song"),
        ("a/b/song.softloc.csv", "song"),
        ("song.v1.wav", "song.v1"),
        ("song", "song"),
        ("a.b/söng 1.mid", "söng 1"),
    ],
)
def test_stem_of_a_recording(name: str, stem: str) -> None:
    assert recording_stem(name) == stem
