"""Events of a recording of any length, kept in a file until all of them are known.

Conventions
-----------
- What is kept of an event is one record of `EVENT`. Some megabytes of them stay in memory, more go
  to an unnamed temporary file, which disappears with the process.
- Velocities are relative to the mean loudness of a class in the whole recording
  (`softloc.velocity`), so they are filled in when events are read back.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from softloc.errors import OutputError
from softloc.events import Onset
from softloc.velocity import relative_velocity

#: Time and spread in seconds, index of the class, probability mass, loudness (NaN: not known).
EVENT = np.dtype(
    [("time_s", "f8"), ("label", "i8"), ("mass", "f8"), ("time_std_s", "f8"), ("loudness", "f8")]
)

#: Bytes of events that stay in memory.
MEMORY_BYTES = 4 << 20

_RECORDS_AT_ONCE = 4096


class Labeller:
    """Makes an `Onset` of a record.

    Parameters
    ----------
    labels : sequence of str
        Name of each class.
    midi_notes : sequence of (int or None)
        Note of each class.
    velocities : ndarray of float64, shape (n_classes,)
        Mean velocity of each class; NaN where none is known.

    Attributes
    ----------
    n_heard, loudness : ndarray, shape (n_classes,)
        Number of events so far, and the sum of their loudness.
    """

    def __init__(
        self,
        labels: Sequence[str],
        midi_notes: Sequence[int | None],
        velocities: NDArray[np.float64],
    ) -> None:
        self._labels, self._notes = labels, midi_notes
        self._velocities = velocities.tolist()
        self.n_heard = np.zeros(len(labels))
        self.loudness = np.zeros(len(labels))

    def hear(self, events: NDArray[np.void]) -> None:
        """Add events to those that loudness is measured by."""
        np.add.at(self.n_heard, events["label"], 1.0)
        np.add.at(self.loudness, events["label"], events["loudness"])

    def onsets(self, events: NDArray[np.void]) -> Iterator[Onset]:
        """Events with velocities relative to all that were heard."""
        means = (self.loudness / np.maximum(self.n_heard, 1.0)).tolist()
        for time_s, label, mass, time_std_s, loudness in events.tolist():
            mean = self._velocities[label]
            is_heard = not math.isnan(mean)
            yield Onset(
                time_s,
                self._labels[label],
                self._notes[label],
                velocity=relative_velocity(loudness - means[label], mean) if is_heard else None,
                confidence=min(mass, 1.0),
                time_std_s=time_std_s,
            )


class EventSpool:
    """Events of one recording, added in order, iterated over as often as needed.

    Parameters
    ----------
    labeller : Labeller
        Makes onsets of them.

    Raises
    ------
    OutputError
        Where the temporary file cannot be written.
    """

    def __init__(self, labeller: Labeller) -> None:
        self._labeller = labeller
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - closed by `close`
        self._n_events = 0

    def add(self, events: NDArray[np.void]) -> None:
        """Keep the next events, records of `EVENT`."""
        self._labeller.hear(events)
        self._n_events += len(events)
        with self._disk_errors():
            self._file.seek(0, 2)
            self._file.write(events.tobytes())

    def __len__(self) -> int:
        return self._n_events

    def __iter__(self) -> Iterator[Onset]:
        size = _RECORDS_AT_ONCE * EVENT.itemsize
        for start in range(0, self._n_events * EVENT.itemsize, size):
            with self._disk_errors():
                self._file.seek(start)
                block = self._file.read(size)
            yield from self._labeller.onsets(np.frombuffer(block, dtype=EVENT))

    def close(self) -> None:
        """Forget the events."""
        self._file.close()

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot keep events in {tempfile.gettempdir()}: {error.strerror or error}"
            ) from error
