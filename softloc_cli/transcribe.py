"""``softloc transcribe``: recordings in, point events out."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softloc.engines.choice import AUTO, ENGINES
from softloc.errors import SettingsError
from softloc.formats import WRITABLE
from softloc.formats.midi import DEFAULT_TEMPO_BPM
from softloc.vocabulary import parse_note_map
from softloc_cli.batches import Batch, Existing, parse_shard
from softloc_cli.config import is_given, prefer_given, use_settings
from softloc_cli.console import draws_bar, progress, user_errors
from softloc_cli.inputs import DASH, Item, as_path, find_items, find_listed, is_alone
from softloc_cli.job_log import JobLog, Tally
from softloc_cli.outputs import (
    Job,
    choose_naming,
    fitting_format,
    names_file,
    parse_formats,
    parse_pattern,
)
from softloc_cli.recordings import (
    Outcome,
    Recipe,
    Session,
    remove_abandoned_beside,
    remove_half_written,
    written_classes,
)
from softloc_cli.report_options import CheckOptions, Html, Sonify
from softloc_cli.workers import Death, Workers, count_workers, run_here

if TYPE_CHECKING:
    from softloc_cli.cluster import Cluster


def transcribe(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Recordings, folders, or quoted patterns such as 'takes/**/*.wav'; "
            "- is standard input (WAV, FLAC).",
        ),
    ] = None,
    *,
    files_from: Annotated[
        str | None,
        typer.Option(
            metavar="LIST|-", help="Read names of recordings from a file or standard input, too."
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Search sub-folders of folders, too.")
    ] = False,
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
            help=f"{', '.join(WRITABLE)}; several with commas. "
            "Default: by the suffix of -o, else midi.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Names of results: '{stem}-drums.{ext}', or '{class}/{stem}.{ext}' for a file "
            "of each class.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave recordings alone that have results.")
    ] = False,
    model: Annotated[
        str, typer.Option("-m", "--model", metavar="NAME|PATH", help="Shipped or own model.")
    ] = "drums",
    device: Annotated[
        str, typer.Option("-d", "--device", help="auto, cpu, cuda[:N] or mps.")
    ] = "auto",
    engine: Annotated[
        str,
        typer.Option(
            metavar="|".join(ENGINES),
            help="What computes: onnx starts quickly and needs no PyTorch, torch knows other "
            "devices. The events are the same. Default: onnx on a processor, where installed.",
        ),
    ] = AUTO,
    jobs: Annotated[
        str,
        typer.Option(
            "-j",
            "--jobs",
            metavar="N|auto",
            help="Recordings at once, each in a process of its own with one thread; "
            "auto: what cores and memory allow.",
        ),
    ] = "1",
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only part I of N, for several machines at one batch."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Work on a Dask cluster (tcp://host:8786 or its scheduler file) that sees the "
            "same files.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="3|5|LIST", help="Fold the model's classes: a drum vocabulary, or names."
        ),
    ] = None,
    note_map: Annotated[
        str | None,
        typer.Option(
            metavar="MAP",
            help="MIDI notes: gm, roland-td, adtof5, a file, or pairs such as KD=35,TT=47.",
        ),
    ] = None,
    tempo: Annotated[
        float, typer.Option(metavar="BPM", help="Tempo of MIDI files; seconds stay as they are.")
    ] = DEFAULT_TEMPO_BPM,
    time_offset: Annotated[
        float,
        typer.Option(metavar="MS", help="Added to every time (not below 0); positive is later."),
    ] = 0.0,
    log_json: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Append a line of JSON for each recording."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with 4 if any recording failed, was skipped or got a warning."
        ),
    ] = False,
    html: Html = None,
    sonify: Sonify = None,
    config: Annotated[  # noqa: ARG001 - its callback has used it
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings, as TOML (see softloc config show --help).",
            is_eager=True,
            callback=use_settings,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Say more of each recording.")
    ] = False,
) -> None:
    """Find the drum hits (or other events) of recordings and write them as MIDI or a table.

    Results land beside each recording unless -o names a file or a folder, in which sub-folders are
    kept. One bad recording does not stop the others; nothing is written before all inputs and
    names of results are checked.
    """
    with user_errors():
        names = _check_inputs(inputs or [], files_from)
        quiet, verbose = prefer_given(context, quiet=quiet, verbose=verbose)
        if quiet and verbose:
            raise SettingsError("--quiet and --verbose contradict each other")
        n_workers = count_workers(jobs)
        if scheduler is not None:
            _check_cluster(names, output, has_jobs=is_given(context, "jobs"))
        alone = files_from is None and is_alone(names)
        pattern = None if name is None else parse_pattern(name)
        wanted = parse_formats(formats)
        if output is not None and is_given(context, "output") and names_file(output, alone=alone):
            # What settings say of results in general gives way to the one that is named.
            pattern = pattern if is_given(context, "name") else None
            wanted = wanted if is_given(context, "formats") else fitting_format(output, wanted)
        recipe = Recipe(
            model=model,
            device=device,
            engine=engine,
            formats=wanted,
            notes={} if note_map is None else parse_note_map(note_map),
            classes=classes,
            tempo_bpm=tempo,
            time_offset_s=time_offset / 1000,
        )
        naming = choose_naming(
            output,
            recipe.formats,
            pattern,
            written_classes(recipe) if pattern and "{class}" in pattern else (),
            alone=alone,
            from_stdin=DASH in names,
        )
        naming = replace(naming, checks=CheckOptions(html, sonify, several=not alone))
        recipe = replace(recipe, formats=naming.formats)
        overwrite, skip_existing = prefer_given(
            context, overwrite=overwrite, skip_existing=skip_existing
        )
        existing = _what_of_existing(overwrite=overwrite, skip=skip_existing)
        part = None if shard is None else parse_shard(shard)
        with contextlib.ExitStack() as stack:
            cluster = None if scheduler is None else stack.enter_context(_join(scheduler))
            with _bar("looking for recordings", None, quiet=quiet) as advance:
                found = _counted(_find(names, files_from, recursive=recursive), advance)
                reserved = () if log_json is None else (log_json,)
                batch = stack.enter_context(Batch(found, naming, existing, part, reserved))
            log = stack.enter_context(contextlib.closing(JobLog(log_json)))
            has_bar = batch.n_jobs > 1 and draws_bar()
            tally = Tally(log, quiet=quiet, verbose=verbose, has_bar=has_bar)
            stack.callback(tally.summarise)
            # Workers have no standard input.
            n_workers = 1 if DASH in names else min(n_workers, batch.n_jobs)
            _run(batch, recipe, cluster or n_workers, tally)
        code = tally.exit_code(strict=strict)
        if code:
            raise typer.Exit(code)


def _check_inputs(names: list[str], files_from: str | None) -> list[str]:
    if not names and files_from is None:
        raise SettingsError("no recording is given: name files, folders, or - for standard input")
    if files_from == DASH and DASH in names:
        raise SettingsError("standard input holds a recording or a list of them, not both")
    return names


def _what_of_existing(*, overwrite: bool, skip: bool) -> Existing:
    if overwrite and skip:
        raise SettingsError("--overwrite and --skip-existing contradict each other")
    if skip:
        return Existing.SKIP
    return Existing.REPLACE if overwrite else Existing.REFUSE


def _find(names: list[str], files_from: str | None, *, recursive: bool) -> Iterator[Item]:
    yield from find_items(names, recursive=recursive)
    if files_from == DASH:
        yield from find_listed(sys.stdin.buffer, recursive=recursive)
    elif files_from is not None:
        path = as_path(files_from)
        if not path.exists():
            raise SettingsError(f"--files-from {files_from}: no such file")
        with path.open("rb") as lists:
            yield from find_listed(lists, recursive=recursive)


def _counted(items: Iterator[Item], advance: Callable[[], None]) -> Iterator[Item]:
    for item in items:
        yield item
        advance()


def _bar(
    description: str, total: int | None, *, quiet: bool
) -> contextlib.AbstractContextManager[Callable[[], None]]:
    return contextlib.nullcontext(lambda: None) if quiet else progress(description, total)


def _check_cluster(names: list[str], output: str | None, *, has_jobs: bool) -> None:
    if DASH in (*names, output):
        raise SettingsError("--scheduler: workers elsewhere have no standard input and output")
    if has_jobs:
        raise SettingsError("--jobs and --scheduler contradict each other: a cluster has its own")


def _join(scheduler: str) -> Cluster:
    from softloc_cli.cluster import Cluster

    return Cluster(scheduler)


def _run(batch: Batch, recipe: Recipe, workers: int | Cluster, tally: Tally) -> None:
    """Work on a batch and tell what becomes of each recording."""
    with _bar("transcribing", batch.n_jobs, quiet=tally.quiet or not tally.has_bar) as advance:
        jobs = _left_to_do(batch, tally, advance)
        with contextlib.closing(_outcomes(jobs, recipe, workers)) as outcomes:
            for job, outcome in outcomes:
                tally.done(job, outcome)
                advance()


def _left_to_do(batch: Batch, tally: Tally, advance: Callable[[], None]) -> Iterator[Job]:
    for job in batch.jobs():
        left = job.missing() if batch.existing is Existing.SKIP else job
        if left.targets:
            yield left
        else:
            remove_abandoned_beside(job)
            tally.skipped(job)
            advance()


def _outcomes(
    jobs: Iterator[Job], recipe: Recipe, workers: int | Cluster
) -> Generator[tuple[Job, Outcome], None, None]:
    first = next(jobs, None)
    if first is None:
        return  # nothing to load a model for
    jobs = itertools.chain([first], jobs)
    if not isinstance(workers, int):
        yield from workers.run(jobs, recipe)
        return
    if workers <= 1:
        yield from run_here(functools.partial(Session, recipe), jobs)
        return
    session = functools.partial(Session, replace(recipe, n_threads=1))
    with Workers[Job, Outcome](session, workers, remove_half_written) as processes:
        for job, answer in processes.run(jobs):
            if isinstance(answer, Death):
                error = f"{job.source}: {answer.reason}"
                yield job, Outcome(seconds=answer.seconds, error=error)
            else:
                yield job, answer
