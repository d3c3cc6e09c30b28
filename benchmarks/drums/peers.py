"""Score what other programs answered for the same recordings.

``python -m benchmarks.drums.peers`` reads ``$SOFTLOC_DATA/drums-dev/estimates/<program>/`` and
writes ``benchmarks/results/peers.json``.
"""

from __future__ import annotations

import json

from benchmarks.drums.experiment import RESULTS
from benchmarks.drums.render import data_folder
from benchmarks.drums.scoring import Scores, summarise
from softloc.evaluation import pair_recordings
from softloc.files import write_text_atomic
from softloc.formats import read_corpus

SETS = {"dev_drums": "drums/*", "dev_mixes": "mix/*"}


def main() -> None:
    """Score every program that has a folder of estimates."""
    folder = data_folder("drums-dev")
    reference = read_corpus(folder / "labels.csv")
    results: dict[str, dict[str, Scores]] = {}
    for program in sorted((folder / "estimates").iterdir()):
        estimate = read_corpus(program)
        results[program.name] = {}
        for name, pattern in SETS.items():
            pairing = pair_recordings(reference, estimate, (pattern,))
            results[program.name][name] = summarise(pairing.references, pairing.estimates)
    document = {"command": "python -m benchmarks.drums.peers", "results": results}
    write_text_atomic(RESULTS / "peers.json", json.dumps(document, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
