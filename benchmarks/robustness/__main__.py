"""Command line of the campaigns; see ``--help``."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.robustness.campaign import (
    COUNTS,
    Limits,
    Order,
    has_atheris,
    parse_order,
    run_campaign,
    work,
)
from benchmarks.robustness.records import RESULTS, append_record

FINDINGS = Path("runs") / "robustness"
FUZZED = ("text", "midi", "checkpoints", "audio")
DISTURBED = ("transcription", "batch", "cluster", "training", "start of training")


def main() -> None:
    """Run one campaign and append its line to the results."""
    if sys.argv[1:2] == ["worker"]:
        work(parse_order(sys.argv[2:]))
        return
    arguments = _parser().parse_args()
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    commands = parser.add_subparsers(required=True)
    fuzz = commands.add_parser("fuzz", help="give a reader damaged files")
    fuzz.add_argument("target", choices=FUZZED)
    fuzz.add_argument("--minutes", type=float, default=math.inf, help="for how long")
    fuzz.add_argument("--inputs", type=int, default=sys.maxsize, help="how many at most")
    fuzz.add_argument("--engine", choices=("auto", "atheris", "mutations"), default="auto")
    fuzz.add_argument("--findings", type=Path, default=FINDINGS, help="folder for what broke")
    fuzz.set_defaults(run=_fuzz)
    faults = commands.add_parser("faults", help="kill, interrupt and starve a command")
    faults.add_argument("subject", choices=DISTURBED)
    faults.add_argument("--faults", help="which, with commas; default: all of the subject")
    faults.add_argument("--times", type=int, default=50, help="trials of each")
    faults.set_defaults(run=_faults)
    loads = commands.add_parser("load", help="give transcribe much to do")
    kinds = loads.add_subparsers(required=True)
    batch = kinds.add_parser("batch", help="very many short files")
    batch.add_argument("--files", type=int, default=10_000)
    batch.add_argument("--few", type=int, default=100, help="files to compare memory with")
    batch.add_argument("--jobs", default="1,2", help="worker processes, with commas")
    batch.add_argument("--alone", type=int, default=50, help="files to compare results of")
    batch.set_defaults(run=_load_batch)
    recording = kinds.add_parser("recording", help="a day in one file")
    recording.add_argument("--hours", type=int, default=24)
    recording.set_defaults(run=_load_recording)
    together = kinds.add_parser("together", help="batches side by side")
    together.add_argument("--batches", type=int, default=4)
    together.add_argument("--files", type=int, default=200, help="in each")
    together.set_defaults(run=_load_together)
    for command in (fuzz, faults, batch, recording, together):
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--results", type=Path, default=RESULTS, help="file to append to")
    return parser


def _fuzz(arguments: argparse.Namespace) -> None:
    if math.isinf(arguments.minutes) and arguments.inputs == sys.maxsize:
        sys.exit("say how much: --minutes or --inputs")
    guided = {"auto": has_atheris(), "atheris": True, "mutations": False}[arguments.engine]
    engine = "atheris" if guided else "mutations"

    def order(folder: Path, gone_s: float, n_done: int, number: int) -> Order:
        return Order(
            arguments.target,
            60 * arguments.minutes - gone_s,
            arguments.inputs - n_done if guided else arguments.inputs * (n_done < arguments.inputs),
            arguments.seed + number,
            engine,
            folder,
            arguments.findings,
        )

    began_s, began = time.monotonic(), time.time()
    counts = run_campaign(order)
    for story in sorted(arguments.findings.glob(f"{arguments.target}-*.story")):
        if story.stat().st_mtime >= began:
            print(f"{story.stem}: {story.read_text(encoding='utf-8').splitlines()[0]}")
    limits = Limits()
    append_record(
        _command(),
        arguments.results,
        campaign=f"fuzz {arguments.target}",
        engine=engine,
        seed=arguments.seed,
        seconds=round(time.monotonic() - began_s, 1),
        limit_seconds=limits.seconds,
        limit_mib=limits.bytes >> 20,
        **{name: counts[name] for name in COUNTS},
    )
    _finish(counts, ("crashes", "hangs", "over_memory"))


def _faults(arguments: argparse.Namespace) -> None:
    from benchmarks.robustness.disks import NoDiskError  # noqa: PLC0415 - as the next
    from benchmarks.robustness.faults import SUBJECTS, run_faults  # noqa: PLC0415 - slow for workers

    began_s = time.monotonic()
    all_faults = SUBJECTS[arguments.subject].faults
    names = arguments.faults.split(",") if arguments.faults else all_faults
    try:
        counts, problems = run_faults(arguments.subject, names, arguments.times, arguments.seed)
    except NoDiskError as error:
        sys.exit(f"error: {error}; --faults leaves faults out")
    append_record(
        _command(),
        arguments.results,
        campaign=f"faults {arguments.subject}",
        seed=arguments.seed,
        seconds=round(time.monotonic() - began_s, 1),
        **{name: dict(count) for name, count in counts.items()},
    )
    for problem in problems:
        print(problem)
    for name, count in counts.items():
        print(
            f"{name}: {count['survived']} of {count['injected']} survived, {count['landed']} "
            f"before the end"
        )
    if problems:
        sys.exit(1)


def _load_batch(arguments: argparse.Namespace) -> None:
    from benchmarks.robustness.load import load_batch  # noqa: PLC0415 - slow for workers

    jobs = [int(n) for n in arguments.jobs.split(",")]
    rows = load_batch(arguments.files, arguments.few, jobs, arguments.alone, arguments.seed)
    _record_load("batch", rows, arguments)


def _load_recording(arguments: argparse.Namespace) -> None:
    from benchmarks.robustness.load import load_recording  # noqa: PLC0415 - slow for workers

    _record_load("recording", load_recording(arguments.hours), arguments)


def _load_together(arguments: argparse.Namespace) -> None:
    from benchmarks.robustness.load import load_together  # noqa: PLC0415 - slow for workers

    rows = load_together(arguments.batches, arguments.files, arguments.seed)
    _record_load("together", rows, arguments)


def _record_load(
    kind: str, rows: Sequence[Mapping[str, Any]], arguments: argparse.Namespace
) -> None:
    for row in rows:
        print(row)
        append_record(
            _command(), arguments.results, campaign=f"load {kind}", seed=arguments.seed, **row
        )
    wrong = ("results_missing", "different_from_alone", "repetitions_with_other_counts")
    if any(row.get(name) for row in rows for name in wrong):
        sys.exit(1)


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.robustness", *sys.argv[1:]])


def _finish(counts: Counter[str], bad: tuple[str, ...]) -> None:
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    if any(counts[name] for name in bad):
        sys.exit(1)


if __name__ == "__main__":
    main()
