"""``softloc evaluate``: scores of estimates against a reference."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer

from softloc import evaluation
from softloc.errors import SettingsError, escaped
from softloc.evaluation.settings import BootstrapSettings, EvaluationSettings
from softloc.files import write_text_atomic
from softloc.formats import corpus_files, corpus_sha256, read_corpus
from softloc.vocabulary import nearest_hint
from softloc_cli import __version__
from softloc_cli.console import ExitCode, progress, report, report_skipped, shorten, user_errors
from softloc_cli.durations import Outside, durations_s
from softloc_cli.inputs import STANDARD_STREAM
from softloc_cli.report_files import write_evaluation_checks
from softloc_cli.report_options import NO_CHECKS, CheckOptions, Html, Sonify

if TYPE_CHECKING:
    from softloc.evaluation import AlignOffset, BothEmpty, Evaluation, Pairing, Uncertainty
    from softloc.events import Corpus

_DEFAULTS = EvaluationSettings()
_DRAWS = BootstrapSettings()
# F of exactly 0.8 may come out as 0.7999999999999999.
_ROUNDING = 1e-12
_SUM_METRICS = {"P": "precision", "R": "recall", "F": "f_measure"}


class _Threshold(NamedTuple):
    name: str
    least: float


@dataclass(frozen=True, slots=True)
class _Results:
    """All that the outputs are made of; mappings are by name of the estimate."""

    reference: Path
    reference_sha256: str
    paths: Mapping[str, Path]
    sha256: Mapping[str, str]
    evaluations: Mapping[str, Evaluation]
    uncertainties: Sequence[Uncertainty]
    resampling: BootstrapSettings
    annotator: str | None
    only: Sequence[str]


def evaluate(
    reference: Annotated[
        Path, typer.Argument(metavar="REF", help="Label file, table of a corpus, or folder.")
    ],
    estimates: Annotated[
        list[str],
        typer.Argument(
            metavar="EST...",
            help="The same of each estimate; NAME=PATH says what to call it. Of several, the "
            "others are compared with the first.",
        ),
    ],
    *,
    classes: Annotated[
        str, typer.Option(metavar="auto|as-written|3|5|8|9|LIST", help="Vocabulary to score in.")
    ] = _DEFAULTS.classes,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Score only recordings of REF whose name matches, such as 'drums/*'. Repeatable.",
        ),
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Whose labels of REF to score against, where several set them."
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the recordings: events beyond their ends are left out; --html and "
            "--sonify find them there (else where the reference is).",
        ),
    ] = None,
    outside: Outside = False,
    both_empty: Annotated[
        str,
        typer.Option(
            metavar="skip|zero|one",
            help="What a class or recording counts for that neither side has events of: left out "
            "of means and shown as –, 0 (as in mir_eval), or 1.",
        ),
    ] = _DEFAULTS.both_empty,
    combine: Annotated[
        float,
        typer.Option(
            metavar="MS", help="Make one of reference events of a class that are this close."
        ),
    ] = 1000 * _DEFAULTS.combine_s,
    align_offset: Annotated[
        str,
        typer.Option(
            metavar="none|median",
            help="Show beside each F what it would be without the median timing error.",
        ),
    ] = _DEFAULTS.align_offset,
    resamples: Annotated[
        int,
        typer.Option(
            help="Resamples of the recordings for 95 % intervals of F and of differences; 0: none."
        ),
    ] = _DRAWS.n_resamples,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = _DRAWS.seed,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="PATH|-", help="Write all as JSON; - prints it instead."),
    ] = None,
    csv_path: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="PATH|-", help="Write the scores as a table; - prints it instead."
        ),
    ] = None,
    tex_path: Annotated[
        Path | None,
        typer.Option(
            "--tex",
            metavar="PATH|-",
            help="Write the scores for LaTeX (booktabs); - prints them instead.",
        ),
    ] = None,
    html: Html = None,
    sonify: Sonify = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Exit with 4 if a score at ±50 ms is lower, of any EST: F, P or R of the sum of "
            "all events (micro), or the F of a class, of 'any', of 'macro' (mean over classes) or "
            "of 'files' (mean over recordings). Such as F=0.80. Repeatable.",
        ),
    ] = None,
) -> None:
    """Score estimated events against reference events.

    Recordings are matched by their file stem. Prints precision, recall and F for each class, their
    sum and means, at ±50 ms and down to ±5 ms; the timing error (estimate minus reference, positive
    is late) of what matched; and which classes were taken for which.

    A distance of exactly the tolerance is a hit, on times in whole microseconds; the matching is
    the closest of the largest ones. Of several estimates, the last table shows all side by side.
    """
    with user_errors():
        thresholds = [_parse_threshold(text) for text in fail_under or []]
        settings = EvaluationSettings(
            classes=classes,
            both_empty=cast("BothEmpty", both_empty),
            combine_s=combine / 1000,
            align_offset=cast("AlignOffset", align_offset),
        )
        resampling = BootstrapSettings(n_resamples=resamples, seed=seed)
        outputs = [path for path in (json_path, csv_path, tex_path) if path is not None]
        _check_outputs(outputs)
        paths = _name_estimates(estimates)
        corpus = read_corpus(reference)
        report_skipped(corpus)
        _refuse_overwriting(outputs, corpus)
        hash_of_reference = corpus_sha256(corpus)
        if annotator is not None:
            corpus = evaluation.select_annotator(corpus, annotator)
        evaluations: dict[str, Evaluation] = {}
        hashes: dict[str, str] = {}
        pairings: dict[str, Pairing] = {}
        ends_s: dict[str, float] | None = None
        checks = NO_CHECKS
        for name, path in paths.items():
            pairing, hashes[name] = _pair(corpus, path, only or (), outputs)
            if not evaluations:  # what the first shows holds for all, and is said before scoring
                several = len(paths) > 1 or len(pairing.references) > 1
                checks = CheckOptions(html, sonify, several)
                _check_outputs([*outputs, *checks.named_files()])
                outputs += checks.named_files()
                _refuse_overwriting(outputs, corpus)
                if audio is not None:
                    ends_s = durations_s(pairing.references, audio, outside=outside)
            evaluations[name] = _score(pairing, path, settings, ends_s)
            if checks.wanted:
                pairings[name] = pairing
        results = _Results(
            reference=reference,
            reference_sha256=hash_of_reference,
            paths=paths,
            sha256=hashes,
            evaluations=evaluations,
            uncertainties=evaluation.bootstrap(list(evaluations.values()), resampling),
            resampling=resampling,
            annotator=annotator,
            only=only or (),
        )
        shortfalls = [
            sentence
            for name, found in evaluations.items()
            for sentence in _shortfalls(found, thresholds, name)
        ]
        _write(results, json_path, csv_path, tex_path)
        write_evaluation_checks(
            checks,
            audio or corpus.root,
            pairings,
            settings=settings,
            details=_page_details(results),
            ends_s=ends_s,
            outside=outside,
        )
        for sentence in shortfalls:
            report(sentence)
        if shortfalls:
            raise typer.Exit(ExitCode.THRESHOLD)


def _check_outputs(paths: Sequence[Path]) -> None:
    taken: set[Path] = set()
    for path in paths:
        place = path if path == STANDARD_STREAM else path.resolve()
        if place in taken:
            raise SettingsError(f"two results cannot share {path}: give each a file of its own")
        taken.add(place)


def _name_estimates(texts: Sequence[str]) -> dict[str, Path]:
    """Names and paths from ``PATH`` or ``NAME=PATH``; a path alone is called by its last part."""
    given = [_split_name(text) for text in texts]
    short = Counter(Path(path).name for name, path in given if name is None)
    named: dict[str, Path] = {}
    for name, path in given:
        last = Path(path).name
        own = name or (last if last and short[last] == 1 else path)
        if own in named:
            raise SettingsError(f"two estimates are called {own!r}: name them as NAME=PATH")
        named[own] = Path(path)
    return named


def _split_name(text: str) -> tuple[str | None, str]:
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return None, text
    if not name.strip() or not path:
        raise SettingsError(f"cannot read the estimate {text!r}: write NAME=PATH")
    return name.strip(), path


def _refuse_overwriting(outputs: Sequence[Path], corpus: Corpus) -> None:
    """Refuse to write over the labels that are read."""
    inputs = set(corpus_files(corpus)) if outputs else set()
    for path in outputs:
        if path.resolve() in inputs:
            raise SettingsError(f"{path}: is an input, it would be overwritten")


def _pair(
    reference: Corpus, path: Path, only: Sequence[str], outputs: Sequence[Path]
) -> tuple[Pairing, str]:
    """Events of both sides, and the hash of the estimate: who drops them holds one at a time."""
    estimate = read_corpus(path)
    report_skipped(estimate)
    _refuse_overwriting(outputs, estimate)
    pairing = evaluation.pair_recordings(reference, estimate, only)
    evaluation.refuse_several_annotators(pairing.references)
    evaluation.refuse_several_annotators(
        pairing.estimates, f"the estimate of {path}", "keep those of one in a file of its own"
    )
    _report_unpaired(pairing, path)
    return pairing, corpus_sha256(estimate)


def _score(
    pairing: Pairing,
    path: Path,
    settings: EvaluationSettings,
    ends_s: Mapping[str, float] | None,
) -> Evaluation:
    passes = 1 if settings.align_offset == "none" else 2
    with progress(f"scoring {path.name}", passes * len(pairing.references)) as advance:
        return evaluation.evaluate(pairing.references, pairing.estimates, settings, ends_s, advance)


def _report_unpaired(pairing: Pairing, path: Path) -> None:
    if pairing.missing:
        names = shorten(pairing.missing)
        report(f"{path}: no estimate, so all events count as missed: {names}")
    if pairing.extra:
        report(f"{path}: no reference, so not scored: {shorten(pairing.extra)}")


def _write(
    results: _Results, json_path: Path | None, csv_path: Path | None, tex_path: Path | None
) -> None:
    renderers = {json_path: _render_json, csv_path: _render_csv, tex_path: _render_tex}
    contents = {path: render(results) for path, render in renderers.items() if path is not None}
    printed = contents.pop(STANDARD_STREAM, None)
    for path, content in contents.items():  # first: whoever reads standard output may stop early
        write_text_atomic(path, content)
    typer.echo(escaped(_render_tables(results)) if printed is None else printed, nl=False)


def _render_tables(results: _Results) -> str:
    from softloc_cli.evaluate_tables import render_comparison, render_evaluation

    tables = [
        render_evaluation(name, found, uncertainty, results.resampling)
        for (name, found), uncertainty in zip(
            results.evaluations.items(), results.uncertainties, strict=True
        )
    ]
    if len(tables) > 1:
        tables.append(
            render_comparison(results.evaluations, results.uncertainties, results.resampling)
        )
    return "\n".join(tables)


def _page_details(results: _Results) -> dict[str, str]:
    """Name what changes the verdicts of a page, beside the tolerance, which it states."""
    details = {"reference": str(results.reference)}
    if results.annotator is not None:
        details["annotator"] = results.annotator
    first = next(iter(results.evaluations.values()))
    if first.settings.combine_s:
        details["reference combined within"] = f"{1000 * first.settings.combine_s:g} ms"
    return {**details, "vocabulary": first.vocabulary}


def _render_json(results: _Results) -> str:
    documents = []
    for (name, found), uncertainty in zip(
        results.evaluations.items(), results.uncertainties, strict=True
    ):
        document: dict[str, object] = {
            "reference": str(results.reference),
            "estimate": str(results.paths[name]),
            "name": name,
        }
        if results.annotator is not None:
            document["annotator"] = results.annotator
        if results.only:
            document["only"] = list(results.only)
        hashes = {"reference": results.reference_sha256, "estimate": results.sha256[name]}
        documents.append(
            {**document, **evaluation.to_json(found, hashes, uncertainty, results.resampling)}
        )
    return json.dumps({"results": documents}, indent=2, ensure_ascii=False) + "\n"


def _render_csv(results: _Results) -> str:
    rows = []
    for (name, found), uncertainty in zip(
        results.evaluations.items(), results.uncertainties, strict=True
    ):
        made = {
            "vocabulary": found.vocabulary,
            "both_empty": found.settings.both_empty,
            "combine_reference_ms": f"{1000 * found.settings.combine_s:g}",
            "versions": _versions(),
            "reference_sha256": results.reference_sha256,
            "estimate_sha256": results.sha256[name],
        }
        rows += [
            {"estimate": name, **row, **made} for row in evaluation.to_rows(found, uncertainty)
        ]
    # Timing errors and provenance belong at the end, whichever row comes first.
    columns = list(dict.fromkeys(column for row in rows for column in row if column not in made))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, *made], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _render_tex(results: _Results) -> str:
    from softloc_cli.evaluate_tables import describe_resamples

    first = next(iter(results.evaluations.values()))
    windows = ", ".join(f"{1000 * window_s:g}" for window_s in first.settings.windows_s)
    draws, averaging = results.resampling, evaluation.AVERAGING
    notes = [
        f"softloc evaluate, {_versions()}",
        f"reference {results.reference}, sha256 {results.reference_sha256}",
        *(
            f"estimate {name}: {path}, sha256 {results.sha256[name]}"
            for name, path in results.paths.items()
        ),
        f"{first.n_files} recordings, vocabulary {first.vocabulary}",
        (
            f"tolerances +-{windows} ms, P, R, intervals, bias and sigma at the first; "
            f"{evaluation.MATCHER}; {evaluation.TOLERANCE_RULE}"
        ),
        (
            f"sum: {averaging['micro']}; any: {averaging['labels ignored']}; both sides empty: "
            f"{first.settings.both_empty}; reference combined within "
            f"{1000 * first.settings.combine_s:g} ms"
        ),
        (
            f"intervals: {describe_resamples(first, draws)}; seed {draws.seed}, "
            "percentiles; differences to the first estimate, the same recordings drawn for both"
        ),
    ]
    return evaluation.to_latex(results.evaluations, results.uncertainties, notes)


def _versions() -> str:
    own = {**evaluation.package_versions(), "softloc": __version__}
    return ", ".join(f"{package} {version}" for package, version in own.items())


def _parse_threshold(text: str) -> _Threshold:
    name, _, value = text.partition("=")
    try:
        least = float(value)
    except ValueError:
        least = -1.0
    if not name.strip() or not 0.0 <= least <= 1.0:
        raise SettingsError(f"cannot read --fail-under {text!r}: write it as F=0.80")
    return _Threshold(name.strip(), least)


def _shortfalls(found: Evaluation, thresholds: Sequence[_Threshold], name: str) -> Iterator[str]:
    """Say which scores are under their thresholds."""
    for threshold in thresholds:
        what, score = _score_named(found, threshold.name)
        if score is None or score < threshold.least - _ROUNDING:
            shown = "undefined" if score is None else f"{score:.4f}"
            window = f"±{1000 * found.headline_s:g} ms"
            yield f"{name}: {what} at {window} is {shown}, under {threshold.least:g}"


def _score_named(found: Evaluation, name: str) -> tuple[str, float | None]:
    """Which score a threshold means, in words, and its value."""
    headline_s = found.headline_s
    rows = {(row.name, row.averaging): row.ratios[headline_s] for row in found.table()}
    known = {
        **{label: (f"F of {label}", (label, "class")) for label in found.per_class},
        "any": ("F of any (labels ignored)", ("any", "labels ignored")),
        "macro": ("F of the mean over classes (macro)", ("mean over classes", "macro")),
        "files": ("F of the mean over files", ("mean over files", "files")),
        **{metric: (f"{metric} of the sum (micro)", ("sum", "micro")) for metric in _SUM_METRICS},
    }
    if name not in known:
        names = [*_SUM_METRICS, *(own for own in known if own not in _SUM_METRICS)]
        raise SettingsError(f"--fail-under knows no score {name!r}{nearest_hint(name, names)}")
    what, row = known[name]
    ratios = rows[row]  # type: ignore[index]
    return what, None if ratios is None else getattr(ratios, _SUM_METRICS.get(name, "f_measure"))
