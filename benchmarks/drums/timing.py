"""How exact times are: ``python -m benchmarks.drums.timing``.

Renders single hits, far apart, at random times off the grid of frames, with kits of the test split
through every desk and medium; their onsets are known to the sample. Reports the signed error of
what shipped models answer within 50 ms, by class. Writes ``benchmarks/results/timing.json``.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from benchmarks.drums.experiment import RESULTS, command
from benchmarks.drums.render import data_folder
from softloc.evaluation import EvaluationSettings, evaluate
from softloc.events import Onset
from softloc.files import write_text_atomic
from softloc.model_files import pretrained_index
from softloc.pipeline import load
from softloc.rendering.accompaniment import AccompanimentSettings
from softloc.rendering.kits import SAMPLE_RATE_HZ, KitPack, load_pack
from softloc.rendering.mixing import SampleBank
from softloc.rendering.performance import Hit, Performance
from softloc.rendering.scene import Scene, SceneSettings, render_performance

#: What is struck, by class.
ARTICULATIONS = {
    "KD": ("kick",),
    "SD": ("snare", "rimshot", "side_stick"),
    "HH": ("closed", "half_open", "open"),
    "TT": ("tom_hi", "tom_mid", "tom_lo"),
    "CY": ("crash_a", "ride", "ride_bell"),
}
N_RECORDINGS = 24
HITS_PER_CLASS = 6
GAP_S = (0.9, 1.6)
WINDOW_S = 0.050


def main() -> None:
    """Render, transcribe, record."""
    options = _parse()
    pack = load_pack(data_folder("drumkit")).select("test", ("A", "B"))
    scenes = [render(pack, options.seed, index) for index in range(N_RECORDINGS)]
    references = {str(index): list(scene.onsets) for index, scene in enumerate(scenes)}
    results = {}
    for name in sorted({"drums", "drums-small"} & set(pretrained_index())):
        transcriber = load(name)
        estimates = {
            str(index): transcriber.transcribe(scene.audio, SAMPLE_RATE_HZ)
            for index, scene in enumerate(scenes)
        }
        results[name] = errors(references, estimates)
    document = {"command": command(), "seed": options.seed, "results": results}
    write_text_atomic(RESULTS / "timing.json", json.dumps(document, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def render(pack: KitPack, seed: int, index: int) -> Scene:
    """Render one recording of single hits in random order."""
    rng = np.random.default_rng([seed, index])
    order = rng.permutation(np.repeat(list(ARTICULATIONS), HITS_PER_CLASS))
    times_s = 0.5 + np.cumsum(rng.uniform(*GAP_S, size=len(order)))
    hits = tuple(
        Hit(float(time_s), str(rng.choice(ARTICULATIONS[label])), int(rng.integers(70, 121)))
        for time_s, label in zip(times_s, order, strict=True)
    )
    settings = SceneSettings(accompaniment=AccompanimentSettings(share=0.0, alone_share=0.0))
    performance = Performance(hits, float(times_s[-1]) + 2.0, ("single hits",))
    return render_performance(rng, performance, pack, settings, SampleBank())


def errors(
    references: dict[str, list[Onset]], estimates: dict[str, list[Onset]]
) -> dict[str, dict[str, Any]]:
    """Signed errors by class, ms."""
    found = evaluate(references, estimates, EvaluationSettings("5", (WINDOW_S,)))
    return {
        label: {
            "labels": row.counts[WINDOW_S].n_reference,
            "found": row.counts[WINDOW_S].tp,
            "mean_ms": round(row.timing.bias_ms, 2),
            "median_ms": round(row.timing.median_ms, 2),
            "sigma_ms": round(row.timing.sigma_ms, 2),
        }
        for label, row in found.per_class.items()
        if row.timing is not None
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
