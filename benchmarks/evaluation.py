"""Time and memory of ``softloc evaluate`` on a large corpus.

``python -m benchmarks.evaluation`` writes ``benchmarks/results/evaluation.json``.

10,000 recordings of two minutes with 300 events each, as two tables of three million lines: times
drawn evenly, so more crowded than music, over five classes; the estimate misses one event in ten
and is off by sigma = 12 ms. Stages run in one process, one after the other; time is that of the
processor, memory the peak resident size of the process up to the end of the stage.
"""

from __future__ import annotations

import json
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from softloc.evaluation import bootstrap, evaluate, package_versions, pair_recordings
from softloc.formats import read_corpus

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
COMMAND = "python -m benchmarks.evaluation"
N_RECORDINGS, N_EVENTS, DURATION_S = 10_000, 300, 120.0
CLASSES = {"KD": 0.25, "SD": 0.2, "HH": 0.4, "TT": 0.05, "CY": 0.1}
SIGMA_S, FOUND, SEED = 0.012, 0.9, 0

T = TypeVar("T")


def write_tables(folder: Path) -> tuple[Path, Path]:
    """Write the tables of reference and estimate."""
    rng = np.random.default_rng(SEED)
    reference, estimate = folder / "reference.csv", folder / "estimate.csv"
    with reference.open("w") as truth, estimate.open("w") as answer:
        for file in (truth, answer):
            file.write("file,time_s,label\n")
        for number in range(N_RECORDINGS):
            times_s = np.sort(rng.uniform(0.1, DURATION_S, N_EVENTS))
            labels = rng.choice(list(CLASSES), N_EVENTS, p=list(CLASSES.values()))
            heard_s = times_s + rng.normal(0, SIGMA_S, N_EVENTS)
            found = rng.random(N_EVENTS) < FOUND
            truth.writelines(lines(number, times_s, labels))
            answer.writelines(lines(number, heard_s[found], labels[found]))
    return reference, estimate


def lines(number: int, times_s: NDArray[np.float64], labels: NDArray[np.str_]) -> Iterator[str]:
    """Rows of one recording."""
    for time_s, label in zip(times_s.tolist(), labels.tolist(), strict=True):
        yield f"{number}.wav,{time_s:.6f},{label}\n"


def main() -> None:
    """Measure the stages and write the record."""
    stages: dict[str, dict[str, float]] = {}

    def measured(name: str, work: Callable[[], T]) -> T:
        start = time.process_time()
        result = work()
        stages[name] = {
            "seconds": round(time.process_time() - start, 1),
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        return result

    with tempfile.TemporaryDirectory() as folder:
        paths = write_tables(Path(folder))
        reference = measured("read reference", lambda: read_corpus(paths[0]))
        estimate = measured("read estimate", lambda: read_corpus(paths[1]))
    pairing = measured("pair", lambda: pair_recordings(reference, estimate))
    scores = measured("score", lambda: evaluate(pairing.references, pairing.estimates))
    measured("bootstrap", lambda: bootstrap([scores]))
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "method": __doc__,
        "versions": package_versions(),
        "machine": platform.machine(),
        "stages": stages,
        "seconds": round(sum(stage["seconds"] for stage in stages.values()), 1),
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {RESULTS.name}")


if __name__ == "__main__":
    main()
