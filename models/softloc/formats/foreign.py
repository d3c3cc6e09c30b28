"""Names that public drum sets give to their classes, as General MIDI notes.

A note says more than a class (side stick, floor tom, splash) and gives the class by
`softloc.vocabulary.label_of_note`; None is other percussion without a note.

Conventions
-----------
- Names mean different things in different sets, so they are read only where the set is named
  (``softloc convert --from enst``); text is otherwise read with the names it has.
- MDB Drums: class and subclass names of its annotations (Southall et al., ISMIR 2017).
- ENST-Drums: the names of its documentation (Gillet and Richard, ISMIR 2006) with the classes that
  Vogl et al. (DAFx 2018) and ADTOF give them. Digits count the cymbals of a kit (``cr1``, ``rc3``)
  and a minus marks a variant (``sd-``); both are dropped. Uncertain, because sources disagree or
  leave them out: ``c`` (a cymbal that is neither ride, crash, china nor splash) is read as CY,
  ``sweep`` (brushes) and the tom rims ``mtr``, ``ltr`` as OT.
- RBMA13: the eight classes of its middle vocabulary, by number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from softloc.errors import AnnotationError
from softloc.events import Onset
from softloc.vocabulary import DRUM_LABELS, OTHER, label_of_note, nearest_hint

#: Note of each name, by the set's name in `softloc.formats.FORMATS`.
FOREIGN_NAMES: Mapping[str, Mapping[str, int | None]] = {
    "mdb": {
        "KD": 36, "SD": 38, "HH": 42, "TT": 45, "CY": 49, "OT": None,
        "SDB": 38, "SDD": 38, "SDF": 38, "SDG": 38, "SDNS": 38, "SST": 37,
        "CHH": 42, "OHH": 46, "PHH": 44,
        "HIT": 50, "MHT": 48, "HFT": 43, "LFT": 41,
        "RDC": 51, "RDB": 53, "CRC": 49, "CHC": 52, "SPC": 55,
        "TMB": 54,
    },
    "enst": {
        "bd": 36, "sd": 38, "rs": 38, "cs": 37, "sweep": None,
        "chh": 42, "ohh": 46,
        "mt": 48, "lmt": 47, "lt": 45, "lft": 41, "mtr": None, "ltr": None,
        "cr": 49, "c": 49, "ch": 52, "spl": 55, "rc": 51,
        "cb": 56, "sticks": 75,
    },
    "rbma8": {"0": 36, "1": 38, "2": 45, "3": 42, "4": 49, "5": 51, "6": 53, "7": 75},
}  # fmt: skip

_ENST_NUMBER = re.compile(r"([a-z]+)[0-9]*-?")


def rename_foreign(onset: Onset, names: str) -> Onset:
    """Turn the name that a data set gives into a drum class.

    Parameters
    ----------
    onset : Onset
        An event with a name of the set as its label.
    names : str
        A name in `FOREIGN_NAMES`.

    Returns
    -------
    Onset
        The same event with drum class and note.

    Raises
    ------
    AnnotationError
        If the set has no such name; the message gives the nearest one.
    """
    known = FOREIGN_NAMES[names]
    name = _plain_name(onset.label, names)
    if name not in known:
        raise AnnotationError(f"{onset.label!r} is no name of {names}{nearest_hint(name, known)}")
    note = known[name]
    label = OTHER if note is None else label_of_note(note)
    return replace(onset, label=label, midi_note=note)


def guess_foreign_names(labels: Iterable[str]) -> str | None:
    """Name of the set whose names all these labels are; None where there is none or are ours."""
    labels = set(labels)
    if len(labels) < 2 or labels <= set(DRUM_LABELS):
        return None
    for names in ("mdb", "enst"):
        if all(_plain_name(label, names) in FOREIGN_NAMES[names] for label in labels):
            return names
    return None


def _plain_name(label: str, names: str) -> str:
    match = _ENST_NUMBER.fullmatch(label) if names == "enst" else None
    return match[1] if match else label
