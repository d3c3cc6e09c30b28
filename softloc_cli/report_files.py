"""Write the pages and sonifications that ``--html`` and ``--sonify`` ask for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from softloc.errors import AnnotationError, SettingsError
from softloc.files import readable_name
from softloc_cli.console import report
from softloc_cli.report_options import CheckFiles, CheckOptions

if TYPE_CHECKING:
    from softloc.evaluation import EvaluationSettings, Pairing
    from softloc.events import Onset


def write_transcription_checks(
    files: CheckFiles,
    recording: Path | BinaryIO,
    onsets: Sequence[Onset],
    details: Mapping[str, str],
) -> None:
    """Write page and sonification of a transcription.

    Parameters
    ----------
    files : CheckFiles
        Where to.
    recording : Path or seekable binary file
        What was transcribed.
    onsets : sequence of Onset
        Its events.
    details : mapping
        What the page should say of how it was made.
    """
    if not files.paths():
        return
    from softloc.report import list_events, read_media, write_report, write_sonification

    if files.html is not None:
        name = readable_name(recording) if isinstance(recording, Path) else "standard input"
        media = read_media(recording, warn=False)  # it has been complained about
        write_report(files.html, name, list_events(onsets), media, details=details)
    if files.sonified is not None:
        write_sonification(files.sonified, recording, onsets, warn=False)


def write_evaluation_checks(
    options: CheckOptions,
    audio_root: Path,
    pairings: Mapping[str, Pairing],
    *,
    settings: EvaluationSettings,
    details: Mapping[str, str],
    ends_s: Mapping[str, float] | None = None,
    outside: bool = False,
) -> None:
    """Write pages and sonifications of all recordings that were evaluated.

    Pages of several recordings get an ``index.html``; several estimates get a folder each. A page
    whose recording is missing is silent and says so.

    Parameters
    ----------
    options : CheckOptions
        What is asked for.
    audio_root : Path
        Folder of the recordings.
    pairings : mapping
        Events of both sides, by the name of the estimate.
    settings : EvaluationSettings
        How they were scored.
    details : mapping
        What a page should say of how it was made.
    ends_s : mapping, optional
        Length of the recordings, seconds, where later events were left out.
    outside : bool
        Recordings may lie outside of their folder.

    Raises
    ------
    AnnotationError
        If sonifications are asked for and no recording is there.
    SettingsError
        If a recording would be overwritten.
    """
    if not options.wanted:
        return
    n_found = 0
    for number, (estimate, pairing) in enumerate(pairings.items(), start=1):
        # Two estimates may have the same name in different folders.
        folder = PurePosixPath(f"{number}-{Path(estimate).stem}" if len(pairings) > 1 else "")
        about = {**details, "estimate": estimate}
        n_found += _write_estimate(
            options,
            folder,
            audio_root=audio_root,
            pairing=pairing,
            settings=settings,
            details=about,
            ends_s=ends_s,
            outside=outside,
        )
    if options.sonify is not None and not n_found:
        raise AnnotationError(f"--sonify: {audio_root} holds no recording of these names")


def _write_estimate(
    options: CheckOptions,
    folder: PurePosixPath,
    *,
    audio_root: Path,
    pairing: Pairing,
    settings: EvaluationSettings,
    details: Mapping[str, str],
    ends_s: Mapping[str, float] | None,
    outside: bool,
) -> int:
    """Write all files of one estimate; returns how many recordings were there."""
    from softloc.report import (
        IndexEntry,
        compare_recordings,
        read_media,
        write_index,
        write_report,
        write_sonification,
    )

    entries = []
    n_found = 0
    places = _places_of(pairing.references)
    comparisons = compare_recordings(pairing.references, pairing.estimates, settings, ends_s)
    for name, comparison in comparisons:
        files = options.files(folder / places[name])
        source, problem = _find_recording(audio_root, name, outside=outside)
        if source is None:
            report(f"no sound: {problem}")
        else:
            n_found += 1
            _refuse_overwriting(files, source)
        if files.html is not None:
            media = None if source is None else read_media(source)
            write_report(
                files.html, name, comparison, media, silence_reason=problem, details=details
            )
            entries.append(IndexEntry(name, f"{places[name]}.html", comparison.summarise()))
        if files.sonified is not None and source is not None:
            n_outside = write_sonification(
                files.sonified,
                source,
                pairing.estimates.get(name, ()),
                warn=files.html is None,
            )
            if n_outside:
                report(f"{source}: {n_outside} events lie outside the recording: no click")
    if options.html is not None and options.several:
        index = Path(options.html) / folder / "index.html"
        write_index(index, details["estimate"], entries, settings.windows_s[0], details)
    return n_found


def _refuse_overwriting(files: CheckFiles, recording: Path) -> None:
    for path in files.paths():
        if path.exists() and path.samefile(recording):
            raise SettingsError(f"{path}: is a recording, it would be overwritten")


def _find_recording(root: Path, name: str, *, outside: bool) -> tuple[Path | None, str]:
    """Look for a recording; say why there is none."""
    from softloc.audio import find_audio

    try:
        return find_audio(root, name, outside=outside), ""
    except AnnotationError as error:
        return None, str(error)


def _places_of(names: Iterable[str]) -> dict[str, PurePosixPath]:
    """Give each recording a relative path without suffix that is its own.

    None leads out of the folder, whatever a table calls its recordings.
    """
    places: dict[str, PurePosixPath] = {}
    taken = {PurePosixPath("index")}
    for name in names:
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
        path = PurePosixPath(*parts) if parts else PurePosixPath("recording")
        # song.wav and song.flac keep their suffixes, ../song.wav and /song.wav get numbers.
        numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
        candidates = itertools.chain((path.with_suffix(""), path), numbered)
        place = next(candidate for candidate in candidates if candidate not in taken)
        places[name] = place
        taken.add(place)
    return places
