"""How long after a hit a stream tells it, and what the stream costs.

``python -m benchmarks.latency`` writes ``benchmarks/results/latency.json``. It plays the shipped
example in real time (25 s for each row) to ``softloc.live.listen``, the code of ``softloc listen``,
and takes the time from the moment at which a hit was played to the moment at which it was told. No
sound card is in between, whose buffers would come on top.

Steps are the frames that a stream computes at once. The processor's share is that of one core.
"""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from softloc import Stream, live, load

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "latency.json"
COMMAND = "python -m benchmarks.latency"
EXAMPLE = ROOT / "examples" / "groove.flac"
MODELS = ("drums", "drums-small")
STEPS_FRAMES = (2, 4)


def main() -> None:
    """Measure and write the results."""
    rows = [measure(model, step) for model in MODELS for step in STEPS_FRAMES]
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "block_ms": 1000 * live.BLOCK_S,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measure(model: str, step_frames: int) -> dict[str, Any]:
    """Play the example to one model."""
    transcriber = load(model, "cpu", n_threads=1)
    load_before = os.getloadavg()[0]
    stream = partial(Stream, step_frames=step_frames)
    done = live.listen(transcriber, live.FilePlayer(EXAMPLE), lambda _: None, make_stream=stream)
    latency = done.latency
    row = {
        "model": model,
        "step_frames": step_frames,
        "events": done.n_events,
        "stated_ms": {
            "features": round(latency.features_ms, 1),
            "network": round(latency.network_ms, 1),
            "decoding": round(latency.decoding_ms, 1),
            "step": round(latency.step_ms, 1),
            "typical": round(latency.typical_ms, 1),
            "longest": round(latency.longest_ms, 1),
        },
        "measured_ms": {
            name: round(done.delay_ms(share) or 0.0, 1)
            for name, share in (("median", 0.5), ("95%", 0.95), ("longest", 1.0))
        },
        "cpu_share": round(done.cpu_share, 4),
        "load_before": round(load_before, 1),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
