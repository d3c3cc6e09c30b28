"""How well the noise of labels is found: ``python -m benchmarks.drums.label_scatter --corpus DIR``.

Shipped models hear the validation kits of a rendered corpus, which they were not trained on. Its
exact labels are shifted by normal noise, and `softloc.label_scatter` says by how much, from labels
and events alone. Writes ``benchmarks/results/label_scatter.json``.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import soundfile

import softloc
from benchmarks.drums.experiment import RESULTS, command, noisy_corpus
from softloc.label_scatter import estimate_scatter

MODELS = ("drums", "drums-small")
NOISES_MS = (0.0, 5.0, 10.0, 20.0, 50.0, 100.0)
SEED = 0


def main() -> None:
    """Estimate all noises and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--corpus", type=Path, required=True, help="holds valid/")
    valid = parser.parse_args().corpus / "valid"
    record = {
        "command": command(),
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "method": __doc__,
        "results": {model: estimates(model, valid) for model in MODELS},
    }
    path = RESULTS / "label_scatter.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record["results"], indent=2))


def estimates(model: str, valid: Path) -> list[dict[str, Any]]:
    """Estimate each noise from what one model hears."""
    transcriber = softloc.load(model)
    names = noisy_corpus(valid, 0.0, SEED).recordings
    events = {name: transcriber.transcribe(valid / name) for name in names}
    lengths_s = {name: soundfile.info(valid / name).duration for name in names}
    found = []
    for noise_ms in NOISES_MS:
        labels = noisy_corpus(valid, noise_ms, SEED).recordings
        scatter = estimate_scatter(labels, events, lengths_s)
        if scatter is None:
            raise RuntimeError(f"{model} hears nothing of {valid}")
        found.append(
            {
                "noise_ms": noise_ms,
                "sigma_ms": round(1000 * scatter.sigma_s, 2),
                "stray_share": round(scatter.stray_share, 3),
                "labels": scatter.n_labels,
            }
        )
    return found


if __name__ == "__main__":
    main()
