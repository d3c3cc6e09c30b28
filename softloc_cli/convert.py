"""``softloc convert``: label files from one form into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softloc.errors import SettingsError, SoftLocError
from softloc.formats import FORMATS, WRITABLE, format_named, formats_table
from softloc.formats.lines import NotLabelsError
from softloc.vocabulary import load_note_map
from softloc_cli.config import is_given, prefer_given
from softloc_cli.console import ExitCode, progress, report, shorten, user_errors
from softloc_cli.conversion import Converter, Plan, plan_conversion
from softloc_cli.outputs import parse_formats


def _print_formats(wanted: bool) -> None:
    if wanted:
        with user_errors():
            typer.echo(formats_table(), nl=False)
        raise typer.Exit


def convert(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... [OUT]",
            help="Label files, folders, or tables of several recordings; without -o the second of "
            "two names is the file to write.",
        ),
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
            help=f"{', '.join(WRITABLE)}; several with commas. Default: by the suffix of OUT.",
        ),
    ] = None,
    source_format: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="Form of the inputs, where suffix and content do not tell: "
            f"{', '.join(name for name in FORMATS if name not in WRITABLE)}, or one of -f.",
        ),
    ] = None,
    note_map: Annotated[
        str | None,
        typer.Option(
            metavar="MAP",
            help="MIDI notes, read and written: gm, roland-td, adtof5, a TOML or CSV file, or "
            "pairs such as kick=36,clap=39.",
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The recording, or the folder of the recordings: gives svl its sample rate, JAMS "
            "its length.",
        ),
    ] = None,
    sample_rate: Annotated[
        float | None,
        typer.Option(metavar="HZ", min=1.0, help="Sample rate for svl instead of --audio."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave inputs alone that have results.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
    list_formats: Annotated[
        bool,
        typer.Option(
            "--formats",
            help="Print the table of all formats and what each can hold.",
            callback=_print_formats,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Convert label files: MIDI, CSV, TSV, Audacity, JSON, JAMS, Sonic Visualiser and others.

    What a format cannot hold is said in a line on stderr. A table of several recordings gives a
    file for each of them in the folder of -o.
    """
    del list_formats  # its callback has done the work
    with user_errors():
        overwrite, skip_existing = prefer_given(
            context, overwrite=overwrite, skip_existing=skip_existing
        )
        if overwrite and skip_existing:
            raise SettingsError("--overwrite and --skip-existing contradict each other")
        if audio is not None and not audio.exists():
            raise SettingsError(f"--audio {audio}: no such file or folder")
        plan = plan_conversion(
            inputs,
            output,
            parse_formats(formats),
            formats_are_given=is_given(context, "formats"),
            overwrite=overwrite,
        )
        converter = Converter(
            plan,
            source_format=None if source_format is None else format_named(source_format).name,
            note_map=None if note_map is None else load_note_map(note_map),
            audio=audio,
            sample_rate_hz=sample_rate,
            skip_existing=skip_existing,
        )
        converter.check_targets()
        n_failed = _run(converter, plan, quiet=quiet)
        if not quiet:
            converter.report_losses()
        if n_failed:
            report(f"{len(plan.items) - n_failed} of {len(plan.items)} files converted")
            every = n_failed == len(plan.items)
            raise typer.Exit(ExitCode.FAILED if every else ExitCode.PARTIAL)


def _run(converter: Converter, plan: Plan, *, quiet: bool) -> int:
    """Convert all; a bad file does not stop the others. Returns how many failed."""
    n_failed = 0
    skipped = []
    with progress("converting", len(plan.items)) as advance:
        for item in plan.items:
            try:
                said = converter.convert(item)
            except SoftLocError as error:
                if item.found and isinstance(error, NotLabelsError):
                    skipped.append(str(item.source))
                elif len(plan.items) == 1:
                    raise
                else:
                    n_failed += 1
                    report(f"error: {error}")
            else:
                if not quiet:
                    report(said)
            advance()
    if skipped and not quiet:
        report(f"skipped, no label files: {shorten(skipped)}")
    return n_failed
