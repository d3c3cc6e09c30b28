"""Which estimate file belongs to which reference recording.

Conventions
-----------
- Recordings are matched by stem; ``.softloc`` at its end is dropped. Two single files belong
  together whatever they are called.
- Where stems occur twice, the very same name decides, else the folders: the longer path must end
  with the shorter one.
- A recording that a folder holds in several formats is read from the most exact one: CSV, then
  text, then MIDI.
- What stays ambiguous is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from softloc.errors import AnnotationError
from softloc.events import Corpus, Onset, recording_stem

#: Suffixes from the most to the least exact.
_EXACTNESS = (".json", ".jams", ".csv", ".tsv", ".txt", ".onsets", ".svl", ".mid", ".midi")


@dataclass(frozen=True, slots=True)
class Pairing:
    """Events of both sides under the names of the reference.

    Attributes
    ----------
    references : Mapping[str, list[Onset]]
        Reference events of every recording that was asked for.
    estimates : Mapping[str, list[Onset]]
        Estimated events of those that have an estimate.
    missing : tuple of str
        Recordings without an estimate: all their events count as missed.
    extra : tuple of str
        Estimates without a reference: not scored.
    """

    references: Mapping[str, list[Onset]]
    estimates: Mapping[str, list[Onset]]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def pair_recordings(reference: Corpus, estimate: Corpus, only: Sequence[str] = ()) -> Pairing:
    """Find the estimate of each reference recording.

    Parameters
    ----------
    reference : Corpus
        Reference labels.
    estimate : Corpus
        Estimates.
    only : sequence of str
        Patterns such as ``drums/*``; of the reference, only recordings that one of them matches
        are scored. Without any, all are.

    Returns
    -------
    Pairing
        Events of both sides, and the names of those that found no partner.

    Raises
    ------
    AnnotationError
        If no recording is left or none has an estimate, or an estimate fits several recordings, or
        several estimates fit one.
    """
    names = reference.recordings
    own = _most_exact(names) if reference.kind == "folder" else list(names)
    references = {name: names[name] for name in own if _asked(name, only)}
    if not references:
        raise AnnotationError(
            f"{reference.path} has no recording"
            + (f" that matches {', '.join(only)}" if only else "")
        )
    if estimate.kind == "file" and len(references) == 1:
        partners = dict(zip(references, estimate.recordings, strict=True))
    else:
        answers = estimate.recordings
        known = _most_exact(answers) if estimate.kind == "folder" else list(answers)
        partners = _find_partners(list(references), known, estimate)
    if not partners:
        raise AnnotationError(
            f"no estimate in {estimate.path} has the name of a recording in {reference.path} "
            f"(such as {recording_stem(next(iter(references)))!r})"
        )
    known_stems = {recording_stem(name) for name in reference.recordings}
    used = set(partners.values())
    return Pairing(
        references=references,
        estimates={name: estimate.recordings[partner] for name, partner in partners.items()},
        missing=tuple(name for name in references if name not in partners),
        extra=tuple(
            name
            for name in estimate.recordings
            if name not in used and recording_stem(name) not in known_stems
        ),
    )


def _asked(name: str, only: Sequence[str]) -> bool:
    return not only or any(fnmatchcase(name, pattern) for pattern in only)


def _bare(name: str) -> PurePosixPath:
    """Path of a recording without suffix and ``.softloc``."""
    return PurePosixPath(name).parent / recording_stem(name)


def _most_exact(names: Mapping[str, object]) -> list[str]:
    best: dict[PurePosixPath, str] = {}
    for name in names:
        bare = _bare(name)
        if bare not in best or _inexactness(name) < _inexactness(best[bare]):
            best[bare] = name
    return list(best.values())


def _inexactness(name: str) -> int:
    suffix = PurePosixPath(name).suffix.lower()
    return _EXACTNESS.index(suffix) if suffix in _EXACTNESS else len(_EXACTNESS)


def _find_partners(
    references: Sequence[str], estimates: Sequence[str], estimate: Corpus
) -> dict[str, str]:
    by_stem: dict[str, list[str]] = {}
    for name in estimates:
        by_stem.setdefault(recording_stem(name), []).append(name)
    partners: dict[str, str] = {}
    for name in references:
        candidates = by_stem.get(recording_stem(name), [])
        if name in candidates:
            candidates = [name]
        elif len(candidates) > 1:
            candidates = [other for other in candidates if _same_end(name, other)]
            if len(candidates) > 1:
                raise AnnotationError(
                    f"several estimates in {estimate.path} could belong to {name}: "
                    + ", ".join(candidates)
                )
        if candidates:
            partners[name] = candidates[0]
    return _settle_shared(partners, estimate)


def _settle_shared(partners: Mapping[str, str], estimate: Corpus) -> dict[str, str]:
    """Where several recordings claim one estimate, keep the one whose folders agree."""
    claims: dict[str, list[str]] = {}
    for name, partner in partners.items():
        claims.setdefault(partner, []).append(name)
    settled = {}
    for partner, names in claims.items():
        # A bare stem agrees with every folder, so it can only be ambiguous.
        agreeing = [name for name in names if _same_end(name, partner)]
        chosen = agreeing if len(names) > 1 else names
        if len(chosen) != 1:
            raise AnnotationError(
                f"{partner} in {estimate.path} could belong to {' or '.join(names)}: keep their "
                "folders in the estimates, or choose with --only"
            )
        settled[chosen[0]] = partner
    return settled


def _same_end(name: str, other: str) -> bool:
    """Whether the longer of two paths ends with the shorter one, suffixes dropped."""
    longer, shorter = sorted((_bare(name).parts, _bare(other).parts), key=len, reverse=True)
    return longer[len(longer) - len(shorter) :] == shorter
