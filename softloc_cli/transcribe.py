"""``softloc transcribe``: recordings in, point events out."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from softloc.errors import SettingsError, SoftLocError
from softloc.vocabulary import WRITE_NOTES, nearest_hint, parse_note_map
from softloc_cli import __version__
from softloc_cli.console import ExitCode, progress, report, user_errors
from softloc_cli.outputs import STANDARD_STREAM, Job, parse_formats, plan_jobs
from softloc_cli.report_files import write_transcription_checks
from softloc_cli.report_options import CheckFiles, Html, Sonify, plan_checks

if TYPE_CHECKING:
    from softloc.pipeline import Transcriber


def transcribe(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Recordings or folders; - is standard input."),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="PATH", help="File, folder, or - for stdout."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "-f",
            "--format",
            metavar="LIST",
            help="mid, csv, tsv, audacity; several "
            "with commas. Default: by the suffix of -o, else mid.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("-m", "--model", metavar="NAME|PATH", help="Shipped or own model.")
    ] = "drums",
    device: Annotated[
        str, typer.Option("-d", "--device", help="auto, cpu, cuda[:N] or mps.")
    ] = "auto",
    note_map: Annotated[
        str | None,
        typer.Option(
            metavar="MAP", help="MIDI notes: gm, adtof5, or pairs such as kick=36,clap=39."
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Search sub-folders of folders, too.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave recordings alone that have results.")
    ] = False,
    html: Html = None,
    sonify: Sonify = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
) -> None:
    """Find the drum hits (or other events) of recordings and write them as MIDI or a table.

    Results land beside each recording unless -o names a file or a folder. One bad recording does
    not stop the others.
    """
    with user_errors():
        notes = _parse_notes(note_map)
        jobs = plan_jobs(
            inputs,
            None if output is None else Path(output),
            parse_formats(formats),
            recursive=recursive,
            is_recording=_is_recording,
            as_folder=(output or "").endswith(("/", os.sep)),
        )
        single = output is not None and jobs[0].targets[0][0] == Path(output)
        todo = _settle_existing(
            jobs, overwrite=overwrite or single, skip=skip_existing, quiet=quiet
        )
        checks = plan_checks(
            inputs,
            [job.source for job in jobs],
            html,
            sonify,
            may_exist=overwrite or skip_existing,
        )
        if todo:
            _run(todo, model, device, notes, checks, quiet=quiet)


def _run(
    jobs: Sequence[Job],
    model: str,
    device: str,
    notes: dict[str, int],
    checks: Mapping[Path, CheckFiles],
    *,
    quiet: bool,
) -> None:
    from softloc.pipeline import load

    transcriber = load(model, device)
    if any(name == "midi" for job in jobs for _, name in job.targets):
        _check_notes(transcriber, notes)
    n_failed = 0
    with progress("transcribing", len(jobs)) as advance:
        for job in jobs:
            try:
                files = checks.get(job.source, CheckFiles())
                n_events = _transcribe(job, transcriber, model, notes, files)
            except SoftLocError as error:
                n_failed += 1
                report(f"error: {error}")
            except Exception as error:  # noqa: BLE001 - one bad recording does not stop the others
                n_failed += 1
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                report(f"error: {job.source}: failed in a way softloc did not foresee ({reason})")
            else:
                if not quiet:
                    report(f"{job.source}: {n_events} events")
            advance()
    if n_failed:
        if len(jobs) > 1:
            report(f"{len(jobs) - n_failed} of {len(jobs)} recordings transcribed")
        raise typer.Exit(ExitCode.FAILED if n_failed == len(jobs) else ExitCode.PARTIAL)


def _transcribe(
    job: Job, transcriber: Transcriber, model: str, notes: dict[str, int], files: CheckFiles
) -> int:
    from softloc.formats import render_text, write_onsets

    source: Path | BinaryIO = job.source
    if job.source == STANDARD_STREAM:
        # Pages and sonifications read it again, which a pipe does not allow.
        source = io.BytesIO(sys.stdin.buffer.read()) if files.paths() else sys.stdin.buffer
    onsets = transcriber.transcribe(source)
    for path, name in job.targets:
        if path == STANDARD_STREAM:
            typer.echo(render_text(onsets, name), nl=False)
        elif name == "midi":
            comment = f"softloc {__version__} {Path(model).stem}"
            write_onsets(path, onsets, format=name, note_map=notes, comment=comment)
        else:
            # No comment: the first line of a table is the header that spreadsheets expect.
            write_onsets(path, onsets, format=name)
    write_transcription_checks(files, source, onsets, {"model": Path(model).stem})
    return len(onsets)


def _check_notes(transcriber: Transcriber, notes: dict[str, int]) -> None:
    """Refuse before any work what could not be written after it."""
    settings = transcriber.settings
    unknown = [label for label in notes if label not in (*settings.classes, *WRITE_NOTES)]
    if unknown:
        hint = nearest_hint(unknown[0], settings.classes)
        raise SettingsError(f"--note-map: the model has no class {unknown[0]!r}{hint}")
    for label, note in zip(settings.classes, settings.midi_notes, strict=True):
        if note is None and label not in notes:
            raise SettingsError(
                f"the class {label!r} has no MIDI note: give it one with --note-map {label}=NOTE, "
                f"or write a table with -f csv"
            )


def _settle_existing(
    jobs: Sequence[Job], *, overwrite: bool, skip: bool, quiet: bool
) -> Sequence[Job]:
    """Apply --overwrite and --skip-existing before anything is loaded."""
    if overwrite and skip:
        raise SettingsError("--overwrite and --skip-existing contradict each other")
    if skip:
        left = [job for job in map(Job.missing, jobs) if job.targets]
        if len(left) < len(jobs) and not quiet:
            report(f"{len(jobs) - len(left)} recordings skipped: their results exist")
        return left
    existing = [path for job in jobs for path, _ in job.targets if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise SettingsError(
            f"{existing[0]}{more} exist already; give --overwrite or --skip-existing"
        )
    return jobs


def _parse_notes(note_map: str | None) -> dict[str, int]:
    return {} if note_map is None else parse_note_map(note_map)


def _is_recording(path: Path) -> bool:
    from softloc.audio import AUDIO_SUFFIXES

    return path.suffix.lower() in AUDIO_SUFFIXES
