"""Where each result goes, by name alone.

Conventions
-----------
- One input and ``-o NAME.mid``: that file. Several inputs, or a folder: ``-o`` names a folder, in
  which sub-folders of the input are kept.
- Without ``-o`` a result lands beside its input: ``song.mid``, ``song.softloc.csv``.
- ``--name`` replaces these names by a pattern, which may hold folders; with ``{class}`` in it every
  class has a file of its own.
- ``-`` is standard input or standard output.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

from softloc.errors import SettingsError
from softloc.formats import FORMATS, WRITABLE, format_named, format_of_path
from softloc.vocabulary import nearest_hint
from softloc_cli.inputs import DASH, STANDARD_STREAM, Item, as_path, exists
from softloc_cli.report_options import NO_CHECKS, CheckOptions

MIDI = "midi"

#: What ``--html`` and ``--sonify`` write, beside the formats of events.
PAGE, CLICKS = "page", "clicks"

_NAME_FIELDS = ("stem", "class", "ext")
_NOT_IN_FILE_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class Target:
    """One result of a recording.

    Attributes
    ----------
    path : Path
        File to write; `STANDARD_STREAM` for standard output.
    format : str
        Name in `WRITABLE`, `PAGE` or `CLICKS`.
    label : str or None
        The only class that it holds; None holds all.
    is_named : bool
        The user gave this very name, so what has it is replaced.
    """

    path: Path
    format: str
    label: str | None = None
    is_named: bool = False

    def exists(self) -> bool:
        """Whether there is such a file."""
        return exists(self.path)


@dataclass(frozen=True, slots=True)
class Job:
    """One recording to be transcribed.

    Attributes
    ----------
    source : Path
        Recording, or `STANDARD_STREAM`.
    targets : tuple of Target
        Its results.
    """

    source: Path
    targets: tuple[Target, ...]

    def missing(self) -> Job:
        """Leave only the results that do not exist yet."""
        left = tuple(
            target
            for target in self.targets
            if target.path == STANDARD_STREAM or not target.exists()
        )
        return replace(self, targets=left)


@dataclass(frozen=True, slots=True)
class Naming:
    """The rule by which results are named.

    Attributes
    ----------
    formats : tuple of str
        Names of formats; at least one.
    file : Path or None
        The one result, where ``-o`` names it.
    folder : Path or None
        Folder of all results, where ``-o`` names one.
    pattern : str or None
        As from ``--name``.
    classes : tuple of str
        What ``{class}`` stands for, one after another.
    checks : CheckOptions
        Where pages and sonifications go.
    """

    formats: tuple[str, ...]
    file: Path | None = None
    folder: Path | None = None
    pattern: str | None = None
    classes: tuple[str, ...] = ()
    checks: CheckOptions = NO_CHECKS

    def job(self, item: Item) -> Job:
        """Name the results of a recording."""
        return Job(item.source, (*self._targets(item), *self._checks(item)))

    def _checks(self, item: Item) -> Iterator[Target]:
        files = self.checks.files(PurePosixPath(item.folder.as_posix()) / item.stem)
        named = self.checks.named_files()
        if files.html is not None:
            yield Target(files.html, PAGE, is_named=files.html in named)
        if files.sonified is not None:
            yield Target(files.sonified, CLICKS, is_named=files.sonified in named)

    def _targets(self, item: Item) -> Iterator[Target]:
        if self.file is not None:
            yield Target(self.file, self.formats[0], is_named=True)
            return
        folder = item.source.parent if self.folder is None else self.folder / item.folder
        for name in self.formats:
            if self.pattern is None:
                yield Target(folder / self._usual_name(item, name), name)
                continue
            for label in self.classes or (None,):
                yield Target(folder / self._patterned_name(item, name, label), name, label)

    def _usual_name(self, item: Item, name: str) -> str:
        suffix = FORMATS[name].suffix
        # Beside the recording a table must not be taken for labels that somebody made by hand.
        mark = ".softloc" if self.folder is None and name != MIDI else ""
        return f"{item.stem}{mark}{suffix}"

    def _patterned_name(self, item: Item, name: str, label: str | None) -> str:
        fields = {
            "stem": item.stem,
            "ext": FORMATS[name].suffix.removeprefix("."),
            "class": _in_file_name(label or ""),
        }
        return (self.pattern or "").format(**fields)


def _in_file_name(label: str) -> str:
    name = _NOT_IN_FILE_NAMES.sub("_", label)
    # A model may call a class "..", which as a name of a folder would lead out of it.
    return "_" * len(name) if name in (".", "..") else name


def parse_formats(text: str | None) -> tuple[str, ...]:
    """Names of formats from ``-f mid,csv``; empty where none is given.

    Raises
    ------
    SettingsError
        If one is unknown, or only read.
    """
    parts = [part.strip().lower() for part in (text or "").split(",")]
    names = [format_named(part).name for part in parts if part]
    for name in names:
        if name not in WRITABLE:
            raise SettingsError(f"{name} is only read: -f takes {', '.join(WRITABLE)}")
    return tuple(dict.fromkeys(names))


def parse_pattern(text: str) -> str:
    """Check the text of ``--name``.

    Raises
    ------
    SettingsError
        If it cannot be read, has an unknown field, or leads out of the folder.
    """
    try:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise SettingsError(f"--name {text}: cannot be read ({error})") from error
    for _, field, spec, conversion in fields:
        if field not in _NAME_FIELDS or spec or conversion:
            hint = nearest_hint(str(field), _NAME_FIELDS)
            raise SettingsError(f"--name {text}: unknown field {{{field}}}{hint}")
    path = PurePath(text)
    if path.is_absolute() or path.drive or ".." in path.parts or text.endswith(("/", os.sep)):
        raise SettingsError(f"--name {text}: names files below the folder of the results")
    if not any(field == "stem" for _, field, _, _ in fields):
        raise SettingsError(f"--name {text}: needs {{stem}}, the name of the recording")
    return text


def choose_naming(
    output: str | None,
    formats: tuple[str, ...],
    pattern: str | None,
    classes: Sequence[str],
    *,
    alone: bool,
    from_stdin: bool = False,
) -> Naming:
    """Settle what ``-o``, ``-f`` and ``--name`` mean together.

    Parameters
    ----------
    output : str or None
        What ``-o`` says; a slash at its end makes it a folder whatever its suffix.
    formats : tuple of str
        As from `parse_formats`.
    pattern : str or None
        As from `parse_pattern`.
    classes : sequence of str
        Classes that are written; only needed for ``{class}``.
    alone : bool
        There is a single recording, given by name.
    from_stdin : bool
        A recording comes from standard input.

    Raises
    ------
    SettingsError
        If they contradict each other.
    """
    path = None if output is None else as_path(output)
    if path is None and from_stdin:
        if not alone:
            raise SettingsError("a recording from standard input among others needs -o FOLDER")
        path, output = STANDARD_STREAM, DASH
    if output is not None and path is not None and names_file(output, alone=alone):
        if not alone:
            if path == STANDARD_STREAM:
                raise SettingsError("-o - writes one recording to standard output, not several")
            raise SettingsError(
                f"-o {output} names one file, but there may be several recordings; a folder of "
                f"this name needs a / at its end"
            )
        if pattern is not None:
            raise SettingsError(f"-o {output} and --name both name the result")
        return Naming((single_format(output, formats),), file=path)
    if path is not None and path.exists() and not path.is_dir():
        raise SettingsError(f"-o {output}: several results need a folder, this is a file")
    if pattern is None:
        return Naming(formats or (MIDI,), folder=path)
    return _naming_by_pattern(pattern, formats, classes, path)


def _naming_by_pattern(
    pattern: str, formats: tuple[str, ...], classes: Sequence[str], folder: Path | None
) -> Naming:
    if len(formats) > 1 and "{ext}" not in pattern:
        raise SettingsError(f"--name {pattern}: needs {{ext}} for several formats")
    wanted = tuple(classes) if "{class}" in pattern else ()
    if len({_in_file_name(label).casefold() for label in wanted}) < len(wanted):
        raise SettingsError("--name: the classes have names that would be one file")
    return Naming(formats or (MIDI,), folder=folder, pattern=pattern, classes=wanted)


def names_file(output: str, *, alone: bool) -> bool:
    """Whether ``-o`` means a file (or standard output) rather than a folder.

    Parameters
    ----------
    output : str
        What it says.
    alone : bool
        There is a single recording, given by name.
    """
    path = as_path(output)
    if path == STANDARD_STREAM:
        return True
    if path.is_dir() or output.endswith(("/", os.sep)):
        return False
    if alone:
        return path.suffix != ""
    return not path.exists() and format_of_path(path) is not None


def fitting_format(output: str, formats: tuple[str, ...]) -> tuple[str, ...]:
    """Keep the formats if the file that ``-o`` names can have them, else none."""
    try:
        single_format(output, formats)
    except SettingsError:
        return ()
    return formats


def single_format(output: str, formats: tuple[str, ...]) -> str:
    """Name the format of a single file, or of standard output.

    Parameters
    ----------
    output : str
        What ``-o`` says.
    formats : tuple of str
        As from `parse_formats`.

    Raises
    ------
    SettingsError
        If several are asked for, or another than its suffix means, or its suffix means none.
    """
    path = as_path(output)
    if path == STANDARD_STREAM:
        return _for_standard_output(formats)
    if len(formats) > 1:
        raise SettingsError(f"{output} is one file, -f asks for several: {', '.join(formats)}")
    meant = format_of_path(path)
    chosen = formats[0] if formats else meant
    if chosen is None:
        suffixes = ", ".join(dict.fromkeys(FORMATS[name].suffix for name in WRITABLE))
        raise SettingsError(f"{output}: no format has the suffix {path.suffix}; use {suffixes}")
    # Some formats share a suffix, which by itself means one of them.
    if meant not in (None, chosen) and path.suffix.lower() != FORMATS[chosen].suffix:
        raise SettingsError(f"{output}: its suffix means {meant}, -f asks for {chosen}")
    return chosen


def _for_standard_output(formats: tuple[str, ...]) -> str:
    chosen = formats[0] if formats else "tsv"
    if len(formats) > 1 or not FORMATS[chosen].is_text:
        tables = [f"-f {name}" for name in WRITABLE if FORMATS[name].is_text]
        raise SettingsError(f"standard output takes one table; use {' or '.join(tables)}")
    return chosen
