"""Which inputs there are and where each result goes: settled before any work starts.

Conventions
-----------
- One input and ``-o NAME.mid``: that file. Several inputs, or a folder: ``-o`` names a folder, in
  which sub-folders of the input are kept.
- Without ``-o`` a result lands beside its input: ``song.mid``, ``song.softloc.csv``.
- ``-`` is standard input or standard output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from softloc.errors import SettingsError
from softloc.formats import FORMATS, format_of_path
from softloc.vocabulary import nearest_hint

STANDARD_STREAM = Path("-")

#: Short names and suffixes of what ``-f`` takes.
_SUFFIX_OF = {"midi": ".mid", "csv": ".csv", "tsv": ".tsv", "audacity": ".txt"}
_ALIASES = {"mid": "midi"}


@dataclass(frozen=True, slots=True)
class Job:
    """One recording to be transcribed.

    Attributes
    ----------
    source : Path
        Recording, or `STANDARD_STREAM`.
    targets : tuple of (Path, str)
        File and format of each result; `STANDARD_STREAM` for standard output.
    """

    source: Path
    targets: tuple[tuple[Path, str], ...]

    def missing(self) -> Job:
        """Leave only the results that do not exist yet."""
        left = tuple(
            (path, name)
            for path, name in self.targets
            if path == STANDARD_STREAM or not path.exists()
        )
        return replace(self, targets=left)


@dataclass(frozen=True, slots=True)
class _Input:
    source: Path
    folder: Path  # its place below the folder that was given

    @property
    def stem(self) -> str:
        return "stdin" if self.source == STANDARD_STREAM else self.source.stem


def parse_formats(text: str | None) -> tuple[str, ...]:
    """Names of formats from ``-f mid,csv``; empty where none is given.

    Raises
    ------
    SettingsError
        If one is unknown.
    """
    names = []
    for part in (text or "").split(","):
        name = _ALIASES.get(part.strip().lower(), part.strip().lower())
        if name and name not in _SUFFIX_OF:
            known = ("mid", *_SUFFIX_OF)
            raise SettingsError(f"unknown format {part.strip()!r}{nearest_hint(name, known)}")
        if name:
            names.append(name)
    return tuple(dict.fromkeys(names))


def plan_jobs(
    inputs: Sequence[Path],
    output: Path | None,
    formats: tuple[str, ...],
    *,
    recursive: bool,
    is_recording: Callable[[Path], bool],
    as_folder: bool = False,
) -> list[Job]:
    """Settle all inputs and results.

    Parameters
    ----------
    inputs : sequence of Path
        Recordings, folders, or `STANDARD_STREAM`.
    output : Path or None
        What ``-o`` says.
    formats : tuple of str
        As from `parse_formats`.
    recursive : bool
        Search sub-folders of folders.
    is_recording : callable
        Whether a file of a folder is to be transcribed.
    as_folder : bool
        ``-o`` was written with a slash at its end: it is a folder whatever its suffix.

    Raises
    ------
    SettingsError
        If an input is missing, a folder holds no recording, two results would be one file, or a
        result would replace a recording.
    """
    missing = [str(path) for path in inputs if path != STANDARD_STREAM and not path.exists()]
    if missing:
        raise SettingsError(f"no such file or folder: {', '.join(missing)}")
    sources = [
        item
        for path in inputs
        for item in _expand(path, recursive=recursive, is_recording=is_recording)
    ]
    alone = len(inputs) == 1 and not inputs[0].is_dir()
    if output == STANDARD_STREAM and not alone:
        raise SettingsError("-o - writes one recording to standard output, not several")
    if output is not None and alone and _names_file(output, as_folder=as_folder):
        jobs = [Job(sources[0].source, tuple(_single_targets(output, formats)))]
        _refuse_collisions(jobs)
        return jobs
    if output is not None and output.exists() and not output.is_dir():
        raise SettingsError(f"-o {output}: several results need a folder, this is a file")
    jobs = [Job(item.source, tuple(_targets(item, output, formats))) for item in sources]
    _refuse_collisions(jobs)
    return jobs


def _names_file(output: Path, *, as_folder: bool) -> bool:
    """Whether ``-o`` means a file (or standard output) rather than a folder."""
    is_folder = as_folder or output.is_dir()
    return output == STANDARD_STREAM or (output.suffix != "" and not is_folder)


def _expand(
    path: Path, *, recursive: bool, is_recording: Callable[[Path], bool]
) -> Iterable[_Input]:
    if not path.is_dir():
        return [_Input(path, Path())]
    found = sorted(
        child
        for child in (path.rglob("*") if recursive else path.iterdir())
        if child.is_file() and not child.name.startswith(".") and is_recording(child)
    )
    if not found:
        where = "" if recursive else "; sub-folders are searched with --recursive"
        raise SettingsError(f"{path}: holds no recording{where}")
    return [_Input(child, child.parent.relative_to(path)) for child in found]


def _single_targets(output: Path, formats: tuple[str, ...]) -> Iterable[tuple[Path, str]]:
    if len(formats) > 1:
        raise SettingsError(f"-o {output} names one file, -f {','.join(formats)} asks for several")
    if output == STANDARD_STREAM:
        return [_to_standard_output(formats)]
    meant = format_of_path(output)
    chosen = formats[0] if formats else meant
    if formats and meant not in (None, chosen) and (chosen, meant) != ("audacity", "tsv"):
        raise SettingsError(f"-o {output}: its suffix means {meant}, -f asks for {chosen}")
    if chosen is None or chosen not in FORMATS:
        suffixes = ", ".join(_SUFFIX_OF.values())
        raise SettingsError(
            f"-o {output}: no format has the suffix {output.suffix}; use {suffixes}"
        )
    return [(output, chosen)]


def _targets(
    item: _Input, output: Path | None, formats: tuple[str, ...]
) -> Iterable[tuple[Path, str]]:
    if item.source == STANDARD_STREAM and output is None:
        return [_to_standard_output(formats)]
    return [(_target(item, output, name), name) for name in formats or ("midi",)]


def _to_standard_output(formats: tuple[str, ...]) -> tuple[Path, str]:
    chosen = formats[0] if formats else "tsv"
    if len(formats) > 1 or chosen == "midi":
        raise SettingsError("standard output takes one table; use -f tsv, -f csv or -f audacity")
    return STANDARD_STREAM, chosen


def _target(item: _Input, output: Path | None, name: str) -> Path:
    suffix = _SUFFIX_OF[name]
    if output is not None:
        return output / item.folder / f"{item.stem}{suffix}"
    # Beside the recording a table must not be taken for labels that somebody made by hand.
    marked = suffix if name == "midi" else f".softloc{suffix}"
    return item.source.with_name(f"{item.stem}{marked}")


def _refuse_collisions(jobs: Iterable[Job]) -> None:
    taken: dict[Path, Path] = {}
    jobs = list(jobs)
    sources = {job.source.resolve() for job in jobs if job.source != STANDARD_STREAM}
    for job in jobs:
        for path, _ in job.targets:
            if path.resolve() in sources:
                raise SettingsError(f"{path}: is a recording, it would be overwritten")
            if path in taken:
                raise SettingsError(
                    f"{taken[path]} and {job.source} would both be written to {path}"
                )
            taken[path] = job.source
