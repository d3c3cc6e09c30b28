"""``softloc evaluate``: scores of estimates against a reference."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from softloc.errors import SettingsError
from softloc.evaluation import (
    MATCHER,
    Evaluation,
    EvaluationSettings,
    Pairing,
    Ratios,
    RowScore,
    pair_recordings,
    refuse_several_annotators,
    select_annotator,
    to_json,
    to_rows,
)
from softloc.evaluation import evaluate as evaluate_events
from softloc.files import write_text_atomic
from softloc.formats import corpus_sha256, read_corpus
from softloc.vocabulary import nearest_hint
from softloc_cli import __version__
from softloc_cli.console import ExitCode, report, report_skipped, shorten, user_errors
from softloc_cli.report_files import write_evaluation_checks
from softloc_cli.report_options import Audio, CheckOptions, Html, Sonify

_DEFAULTS = EvaluationSettings()
_UNDEFINED = "–"
_STDOUT = Path("-")
# F of exactly 0.8 may come out as 0.7999999999999999.
_ROUNDING = 1e-12
_SUM_METRICS = {"P": "precision", "R": "recall", "F": "f_measure"}


class _Threshold(NamedTuple):
    name: str
    least: float


def evaluate(
    reference: Annotated[
        Path, typer.Argument(metavar="REF", help="Label file, table of a corpus, or folder.")
    ],
    estimates: Annotated[
        list[Path], typer.Argument(metavar="EST...", help="The same of each estimate.")
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
    html: Html = None,
    sonify: Sonify = None,
    audio: Audio = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Exit with 4 if a score at ±50 ms is lower: F, P or R of the sum, or the F of a "
            "class, of 'any' or of 'macro'. Such as F=0.80. Repeatable.",
        ),
    ] = None,
) -> None:
    """Score estimated events against reference events.

    Recordings are matched by their file stem. Prints precision, recall and F for each class, their
    sum and means, and the timing error (estimate minus reference, positive is late).
    """
    with user_errors():
        thresholds = [_parse_threshold(text) for text in fail_under or []]
        settings = EvaluationSettings(classes=classes)
        if json_path == csv_path == _STDOUT:
            raise SettingsError("--json - and --csv - cannot both print: give one of them a file")
        corpus = read_corpus(reference)
        report_skipped(corpus)
        hash_of_reference = corpus_sha256(corpus)
        if annotator is not None:
            corpus = select_annotator(corpus, annotator)
        evaluations: dict[str, Evaluation] = {}
        pairings: dict[str, Pairing] = {}
        documents = []
        for path in estimates:
            estimate = read_corpus(path)
            report_skipped(estimate)
            pairing = pair_recordings(corpus, estimate, only or ())
            refuse_several_annotators(pairing.references)
            _report_unpaired(pairing, path)
            evaluation = evaluate_events(pairing.references, pairing.estimates, settings)
            evaluations[str(path)] = evaluation
            pairings[str(path)] = pairing
            hashes = {"reference": hash_of_reference, "estimate": corpus_sha256(estimate)}
            document = {"reference": str(reference), "estimate": str(path)}
            if annotator is not None:
                document["annotator"] = annotator
            documents.append({**document, **to_json(evaluation, hashes)})
        shortfalls = [
            sentence
            for name, evaluation in evaluations.items()
            for sentence in _shortfalls(evaluation, thresholds, name)
        ]
        several = len(pairings) > 1 or any(len(p.references) > 1 for p in pairings.values())
        checks = CheckOptions(html, sonify, several)
        _write(evaluations, documents, json_path, csv_path)
        write_evaluation_checks(
            checks, audio or corpus.root, pairings, settings, {"reference": str(reference)}
        )
        for sentence in shortfalls:
            report(sentence)
        if shortfalls:
            raise typer.Exit(ExitCode.THRESHOLD)


def _report_unpaired(pairing: Pairing, path: Path) -> None:
    if pairing.missing:
        names = shorten(pairing.missing)
        report(f"{path}: no estimate, so all events count as missed: {names}")
    if pairing.extra:
        report(f"{path}: no reference, so not scored: {shorten(pairing.extra)}")


def _write(
    evaluations: Mapping[str, Evaluation],
    documents: Sequence[Mapping[str, object]],
    json_path: Path | None,
    csv_path: Path | None,
) -> None:
    text = json.dumps({"results": documents}, indent=2, ensure_ascii=False) + "\n"
    outputs = {json_path: text, csv_path: _render_csv(evaluations)}
    printed = outputs.pop(_STDOUT, None)
    if printed is None:
        tables = [render_evaluation(name, item) + "\n" for name, item in evaluations.items()]
        printed = "".join(tables)
    typer.echo(printed, nl=False)
    for path, content in outputs.items():
        if path is not None:
            write_text_atomic(path, content)


def _render_csv(evaluations: Mapping[str, Evaluation]) -> str:
    rows = [
        {"estimate": name, **row} for name, item in evaluations.items() for row in to_rows(item)
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def render_evaluation(name: str, evaluation: Evaluation) -> str:
    """Text of an evaluation: how it was made, scores, timing errors."""
    head = [
        f"{name}: {evaluation.n_files} recordings, vocabulary {evaluation.vocabulary}",
        f"softloc {__version__}, {MATCHER}",
    ]
    for side, counts in (
        ("reference", evaluation.unscored_reference),
        ("estimate", evaluation.unscored_estimate),
    ):
        if counts:
            listed = ", ".join(f"{label} {count}" for label, count in counts.items())
            head.append(f"not scored in the {side}: {listed}")
    scores = _align(_score_rows(evaluation))
    timing = _align(_timing_rows(evaluation))
    title = f"timing error of the pairs within {_ms(evaluation.headline_s)}, ms, positive = late"
    return "\n".join([*head, "", *scores, "", title, *timing, ""])


def _named_rows(evaluation: Evaluation) -> dict[str, RowScore]:
    return {**evaluation.per_class, "sum (micro)": evaluation.total, "any": evaluation.any}


def _score_rows(evaluation: Evaluation) -> list[list[str]]:
    windows_s = evaluation.settings.windows_s
    first = _ms(windows_s[0])
    titles = ["class", "n_ref", "n_est", "TP", "FP", "FN", f"P {first}", f"R {first}"]
    rows = [[*titles, *(f"F {_ms(window_s)}" for window_s in windows_s)]]
    for name, row in _named_rows(evaluation).items():
        counts = row.counts[windows_s[0]]
        numbers = (counts.n_reference, counts.n_estimate, counts.tp, counts.fp, counts.fn)
        ratios = {window_s: own.ratios for window_s, own in row.counts.items()}
        rows.append([name, *map(str, numbers), *_ratio_cells(ratios)])
    means = {"mean over classes": evaluation.class_means, "mean over files": evaluation.file_means}
    for name, by_window in means.items():
        rows.append([name, "", "", "", "", "", *_ratio_cells(by_window)])
    return rows


def _ratio_cells(by_window: Mapping[float, Ratios | None]) -> list[str]:
    """Precision and recall of the first tolerance, then F of all."""
    ratios = list(by_window.values())
    precision = ratios[0].precision if ratios[0] else None
    recall = ratios[0].recall if ratios[0] else None
    f_measures = [own.f_measure if own else None for own in ratios]
    return [
        _UNDEFINED if value is None else f"{value:.3f}"
        for value in (precision, recall, *f_measures)
    ]


def _timing_rows(evaluation: Evaluation) -> list[list[str]]:
    rows = [["class", "pairs", "bias", "median", "sigma", "MAD", "5 %", "95 %"]]
    for name, row in _named_rows(evaluation).items():
        timing = row.timing
        if timing is None:
            rows.append([name, "0", *[_UNDEFINED] * 6])
            continue
        signed = [f"{value:+.1f}" for value in (timing.bias_ms, timing.median_ms)]
        spreads = [f"{value:.1f}" for value in (timing.sigma_ms, timing.mad_ms)]
        ends = [f"{value:+.1f}" for value in (timing.p05_ms, timing.p95_ms)]
        rows.append([name, str(timing.n_pairs), *signed, *spreads, *ends])
    return rows


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def _ms(window_s: float) -> str:
    return f"±{window_s * 1000:g} ms"


def _parse_threshold(text: str) -> _Threshold:
    name, _, value = text.partition("=")
    try:
        least = float(value)
    except ValueError:
        least = -1.0
    if not name.strip() or not 0.0 <= least <= 1.0:
        raise SettingsError(f"cannot read --fail-under {text!r}: write it as F=0.80")
    return _Threshold(name.strip(), least)


def _shortfalls(
    evaluation: Evaluation, thresholds: Sequence[_Threshold], name: str
) -> Iterator[str]:
    """Say which scores are under their thresholds."""
    for threshold in thresholds:
        score = _score_named(evaluation, threshold.name)
        if score is None or score < threshold.least - _ROUNDING:
            shown = "undefined" if score is None else f"{score:.4f}"
            yield f"{name}: {threshold.name} is {shown}, under {threshold.least:g}"


def _score_named(evaluation: Evaluation, name: str) -> float | None:
    headline_s = evaluation.headline_s
    if name in _SUM_METRICS:
        ratios = evaluation.total.counts[headline_s].ratios
        return None if ratios is None else float(getattr(ratios, _SUM_METRICS[name]))
    if name == "macro":
        ratios = evaluation.class_means[headline_s]
    else:
        rows = {**evaluation.per_class, "any": evaluation.any}
        if name not in rows:
            known = [*_SUM_METRICS, "macro", *rows]
            raise SettingsError(f"--fail-under knows no score {name!r}{nearest_hint(name, known)}")
        ratios = rows[name].counts[headline_s].ratios
    return None if ratios is None else ratios.f_measure
