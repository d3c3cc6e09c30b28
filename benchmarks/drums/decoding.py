"""Which softness to decode with: ``python -m benchmarks.drums.decoding MODEL ... --corpus DIR``.

Reads the events off what models say of validation kits and of real recordings, by mass, with the
softness they were trained with and with smaller ones. One line per model in
``benchmarks/results/decoding.jsonl``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.drums.experiment import append_result
from benchmarks.drums.render import data_folder
from benchmarks.drums.scoring import Answers, answer, by_mass
from softloc.decoding import decoding_softness_ms
from softloc.files import file_sha256

SHARES = (1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


def main() -> None:
    """Score each model, record each."""
    options = _parse()
    for model in options.models:
        sets = {
            "valid_kits": answer(model, options.corpus / "valid" / "labels.csv"),
            "dev_drums": answer(model, data_folder("drums-dev") / "labels.csv", "drums/"),
        }
        trained_ms = sets["valid_kits"].model.settings.softness_ms
        result = {
            "model": model.stem,
            "sha256": file_sha256(model),
            "softness_ms": trained_ms,
            "scores": {name: score(answers) for name, answers in sets.items()},
        }
        append_result("decoding", result)
        print(json.dumps(result, indent=1))


def score(answers: Answers) -> list[dict[str, Any]]:
    """Decode with each share of the softness, and with what is taken by default."""
    trained_ms = answers.model.settings.softness_ms
    default_ms = decoding_softness_ms(trained_ms)
    rows = []
    for share in (*SHARES, default_ms / trained_ms):
        scores = by_mass(answers, softness_ms=share * trained_ms)
        rows.append(
            {
                "share": round(share, 4),
                **{window: scores[window]["mean"] for window in ("50ms", "20ms")},
                **{f"{window}_3": scores[window]["mean_kd_sd_hh"] for window in ("50ms", "20ms")},
                "bias_ms": scores["bias_ms"],
                "sigma_ms": scores["sigma_ms"],
            }
        )
    return rows


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--corpus", type=Path, required=True, help="holds valid/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
