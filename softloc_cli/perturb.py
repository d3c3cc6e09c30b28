"""``softloc perturb``: labels damaged on purpose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Corpus
from softloc.files import write_bytes_atomic
from softloc.formats import (
    FileForm,
    corpus_files,
    corpus_sha256,
    format_of_path,
    read_corpus_and_forms,
    render_file,
    write_corpus_csv,
)
from softloc.perturb import Noise, PerturbReport, PerturbSettings
from softloc.perturb import perturb as perturb_corpus
from softloc_cli.console import report, report_skipped, user_errors
from softloc_cli.durations import Outside, durations_s

if TYPE_CHECKING:
    from softloc.perturb import Bounds, Per

_DEFAULTS = PerturbSettings()
_QUANTITY = re.compile(r"\s*([+-]?[0-9.eE+-]+?)\s*(ms|ppm)?\s*")


def perturb(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="Table of a corpus, label file, or folder.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The same, to write.")],
    *,
    noise: Annotated[
        str,
        typer.Option(
            metavar="KIND:SPREAD",
            help="Timing noise, such as normal:25ms. KIND is normal, rounded, skew or laplace "
            "(SPREAD = standard deviation), uniform (half width) or shift (± SPREAD).",
        ),
    ] = str(_DEFAULTS.noise),
    step: Annotated[
        str | None,
        typer.Option(
            metavar="MS", help="Step of rounded noise; a SPREAD without unit counts steps."
        ),
    ] = None,
    shape: Annotated[
        float, typer.Option(help="Shape of skew noise; positive has its tail late.")
    ] = _DEFAULTS.shape,
    offset: Annotated[
        str, typer.Option(metavar="MS", help="Constant error; positive is late.")
    ] = f"{_DEFAULTS.offset_ms:g}ms",
    drift: Annotated[
        str, typer.Option(metavar="PPM", help="Error of the clock, parts per million.")
    ] = f"{_DEFAULTS.drift_ppm:g}ppm",
    drop: Annotated[float, typer.Option(help="Probability to lose a label.")] = _DEFAULTS.drop,
    insert: Annotated[
        float, typer.Option(help="Spurious labels for each label, 0-1.")
    ] = _DEFAULTS.insert,
    swap: Annotated[
        float, typer.Option(help="Probability to confuse the class of a label.")
    ] = _DEFAULTS.swap,
    per: Annotated[
        str, typer.Option(metavar="label|file|annotator", help="What shares a draw of noise.")
    ] = _DEFAULTS.per,
    bounds: Annotated[
        str,
        typer.Option(
            metavar="clip|drop|keep", help="Labels moved before 0, or beyond the end of --audio."
        ),
    ] = _DEFAULTS.bounds,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = _DEFAULTS.seed,
    audio: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the recordings, for the bound at their ends."),
    ] = None,
    outside: Outside = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in the folder OUT.")
    ] = False,
) -> None:
    """Perturb labels: noise, constant error, drift, lost, spurious and confused labels.

    The same seed gives the same bytes, whatever other recordings are in the run. What was done is
    written into the result as a comment and said on stderr. Labels that their format cannot hold
    stop it before any file is written.
    """
    with user_errors():
        step_ms = None if step is None else _quantity(step, "ms", "--step")
        settings = PerturbSettings(
            noise=Noise.parse(noise, step_ms),
            shape=shape,
            step_ms=step_ms,
            offset_ms=_quantity(offset, "ms", "--offset"),
            drift_ppm=_quantity(drift, "ppm", "--drift"),
            drop=drop,
            insert=insert,
            swap=swap,
            per=cast("Per", per),
            bounds=cast("Bounds", bounds),
            seed=seed,
        )
        corpus, forms = read_corpus_and_forms(labels)
        report_skipped(corpus)
        _check_output(corpus, out, overwrite)
        ends_s = None if audio is None else durations_s(corpus.recordings, audio, outside=outside)
        perturbed, done = perturb_corpus(corpus, settings, ends_s)
        comment = f"softloc perturb {settings.describe()} sha256={corpus_sha256(corpus)}"
        _write(perturbed, forms, out, comment)
        _report_done(done, settings, corpus)


def _quantity(text: str, unit: str, option: str) -> float:
    """Read a number with an optional unit, such as ``5ms``."""
    match = _QUANTITY.fullmatch(text)
    try:
        if match and match[2] in {None, unit}:
            return float(match[1])
    except ValueError:
        pass
    raise SettingsError(f"cannot read {option} {text!r}: write it as 5{unit}")


def _check_output(corpus: Corpus, out: Path, overwrite: bool) -> None:
    source, target = corpus.path.resolve(), out.resolve()
    if target == source or (corpus.kind == "folder" and target.is_relative_to(source)):
        raise SettingsError(f"{out} is the input itself: the true labels would be lost")
    sources = set(corpus_files(corpus))
    for path in _targets(corpus, out):
        if path.resolve() in sources:
            raise SettingsError(f"{path} leads to an input: the true labels would be lost")
    if corpus.kind == "folder":
        existing = [name for name in corpus.recordings if (out / name).exists()]
        if existing and not overwrite:
            raise SettingsError(
                f"{out} already holds {existing[0]}"
                + (f" and {len(existing) - 1} more" if len(existing) > 1 else "")
                + ": nothing was written; give --overwrite to replace them"
            )
    elif out.is_dir():
        raise SettingsError(f"{out} is a folder, but {corpus.path} is a file")
    elif corpus.kind == "table" and format_of_path(out) != "csv":
        raise SettingsError(f"{out}: the labels of a corpus are written as .csv")


def _targets(corpus: Corpus, out: Path) -> list[Path]:
    return [out / name for name in corpus.recordings] if corpus.kind == "folder" else [out]


def _write(corpus: Corpus, forms: Mapping[str, FileForm], out: Path, comment: str) -> None:
    if corpus.kind == "table":
        write_corpus_csv(out, corpus, comments=[comment])
        return
    contents = {}
    # All is rendered before anything is written, so that no folder is left half full.
    for name, onsets in corpus.recordings.items():
        path = out / name if corpus.kind == "folder" else out
        # Text keeps the form it had, which the suffix alone does not tell.
        same = path.suffix.lower() == Path(name).suffix.lower()
        try:
            form = forms[name].name if same else None
            contents[path] = render_file(
                path, onsets, format=form, comment=comment, provenance=forms[name].provenance
            )
        except AnnotationError as error:
            raise AnnotationError(f"{name}: {error}") from error
    for path, content in contents.items():
        write_bytes_atomic(path, content)


def _report_done(done: PerturbReport, settings: PerturbSettings, corpus: Corpus) -> None:
    report(
        f"{done.n_read} labels of {len(corpus.recordings)} recordings: {done.n_dropped} "
        f"dropped, {done.n_inserted} inserted, {done.n_swapped} swapped, "
        f"{done.n_written} written"
    )
    verb = {"clip": "moved to it", "drop": "dropped", "keep": "kept"}[settings.bounds]
    report(
        f"beyond a bound: {done.n_before_start} before the start, {done.n_after_end} after "
        f"the end, {verb}"
    )
    report(f"realised bias {done.bias_ms:+.3f} ms, sigma {done.sigma_ms:.3f} ms")
