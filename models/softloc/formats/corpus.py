"""Corpora: a table of many recordings, a folder of label files, or a single label file.

Conventions
-----------
- A table names audio files, relative to its own folder unless the user names another one.
- A folder is read with all its sub-folders; names are relative to it. Hidden files, files without
  a label suffix, READMEs and licences are not looked at. Tables of several recordings and text that
  does not start like labels are skipped and listed (`Corpus.skipped`). A label file that is damaged
  is an error: not UTF-8, a header with labels but no times, or a line that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from softloc.errors import AnnotationError
from softloc.events import Corpus, Onset
from softloc.files import sha256_of_files, write_text_atomic
from softloc.formats.lines import NotLabelsError
from softloc.formats.provenance import Provenance
from softloc.formats.reading import read_label_file
from softloc.formats.registry import SUFFIXES
from softloc.formats.tables import render_corpus_csv
from softloc.versions import UNKNOWN

_NOT_LABELS = ("readme", "license", "licence", "changelog", "attribution", "notice", "copying")


def read_corpus(path: Path) -> Corpus:
    """Read the labels of many recordings, or of one.

    Parameters
    ----------
    path : Path
        A table with a ``file`` column (``file,time_s,label[,annotator][,softness_ms]…``), a folder
        of label files, or a single label file.

    Returns
    -------
    Corpus
        Events by recording. A row ``song.wav,,`` of a table, or an empty label file, is a
        recording without events.

    Raises
    ------
    AnnotationError
        If something is missing or unreadable, or a folder holds no label file.
    """
    return read_corpus_and_forms(path)[0]


class FileForm(NamedTuple):
    """How a label file was written, so that it can be written like that again.

    Attributes
    ----------
    name : str
        Name of its format in `softloc.formats.FORMATS`.
    provenance : Provenance
        What it says beside its events, such as the sample rate of a Sonic Visualiser layer.
    """

    name: str
    provenance: Provenance


def read_corpus_and_forms(path: Path) -> tuple[Corpus, dict[str, FileForm]]:
    """Read a corpus, and the form of each label file, to write it in again.

    Parameters
    ----------
    path : Path
        As for `read_corpus`.

    Returns
    -------
    corpus : Corpus
        As from `read_corpus`.
    forms : dict
        `FileForm` by recording; empty for a table.

    Raises
    ------
    AnnotationError
        As from `read_corpus`.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    content = read_label_file(path)
    if None in content.recordings:
        recordings = {path.name: content.recordings[None]}
        form = FileForm(content.form, content.provenance)
        return Corpus(path, "file", path.parent, recordings), {path.name: form}
    named = cast("dict[str, list[Onset]]", content.recordings)
    return Corpus(path, "table", path.parent, named), {}


def _read_folder(folder: Path) -> tuple[Corpus, dict[str, FileForm]]:
    recordings: dict[str, list[Onset]] = {}
    forms: dict[str, FileForm] = {}
    skipped = []
    for path in label_files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            content = read_label_file(path)
        except NotLabelsError:
            skipped.append(name)
            continue
        if None not in content.recordings:
            skipped.append(name)
            continue
        recordings[name] = content.recordings[None]
        forms[name] = FileForm(content.form, content.provenance)
    if not recordings:
        raise AnnotationError(
            f"{folder} holds no label file (looked for {', '.join(SUFFIXES)}, sub-folders included)"
        )
    return Corpus(folder, "folder", folder, recordings, tuple(skipped)), forms


def label_files(folder: Path) -> Iterator[Path]:
    """Files of a folder and of all below it that may hold labels, by their names, in order."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if not path.stem.lower().startswith(_NOT_LABELS):
            yield path


def corpus_sha256(corpus: Corpus) -> str:
    """Hash of the files that a corpus was read from (`softloc.files.sha256_of_files`).

    ``unknown`` where one is a pipe, which can be read once only.
    """
    if not all(path.is_file() for path in corpus_files(corpus)):
        return UNKNOWN
    return sha256_of_files(corpus.root, _file_names(corpus))


def corpus_files(corpus: Corpus) -> list[Path]:
    """Files that a corpus was read from, with their links followed."""
    return [(corpus.root / name).resolve() for name in _file_names(corpus)]


def _file_names(corpus: Corpus) -> Iterable[str]:
    return corpus.recordings if corpus.kind == "folder" else [corpus.path.name]


def write_corpus_csv(path: Path, corpus: Corpus, comments: Sequence[str] = ()) -> None:
    """Write a corpus as one table, all or nothing.

    Parameters
    ----------
    path : Path
        File to write or replace.
    corpus : Corpus
        Its optional columns (annotator, softness_ms, midi_note, …) are written where any event has
        a value.
    comments : sequence of str
        Lines to put before the header, after ``# ``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_text_atomic(path, render_corpus_csv(corpus.recordings, comments))
