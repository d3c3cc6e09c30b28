"""Manifests: the table of a pack of samples, its rows checked as far as all packs agree.

Conventions
-----------
- A pack is a folder with ``manifest.csv`` (UTF-8, a header) and the audio files that it names.
- Splits keep apart what must not be in training and test at once.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from softloc.errors import AnnotationError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One sample of a pack.

    Attributes
    ----------
    text : dict of str to str
        Its fields by column, without spaces around.
    path : Path
        Its audio file, which is there.
    where : str
        Manifest and line, for messages.
    """

    text: dict[str, str]
    path: Path
    where: str


def read_manifest(folder: Path, columns: Sequence[str]) -> Iterator[ManifestRow]:
    """Read the manifest of a pack.

    Parameters
    ----------
    folder : Path
        Folder of the pack.
    columns : sequence of str
        What each row must have; ``path`` and ``split`` are among them.

    Yields
    ------
    ManifestRow
        Row by row; at least one.

    Raises
    ------
    AnnotationError
        If the manifest is missing, lacks a column or rows, or a row has the wrong number of fields,
        an unknown split or no file; names file and line.
    """
    manifest = folder / "manifest.csv"
    n_rows = 0
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise AnnotationError(f"{manifest}:1: no column {', '.join(missing)}")
            for row in reader:
                where = f"{manifest}:{reader.line_num}"
                if None in row or any(row.get(name) is None for name in columns):
                    raise AnnotationError(
                        f"{where}: the row has more or fewer fields than the header"
                    )
                yield _check({name: row[name].strip() for name in columns}, folder, where)
                n_rows += 1
    except OSError as error:
        raise AnnotationError(f"cannot read {manifest}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{manifest} is not UTF-8 text: {error}") from error
    if not n_rows:
        raise AnnotationError(f"{manifest} lists no samples")


def _check(text: dict[str, str], folder: Path, where: str) -> ManifestRow:
    if text["split"] not in SPLITS:
        raise AnnotationError(
            f"{where}: unknown split {text['split']!r}: choose one of {', '.join(SPLITS)}"
        )
    path = folder / text["path"]
    if not text["path"] or not path.is_file():
        raise AnnotationError(f"{where}: there is no file {path}")
    return ManifestRow(text, path, where)
