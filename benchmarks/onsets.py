"""Make the shipped onset weights again: ``python -m benchmarks.onsets -o DIR``.

Renders the drum corpora of `benchmarks.drums.weights` and corpora in which pitched instruments play
alone, unless DIR holds them already, and joins all labels, drums and pitched notes,
to one class ``ON``: events within 30 ms are one, at their mean, as for the row ``any`` of an
evaluation. Trains on that, and scores real drums (labels ignored) and the piano recordings of
``$SOFTLOC_DATA/piano`` (never trained on). One line in ``benchmarks/results/onsets.jsonl``;
``--ship`` puts the model into ``pretrained/``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drums import weights
from benchmarks.drums.experiment import (
    append_result,
    first_minutes,
    recipe,
    run_record,
    train_once,
)
from benchmarks.drums.render import data_folder
from benchmarks.drums.render import main as render
from benchmarks.drums.scoring import Scores
from softloc.evaluation import EvaluationSettings, evaluate, merge_times
from softloc.events import Corpus, Onset
from softloc.files import file_sha256, write_text_atomic
from softloc.formats import read_corpus
from softloc.pipeline import Transcriber, load
from softloc.training_files import record_path
from softloc.training_settings import PRECISIONS

LABEL = "ON"
#: Of the drums, as much is trained on.
DRUM_MINUTES = 1_000
#: Events closer than this are one.
SAME_ONSET_S = 0.030
#: Corpora in which pitched instruments mostly play alone, by split.
PITCHED = {
    "train": ("--minutes", "300", "--seed", "5"),
    "valid": ("--minutes", "10", "--seed", "5"),
}
ALONE = ("--accompanied", "0.2", "--alone", "0.75")
WINDOWS_S = (0.050, 0.020)


def main() -> None:
    """Render what is missing, join labels, train, score, record."""
    options = _parse()
    corpus = options.output / "onsets"
    make_corpora(options.output, corpus)
    model = options.output / f"onsets-{options.seed}.safetensors"
    if not model.exists():
        settings = recipe(
            options.size, options.steps, options.seed, alpha=0.2, precision=options.precision
        )
        train_once(corpus, model, 0.0, settings, classes=LABEL, resume=options.resume)
    record = json.loads(record_path(model).read_text(encoding="utf-8"))
    result = {
        "name": "onsets",
        "seed": options.seed,
        "sha256": file_sha256(model),
        "scores": score_everywhere(model),
        **run_record(record),
    }
    append_result("onsets", result)
    print(json.dumps(result["scores"], indent=1))
    if options.ship:
        weights.ship(model, "onsets")
        weights.add_credits(options.output / name for name in ("train", "pitched-train"))


def make_corpora(folder: Path, target: Path) -> None:
    """Render below `folder` what is missing there, and join all labels below `target`."""
    weights.make_corpora(folder, DRUM_MINUTES, drumless=False)
    backing = weights.backing_arguments(folder)
    for split, arguments in PITCHED.items():
        pitched = folder / f"pitched-{split}"
        if not (pitched / "labels.csv").exists():
            how = ["--split", split, *arguments, *ALONE, *backing, "--jobs", "2"]
            if code := render([*how, "-o", str(pitched)]):
                raise SystemExit(code)
        drums = read_corpus(folder / split / "labels.csv")
        if split == "train":
            drums = first_minutes(drums, DRUM_MINUTES)
        join_labels((drums, read_corpus(pitched / "labels.csv")), target / split)


def join_labels(sources: Sequence[Corpus], target: Path) -> None:
    """Write one table of onsets for some rendered corpora, its files relative to `target`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "time_s", "label"])
    for source in sources:
        pitched = read_corpus(source.root / "pitched.csv").recordings
        for name, hits in sorted(source.recordings.items()):
            onsets = [*hits, *pitched.get(name, ())]
            path = (Path("..") / ".." / source.root.name / name).as_posix()
            times = merge_onsets(onsets)
            writer.writerows([path, f"{onset.time_s:.6f}", LABEL] for onset in times)
            if not times:
                writer.writerow([path, "", ""])
    target.mkdir(parents=True, exist_ok=True)
    write_text_atomic(target / "labels.csv", text.getvalue())


def merge_onsets(onsets: list[Onset]) -> list[Onset]:
    """Forget labels, and merge what is close together to its mean."""
    times_us = np.array([round(1e6 * onset.time_s) for onset in onsets], dtype=np.int64)
    return [Onset(time_us / 1e6, LABEL) for time_us in merge_times(times_us, SAME_ONSET_S)]


def score_everywhere(model: Path) -> Mapping[str, Scores]:
    """Score drums alone and piano recordings; full mixes have no labels of all onsets."""
    transcriber = load(model)
    drums = data_folder("drums-dev") / "labels.csv"
    piano = data_folder("piano") / "test.csv"
    return {
        "dev_drums": score(transcriber, drums, "drums/"),
        "piano_close": score(transcriber, piano, "test/", "ENSTDkCl"),
        "piano_ambient": score(transcriber, piano, "test/", "ENSTDkAm"),
    }


def score(transcriber: Transcriber, labels: Path, prefix: str, part: str = "") -> Scores:
    """F1 at ±50 and ±20 ms, precision and recall at ±50, bias and spread of one set."""
    corpus = read_corpus(labels)
    references = {
        name: merge_onsets(rows)
        for name, rows in corpus.recordings.items()
        if name.startswith(prefix) and part in name
    }
    estimates = {name: transcriber.transcribe(corpus.root / name) for name in references}
    found = evaluate(references, estimates, EvaluationSettings(LABEL, WINDOWS_S)).any
    scores: dict[str, Any] = {}
    for window_s in WINDOWS_S:
        ratios = found.counts[window_s].ratios
        scores[f"{1000 * window_s:g}ms"] = round(ratios.f_measure, 4) if ratios else None
        if ratios and window_s == WINDOWS_S[0]:
            scores |= {"precision": round(ratios.precision, 4), "recall": round(ratios.recall, 4)}
    if found.timing is not None:
        scores["bias_ms"] = round(found.timing.bias_ms, 2)
        scores["sigma_ms"] = round(found.timing.sigma_ms, 2)
    return scores


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--size", default="small")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    parser.add_argument("--ship", action="store_true", help="put the model into pretrained/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
