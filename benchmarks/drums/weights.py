"""Make the shipped drum weights again: ``python -m benchmarks.drums.weights NAME -o DIR``.

Renders a corpus from ``$SOFTLOC_DATA`` and from Debian packages that it fetches (unless DIR holds
it already: `benchmarks.drums.soundfonts`, `benchmarks.drums.guitars`), trains on its exact labels,
one member of the model after the other, joins them, and scores the result on validation and test
kits and on the recordings of ``$SOFTLOC_DATA/drums-dev``. Each run adds a line to
``benchmarks/results/drums.jsonl``; ``--ship`` puts the model into ``pretrained/``. ``--resume``
goes on with a training that was interrupted. What DIR holds already is not made again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.drums.experiment import RESULTS, append_result, recipe, run_record, train_once
from benchmarks.drums.guitars import ensure_guitars
from benchmarks.drums.render import backing_folders, data_folder
from benchmarks.drums.render import main as render
from benchmarks.drums.scoring import answer, compare_decodings, tune
from benchmarks.drums.soundfonts import ensure_pack
from softloc.files import file_sha256
from softloc.joining import join_models
from softloc.model_files import read_model, write_model
from softloc.training_files import record_path, state_path
from softloc.training_settings import PRECISIONS

#: Arguments of the renderer, by folder; the split is train unless it is named. The minutes of
#: ``train`` are the most that a member needs.
CORPORA = {
    "train": ("--seed", "0", "--synthetic-kits", "320"),
    "drumless": ("--minutes", "60", "--seed", "1", "--alone", "1", "--accompanied", "0"),
    "valid": ("--split", "valid", "--minutes", "40", "--seed", "0"),
    "test": ("--split", "test", "--minutes", "20", "--seed", "0"),
}
#: What is only trained on.
LEARNT = ("train", "drumless")
PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"


@dataclass(frozen=True)
class Recipe:
    """How a member of a shipped model is trained, and on how much audio."""

    size: str
    steps: int
    alpha: float | str
    minutes: int


RECIPES: Mapping[str, tuple[Recipe, ...]] = {
    "drums": (
        Recipe("large", 60_000, alpha=0.2, minutes=2_000),
        Recipe("large", 36_000, alpha=0.2, minutes=1_000),
    ),
    "drums-small": (Recipe("small", 45_000, alpha=0.2, minutes=1_000),),
}


def main() -> None:
    """Render what is missing, train, join, score, record."""
    options = _parse()
    members = [
        options.output / f"{options.name}-{options.seed}-{number}.safetensors"
        for number in range(1, len(RECIPES[options.name]) + 1)
    ]
    recipes = dict(zip(members, RECIPES[options.name], strict=True))
    missing = {path: chosen for path, chosen in recipes.items() if not path.exists()}
    make_corpora(options.output, max((chosen.minutes for chosen in missing.values()), default=0))
    for path, chosen in missing.items():
        settings = recipe(
            chosen.size, chosen.steps, options.seed, alpha=chosen.alpha, precision=options.precision
        )
        resume = options.resume and state_path(path).exists()
        train_once(options.output, path, 0.0, settings, minutes=chosen.minutes, resume=resume)
    if options.train_only:
        return
    model = options.output / f"{options.name}-{options.seed}.safetensors"
    join(members, model)
    result = {
        "name": options.name,
        "seed": options.seed,
        "sha256": file_sha256(model),
        "scores": score_everywhere(model, options.output),
        "members": [
            {"sha256": file_sha256(path), "minutes": chosen.minutes, **run_record(record_of(path))}
            for path, chosen in recipes.items()
        ],
    }
    append_result("drums", result)
    print(json.dumps(result["scores"], indent=1))
    if options.ship:
        ship(model, options.name)
        if (options.output / "train" / "manifest.json").exists():  # else nothing new was learnt
            add_credits(options.output / name for name in (*LEARNT, "guitars"))


def make_corpora(folder: Path, minutes: int, *, drumless: bool = True) -> None:
    """Write all of `CORPORA`, and the recorded guitars, below a folder, unless they are there.

    Parameters
    ----------
    folder : Path
        Where the corpora go.
    minutes : int
        Least length of ``train``; a shorter one is made longer, and without any nothing that is
        only trained on is rendered.
    drumless : bool
        Whether recordings without drums are wanted.
    """
    left_out = {name for name in LEARNT if not minutes or (name == "drumless" and not drumless)}
    if minutes and drumless:
        ensure_guitars(folder)
    backing = backing_arguments(folder)
    for name, arguments in CORPORA.items():
        if name in left_out:
            continue
        corpus = folder / name
        length = ["--minutes", str(minutes)] if name == "train" else []
        if not (corpus / "labels.csv").exists() or (length and minutes_in(corpus) < minutes):
            code = render([*length, *arguments, *backing, "--jobs", "2", "-o", str(corpus)])
            if code:
                raise SystemExit(code)


def backing_arguments(folder: Path) -> list[str]:
    """Tell the renderer of the pack of instruments and of the SoundFont, fetched if need be."""
    packs = [*backing_folders([]), ensure_pack(folder)]
    return [argument for pack in packs for argument in ("--backing", str(pack))]


def minutes_in(corpus: Path) -> float:
    """Length of a rendered corpus."""
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    return float(manifest["seconds"]) / 60.0


def join(members: Sequence[Path], model: Path) -> None:
    """Make one model of its members; a single one is the model."""
    if len(members) == 1:
        shutil.copyfile(members[0], model)
    else:
        write_model(model, join_models({str(path): read_model(path) for path in members}))


def record_of(model: Path) -> Mapping[str, Any]:
    """Record of a training, with its curve where that is still beside the model."""
    path = record_path(model)
    if not path.exists():
        return read_model(model).record
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def score_everywhere(model: Path, corpus: Path) -> dict[str, Any]:
    """Score on kits never heard and on real recordings, by every way of decoding.

    Peak picking is tuned on the validation kits.
    """
    valid = answer(model, corpus / "valid" / "labels.csv")
    dev = data_folder("drums-dev") / "labels.csv"
    sets = {
        "valid_kits": valid,
        "test_kits": answer(model, corpus / "test" / "labels.csv"),
        "dev_drums": answer(model, dev, "drums/"),
        "dev_mixes": answer(model, dev, "mix/"),
    }
    tuned = tune(valid)
    return {name: compare_decodings(answers, tuned) for name, answers in sets.items()}


def ship(model: Path, name: str) -> None:
    """Put a model into ``pretrained/``, its hash into the index."""
    target = PRETRAINED / f"{name}.safetensors"
    shutil.copyfile(model, target)
    path = PRETRAINED / "index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    version = read_model(target).settings.format_version
    index[name] = {"file": target.name, "sha256": file_sha256(target), "format": version}
    path.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def add_credits(corpora: Iterable[Path]) -> None:
    """Say beside the results whose kits and instruments a shipped model was trained on.

    Whoever is named there stays: another shipped model may have learnt from them.
    """
    path = RESULTS / "credits.json"
    named = json.loads(path.read_text(encoding="utf-8"))
    manifests = [
        json.loads((corpus / "manifest.json").read_text(encoding="utf-8")) for corpus in corpora
    ]
    text = json.dumps(merge_credits(named, manifests), indent=1) + "\n"
    path.write_text(text, encoding="utf-8")


def merge_credits(
    named: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Add the kits and instruments of corpora to those that are named, each once."""
    merged: dict[str, list[dict[str, Any]]] = {}
    for kind, title in (("kits", "kit"), ("instruments", "instrument")):
        rows: dict[tuple[str, ...], dict[str, Any]] = {}
        for source in (named, *manifests):
            for row in source.get(kind, ()):
                rows.setdefault((row[title], row["licence"], row["author"]), row)
        merged[kind] = list(rows.values())
    return merged


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="bfloat16",
        help="float32 on processors that only imitate the other",
    )
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    parser.add_argument("--train-only", action="store_true", help="leave the scores for later")
    parser.add_argument("--ship", action="store_true", help="put the model into pretrained/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
