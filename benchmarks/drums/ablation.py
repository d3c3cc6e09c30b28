"""Change one thing at a time: ``python -m benchmarks.drums.ablation VARIANT --corpus DIR -o DIR``.

Trains one variant of the drum network or of its training on exact labels of a rendered corpus, and
scores it on validation kits and on real recordings. Each run adds one line to
``benchmarks/results/ablation.jsonl``. A run whose model is there already is only scored.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.drums.experiment import append_result, recipe, run_record, train_once
from benchmarks.drums.render import data_folder
from benchmarks.drums.scoring import answer, by_mass
from softloc.network import multiplications_per_frame
from softloc.presets import SIZES, Size, register_size
from softloc.training_files import record_path


@dataclass(frozen=True)
class Variant:
    """What differs from the base: parts of the network's shape, parts of the training's settings.

    Attributes
    ----------
    title : str
        What the table says of it.
    shape : Mapping of str to object
        Fields of `softloc.network.NetworkSettings`, over those of the size.
    training : Mapping of str to object
        Fields of `softloc.training_settings.TrainingSettings`, over those of `recipe`.
    size : str
        Name of the size that is changed.
    """

    title: str
    shape: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    size: str = "large"


def _windows(batch_size: int, window_s: float) -> Variant:
    """Train the small network on windows of another length, as much audio a step."""
    training = {
        "batch_size": batch_size,
        "window_s": window_s,
        "validations": 3,
        "max_validation_s": 2_400.0,
    }
    return Variant("`small`", {}, training, "small")


VARIANTS: Mapping[str, Variant] = {
    "base": Variant("LSTM read at once", {"lstm_delay_frames": 0}),
    "delay5": Variant("LSTM read 50 ms later", {"lstm_delay_frames": 5}),
    "delay10": Variant("LSTM read 100 ms later", {"lstm_delay_frames": 10}),
    "windows-6s": _windows(4, 6.0),
    "windows-3s": _windows(8, 3.0),
    "windows-1.5s": _windows(16, 1.5),
    "windows-0.8s": _windows(30, 0.8),
    "softness20": Variant(
        "100 ms later, softness 20 ms", {"lstm_delay_frames": 10}, {"softness_ms": 20.0}
    ),
}


def main() -> None:
    """Train one variant, score it, record it."""
    options = _parse()
    variant = VARIANTS[options.variant]
    model = options.output / f"{options.variant}-{options.seed}.safetensors"
    register_size(options.variant, variant_size(variant))
    if not model.exists():
        settings = recipe(options.variant, options.steps, options.seed)
        settings = replace(settings, **variant.training)
        train_once(options.corpus, model, 0.0, settings, resume=options.resume)
    record = json.loads(record_path(model).read_text(encoding="utf-8"))
    append_result("ablation", {**describe(options, variant), **run_record(record)})


def variant_size(variant: Variant) -> Size:
    """Features and network of a variant."""
    base = SIZES[variant.size]
    return replace(base, shape=replace(base.shape, **variant.shape))


def describe(options: argparse.Namespace, variant: Variant) -> dict[str, Any]:
    """Score a variant, and say what it is and what it was trained on."""
    model = options.output / f"{options.variant}-{options.seed}.safetensors"
    dev = data_folder("drums-dev") / "labels.csv"
    shape = replace(variant_size(variant).shape, n_classes=5)
    manifest = json.loads((options.corpus / "train" / "manifest.json").read_text("utf-8"))
    scores = {
        "valid_kits": by_mass(answer(model, options.corpus / "valid" / "labels.csv")),
        "dev_drums": by_mass(answer(model, dev, "drums/")),
        "dev_mixes": by_mass(answer(model, dev, "mix/")),
    }
    print(json.dumps(scores, indent=1))
    return {
        "variant": options.variant,
        "title": variant.title,
        "seed": options.seed,
        "multiplications_per_frame": multiplications_per_frame(shape),
        "corpus": {key: manifest[key] for key in ("renderer_version", "seconds", "hits")},
        "scores": scores,
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--corpus", type=Path, required=True, help="holds train/ and valid/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for models")
    parser.add_argument("--steps", type=int, default=2_400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
