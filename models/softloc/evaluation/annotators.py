"""Whose labels are the reference, where several people labelled the same recordings.

Conventions
-----------
- Every event of the reference is searched for once, and every event of the estimate answers one,
  so of several annotators' labels at the same hit one at most can match: one annotator at a time is
  scored, on either side.
- Labels without an annotator are those of the annotator ``""``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from softloc.errors import SettingsError
from softloc.events import Corpus, Onset
from softloc.vocabulary import nearest_hint


def select_annotator(corpus: Corpus, annotator: str) -> Corpus:
    """Keep the labels of one annotator.

    Parameters
    ----------
    corpus : Corpus
        Labels of several.
    annotator : str
        Whose to keep.

    Returns
    -------
    Corpus
        The annotator's labels. Recordings that only others labelled are left out; those without
        any label stay.

    Raises
    ------
    SettingsError
        If nobody of this name set a label.
    """
    known = _annotators(onset for onsets in corpus.recordings.values() for onset in onsets)
    if annotator not in known:
        hint = nearest_hint(annotator, filter(None, known))
        raise SettingsError(f"{corpus.path} has no annotator {annotator!r}{hint}")
    recordings = {
        name: [onset for onset in onsets if (onset.annotator or "") == annotator]
        for name, onsets in corpus.recordings.items()
    }
    kept = {name: own for name, own in recordings.items() if own or not corpus.recordings[name]}
    return replace(corpus, recordings=kept)


def refuse_several_annotators(
    events: Mapping[str, Sequence[Onset]],
    side: str = "the reference",
    advice: str = "choose one with --annotator NAME",
) -> None:
    """Refuse events of which a recording has labels of more than one annotator.

    Parameters
    ----------
    events : Mapping[str, sequence of Onset]
        Events of one side by recording.
    side, advice : str
        Which side, and what to do, for the message.

    Raises
    ------
    SettingsError
        If there are several; it names the recording and them.
    """
    for name, onsets in events.items():
        known = _annotators(onsets)
        if len(known) > 1:
            listed = ", ".join(annotator or "(none)" for annotator in known)
            raise SettingsError(
                f"{name}: {side} has labels of {len(known)} annotators, {listed}: each event would "
                f"count once for each; {advice}"
            )


def _annotators(onsets: Iterable[Onset]) -> list[str]:
    return sorted({onset.annotator or "" for onset in onsets})
