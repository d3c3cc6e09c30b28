"""Damaged files, faults at bad moments, and much to do at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.tables.markdown import table
from benchmarks.tables.results import Run, read_lines

#: What was done to commands: name in the results, and in tables.
FAULTS = {
    "kill": "kill -9",
    "interrupt": "Ctrl-C",
    "limit": "file that may not grow",
    "disk": "full disk",
    "worker": "kill -9 of a worker",
}
FUZZED = {
    "text": "label files",
    "midi": "MIDI files",
    "checkpoints": "model files and training states",
    "audio": "recordings",
}


def fuzz_table() -> str:
    """Damaged files given to each reader, all campaigns together."""
    counted = ("inputs", "read", "refused", "by_command", "crashes", "hangs", "over_memory")
    header = ("reader", "minutes", *(name.replace("_", " ") for name in counted))
    rows = [
        (
            reader,
            f"{sum(run['seconds'] for run in runs) / 60:.0f}",
            *(f"{sum(run[name] for run in runs):,}" for name in counted),
        )
        for reader, runs in _campaigns("fuzz").items()
    ]
    return table(header, rows)


def faults_table() -> str:
    """Faults at random moments that each command survived, all campaigns together."""
    rows = []
    for subject, runs in _campaigns("faults").items():
        counts = [_sum_of_fault(runs, name) for name in FAULTS]
        rows.append((subject, *(_survived(*count) if count else "–" for count in counts)))
    return table(("survived of injected", *FAULTS.values()), rows)


def survival_table() -> str:
    """How much of all that was tried was survived: damaged files, and faults at bad moments."""
    rows = []
    for reader, runs in _campaigns("fuzz").items():
        n_inputs = sum(run["inputs"] for run in runs)
        n_bad = sum(run[name] for run in runs for name in ("crashes", "hangs", "over_memory"))
        rows.append((f"damaged {FUZZED[reader]}", f"{n_inputs - n_bad:,} of {n_inputs:,}"))
    campaigns = _campaigns("faults")
    for name, words in FAULTS.items():
        counts = {subject: _sum_of_fault(runs, name) for subject, runs in campaigns.items()}
        hit = {subject: count for subject, count in counts.items() if count}
        if hit:
            survived, injected = (sum(pair) for pair in zip(*hit.values(), strict=True))
            rows.append((f"{words}: {', '.join(sorted(hit))}", _survived(survived, injected)))
    return table(("tried at random", "survived"), rows)


def _campaigns(kind: str) -> dict[str, list[Run]]:
    """Group the runs of ``fuzz`` or ``faults`` by what was attacked, in the order of results."""
    campaigns: dict[str, list[Run]] = {}
    for run in read_lines("robustness.jsonl"):
        what, _, subject = run["campaign"].partition(" ")
        if what == kind:
            campaigns.setdefault(subject, []).append(run)
    return campaigns


def _sum_of_fault(runs: Iterable[Run], name: str) -> tuple[int, int] | None:
    """Faults survived and injected; None where the fault was not tried.

    A Ctrl-C counts if the run says how many landed. Runs from before that started their commands
    as their own shell had them hear it, which in its background is not at all.
    """
    counts = [run[name] for run in runs if name in run]
    if name == "interrupt":
        counts = [count for count in counts if "landed" in count]
    if not counts:
        return None
    return sum(count["survived"] for count in counts), sum(count["injected"] for count in counts)


def _survived(survived: int, injected: int) -> str:
    return f"{survived} of {injected}"


def load_table() -> str:
    """Much to do at once: what it takes, and what differs from less; the last run of each."""
    header = ("load", "peak memory, MB", "of each worker", "processor, s", "compared", "different")
    cells = {
        "load batch": _batch_cells,
        "load recording": _recording_cells,
        "load together": _together_cells,
    }
    rows: dict[str, Sequence[str]] = {}
    for kind, cells_of in cells.items():
        for run in read_lines("robustness.jsonl"):
            if run["campaign"] == kind:
                name, *others = cells_of(run)
                rows[name] = (name, *others)
    return table(header, list(rows.values()))


def _batch_cells(run: Run) -> Sequence[str]:
    workers = " / ".join(f"{peak:.0f}" for peak in run.get("peak_mb_of_workers", ()))
    return (
        f"{run['files']:,} files, `-j {run['jobs']}`",
        f"{run['peak_mb']:.0f}",
        workers or "–",
        f"{run['cpu_s']:.1f}",
        f"{run['compared_with_alone']} results with those of the file alone",
        f"{run['different_from_alone']}, {run['results_missing']} missing",
    )


def _recording_cells(run: Run) -> Sequence[str]:
    hours = f"first hour {run['cpu_s_first_hour']:.1f}, last {run['cpu_s_last_hour']:.1f}"
    return (
        f"{run['hours']} h in one file",
        f"{run['peak_mb']:.0f}",
        "–",
        f"{run['cpu_s']:.0f} ({hours})",
        f"counts of {run['events']:,} events in {run['repetitions']} repetitions",
        f"{run['repetitions_with_other_counts']}",
    )


def _together_cells(run: Run) -> Sequence[str]:
    return (
        f"batch {run['batch'] + 1} of {run['batches']} side by side, {run['files']} files",
        f"{run['peak_mb']:.0f} (alone {run['peak_mb_alone']:.0f})",
        "–",
        f"{run['cpu_s']:.1f} (alone {run['cpu_s_alone']:.1f})",
        f"{run['compared_with_alone']} results with those of the batch alone",
        f"{run['different_from_alone']}",
    )
