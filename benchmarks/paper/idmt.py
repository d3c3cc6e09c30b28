"""IDMT-SMT-Drums, for those who own it: mixtures with the labels of their XML annotations.

The set (Dittmar & Gärtner, 2014; CC BY-NC-ND 4.0) has ``audio/<name>#MIX.wav`` and
``annotation_xml/<name>#MIX.xml``. It is for evaluation here, never for training.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.paper.audio import Split
from softloc.datasets import Classes
from softloc.errors import AnnotationError
from softloc.events import Corpus, Onset, sort_onsets
from softloc.formats.idmt import read_idmt

AUDIO = "audio"
ANNOTATIONS = "annotation_xml"


def read_idmt_split(folder: Path, classes: Classes) -> Split:
    """Read all mixtures of the set.

    Parameters
    ----------
    folder : Path
        Holds ``audio`` and ``annotation_xml``.
    classes : Classes
        Labels without a class are left out.

    Raises
    ------
    AnnotationError
        If there is no annotation, one cannot be read, or its audio is missing.
    """
    recordings: dict[str, list[Onset]] = {}
    for path in sorted((folder / ANNOTATIONS).glob("*.xml")):
        name = f"{AUDIO}/{path.stem}.wav"
        if not (folder / name).is_file():
            raise AnnotationError(f"{path}: its recording {folder / name} is missing")
        recordings[name] = _folded(read_idmt(path), classes)
    if not recordings:
        raise AnnotationError(f"{folder / ANNOTATIONS}: holds no annotation of IDMT-SMT-Drums")
    return Split(Corpus(folder / ANNOTATIONS, "folder", folder, recordings), classes.names)


def _folded(onsets: list[Onset], classes: Classes) -> list[Onset]:
    indices = [(onset, classes.index(onset.label)) for onset in onsets]
    return sort_onsets(
        replace(onset, label=classes.names[index]) for onset, index in indices if index is not None
    )
