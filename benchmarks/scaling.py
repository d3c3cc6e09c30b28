"""How the cost of a batch grows: what one machine tells about many files and many workers.

``python -m benchmarks.scaling`` writes ``benchmarks/results/scaling.json``.

*Listing*: processor time, largest memory and disk that settling a batch takes for each file, for
two numbers of files on a local disk: finding, naming, looking for each recording, checking for
collisions. *Results*: processor time for naming each again and looking for its result, which
``--skip-existing`` does while the work goes on.
*Shards*: how unequal the parts are into which the stable hash deals names.
*Tasks*: elapsed and processor time for each task of `softloc transcribe --scheduler` that does
nothing, with a Dask scheduler, two workers and the client on this machine; elapsed times depend on
what else the machine does (load average).
*Recording*: processor time of one worker for the example recording, and what it writes.
*Training*: what processes exchange in a step, and the random numbers that each draws for all.
*Simulation*: many workers at a batch, with the measured times, files of log-normal length, and
workers that die; their tasks are begun again elsewhere, as Dask does it.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from softloc.network import OnsetNetwork
from softloc.presets import get_size
from softloc_cli.batches import Batch, Existing, Shard
from softloc_cli.batches import _hash as shard_hash
from softloc_cli.cluster import Cluster, Run
from softloc_cli.inputs import Item, find_items
from softloc_cli.outputs import Job, Naming, Target
from softloc_cli.recordings import Outcome, Recipe, Session

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
EXAMPLE = ROOT / "examples" / "groove.flac"
SEED = 0
LISTED = (10_000, 160_000)
FILES_A_FOLDER = 1_000
DEALT, PARTS = 500_000, 1_000
TASKS = 200
TRIALS = 5

#: What the simulation assumes; nothing here was measured.
WORKERS = (2, 32, 125, 1_000)
SIMULATED_FILES = 500_000
SONG_S, SONG_SPREAD = 240.0, 0.4
DEATHS_A_DAY = 2.0
BACK_AFTER_S = 60.0

RECIPE = Recipe(
    model="drums", device="cpu", formats=("midi",), notes={}, classes=None, tempo_bpm=120.0,
    time_offset_s=0.0, n_threads=1,
)  # fmt: skip


def no_work(_run: Run, _recipe: Recipe, _job: Job, _owner: str) -> Outcome:
    """Do nothing: what is left is the cluster's own work."""
    return Outcome()


def list_files(n_files: int) -> dict[str, float]:
    """Settle a batch of empty files; return its cost for each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(n_files):
            path = folder / f"{number // FILES_A_FOLDER:05}" / f"song {number}.wav"
            if number % FILES_A_FOLDER == 0:
                path.parent.mkdir()
            path.touch()
        naming = Naming(("midi",), folder=folder / "out")
        began = time.process_time()
        with Batch(find_items([name], recursive=True), naming, Existing.SKIP) as batch:
            processor_s = time.process_time() - began
            spool_bytes = batch._spool.tell()
            began = time.process_time()
            for job in batch.jobs():
                job.missing()
            results_s = time.process_time() - began
        tracemalloc.start()
        with Batch(find_items([name], recursive=True), naming, Existing.SKIP):
            _, held_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {
        "files": n_files,
        "processor_us_each": round(1e6 * processor_s / n_files, 1),
        "results_us_each": round(1e6 * results_s / n_files, 1),
        "memory_bytes_each": round(held_bytes / n_files, 1),
        "disk_bytes_each": round(spool_bytes / n_files, 1),
    }


def deal_names() -> dict[str, float]:
    """Deal names into parts by the hash of ``--shard``."""
    shard = Shard(1, PARTS)
    items = [Item(Path(f"song {number}.wav")) for number in range(1_000)]
    began = time.process_time()
    for item in items:
        shard.holds(item)
    each_s = (time.process_time() - began) / len(items)
    sizes = np.zeros(PARTS, dtype=np.int64)
    for number in range(DEALT):
        sizes[shard_hash(f"song {number}.wav") % PARTS] += 1
    return {
        "files": DEALT,
        "parts": PARTS,
        "processor_us_each": round(1e6 * each_s, 2),
        "largest_over_mean": round(float(sizes.max() / sizes.mean()), 3),
    }


@contextlib.contextmanager
def small_cluster() -> Iterator[tuple[str, list[psutil.Process]]]:
    """Start a scheduler and two workers here; give its file and the processes, scheduler first."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = Path(folder) / "scheduler.json"
        common = ("--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1")
        worker = ("distributed.cli.dask_worker", *common, "--no-nanny", "--nthreads", "1")
        commands = [
            ("distributed.cli.dask_scheduler", *common, "--port", "0"),
            *[(*worker, "--local-directory", folder)] * 2,
        ]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(ROOT / "models"), str(ROOT)))
        }
        processes = []
        for module, *options in commands:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", module, *options],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            processes.append(psutil.Process(process.pid))
        while not file.exists():
            time.sleep(0.1)
        yield str(file), processes


def time_tasks() -> dict[str, float]:
    """Send tasks that do nothing through a cluster; return the cost of each."""
    jobs = [Job(Path(f"/{n}.wav"), (Target(Path(f"/{n}.mid"), "midi"),)) for n in range(TASKS)]
    with small_cluster() as (file, (scheduler, *_)), Cluster(file, no_work) as cluster:
        cluster._client.wait_for_workers(2)
        list(cluster.run(jobs[:10], RECIPE))
        client = psutil.Process()
        before = [_processor_s(process) for process in (client, scheduler)]
        began = time.perf_counter()
        list(cluster.run(jobs, RECIPE))
        elapsed_s = time.perf_counter() - began
        after = [_processor_s(process) for process in (client, scheduler)]
    client_s, scheduler_s = (now - then for now, then in zip(after, before, strict=True))
    return {
        "tasks": TASKS,
        "elapsed_ms_each": round(1e3 * elapsed_s / TASKS, 2),
        "client_processor_ms_each": round(1e3 * client_s / TASKS, 2),
        "scheduler_processor_ms_each": round(1e3 * scheduler_s / TASKS, 2),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def transcribe_example() -> dict[str, float]:
    """Transcribe the example as a worker does; return its cost."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(RECIPE)
        target = Target(Path(folder) / "a.mid", "midi")
        seconds = []
        for _ in range(1 + TRIALS):
            began = time.process_time()
            outcome = session(Job(EXAMPLE, (target,)))
            seconds.append(time.process_time() - began)
        written = target.path.stat().st_size
    return {
        "audio_s": round(outcome.audio_s, 2),
        "processor_s": round(float(np.median(seconds[1:])), 4),
        "written_bytes": written,
        "events": outcome.n_events,
    }


def train_in_many() -> dict[str, Any]:
    """Count what processes exchange in a step, and time what each draws for all of them."""
    sizes = {}
    for name in ("large", "small"):
        network = OnsetNetwork(get_size(name).network(5))
        weights = sum(parameter.numel() for parameter in network.parameters())
        sizes[name] = {"weights": weights, "exchanged_bytes_a_step": 4 * weights}
    rng = np.random.default_rng(SEED)
    n_windows, shape = 16, (331, get_size("large").features.n_bands)
    began = time.process_time()
    for _ in range(TRIALS):
        rng.rayleigh(size=(n_windows, *shape)).astype(np.float32)
    drawn_us = 1e6 * (time.process_time() - began) / (TRIALS * n_windows)
    return {"sizes": sizes, "random_numbers_us_a_window": round(drawn_us, 1)}


def simulate(n_workers: int, seconds_per_audio_s: float, task_s: float) -> dict[str, float]:
    """Let many workers share a batch; return how busy they are and what is done twice.

    One scheduler serves a task every `task_s`; a worker that dies loses what it was at.
    """
    rng = np.random.default_rng(SEED)
    n_files = SIMULATED_FILES
    lengths_s = SONG_S * np.exp(rng.normal(0.0, SONG_SPREAD, n_files))
    work_s = lengths_s * seconds_per_audio_s
    dies_at = rng.exponential(86_400 / DEATHS_A_DAY, n_workers)
    free = [(0.0, worker) for worker in range(n_workers)]
    waiting = list(range(n_files - 1, -1, -1))
    served_s = last_s = lost_s = 0.0
    n_again = 0
    while waiting:
        free_s, worker = heapq.heappop(free)
        begin_s = max(free_s, served_s + task_s)
        if dies_at[worker] <= begin_s:  # at rest: nothing is lost
            back_s = dies_at[worker] + BACK_AFTER_S
            dies_at[worker] = back_s + rng.exponential(86_400 / DEATHS_A_DAY)
            heapq.heappush(free, (back_s, worker))
            continue
        served_s = begin_s
        number = waiting.pop()
        end_s = begin_s + work_s[number]
        if end_s > dies_at[worker]:
            lost_s += dies_at[worker] - begin_s
            n_again += 1
            waiting.append(number)
            end_s = dies_at[worker] + BACK_AFTER_S
            dies_at[worker] = end_s + rng.exponential(86_400 / DEATHS_A_DAY)
        else:
            last_s = max(last_s, end_s)
        heapq.heappush(free, (end_s, worker))
    return {
        "workers": n_workers,
        "files": n_files,
        "hours": round(last_s / 3600, 3),
        "busy_share": round(float(work_s.sum()) / (last_s * n_workers), 3),
        "begun_again": n_again,
        "work_lost_share": round(lost_s / float(work_s.sum()), 6),
    }


def main() -> None:
    """Measure, simulate and write the record."""
    torch.set_num_threads(1)
    list_files(100)  # pays for imports
    listing = [list_files(n_files) for n_files in LISTED]
    shards, tasks, recording = deal_names(), time_tasks(), transcribe_example()
    rate = recording["processor_s"] / recording["audio_s"]
    # Client and scheduler work side by side: the slower one is what the others wait for.
    task_s = max(tasks["client_processor_ms_each"], tasks["scheduler_processor_ms_each"]) / 1e3
    record = {
        "command": "python -m benchmarks.scaling",
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "method": __doc__,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "processor": {"machine": platform.machine(), "cores": os.cpu_count()},
        "listing": listing,
        "shards": shards,
        "tasks": tasks,
        "recording": recording,
        "training": train_in_many(),
        "simulation": {
            "assumed": {
                "song_s": SONG_S,
                "song_spread": SONG_SPREAD,
                "deaths_a_worker_and_day": DEATHS_A_DAY,
                "worker_back_after_s": BACK_AFTER_S,
            },
            "seconds_per_audio_s": round(rate, 6),
            "task_s": task_s,
            "runs": [simulate(n_workers, rate, task_s) for n_workers in WORKERS],
        },
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
