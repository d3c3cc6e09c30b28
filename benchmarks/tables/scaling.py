"""Very many files and workers: what was measured, simulated and reasoned."""

from __future__ import annotations

from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json


def listing_table() -> str:
    """List what settling a batch costs for each file."""
    header = (
        "files listed",
        "processor, µs each",
        "looking for its result, µs",
        "most memory, bytes each",
        "disk, bytes each",
    )
    rows = [
        (
            str(row["files"]),
            f"{row['processor_us_each']:.0f}",
            f"{row['results_us_each']:.0f}",
            f"{row['memory_bytes_each']:.0f}",
            f"{row['disk_bytes_each']:.0f}",
        )
        for row in read_json("scaling.json")["listing"]
    ]
    return table(header, rows)


def unit_costs_table() -> str:
    """List the costs that everything else is reasoned from."""
    scaling = read_json("scaling.json")
    tasks, recording, shards = scaling["tasks"], scaling["recording"], scaling["shards"]
    training = scaling["training"]
    rows = [
        (
            "a recording on a worker, processor s per minute of audio",
            f"{60 * recording['processor_s'] / recording['audio_s']:.2f}",
        ),
        (
            f"what it writes, bytes of MIDI for {recording['events']} events",
            str(recording["written_bytes"]),
        ),
        ("a task on a cluster, client, processor ms", f"{tasks['client_processor_ms_each']:.2f}"),
        (
            "a task on a cluster, scheduler, processor ms",
            f"{tasks['scheduler_processor_ms_each']:.2f}",
        ),
        ("a name dealt by `--shard`, processor µs", f"{shards['processor_us_each']:.1f}"),
        (
            f"largest of {shards['parts']} parts over the mean, {shards['files']} names",
            f"{shards['largest_over_mean']:.2f}",
        ),
        (
            "random numbers of a training window, drawn in every process, µs",
            f"{training['random_numbers_us_a_window']:.0f}",
        ),
        *(
            (
                f"gradients of `{size}` exchanged a step, MB",
                f"{row['exchanged_bytes_a_step'] / 1e6:.1f}",
            )
            for size, row in training["sizes"].items()
        ),
    ]
    return table(("measured", "cost"), rows)


def simulation_table() -> str:
    """List what the simulation of many workers says."""
    header = ("workers", "files", "hours", "busy", "begun again", "work lost")
    rows = [
        (
            str(run["workers"]),
            str(run["files"]),
            f"{run['hours']:.2f}",
            f"{run['busy_share']:.1%}",
            str(run["begun_again"]),
            f"{run['work_lost_share']:.4%}",
        )
        for run in read_json("scaling.json")["simulation"]["runs"]
    ]
    return table(header, rows)


#: What `reasoned_table` multiplies the measured costs out for.
MANY_FILES, MANY_WORKERS, SONG_S = 10_000_000, 1_000, 240.0


def reasoned_table() -> str:
    """Multiply measured costs out for ten million songs and a thousand workers: not measured."""
    scaling = read_json("scaling.json")
    listing, recording = scaling["listing"][-1], scaling["recording"]
    task_s = scaling["simulation"]["task_s"]
    song_s = SONG_S * recording["processor_s"] / recording["audio_s"]
    song_bytes = SONG_S * recording["written_bytes"] / recording["audio_s"]
    settling_min = listing["processor_us_each"] * MANY_FILES / 60e6
    work_h = song_s * MANY_FILES / 3600
    rows = [
        ("find, name and check all files, once, on a local disk, min", f"{settling_min:.0f}"),
        ("memory of that, MB", f"{listing['memory_bytes_each'] * MANY_FILES / 1e6:.0f}"),
        ("disk of that, MB", f"{listing['disk_bytes_each'] * MANY_FILES / 1e6:.0f}"),
        (
            "the same in each of the machines of `--shard I/1000`, processor h in all",
            f"{settling_min * MANY_WORKERS / 60:.0f}",
        ),
        ("transcription, processor h", f"{work_h:.0f}"),
        ("transcription with all workers busy, h", f"{work_h / MANY_WORKERS:.1f}"),
        ("one client and scheduler handing out every song, h", f"{task_s * MANY_FILES / 3600:.1f}"),
        ("workers that one client and scheduler keep busy", f"{song_s / task_s:.0f}"),
        ("results as MIDI, GB", f"{song_bytes * MANY_FILES / 1e9:.0f}"),
    ]
    return table(("reasoned, 10 million songs of 4 minutes, 1,000 workers", ""), rows)
