"""Events: what the labels say and what the network answers.

Conventions
-----------
- A time is in seconds from the start of the recording, a finite number. A label shifted by noise
  may lie before 0; whoever cannot use that (evaluation, MIDI) refuses it by name.
- A label is a non-empty name: a drum class of `softloc.vocabulary`, a MIDI note number as text
  (``"60"``), or any name of the user's own.
- Lists of events are sorted by time, then by label (`sort_onsets`).
- A corpus names its recordings by relative path with ``/``, whatever the system; labels and
  estimates of one recording find each other by its stem (`recording_stem`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from softloc.errors import AnnotationError

#: Thirty years: no recording is longer, and whole microseconds are exact up to here.
MAX_TIME_S = 1e9


@dataclass(frozen=True, slots=True)
class Onset:
    """One event: a point in time with a label.

    Attributes
    ----------
    time_s : float
        Seconds from the start of the recording.
    label : str
        Class of the event.
    midi_note : int or None
        Note number 0-127 it was read from or is to be written as; None takes the label's own.
    velocity : int or None
        MIDI velocity, 1-127.
    confidence : float or None
        Probability mass of the event, clipped to 1.
    time_std_s : float or None
        Spread of that mass in time (standard deviation), seconds.
    annotator : str or None
        Who set the label, where a corpus has several.
    softness_ms : float or None
        Uncertainty of the label's time that training shall assume (Section 4.4 of the paper).

    Raises
    ------
    AnnotationError
        If a field has a value that no event can have.
    """

    time_s: float
    label: str
    midi_note: int | None = None
    velocity: int | None = None
    confidence: float | None = None
    time_std_s: float | None = None
    annotator: str | None = None
    softness_ms: float | None = None

    def __post_init__(self) -> None:
        if not -MAX_TIME_S <= self.time_s <= MAX_TIME_S:  # NaN is neither
            if not math.isfinite(self.time_s):
                raise AnnotationError(
                    f"the time of an event must be a finite number, not {self.time_s}"
                )
            raise AnnotationError(
                f"{self.time_s:g} s is beyond all recordings: a time is at most {MAX_TIME_S:g} s"
            )
        if not self.label:
            raise AnnotationError(f"the event at {self.time_s:.6f} s has no label")
        if self.midi_note is not None and not 0 <= self.midi_note <= 127:
            raise AnnotationError(f"a MIDI note lies in 0-127, not {self.midi_note}")
        if self.velocity is not None and not 1 <= self.velocity <= 127:
            raise AnnotationError(f"a MIDI velocity lies in 1-127, not {self.velocity}")
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise AnnotationError(f"a confidence lies in 0-1, not {self.confidence}")
        for name, value in (("time_std_s", self.time_std_s), ("softness_ms", self.softness_ms)):
            # Infinite softness is meaningful (train on counts alone); NaN never is.
            if value is not None and not value >= 0.0:
                raise AnnotationError(f"{name} cannot be {value}: it is a spread, 0 or more")


def sort_onsets(onsets: Iterable[Onset]) -> list[Onset]:
    """Events ordered by time, then label; equal ones keep their order."""
    return sorted(onsets, key=lambda onset: (onset.time_s, onset.label))


@dataclass(frozen=True, slots=True)
class Corpus:
    """The events of several recordings, and where they were read from.

    Attributes
    ----------
    path : Path
        The table, folder or single file that was read.
    kind : {"table", "folder", "file"}
        Which of the three it was.
    root : Path
        Folder that the names of the recordings are relative to (unless the user names another one
        for the audio).
    recordings : Mapping[str, list[Onset]]
        Name of each recording to its sorted events, in the order of the source. A table names the
        audio file; a folder names the label files. A recording without events has an empty list.
    skipped : tuple of str
        Files of a folder that are no label files (a README, a table of results).
    """

    path: Path
    kind: Literal["table", "folder", "file"]
    root: Path
    recordings: Mapping[str, list[Onset]]
    skipped: tuple[str, ...] = ()


def recording_stem(name: str) -> str:
    """Name of a recording without folders, suffix and a trailing ``.softloc``.

    >>> recording_stem("drums/song.flac"), recording_stem("out/song.softloc.csv")
    ('song', 'song')
    """
    return PurePosixPath(name).stem.removesuffix(".softloc")
