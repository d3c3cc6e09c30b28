"""One recording after another through a loaded model: what every worker does."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from softloc.engines.choice import AUTO
from softloc.errors import SettingsError, SoftLocError
from softloc.events import sort_onsets
from softloc.files import file_sha256, readable_name, remove_abandoned, remove_unfinished
from softloc.formats import Provenance, WriteContext, render_file, text_lines, write_onsets
from softloc.vocabulary import (
    DRUM_VOCABULARIES,
    WRITE_NOTES,
    fold_into_list,
    fold_label,
    nearest_hint,
    note_of_label,
    parse_class_list,
)
from softloc_cli import __version__
from softloc_cli.console import collect_warnings
from softloc_cli.inputs import STANDARD_STREAM
from softloc_cli.outputs import CLICKS, MIDI, PAGE, Job, Target
from softloc_cli.report_files import write_transcription_checks
from softloc_cli.report_options import CheckFiles

if TYPE_CHECKING:
    from softloc.events import Onset
    from softloc.model_files import ModelSettings
    from softloc.pipeline import LongTranscription

#: Tables, whose first line is what other programs expect there: no comment.
_HEADER_FIRST = ("csv", "tsv", "onsets")

#: Documents that name the recording by its hash.
_HASHED = ("json", "jams")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How recordings are transcribed and written.

    Attributes
    ----------
    model : str
        Name or path.
    device : str
        As `softloc.pipeline.load` takes it.
    formats : tuple of str
        What is written.
    notes : Mapping[str, int]
        MIDI notes of labels, before the model's own.
    classes : str or None
        Vocabulary or list that the model's classes are folded into; None leaves them.
    tempo_bpm : float
        Tempo of MIDI files.
    time_offset_s : float
        Added to every time; no event comes before 0.
    engine : str
        As `softloc.pipeline.load` takes it.
    n_threads : int or None
        Threads to compute with; None leaves that to the engine.
    """

    model: str
    device: str
    formats: tuple[str, ...]
    notes: Mapping[str, int]
    classes: str | None
    tempo_bpm: float
    time_offset_s: float
    engine: str = AUTO
    n_threads: int | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.time_offset_s):
            raise SettingsError(f"--time-offset {self.time_offset_s}: give milliseconds")
        if MIDI in self.formats:  # refuses a tempo that cannot be written
            render_file(Path(), [], format=MIDI, tempo_bpm=self.tempo_bpm)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a recording.

    Attributes
    ----------
    n_events : int
        Events found in it.
    audio_s : float
        Its length, seconds.
    seconds : float
        How long the work on it took.
    warnings : tuple of str
        What the library remarked.
    error : str or None
        One sentence if it failed.
    """

    n_events: int = 0
    audio_s: float = 0.0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None


class Session:
    """A loaded model that transcribes and writes one recording after another.

    Raises
    ------
    SettingsError
        If there is no such model or device, or the recipe does not fit the model.
    CheckpointError
        If the model file is damaged.
    """

    def __init__(self, recipe: Recipe) -> None:
        from softloc.pipeline import load

        self._recipe = recipe
        self._transcriber = load(recipe.model, recipe.device, recipe.engine, recipe.n_threads)
        self._fold = fold_classes(self._transcriber.settings.classes, recipe.classes)
        if MIDI in recipe.formats:
            _check_notes(self._transcriber.settings, self._fold, recipe.notes)

    def __call__(self, job: Job) -> Outcome:
        """Transcribe a recording and write its results; what goes wrong is in the outcome."""
        start_s = time.monotonic()
        outcome = Outcome()
        with collect_warnings() as warnings:
            try:
                outcome = self._transcribe(job)
            except BrokenPipeError:
                raise  # whoever read our standard output has gone: no fault of the recording
            except SoftLocError as error:
                outcome = Outcome(error=" ".join(str(error).splitlines()))
            except Exception as error:  # noqa: BLE001 - one bad recording does not stop the others
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                failed = f"{job.source}: failed in a way softloc did not foresee ({reason})"
                outcome = Outcome(error=failed)
        seconds = time.monotonic() - start_s
        return dataclasses.replace(outcome, seconds=seconds, warnings=tuple(warnings))

    def _transcribe(self, job: Job) -> Outcome:
        checks = _checks_of(job)
        with (
            _source(job, is_read_again=bool(checks.paths())) as source,
            self._transcriber.listen_long(source) as found,
        ):
            provenance = self._provenance(job, found)
            for target in job.targets:
                if target.format not in (PAGE, CLICKS):
                    self._write(
                        target, _Finished(found.onsets, self._finish, target.label), provenance
                    )
            finished = _Finished(found.onsets, self._finish)
            if checks.paths():
                model = {"model": Path(self._recipe.model).stem}
                write_transcription_checks(checks, source, list(finished), model)
            return Outcome(n_events=sum(1 for _ in finished), audio_s=found.duration_s)

    def _finish(self, onset: Onset) -> Onset | None:
        """Event with its class folded and its time moved; None if the class is left out."""
        label = self._fold[onset.label]
        if label is None:
            return None
        own_note = onset.midi_note if label == onset.label else note_of_label(label)
        note = self._recipe.notes.get(label, own_note)
        time_s = max(0.0, onset.time_s + self._recipe.time_offset_s)
        return dataclasses.replace(onset, label=label, midi_note=note, time_s=time_s)

    def _provenance(self, job: Job, found: LongTranscription) -> Provenance:
        """Say what documents hold beside their events; tables and MIDI do not."""
        recorded = None if job.source == STANDARD_STREAM else job.source
        is_hashed = any(target.format in _HASHED for target in job.targets)
        # What came through a pipe cannot be read again.
        hashed = recorded if is_hashed and job.source.is_file() else None
        written = dict.fromkeys(label for label in self._fold.values() if label is not None)
        return Provenance(
            model_id=Path(self._recipe.model).stem,
            vocabulary=",".join(written),
            recording=None if recorded is None else readable_name(recorded),
            sha256=None if hashed is None else file_sha256(hashed),
            duration_s=found.duration_s,
            sample_rate_hz=found.sample_rate_hz,
            data_source="program",
        )

    def _write(self, target: Target, onsets: _Finished, provenance: Provenance) -> None:
        recipe = self._recipe
        if target.path == STANDARD_STREAM:
            for line in text_lines(onsets, target.format, WriteContext(provenance=provenance)):
                typer.echo(line, nl=False)  # flushes
            return
        comment = f"softloc {__version__} {Path(recipe.model).stem}"
        write_onsets(
            target.path,
            onsets,
            is_sorted=True,
            format=target.format,
            note_map=recipe.notes,
            comment=None if target.format in _HEADER_FIRST else comment,
            tempo_bpm=recipe.tempo_bpm,
            provenance=provenance,
        )


class _Finished:
    """Events as they are written, in order, made anew whenever they are gone through.

    Parameters
    ----------
    onsets : iterable of Onset
        Events in order, as the model found them.
    finish : callable
        Changes an event, or leaves it out.
    label : str or None
        The only class to keep; None keeps all.
    """

    def __init__(
        self,
        onsets: Iterable[Onset],
        finish: Callable[[Onset], Onset | None],
        label: str | None = None,
    ) -> None:
        self._onsets, self._finish, self._label = onsets, finish, label

    def __iter__(self) -> Iterator[Onset]:
        finished = (onset for raw in self._onsets if (onset := self._finish(raw)) is not None)
        kept = (onset for onset in finished if self._label in (None, onset.label))
        # Folding gives events of one time other names.
        for _, together in itertools.groupby(kept, key=lambda onset: onset.time_s):
            yield from sort_onsets(together)


@contextlib.contextmanager
def _source(job: Job, *, is_read_again: bool) -> Iterator[Path | BinaryIO]:
    """Open standard input; pages and sonifications read again, which a pipe does not allow."""
    is_stream = job.source == STANDARD_STREAM
    source: Path | BinaryIO = sys.stdin.buffer if is_stream else job.source
    if is_read_again and (is_stream or job.source.is_fifo()):
        from softloc.decoders import hold_pipe

        with hold_pipe(source) as held:
            yield held
    else:
        yield source


def _checks_of(job: Job) -> CheckFiles:
    files = {target.format: target.path for target in job.targets}
    return CheckFiles(files.get(PAGE), files.get(CLICKS))


def remove_half_written(job: Job, owner: int | str) -> None:
    """Remove what a worker left beside the results of a recording when it was killed."""
    for folder in {target.path.parent for target in job.targets}:
        remove_unfinished(folder, owner)


def remove_abandoned_beside(job: Job) -> None:
    """Remove what runs that were killed left beside results that need not be written again."""
    for folder in {target.path.parent for target in job.targets}:
        remove_abandoned(folder)


def written_classes(recipe: Recipe) -> tuple[str, ...]:
    """Classes that results can hold, in the order of the model.

    Raises
    ------
    SettingsError, CheckpointError
        As from `Session`.
    """
    from softloc.model_files import read_model

    fold = fold_classes(read_model(recipe.model).settings.classes, recipe.classes)
    return tuple(dict.fromkeys(label for label in fold.values() if label is not None))


def fold_classes(classes: Sequence[str], choice: str | None) -> dict[str, str | None]:
    """Class that each class of a model is written as, by what ``--classes`` says.

    Parameters
    ----------
    classes : sequence of str
        The model's.
    choice : str or None
        A drum vocabulary (``"3"``, ``"5"``, ``"8"``, ``"9"``), or names separated by commas; None
        leaves all as they are.

    Returns
    -------
    dict
        Class of the model to what it is written as; None where it is left out.

    Raises
    ------
    SettingsError
        If the vocabulary does not know a class, a listed class can never be found, or none is
        left.
    """
    if choice is None:
        return {label: label for label in classes}
    if choice in DRUM_VOCABULARIES:
        fold = {label: fold_label(label, choice) for label in classes}
    else:
        listed = parse_class_list(choice)
        fold = {label: fold_into_list(label, listed) for label in classes}
        never = [name for name in listed if name not in fold.values()]
        if never:
            hint = nearest_hint(never[0], classes)
            raise SettingsError(f"--classes: the model has no class for {never[0]!r}{hint}")
    if not any(fold.values()):
        raise SettingsError(f"--classes {choice}: leaves none of the model's classes")
    return fold


def _check_notes(
    settings: ModelSettings, fold: Mapping[str, str | None], notes: Mapping[str, int]
) -> None:
    """Refuse before any work what could not be written after it."""
    written = tuple(label for label in fold.values() if label is not None)
    unknown = [label for label in notes if label not in (*written, *WRITE_NOTES)]
    if unknown:
        hint = nearest_hint(unknown[0], written)
        raise SettingsError(f"--note-map: the model has no class {unknown[0]!r}{hint}")
    for label, own_note in zip(settings.classes, settings.midi_notes, strict=True):
        folded = fold[label]
        if folded is None or folded in notes:
            continue
        if (own_note if folded == label else note_of_label(folded)) is None:
            raise SettingsError(
                f"the class {folded!r} has no MIDI note: give it one with --note-map "
                f"{folded}=NOTE, or write a table with -f csv"
            )
