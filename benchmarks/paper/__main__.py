"""Do an experiment of the paper: ``python -m benchmarks.paper drums -o DIR``.

Trains every run that has no line in ``benchmarks/results/paper-<experiment>.jsonl`` yet and adds
its line; a sweep that was stopped or killed goes on where it was. ``--list`` tells what is there,
what is missing and how long that will take. ``--quick`` does a few tiny runs on data made on the
fly, writes their lines below the output folder, and checks them. Tables and figures are made from
the lines by ``python -m benchmarks.paper.report``.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.paper.runs import (
    EXPERIMENTS,
    RESULTS,
    Experiment,
    Line,
    Run,
    command_of,
    current_lines,
    load_experiment,
    missing,
    read_lines,
    run_all,
    time_step,
)
from softloc.errors import SettingsError, SoftLocError


def main(arguments: Sequence[str] | None = None) -> None:
    """Do, list or time the runs of some experiments."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    torch.set_num_threads(1)
    try:
        for name in EXPERIMENTS if options.experiment == "all" else [options.experiment]:
            _do(name, options, command_of(arguments))
    except SoftLocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _do(name: str, options: argparse.Namespace, command: str) -> None:
    experiment = load_experiment(name)
    folder = options.output / name
    results = options.output / "results" if options.quick else options.results
    runs = [
        run
        for run in experiment.runs(quick=options.quick)
        if any(fnmatch.fnmatch(run.name, pattern) for pattern in options.only or ["*"])
    ]
    if not runs and options.experiment != "all":
        raise SettingsError(f"no run of {name} is named {' or '.join(options.only)}")
    if options.list:
        _list(experiment, runs, folder, current_lines(name, results))
        return
    run_all(
        experiment,
        runs[options.shard[0] - 1 :: options.shard[1]],
        folder,
        results=results,
        quick=options.quick,
        command=command,
        on_line=_print_line,
    )
    if options.quick:
        experiment.check(read_lines(name, results))


def _print_line(line: Line) -> None:
    steps = f"{line['steps']} steps in {line['seconds']:.0f} s"
    converged = "converged" if line["converged"] else "not converged"
    told = line["result"].get("error") or (f"{steps}, {converged}" if line["steps"] else "done")
    print(f"{line['key']}: {told}", flush=True)


def _list(experiment: Experiment, runs: Sequence[Run], folder: Path, lines: Sequence[Line]) -> None:
    """Print what is done and missing, and how long the missing runs will take."""
    rest = missing(runs, lines)
    for run in runs:
        print("missing" if run in rest else "done   ", run.key)
    measured = {line["cost"]: line["seconds"] / line["steps"] for line in lines if line["steps"]}
    hours = 0.0
    for cost in dict.fromkeys(run.cost for run in rest if run.settings["steps"]):
        alike = [run for run in rest if run.cost == cost]
        if cost in measured:
            step_s, source = measured[cost], "from finished runs"
        else:
            step_s, source = time_step(experiment, alike[0], folder), "without validation"
        steps = sum(run.settings["steps"] for run in alike)
        hours += step_s * steps / 3600
        print(
            f"{cost or 'all'}: {len(alike)} runs, {steps} steps at {1 / step_s:.2f} a second "
            f"({source}): {step_s * steps / 3600:.2f} h"
        )
    print(f"{len(rest)} of {len(runs)} runs are missing: about {hours:.1f} h on one core")


def shard(text: str) -> tuple[int, int]:
    """Read I/N; argparse names this function where it cannot."""
    index, count = (int(part) for part in text.split("/"))
    if not 1 <= index <= count:
        raise ValueError
    return index, count


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("-o", "--output", type=Path, required=True, help="corpora and states")
    parser.add_argument("--quick", action="store_true", help="tiny runs, checked; no data needed")
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="names of runs, such as 'map-*'"
    )
    parser.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="I/N", help="every N-th run, from the I-th"
    )
    parser.add_argument(
        "--list", action="store_true", help="what is missing, and how long it takes"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the lines")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
