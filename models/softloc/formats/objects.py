"""Events as objects of other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from softloc.events import Onset
from softloc.formats.midi import (
    DEFAULT_TEMPO_BPM,
    DEFAULT_VELOCITY,
    NOTE_LENGTH_S,
    TICKS_PER_QUARTER,
    note_of_onset,
)
from softloc.vocabulary import is_note_label

if TYPE_CHECKING:
    import pretty_midi


def to_pretty_midi(
    onsets: Sequence[Onset], note_map: Mapping[str, int] | None = None
) -> pretty_midi.PrettyMIDI:
    """Turn events into a `pretty_midi.PrettyMIDI`, to be synthesised, plotted or edited.

    Parameters
    ----------
    onsets : sequence of Onset
        Events in any order.
    note_map : mapping, optional
        Notes of labels, as in `write_onsets`.

    Returns
    -------
    PrettyMIDI
        Drums on one instrument, pitched events (labels that are note numbers) on another.

    Raises
    ------
    AnnotationError
        If a label has no MIDI note.
    """
    import pretty_midi  # noqa: PLC0415 - slow, and only needed here

    midi = pretty_midi.PrettyMIDI(resolution=TICKS_PER_QUARTER, initial_tempo=DEFAULT_TEMPO_BPM)
    for is_drum, name in ((True, "Drums"), (False, "Piano")):
        instrument = pretty_midi.Instrument(program=0, is_drum=is_drum, name=name)
        for onset in onsets:
            note = note_of_onset(onset, note_map or {})
            if note is not None and is_note_label(onset.label) is not is_drum:
                velocity = onset.velocity or DEFAULT_VELOCITY
                end_s = onset.time_s + NOTE_LENGTH_S
                instrument.notes.append(pretty_midi.Note(velocity, note, onset.time_s, end_s))
        if instrument.notes:
            midi.instruments.append(instrument)
    return midi
