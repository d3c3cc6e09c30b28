"""Standard MIDI files: drums on channel 10, pitched notes on channel 1.

Conventions
-----------
- Written: type 1, 960 ticks a quarter, one tempo (120 BPM unless told otherwise), 4/4. Every time
  is rounded once, from seconds to its tick: at most 0.26 ms off at 120 BPM.
- A note lasts 60 ms, or until one tick before the next one of the same pitch; at least one tick.
- Read: note-ons with a velocity, through the tempo map of all tracks. Note-offs do not matter, so
  drum files with lengthless notes are complete. Channel 10 gives drum labels
  (`softloc.vocabulary.label_of_note`); a file without channel 10 gives note numbers as labels,
  unless a note map says that it holds drums.
- `OT` is written only with the note it was read from; without one it is left out.
"""

from __future__ import annotations

import io
import logging
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import filterfalse, groupby
from operator import itemgetter
from pathlib import Path

import mido
from mido.midifiles.meta import encode_variable_int

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset, sort_onsets
from softloc.formats.lines import read_content
from softloc.vocabulary import (
    KNOWN_OTHER_NOTES,
    OTHER,
    WRITE_NOTES,
    NoteMap,
    is_note_label,
    label_of_note,
    nearest_hint,
    note_of_label,
)

TICKS_PER_QUARTER = 960
DEFAULT_TEMPO_BPM = 120.0
DEFAULT_VELOCITY = 100
NOTE_LENGTH_S = 0.060
DRUM_CHANNEL = 9  # channel 10 as people count
PITCHED_CHANNEL = 0

_DEFAULT_TEMPO_US = 500_000
_MAX_TEMPO_US = 0xFFFFFF  # three bytes in the file
_MAX_TICK = 0x0FFFFFFF  # four bytes of seven bits
_N_TRACKS_AT = 10  # byte in the file
_TRACK_BYTES_IN_MEMORY, _PIECE_BYTES = 4 << 20, 1 << 16
_LOG = logging.getLogger(__name__)

_Note = tuple[int, int, int]


def read_midi(path: Path, note_map: NoteMap | None = None) -> list[Onset]:
    """Read the note-ons of a MIDI file.

    Parameters
    ----------
    path : Path
        Type 0 or type 1 file; its division in ticks a quarter or in SMPTE frames.
    note_map : NoteMap, optional
        Labels of notes, before the General MIDI ones. With it a file without channel 10 holds
        drums, too: not every kit and DAW sends them there.

    Returns
    -------
    list of Onset
        Sorted events with note and velocity.

    Raises
    ------
    AnnotationError
        If the file is missing, damaged, or of type 2 (tracks without a common time).
    """
    midi = load_midi(path)
    drums: list[tuple[int, int, int]] = []
    pitched: list[tuple[int, int, int]] = []
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity > 0:
                notes = drums if message.channel == DRUM_CHANNEL else pitched
                notes.append((tick, message.note, message.velocity))
    seconds = _tick_clock(midi, path)
    if not drums and note_map is not None:
        drums, pitched = pitched, []
    if not drums:
        return sort_onsets(
            Onset(seconds(tick), str(note), midi_note=note, velocity=velocity)
            for tick, note, velocity in pitched
        )
    mapped = {} if note_map is None else note_map.read
    _report_oddities(path, {note for _, note, _ in drums}.difference(mapped), len(pitched))
    return sort_onsets(
        Onset(
            seconds(tick),
            mapped.get(note) or label_of_note(note),
            midi_note=note,
            velocity=velocity,
        )
        for tick, note, velocity in drums
    )


def load_midi(path: Path) -> mido.MidiFile:
    """Read a MIDI file whole, as mido has it.

    Raises
    ------
    AnnotationError
        As `read_midi`.
    """
    content = read_content(path)
    try:
        # Not the file itself: a header that claims gigabytes would have them allocated.
        midi = mido.MidiFile(file=io.BytesIO(content))
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        reason = str(error) or "it ends too early"
        raise AnnotationError(f"{path} is not a readable MIDI file: {reason}") from error
    except mido.KeySignatureError as error:
        raise AnnotationError(f"{path} is not a readable MIDI file: {error}") from error
    if midi.type == 2:
        raise AnnotationError(
            f"{path} is a type 2 MIDI file, whose tracks have no common time: "
            "save it as type 0 or 1"
        )
    return midi


def _tick_clock(midi: mido.MidiFile, path: Path) -> Callable[[int], float]:
    """Time in seconds of an absolute tick, exact until the last division."""
    division = midi.ticks_per_beat & 0xFFFF
    if division & 0x8000:
        # SMPTE: the upper byte is minus the frames a second, the lower one the ticks a frame.
        frames_per_second, ticks_per_frame = 256 - (division >> 8), division & 0xFF
        # 29 stands for 29.97 drop-frame.
        rate = 30_000 / 1001 if frames_per_second == 29 else float(frames_per_second)
        if ticks_per_frame == 0:
            raise AnnotationError(f"{path} is not a readable MIDI file: zero ticks a frame")
        return lambda tick: tick / (rate * ticks_per_frame)
    if division == 0:
        raise AnnotationError(f"{path} is not a readable MIDI file: zero ticks a quarter")
    starts, offsets, tempos = _tempo_map(midi)

    def seconds(tick: int) -> float:
        part = bisect_right(starts, tick) - 1
        scaled = offsets[part] + (tick - starts[part]) * tempos[part]
        return float(scaled / (division * 1_000_000))

    return seconds


def _tempo_map(midi: mido.MidiFile) -> tuple[list[int], list[int], list[int]]:
    """First tick, ticks times microseconds before it, and tempo of each part, all integers."""
    changes: dict[int, int] = {}
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo":
                changes[tick] = message.tempo
    starts, offsets, tempos = [0], [0], [changes.pop(0, _DEFAULT_TEMPO_US)]
    for tick in sorted(changes):
        offsets.append(offsets[-1] + (tick - starts[-1]) * tempos[-1])
        starts.append(tick)
        tempos.append(changes[tick])
    return starts, offsets, tempos


def _report_oddities(path: Path, drum_notes: set[int], n_pitched: int) -> None:
    unknown = sorted(
        {note for note in drum_notes if label_of_note(note) == OTHER}.difference(KNOWN_OTHER_NOTES)
    )
    if unknown:
        _LOG.warning(
            "%s: percussion notes without a class of their own are read as %s: %s",
            path, OTHER, ", ".join(map(str, unknown)),
        )  # fmt: skip
    if n_pitched:
        _LOG.warning("%s: %d notes outside channel 10 are left out", path, n_pitched)


def render_midi(
    onsets: Iterable[Onset],
    *,
    note_map: Mapping[str, int] | None = None,
    marker: str | None = None,
    tempo_bpm: float = DEFAULT_TEMPO_BPM,
) -> Iterator[bytes]:
    """Content of a MIDI file with these events, piece by piece.

    Parameters
    ----------
    onsets : iterable of Onset
        Events at 0 s or later, in order of time; gone through for each track.
    note_map : mapping, optional
        Notes of labels; goes before the event's own note and the General MIDI ones.
    marker : str, optional
        Text meta event at the start, such as program, version and model.
    tempo_bpm : float
        Quarters a minute.

    Yields
    ------
    bytes
        Pieces of a type 1 file. A track starts with its length: it waits in a temporary file.

    Raises
    ------
    AnnotationError
        If a time is negative or beyond what the file can hold, or a label has no note.
    SettingsError
        If the tempo cannot be written.
    """
    tempo_us = _tempo_us(tempo_bpm)
    counts = Counter(map(_is_pitched, onsets))
    has_pitched = counts[True] > 0
    has_drums = counts[False] > 0 or not has_pitched
    yield _head(marker, tempo_us, 1 + has_drums + has_pitched)
    if has_drums:
        notes = _notes(filterfalse(_is_pitched, onsets), note_map or {}, tempo_us)
        yield from _track("Drums", DRUM_CHANNEL, notes, tempo_us)
    if has_pitched:
        notes = _notes(filter(_is_pitched, onsets), note_map or {}, tempo_us)
        yield from _track("Piano", PITCHED_CHANNEL, notes, tempo_us)


def _head(marker: str | None, tempo_us: int, n_tracks: int) -> bytes:
    """All that stands before the notes: the file's header and the conductor's track."""
    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_QUARTER, charset="utf-8")
    conductor = mido.MidiTrack()
    if marker:
        conductor.append(mido.MetaMessage("text", text=marker))
    conductor.append(mido.MetaMessage("set_tempo", tempo=tempo_us))
    conductor.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    midi.tracks.append(conductor)
    content = io.BytesIO()
    midi.save(file=content)
    content.seek(_N_TRACKS_AT)
    content.write(n_tracks.to_bytes(2, "big"))
    return content.getvalue()


def note_of_onset(onset: Onset, note_map: Mapping[str, int]) -> int | None:
    """Note that an event is written as; None for an `OTHER` that was not read from one.

    Raises
    ------
    AnnotationError
        If its label has no note.
    """
    if onset.label in note_map:
        return note_map[onset.label]
    note = onset.midi_note if onset.midi_note is not None else note_of_label(onset.label)
    if note is None and onset.label != OTHER:
        # A quoted cell may hold line ends, which a command line and a sentence cannot.
        typed = onset.label if onset.label.isprintable() else "LABEL"
        raise AnnotationError(
            f"the label {onset.label!r} has no MIDI note{nearest_hint(onset.label, WRITE_NOTES)}; "
            f"give it one with --note-map {typed}=NOTE, or write CSV"
        )
    return note


def _is_pitched(onset: Onset) -> bool:
    return is_note_label(onset.label)


def _tempo_us(tempo_bpm: float) -> int:
    tempo_us = round(60_000_000 / tempo_bpm) if tempo_bpm > 0 else 0
    if not 1 <= tempo_us <= _MAX_TEMPO_US:
        raise SettingsError(f"MIDI cannot hold a tempo of {tempo_bpm} quarters a minute")
    return tempo_us


def _seconds_to_ticks(time_s: float, tempo_us: int) -> int:
    return round(time_s * TICKS_PER_QUARTER * 1_000_000 / tempo_us)


def _notes(onsets: Iterable[Onset], note_map: Mapping[str, int], tempo_us: int) -> Iterator[_Note]:
    """Tick, note and velocity of each event, in order of time."""
    n_left_out = 0
    latest_s = _MAX_TICK * tempo_us / (TICKS_PER_QUARTER * 1_000_000)
    for onset in onsets:
        note = note_of_onset(onset, note_map)
        if note is None:
            n_left_out += 1
            continue
        if onset.time_s < 0:
            raise AnnotationError(
                f"MIDI has no time before 0: the {onset.label} at {onset.time_s:.6f} s "
                "cannot be written (CSV can hold it)"
            )
        if onset.time_s > latest_s:
            raise AnnotationError(
                f"the {onset.label} at {onset.time_s:.6g} s is too late for a MIDI file: "
                "are the times in milliseconds?"
            )
        tick = _seconds_to_ticks(onset.time_s, tempo_us)
        yield tick, note, onset.velocity or DEFAULT_VELOCITY
    if n_left_out:
        _LOG.warning("%d events labelled %s have no MIDI note, not written", n_left_out, OTHER)


def _track(name: str, channel: int, notes: Iterable[_Note], tempo_us: int) -> Iterator[bytes]:
    """Chunk of a track."""
    with tempfile.SpooledTemporaryFile(max_size=_TRACK_BYTES_IN_MEMORY) as track:
        track.write(b"\0" + mido.MetaMessage("track_name", name=name).bin())
        previous, status = 0, None
        for tick, is_on, note, velocity in _on_and_off(notes, tempo_us):
            track.write(bytes(encode_variable_int(tick - previous)))
            if status != (status := (0x90 if is_on else 0x80) | channel):
                track.write(bytes((status,)))  # is left out where it does not change
            track.write(bytes((note, velocity)))
            previous = tick
        track.write(b"\0" + mido.MetaMessage("end_of_track").bin())
        length = track.tell()
        track.seek(0)
        yield b"MTrk" + length.to_bytes(4, "big")
        while piece := track.read(_PIECE_BYTES):
            yield piece


def _on_and_off(notes: Iterable[_Note], tempo_us: int) -> Iterator[tuple[int, bool, int, int]]:
    """Ticks of all starts and ends; at one tick the ends come first."""
    length = max(1, _seconds_to_ticks(NOTE_LENGTH_S, tempo_us))
    ends: list[tuple[int, bool, int, int]] = []
    for tick, together in groupby(notes, key=itemgetter(0)):
        starts = sorted((tick, True, note, velocity) for _, note, velocity in together)
        struck = {note for _, _, note, _ in starts}
        ends = sorted(
            (max(end - length + 1, min(end, tick - 1)) if note in struck else end, False, note, 0)
            for end, _, note, _ in ends
        )
        n_past = sum(end <= tick for end, *_ in ends)
        yield from ends[:n_past]
        yield from starts
        ends = ends[n_past:] + [(tick + length, False, note, 0) for _, _, note, _ in starts]
    yield from sorted(ends)
