"""Which classes are scored, and how labels fold into them.

Conventions
-----------
- ``auto``: the drum vocabulary ``"5"`` where the reference has drum labels and both sides nothing
  but drum labels, `OT` and note numbers; else every label as it is written.
- ``as-written``: every label by itself.
- ``3``, ``5``, ``8``, ``9``: a drum vocabulary; its labels fold (`softloc.vocabulary.fold_label`).
- A list of names: exactly these; other drum labels fold into them
  (`softloc.vocabulary.fold_into_list`: ``HH`` takes open hats unless ``OH`` is listed too).
- `OT` is never scored, and neither is what the vocabulary has no place for; both are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from softloc.errors import SettingsError
from softloc.vocabulary import (
    DRUM_LABELS,
    DRUM_VOCABULARIES,
    OTHER,
    fold_into_list,
    fold_label,
    is_note_label,
    label_order,
    nearest_hint,
    parse_class_list,
)

AS_WRITTEN = "as-written"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of an evaluation.

    Attributes
    ----------
    name : str
        What to call the vocabulary: ``"5"``, ``"as-written"`` or ``"list"``.
    labels : tuple of str
        Its classes, in the order of the table.
    fold : callable
        Class of a label, None where it is not scored.
    """

    name: str
    labels: tuple[str, ...]
    fold: Callable[[str], str | None]


def choose_classes(
    choice: str, reference_labels: Iterable[str], estimate_labels: Iterable[str]
) -> Classes:
    """Settle the classes of an evaluation.

    Parameters
    ----------
    choice : str
        ``auto``, ``as-written``, ``3``, ``5``, ``8``, ``9``, or names separated by commas.
    reference_labels, estimate_labels : iterable of str
        All labels of either side.

    Returns
    -------
    Classes
        The classes and the rule that folds labels into them.

    Raises
    ------
    SettingsError
        If the choice is unknown, a fixed vocabulary meets a label that it does not know, or a
        list names a class twice, `OT`, or a class that no label belongs to.
    """
    reference, estimate = set(reference_labels), set(estimate_labels)
    if choice == AS_WRITTEN:
        return _as_written(reference | estimate)
    if choice == "auto":
        if not _are_drums(reference, estimate):
            return _as_written(reference | estimate)
        choice = "5"
    if choice in DRUM_VOCABULARIES:
        return _drum_vocabulary(choice, reference | estimate)
    return _listed(choice, reference | estimate)


def _are_drums(reference: set[str], estimate: set[str]) -> bool:
    everything = reference | estimate
    return not reference.isdisjoint(DRUM_LABELS) and all(
        label in DRUM_LABELS or is_note_label(label) for label in everything
    )


def _as_written(labels: set[str]) -> Classes:
    return Classes(
        AS_WRITTEN,
        tuple(sorted(labels - {OTHER}, key=label_order)),
        lambda label: None if label == OTHER else label,
    )


def _drum_vocabulary(name: str, labels: set[str]) -> Classes:
    for label in sorted(labels):
        fold_label(label, name)  # refuses unknown labels before anything is counted
    return Classes(name, DRUM_VOCABULARIES[name], lambda label: fold_label(label, name))


def _listed(choice: str, labels: set[str]) -> Classes:
    listed = parse_class_list(choice)
    reached = {fold_into_list(label, listed) for label in labels}
    for name in listed:
        if name not in reached and name not in DRUM_LABELS:
            hint = nearest_hint(name, sorted(labels))
            raise SettingsError(f"no label belongs to the class {name!r}{hint}")
    return Classes("list", listed, lambda label: fold_into_list(label, listed))
