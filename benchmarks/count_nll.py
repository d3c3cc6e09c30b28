"""Speed, memory and exactness of the count term, beside the recursion over frames.

``python -m benchmarks.count_nll`` writes ``benchmarks/results/count_nll.json``.

The rival is Eq. 3 as one would write it down: the distribution of the number of events, frame by
frame, in probabilities, truncated at the batch's largest count, differentiated by autograd. Both
run forward and backward in single precision, in a fresh process each. Time is the median of
several runs; the load average says how busy the machine was with other work. Memory is the peak
resident size of the first run above what the process held before it (Linux: VmHWM of
/proc/self/status, reset through clear_refs once free memory is handed back). Errors are largest
absolute differences from the same recursion in double precision.

Logits are drawn to look like a network's: a quiet, noisy background and, for each label, a
three-frame bump of good but not perfect certainty, one in ten missing. "Untrained" logits are
near-constant at the initial bias that makes an event in half a window 20 % likely; there the
recursion's probabilities can leave single precision's range, and the share of windows whose
loss is infinite is reported.
"""

from __future__ import annotations

import argparse
import ctypes
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
from torch import Tensor

from softloc.loss import count_nll

RESULTS = Path(__file__).parent / "results" / "count_nll.json"
COMMAND = "python -m benchmarks.count_nll"
SEED = 20
THREADS = (1, 2)

CountLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A batch of windows."""

    items: int
    classes: int
    frames: int
    largest_count: int
    repeats: int


CASES = {
    "drums": Case(32, 3, 300, 12, repeats=31),
    "piano": Case(32, 88, 300, 10, repeats=15),
    "long": Case(4, 5, 6000, 400, repeats=7),
}


def recursion_nll(logits: Tensor, counts: Tensor) -> Tensor:
    """Return -log P(count), (items, classes), by the plain recursion over frames."""
    largest = int(counts.max())
    mass = torch.zeros(*counts.shape, largest + 1, dtype=logits.dtype)
    mass[..., 0] = 1
    # unbind: indexing frame by frame would make the backward pass quadratic in their number.
    for p in logits.sigmoid().unsqueeze(-1).unbind(-2):
        one_more = torch.nn.functional.pad(mass[..., :-1], (1, 0))
        mass = mass * (1 - p) + one_more * p
    return -mass.gather(-1, counts.unsqueeze(-1)).squeeze(-1).log()


METHODS: dict[str, CountLoss] = {"softloc": count_nll, "recursion": recursion_nll}


def draw_windows(case: Case, *, trained: bool = True) -> tuple[Tensor, Tensor]:
    """Return logits (items, classes, frames) and counts (items, classes)."""
    rng = torch.Generator().manual_seed(SEED)
    shape = (case.items, case.classes)
    counts = torch.randint(0, case.largest_count + 1, shape, generator=rng)
    counts[0, 0] = case.largest_count
    noise = torch.randn(*shape, case.frames, generator=rng)
    if not trained:
        chance = 1 - 0.8 ** (2 / case.frames)
        return torch.logit(torch.tensor(chance)) + 0.1 * noise, counts
    order = torch.rand(noise.shape, generator=rng).argsort(-1)
    events = (order < counts.unsqueeze(-1)) & (torch.rand(noise.shape, generator=rng) < 0.9)
    peaks = events.float()
    beside = (peaks.roll(1, -1) + peaks.roll(-1, -1)).clamp(max=1)
    return -6.5 + noise + 8 * peaks + 3 * beside * (1 - peaks), counts


def forward_and_backward(loss: CountLoss, logits: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses and the gradient of their sum."""
    leaf = logits.detach().requires_grad_()
    nll = loss(leaf, counts)
    (gradient,) = torch.autograd.grad(nll.sum(), leaf)
    return nll.detach(), gradient


def measure(case: Case, loss: CountLoss) -> dict[str, float]:
    """Return the median time and the peak memory; runs in a process of its own."""
    logits, counts = draw_windows(case)
    # One tiny run, so that neither pays for loading libraries.
    forward_and_backward(loss, logits[:1, :1, :4], counts[:1, :1].clamp(max=2))
    held_mib = reset_peak_memory_mib()
    forward_and_backward(loss, logits, counts)
    peak_mib = memory_mib("VmHWM") - held_mib
    times_ms = []
    for _ in range(case.repeats):
        begin = time.perf_counter()
        forward_and_backward(loss, logits, counts)
        times_ms.append(1000 * (time.perf_counter() - begin))
    return {"median_ms": round(statistics.median(times_ms), 3), "peak_mib": round(peak_mib, 1)}


def reset_peak_memory_mib() -> float:
    """Hand free memory back, forget the peak so far; return the resident size now."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mib("VmRSS")


def memory_mib(field: str) -> float:
    """Return a size of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure_apart(case_name: str, method: str, threads: int) -> dict[str, float]:
    """Run `measure` in a fresh process."""
    words = [sys.executable, "-m", "benchmarks.count_nll", "--worker", case_name, method]
    done = subprocess.run(  # noqa: S603 - our own module
        [*words, str(threads)], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def largest_errors(case: Case) -> dict[str, dict[str, float]]:
    """Return, for each method, the largest error of value (nats) and gradient."""
    logits, counts = draw_windows(case)
    worst = {method: {"value_nats": 0.0, "gradient": 0.0} for method in METHODS}
    for item in range(case.items):  # one by one: the double-precision graph is large
        rows = logits[item : item + 1], counts[item : item + 1]
        exact = forward_and_backward(recursion_nll, rows[0].double(), rows[1])
        if not exact[0].isfinite().all():
            raise RuntimeError("the reference underflowed: draw likelier windows")
        for method, loss in METHODS.items():
            got = forward_and_backward(loss, *rows)
            for quantity, mine, reference in zip(worst[method], got, exact, strict=True):
                error = (mine - reference).abs().max().item()
                worst[method][quantity] = max(worst[method][quantity], error)
    return worst


def infinite_shares(case: Case) -> dict[str, dict[str, float]]:
    """Return the share of windows whose loss is not finite, by method and kind of logits."""
    shares: dict[str, dict[str, float]] = {}
    for method, loss in METHODS.items():
        with torch.no_grad():
            shares[method] = {
                kind: (~loss(*draw_windows(case, trained=trained)).isfinite()).float().mean().item()
                for kind, trained in (("trained", True), ("untrained", False))
            }
    return shares


def compare(name: str, case: Case) -> dict[str, object]:
    """Return everything about one case."""
    speed: dict[str, object] = {}
    for threads in THREADS:
        runs = {method: measure_apart(name, method, threads) for method in METHODS}
        ratio = runs["recursion"]["median_ms"] / runs["softloc"]["median_ms"]
        speed[f"{threads} threads"] = {
            **runs,
            "times_faster": round(ratio, 2),
            "load_average": round(os.getloadavg()[0], 2),
        }
        print(name, threads, speed[f"{threads} threads"], flush=True)
    return {
        "case": asdict(case),
        "speed": speed,
        "largest_errors": largest_errors(case),
        "share_not_finite": infinite_shares(case),
    }


def main() -> None:
    """Measure all cases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worker", nargs=3, metavar=("CASE", "METHOD", "THREADS"))
    worker = parser.parse_args().worker
    if worker:
        torch.set_num_threads(int(worker[2]))
        print(json.dumps(measure(CASES[worker[0]], METHODS[worker[1]])))
        return
    torch.set_num_threads(THREADS[0])
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "dtype": "float32",
        "method": __doc__,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "processor": {
            "machine": platform.machine(),
            "features": torch.backends.cpu.get_cpu_capability(),
        },
        "results": {name: compare(name, case) for name, case in CASES.items()},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {RESULTS.name}")


if __name__ == "__main__":
    main()
