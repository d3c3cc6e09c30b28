"""What ``softloc convert`` reads and writes: settled as far as it can be before any work starts.

Conventions
-----------
- One input and ``OUT.mid``: that file, replaced if it exists. Several inputs, or a folder: ``-o``
  names a folder, in which sub-folders of the input are kept; without it results land beside.
- A table of several recordings gives a file for each of them, named by the table, in ``-o``.
- ``-`` is standard output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import typer

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset, recording_stem
from softloc.formats import (
    FIELDS,
    FORMATS,
    LabelFile,
    Provenance,
    WriteContext,
    label_files,
    lost_fields,
    read_label_file,
    render_text,
    write_onsets,
)
from softloc_cli.console import report
from softloc_cli.inputs import DASH, STANDARD_STREAM, as_path
from softloc_cli.outputs import fitting_format, names_file, single_format

if TYPE_CHECKING:
    from softloc.vocabulary import NoteMap

_HASHING = ("json", "jams")


@dataclass(frozen=True, slots=True)
class Item:
    """A label file to convert.

    Attributes
    ----------
    source : Path
        The file.
    folder : PurePosixPath
        Its place below the folder that was given; empty for a file that was named.
    found : bool
        It was found in a folder, not named by the user.
    """

    source: Path
    folder: PurePosixPath
    found: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read and where it goes.

    Attributes
    ----------
    items : sequence of Item
        All inputs.
    formats : tuple of str
        Names of the formats to write.
    file : Path or None
        The single file to write; ``-`` for standard output.
    folder : Path or None
        Folder of the results; None writes beside the inputs.
    overwrite : bool
        Results may replace files in a folder.
    """

    items: Sequence[Item]
    formats: tuple[str, ...]
    file: Path | None
    folder: Path | None
    overwrite: bool

    def targets(self, item: Item, recording: str | None = None) -> list[tuple[Path, str]]:
        """File and format of each result; a recording of a table is named by the table."""
        if self.file is not None:
            return [(self.file, self.formats[0])]
        place = item.folder / (item.source.name if recording is None else recording)
        base = item.source.parent if self.folder is None else self.folder / place.parent
        stem = recording_stem(place.name)
        return [(base / f"{stem}{FORMATS[name].suffix}", name) for name in self.formats]


def plan_conversion(
    inputs: Sequence[Path],
    output: str | None,
    formats: tuple[str, ...],
    *,
    formats_are_given: bool = True,
    overwrite: bool,
) -> Plan:
    """Settle inputs, formats and the place of the results.

    Parameters
    ----------
    inputs : sequence of Path
        Label files, tables and folders; without `output` the second of two names is the result.
    output : str or None
        What ``-o`` says; a slash at its end means a folder.
    formats : tuple of str
        As from `parse_formats`.
    formats_are_given : bool
        They stand on the command line; those of settings give way to the file to write.
    overwrite : bool
        Results may replace files in a folder.

    Raises
    ------
    SettingsError
        If an input is missing, a folder holds no label file, or it is not clear what to write.
    """
    is_second = output is None and len(inputs) == 2
    if is_second:
        inputs, output = inputs[:1], str(inputs[1])
    missing = [str(path) for path in inputs if not path.exists()]
    if missing:
        raise SettingsError(f"no such file or folder: {', '.join(missing)}")
    items = [item for path in inputs for item in _expand(path)]
    alone = len(inputs) == 1 and not inputs[0].is_dir()
    if output is not None and alone and names_file(output, alone=True):
        wanted = formats if formats_are_given else fitting_format(output, formats)
        chosen = _format_of_second(output, wanted) if is_second else single_format(output, wanted)
        return Plan(items, (chosen,), as_path(output), None, overwrite)
    if output == DASH:
        raise SettingsError("-o - prints one label file, not several")
    if not formats:
        raise SettingsError(
            "no format is named: write softloc convert IN OUT.mid, or give -f mid, with -o DIR for "
            "another folder"
        )
    folder = None if output is None else Path(output)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder}: several results need a folder with -o, this is a file")
    return Plan(items, formats, None, folder, overwrite)


def _format_of_second(output: str, formats: tuple[str, ...]) -> str:
    try:
        return single_format(output, formats)
    except SettingsError as error:
        raise SettingsError(
            f"{error}; where {output} is an input, name the folder of the results with -o"
        ) from error


def _expand(path: Path) -> Iterator[Item]:
    if not path.is_dir():
        yield Item(path, PurePosixPath(), found=False)
        return
    n_found = 0
    for found in label_files(path):
        n_found += 1
        yield Item(found, PurePosixPath(found.parent.relative_to(path).as_posix()), found=True)
    if not n_found:
        raise SettingsError(f"{path}: holds no label file")


@dataclass(slots=True)
class Converter:
    """Reads and writes one label file after the other, and counts what was lost.

    Attributes
    ----------
    plan : Plan
        Where results go.
    source_format : str or None
        Form of the inputs; None lets suffix and content tell.
    note_map : NoteMap or None
        MIDI: notes read and written.
    audio : Path or None
        The recording, or the folder of the recordings.
    sample_rate_hz : float or None
        Rate of the recordings, where there is no `audio`.
    skip_existing : bool
        Leave results alone that exist.
    losses : dict
        Events that a format took something from, by format and part of the event.
    written : set of Path
        Results so far.
    sources : frozenset of Path
        All inputs, resolved: no result may take the place of one.
    """

    plan: Plan
    source_format: str | None
    note_map: NoteMap | None
    audio: Path | None
    sample_rate_hz: float | None
    skip_existing: bool
    losses: dict[str, Counter[str]] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)
    sources: frozenset[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.sources = frozenset(item.source.resolve() for item in self.plan.items)

    def check_targets(self) -> None:
        """Refuse before any work that a result hits an input, another result, or an old file.

        Files are told by their names. Where those are in the way, it is looked whether it is a
        table, whose recordings get results of other names.
        """
        taken: dict[Path, Item] = {}
        existing = []
        for item in self.plan.items:
            for path, _ in self.plan.targets(item):
                is_old = self.plan.file is None and path.exists()
                is_wanted = is_old and not (self.plan.overwrite or self.skip_existing)
                hits_input = path.resolve() in self.sources
                if (hits_input or path in taken or is_wanted) and self._is_table(item):
                    continue
                if hits_input:
                    raise SettingsError(f"{path}: is an input, it would be overwritten")
                if path in taken and not self._is_table(taken[path]):
                    raise SettingsError(
                        f"{taken[path].source} and {item.source} would both be written to {path}"
                    )
                taken[path] = item
                existing += [path] if is_wanted else []
        if existing:
            more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise SettingsError(
                f"{existing[0]}{more} exist already; give --overwrite or --skip-existing"
            )

    def _is_table(self, item: Item) -> bool:
        """Whether a file holds recordings that get results of their own; damaged ones do not."""
        if self.plan.file is not None:
            return False
        try:
            return None not in self._read(item).recordings
        except (AnnotationError, OSError):
            return False

    def _read(self, item: Item) -> LabelFile:
        return read_label_file(item.source, format=self.source_format, note_map=self.note_map)

    def convert(self, item: Item) -> str:
        """Convert a file; returns what to say of it."""
        content = self._read(item)
        n_events = n_written = 0
        for recording, targets in self._targets(item, content):
            onsets = content.recordings[recording]
            missing = [
                target for target in targets if not (self.skip_existing and target[0].exists())
            ]
            if missing:
                provenance = self._provenance(item, content, recording, missing)
                for path, name in missing:
                    self._refuse_written(path, item)
                    try:
                        self._write(path, name, onsets, provenance)
                    except (AnnotationError, SettingsError) as error:
                        raise type(error)(f"{item.source}: {error}") from error
                n_events += len(onsets)
                n_written += len(missing)
        if not n_written:
            return f"{item.source}: skipped, its results exist"
        return f"{item.source}: {n_events} events"

    def _targets(
        self, item: Item, content: LabelFile
    ) -> list[tuple[str | None, list[tuple[Path, str]]]]:
        recordings = content.recordings
        if not recordings:
            raise AnnotationError(f"{item.source}: the table names no recording")
        if None in recordings or (len(recordings) == 1 and self.plan.file is not None):
            return [(name, self.plan.targets(item)) for name in recordings]
        if self.plan.folder is None:
            raise SettingsError(
                f"{item.source} holds the labels of {len(recordings)} recordings: name the folder "
                "of the results with -o DIR"
            )
        every = [(name, self._targets_of_recording(item, name)) for name in recordings]
        paths = [path for _, targets in every for path, _ in targets]
        twice = next((path for path, count in Counter(paths).items() if count > 1), None)
        if twice is not None:
            raise SettingsError(f"{item.source}: two recordings would be written to {twice}")
        hit = next((path for path in paths if path.resolve() in self.sources), None)
        if hit is not None:
            raise SettingsError(f"{item.source}: {hit} is an input, it would be overwritten")
        existing = [path for path in paths if path.exists()]
        if existing and not (self.plan.overwrite or self.skip_existing):
            raise SettingsError(
                f"{existing[0]} exists already; give --overwrite or --skip-existing"
            )
        return every

    def _targets_of_recording(self, item: Item, name: str | None) -> list[tuple[Path, str]]:
        place = PurePosixPath(name or "")
        drive = place.parts[0].endswith(":") if place.parts else True
        if drive or place.is_absolute() or ".." in place.parts:
            raise SettingsError(
                f"{item.source}: the recording {name!r} lies outside of the table's folder, so its "
                "result would lie outside of -o"
            )
        return self.plan.targets(item, name)

    def _refuse_written(self, path: Path, item: Item) -> None:
        """Refuse what could not be known before: a recording of a table hits another result."""
        if path in self.written:
            raise SettingsError(f"{item.source}: {path} is the result of another input already")
        self.written.add(path)

    def _write(
        self, path: Path, name: str, onsets: Sequence[Onset], provenance: Provenance
    ) -> None:
        comment = None
        if name == "midi" and provenance.model_id is not None:
            comment = f"softloc {provenance.softloc_version} {provenance.model_id}"
        notes = None if self.note_map is None else self.note_map.write
        if path == STANDARD_STREAM:
            typer.echo(render_text(onsets, name, WriteContext(provenance=provenance)), nl=False)
        else:
            write_onsets(
                path,
                onsets,
                format=name,
                note_map=notes,
                comment=comment,
                provenance=provenance,
            )
        self.losses.setdefault(name, Counter()).update(lost_fields(onsets, name))

    def _provenance(
        self,
        item: Item,
        content: LabelFile,
        recording: str | None,
        targets: Sequence[tuple[Path, str]],
    ) -> Provenance:
        known = content.provenance
        if recording is not None:
            known = replace(known, recording=recording)
        if self.sample_rate_hz is not None:
            known = replace(known, sample_rate_hz=self.sample_rate_hz)
        if self.audio is None:
            return known
        path = _find_recording(self.audio, recording or item.source.name, item.folder)
        hashed = any(name in _HASHING for _, name in targets)
        return _with_audio(known, path, hashed=hashed)

    def report_losses(self) -> None:
        """Say in a line for each format what it did not keep."""
        for name, counts in self.losses.items():
            if counts:
                lost = ", ".join(f"{FIELDS[part]} of {n}" for part, n in counts.items())
                report(f"{name} cannot hold, so not kept: {lost} events")


def _find_recording(audio: Path, name: str, folder: PurePosixPath) -> Path:
    """Find the recording of labels: the file that was named, else below the folder of them."""
    from softloc.audio import find_audio

    if not audio.is_dir():
        return audio
    try:
        return find_audio(audio, str(folder / name))
    except AnnotationError:
        if folder == PurePosixPath():
            raise
        return find_audio(audio, name)


def _with_audio(known: Provenance, path: Path, *, hashed: bool) -> Provenance:
    from softloc.audio import audio_duration_s, read_blocks
    from softloc.files import file_sha256, readable_name

    first = next(read_blocks(path), None)
    return replace(
        known,
        recording=readable_name(path),
        duration_s=audio_duration_s(path),
        sample_rate_hz=known.sample_rate_hz if first is None else float(first.sample_rate_hz),
        sha256=file_sha256(path) if hashed else known.sha256,
    )
