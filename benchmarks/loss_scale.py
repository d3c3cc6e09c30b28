"""The count term at scale: time, memory and exactness, forward and backward.

``python -m benchmarks.loss_scale`` writes ``benchmarks/results/loss_scale.json``.

Logits as in `benchmarks.count_nll`, single precision, one thread, a fresh process for each case.
Time is the median processor time of several runs. Memory is the peak resident size of the first
run above what the process held before it; the logits alone take what the record says. Errors are
the largest absolute differences of value and gradient from the recursion over frames in double
precision with autograd, on the first windows of the batch, as many as the record says: of the
whole batch that recursion would need more memory than the machine has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.count_nll import (
    SEED,
    Case,
    draw_windows,
    forward_and_backward,
    memory_mib,
    recursion_nll,
    reset_peak_memory_mib,
)
from softloc.loss import count_nll

RESULTS = Path(__file__).parent / "results" / "loss_scale.json"


@dataclass(frozen=True)
class ScaleCase:
    """A batch, and how much of it is compared with the recursion."""

    batch: Case
    checked_items: int
    checked_at_once: int


CASES = {
    "piano, long windows": ScaleCase(
        Case(32, 88, 3_000, 100, repeats=5), checked_items=2, checked_at_once=44
    ),
    "whole songs": ScaleCase(
        Case(8, 5, 20_000, 1_600, repeats=9), checked_items=1, checked_at_once=1
    ),
}


def measure(case: Case) -> dict[str, float]:
    """Return processor times and peak memory; runs in a process of its own."""
    logits, counts = draw_windows(case)
    # One tiny run, so that the measured one does not pay for loading libraries.
    forward_and_backward(count_nll, logits[:1, :1, :4], counts[:1, :1].clamp(max=2))
    held_mib = reset_peak_memory_mib()
    forward_and_backward(count_nll, logits, counts)
    peak_mib = memory_mib("VmHWM") - held_mib
    with torch.no_grad():
        forward_ms = _median_ms(lambda: count_nll(logits, counts), case.repeats)
    both_ms = _median_ms(lambda: forward_and_backward(count_nll, logits, counts), case.repeats)
    return {
        "forward_ms": round(forward_ms, 1),
        "forward_and_backward_ms": round(both_ms, 1),
        "logits_mib": round(logits.nbytes / 2**20, 1),
        "peak_mib": round(peak_mib, 1),
    }


def _median_ms(work: Callable[[], object], repeats: int) -> float:
    times_ms = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times_ms.append(1000 * (time.process_time() - began))
    return statistics.median(times_ms)


def largest_errors(case: ScaleCase) -> dict[str, float]:
    """Return the largest error of value (nats) and gradient on the windows that are checked."""
    logits, counts = draw_windows(case.batch)
    worst = {"value_nats": 0.0, "value_relative": 0.0, "gradient": 0.0}
    for item in range(case.checked_items):
        # A few at a time: the graph in double is large.
        for first in range(0, case.batch.classes, case.checked_at_once):
            rows = (slice(item, item + 1), slice(first, first + case.checked_at_once))
            exact, slope = forward_and_backward(recursion_nll, logits[rows].double(), counts[rows])
            if not exact.isfinite().all():
                raise RuntimeError("the reference underflowed: draw likelier windows")
            value, gradient = forward_and_backward(count_nll, logits[rows], counts[rows])
            error = (value - exact).abs()
            found = {
                "value_nats": error.max().item(),
                "value_relative": (error / exact).max().item(),
                "gradient": (gradient - slope).abs().max().item(),
            }
            worst = {name: max(worst[name], found[name]) for name in worst}
    return worst | {"windows": case.checked_items * case.batch.classes}


def main() -> None:
    """Measure all cases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worker", metavar="CASE")
    worker = parser.parse_args().worker
    torch.set_num_threads(1)
    if worker:
        print(json.dumps(measure(CASES[worker].batch)))
        return
    results = {}
    for name, case in CASES.items():
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "benchmarks.loss_scale", "--worker", name],
            check=True,
            capture_output=True,
            text=True,
        )
        results[name] = {
            "case": asdict(case.batch),
            "speed": json.loads(done.stdout),
            "largest_errors": largest_errors(case),
            "load_average": round(os.getloadavg()[0], 2),
        }
        print(name, results[name], flush=True)
    record = {
        "command": "python -m benchmarks.loss_scale",
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "dtype": "float32",
        "threads": 1,
        "method": __doc__,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "processor": {
            "machine": platform.machine(),
            "features": torch.backends.cpu.get_cpu_capability(),
        },
        "results": results,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS.name}")


if __name__ == "__main__":
    main()
