"""Labelled recordings: a corpus of labels joined with its audio, and checked.

Conventions
-----------
- A label that noise moved out of its recording, by at most ``max(0.5 s, 5 × softness)``, is moved
  to the nearest end and counted; one farther out is an error of the data.
- Several annotators of one recording stay apart: each gives a sequence of its own (Section 4.4 of
  the paper), and training sees one of them at a time.
- All problems are collected and reported at once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softloc.audio import audio_duration_s, find_audio, read_blocks
from softloc.errors import AnnotationError, AudioError, SettingsError
from softloc.events import Corpus, Onset
from softloc.vocabulary import (
    DRUM_VOCABULARIES,
    OTHER,
    fold_into_list,
    fold_label,
    label_order,
    nearest_hint,
    parse_class_list,
)

MIN_STRAY_S = 0.5
STRAY_SOFTNESSES = 5.0

#: Labels softer than ten days say nothing of when, and single precision may not hold more.
MAX_SOFTNESS_MS = 1e9
_MAX_PROBLEMS_SHOWN = 50


@dataclass(frozen=True)
class Classes:
    """The classes of a model and how labels become them.

    Attributes
    ----------
    names : tuple of str
        Label of each output.
    vocabulary : str or None
        Drum vocabulary that folds labels (`softloc.vocabulary`).
    fold : bool
        Fold drum labels into the listed class that contains them; otherwise they are taken as
        written.
    """

    names: tuple[str, ...]
    vocabulary: str | None = None
    fold: bool = False

    def index(self, label: str) -> int | None:
        """Output of a label; None for one that is left out on purpose (`OTHER`, or folded away).

        Raises
        ------
        SettingsError
            If the label is unknown to this vocabulary.
        """
        if label == OTHER:
            return None
        if self.vocabulary is not None:
            folded = fold_label(label, self.vocabulary)
            return None if folded is None else self.names.index(folded)
        if self.fold:
            folded = fold_into_list(label, self.names)
            label = label if folded is None else folded
        if label not in self.names:
            raise SettingsError(f"unknown class {label!r}{nearest_hint(label, self.names)}")
        return self.names.index(label)


@dataclass(frozen=True)
class LabelSequence:
    """All labels that one annotator set in one recording.

    Attributes
    ----------
    annotator : str
        Name, empty where the corpus names none.
    times_s : ndarray of float64, shape (n,)
        In order, inside the recording.
    classes : ndarray of int64, shape (n,)
        Output of each label.
    softness_ms : ndarray of float64, shape (n,)
        Softness of each label.
    velocities : ndarray of int64, shape (n,), or None
        MIDI velocity of each label, 0 for one without; None where none has any.
    """

    annotator: str
    times_s: NDArray[np.float64]
    classes: NDArray[np.int64]
    softness_ms: NDArray[np.float64]
    velocities: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Recording:
    """One recording with its labels.

    Attributes
    ----------
    name : str
        As the corpus calls it.
    audio : Path
        The audio file.
    duration_s : float
        Its length.
    sequences : tuple of LabelSequence
        One per annotator, in order of their names.
    """

    name: str
    audio: Path
    duration_s: float
    sequences: tuple[LabelSequence, ...]


@dataclass(frozen=True)
class Dataset:
    """Recordings that passed every check.

    Attributes
    ----------
    recordings : tuple of Recording
        In the order of the corpus.
    classes : Classes
        What they are labelled with.
    notes : tuple of str
        What the user should know: labels moved, classes left out.
    """

    recordings: tuple[Recording, ...]
    classes: Classes
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length of all recordings together."""
        return math.fsum(recording.duration_s for recording in self.recordings)

    def count_labels(self) -> dict[str, int]:
        """Labels of each class, annotators added up."""
        counts = np.zeros(len(self.classes.names), dtype=np.int64)
        for recording in self.recordings:
            for sequence in recording.sequences:
                counts += np.bincount(sequence.classes, minlength=len(counts))
        return dict(zip(self.classes.names, counts.tolist(), strict=True))

    def sha256(self) -> str:
        """Hash of names, lengths and labels: whether a resumed training sees the same data.

        Velocities are left out: no step of the training sees them.
        """
        digest = hashlib.sha256(repr(self.classes.names).encode())
        for recording in self.recordings:
            name = recording.name.encode(errors="surrogateescape")
            digest.update(name + f"\0{recording.duration_s:.6f}".encode())
            for sequence in recording.sequences:
                digest.update(sequence.annotator.encode() + sequence.times_s.tobytes())
                digest.update(sequence.classes.tobytes() + sequence.softness_ms.tobytes())
        return digest.hexdigest()

    def shorten(self, max_s: float, seed: int) -> Dataset:
        """Keep recordings drawn at random, in their order, up to `max_s` seconds (one at least)."""
        kept = self.draw(range(len(self.recordings)), max_s, seed)
        return replace(self, recordings=tuple(self.recordings[i] for i in kept))

    def draw(self, indices: Sequence[int], max_s: float, seed: int) -> list[int]:
        """Draw of these recordings, up to `max_s` seconds, one at least; returns them in order."""
        kept: list[int] = []
        total_s = 0.0
        for index in np.random.default_rng(seed).permutation(indices).tolist():
            length_s = self.recordings[index].duration_s
            if not kept or total_s + length_s <= max_s:
                kept.append(index)
                total_s += length_s
        return sorted(kept)

    def split(self, share: float, seed: int) -> tuple[Dataset, Dataset]:
        """Hold a share of the recordings back, drawn at random: (rest, held back).

        At least one recording goes to each side.

        Raises
        ------
        SettingsError
            If there is only one recording.
        """
        n = len(self.recordings)
        if n < 2:
            raise SettingsError(
                "one recording cannot be split into training and validation; "
                "give --valid-labels, or label a second recording"
            )
        n_held = min(n - 1, max(1, round(share * n)))
        held = set(np.random.default_rng(seed).permutation(n)[:n_held].tolist())
        parts = [
            tuple(r for i, r in enumerate(self.recordings) if (i in held) is wanted)
            for wanted in (False, True)
        ]
        return replace(self, recordings=parts[0]), Dataset(parts[1], self.classes)


def choose_classes(option: str, corpus: Corpus) -> Classes:
    """Turn ``--classes`` into classes.

    Parameters
    ----------
    option : str
        ``"auto"`` (every label of the corpus but `OTHER`), a drum vocabulary (``"3"``, ``"5"``,
        ``"8"``, ``"9"``), or names separated by commas.
    corpus : Corpus
        Where ``"auto"`` looks.

    Raises
    ------
    SettingsError
        If that leaves no class, or names one twice.
    """
    if option in DRUM_VOCABULARIES:
        return Classes(DRUM_VOCABULARIES[option], vocabulary=option)
    if option != "auto":
        return Classes(parse_class_list(option), fold=True)
    labels = {onset.label for onsets in corpus.recordings.values() for onset in onsets} - {OTHER}
    if not labels:
        raise SettingsError(f"{corpus.path}: holds no label to learn from")
    return Classes(tuple(sorted(labels, key=label_order)))


def classes_of_model(names: tuple[str, ...]) -> Classes:
    """Classes of an existing model; labels are folded if they are those of a drum vocabulary."""
    for vocabulary, members in DRUM_VOCABULARIES.items():
        if members == names:
            return Classes(names, vocabulary)
    return Classes(names)


def build_dataset(
    corpus: Corpus,
    classes: Classes,
    audio_root: Path | None,
    softness_ms: float,
    *,
    outside: bool = False,
) -> Dataset:
    """Join labels and audio.

    Parameters
    ----------
    corpus : Corpus
        As from `softloc.formats.read_corpus`.
    classes : Classes
        As from `choose_classes`.
    audio_root : Path or None
        Folder that the corpus' file names are relative to; its own by default.
    softness_ms : float
        Softness of labels that do not bring their own.
    outside : bool
        Recordings may lie outside of that folder (`softloc.audio.find_audio`).

    Raises
    ------
    AnnotationError
        With all problems of the data, one a line.
    """
    root = corpus.root if audio_root is None else audio_root
    reader = _LabelReader(classes, softness_ms)
    recordings = []
    for name, onsets in corpus.recordings.items():
        try:
            audio = find_audio(root, name, outside=outside)
            duration_s = audio_duration_s(audio)
        except (AnnotationError, AudioError) as error:
            reader.problems.append(str(error))
            continue
        sequences = reader.sequences(name, onsets, duration_s)
        recordings.append(Recording(name, audio, duration_s, sequences))
    dataset = Dataset(tuple(recordings), classes)
    problems, notes = _check_counts(corpus.path, dataset)
    if reader.problems or problems:
        # Counts mean little while recordings are missing: they are reported only on their own.
        raise AnnotationError(_list_problems(reader.problems or problems))
    return replace(dataset, notes=(*reader.notes, *notes))


def set_annotator_softness(corpus: Corpus, softness_ms: Mapping[str, float]) -> Corpus:
    """Give every label the softness of its annotator, where it has none of its own.

    Raises
    ------
    SettingsError
        If an annotator is named who set no label.
    """
    known = {o.annotator or "" for onsets in corpus.recordings.values() for o in onsets}
    for annotator in softness_ms:
        if annotator not in known:
            raise SettingsError(f"unknown annotator {annotator!r}{nearest_hint(annotator, known)}")
    recordings = {
        name: [_with_softness(onset, softness_ms) for onset in onsets]
        for name, onsets in corpus.recordings.items()
    }
    return replace(corpus, recordings=recordings)


def check_audio(dataset: Dataset, advance: Callable[[], None] = lambda: None) -> None:
    """Decode every recording and keep nothing, to find those that break off.

    Parameters
    ----------
    dataset : Dataset
        Its headers were read already.
    advance : callable, optional
        Called after each recording.

    Raises
    ------
    AudioError
        Naming every recording that cannot be decoded.
    """
    problems = []
    for recording in dataset.recordings:
        try:
            for _ in read_blocks(recording.audio):
                pass
        except AudioError as error:
            problems.append(str(error))
        advance()
    if problems:
        raise AudioError("\n".join(problems))


def check_apart(training: Dataset, validation: Dataset) -> None:
    """Refuse recordings that are in both.

    Raises
    ------
    AnnotationError
        Naming them.
    """
    known = {recording.audio.resolve() for recording in training.recordings}
    shared = [r.name for r in validation.recordings if r.audio.resolve() in known]
    if shared:
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise AnnotationError(
            f"{shared[0]}{more}: in the training and in the validation labels; a model is not "
            f"judged by what it was trained on"
        )


@dataclass
class _LabelReader:
    """Turns the labels of recordings into sequences, collecting what is wrong or worth knowing."""

    classes: Classes
    softness_ms: float
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_moved: int = 0

    def sequences(
        self, name: str, onsets: Iterable[Onset], duration_s: float
    ) -> tuple[LabelSequence, ...]:
        """One sequence per annotator; a recording without labels has one that is empty."""
        by_annotator: dict[str, list[Onset]] = {}
        for onset in sorted(onsets, key=lambda onset: onset.time_s):
            by_annotator.setdefault(onset.annotator or "", []).append(onset)
        n_moved_before = self.n_moved
        sequences = tuple(
            self._sequence(name, annotator, labels, duration_s)
            for annotator, labels in sorted((by_annotator or {"": []}).items())
        )
        n_moved = self.n_moved - n_moved_before
        if n_moved:
            self.notes.append(f"{name}: {n_moved} labels outside the recording moved to its ends")
        return sequences

    def _sequence(
        self, name: str, annotator: str, onsets: Iterable[Onset], duration_s: float
    ) -> LabelSequence:
        rows = []
        for onset in onsets:
            index = self._class_index(name, onset)
            softness_ms = self.softness_ms if onset.softness_ms is None else onset.softness_ms
            softness_ms = softness_ms if softness_ms <= MAX_SOFTNESS_MS else math.inf
            if index is not None and self._is_near(name, onset, duration_s, softness_ms):
                inside_s = min(max(onset.time_s, 0.0), duration_s)
                self.n_moved += inside_s != onset.time_s
                rows.append((inside_s, index, softness_ms, onset.velocity or 0))
        velocities = np.array([row[3] for row in rows], dtype=np.int64)
        return LabelSequence(
            annotator,
            times_s=np.array([row[0] for row in rows], dtype=np.float64),
            classes=np.array([row[1] for row in rows], dtype=np.int64),
            softness_ms=np.array([row[2] for row in rows], dtype=np.float64),
            velocities=velocities if velocities.any() else None,
        )

    def _class_index(self, name: str, onset: Onset) -> int | None:
        try:
            return self.classes.index(onset.label)
        except SettingsError as error:
            self.problems.append(f"{name}: at {onset.time_s:.6f} s, {error}")
            return None

    def _is_near(self, name: str, onset: Onset, duration_s: float, softness_ms: float) -> bool:
        soft_s = softness_ms / 1000.0 if math.isfinite(softness_ms) else 0.0
        distance_s = max(-onset.time_s, onset.time_s - duration_s)
        if distance_s <= max(MIN_STRAY_S, STRAY_SOFTNESSES * soft_s):
            return True
        self.problems.append(
            f"{name}: the label {onset.label} at {onset.time_s:.6f} s is far outside the recording "
            f"(0-{duration_s:.3f} s); wrong file, or times in milliseconds?"
        )
        return False


def _check_counts(path: Path, dataset: Dataset) -> tuple[list[str], list[str]]:
    """Problems and notes that only all recordings together show."""
    if not dataset.recordings:
        return [f"{path}: names no recording"], []
    counts = dataset.count_labels()
    if not any(counts.values()):
        return [f"{path}: holds no label of the classes {', '.join(counts)}"], []
    missing = [label for label, count in counts.items() if not count]
    return [], [
        f"no label of class {label}: the model will learn to be silent" for label in missing
    ]


def _list_problems(problems: Sequence[str]) -> str:
    shown = list(problems[:_MAX_PROBLEMS_SHOWN])
    if len(problems) > len(shown):
        shown.append(f"… and {len(problems) - len(shown)} more")
    return "\n".join(shown)


def _with_softness(onset: Onset, softness_ms: Mapping[str, float]) -> Onset:
    soft = softness_ms.get(onset.annotator or "")
    if onset.softness_ms is not None or soft is None:
        return onset
    return replace(onset, softness_ms=soft)
