"""Processor time and memory of a transcription, whole and by stage."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tables.cells import f1_cell
from benchmarks.tables.markdown import table
from benchmarks.tables.results import read_json


def speed_table() -> str:
    """Whole processes, beside a bare import of PyTorch in the same run."""
    record = read_json("speed.json")
    unit = record["processes"]["import torch"]["cpu_s"]
    titles = {
        "import torch": "`python -c 'import torch'`",
        "drums, onnx": "softloc `drums`, 13 recordings",
        "drums-small, onnx": "softloc `drums-small`, 13 recordings",
        "song, drums, onnx": "softloc `drums`, a song of 4 minutes",
        "drums, torch": "the same 13 recordings with PyTorch",
        "drums-small, torch": "`drums-small` with PyTorch",
        "song, drums, torch": "the song with PyTorch",
        "before: drums": "13 recordings, before this was measured",
        "librosa onsets": "librosa, onsets without classes, 13 recordings",
        "softloc --help": "`softloc --help`",
        "import of the libraries, and Typer": "the imports below, and an empty Typer command",
        "import of the libraries": "import of NumPy, ONNX Runtime, soundfile, soxr",
        "python": "Python alone",
    }
    header = ("whole process", "processor time, s", "times `import torch`", "memory, MB")
    rows = [
        (title, f"{cost['cpu_s']:.2f}", f"{cost['cpu_s'] / unit:.2f}", str(cost["memory_mb"]))
        for name, title in titles.items()
        if (cost := record["processes"].get(name)) is not None
    ]
    return table(header, rows)


def stages_table() -> str:
    """Where the time goes once a model is loaded, and what each stage takes at least."""
    loaded = read_json("speed.json")["loaded"]
    columns = [("drums", "torch"), ("drums", "onnx"), ("drums-small", "onnx")]
    floors = {"decode": "decode_s", "features": "features_s", "network": "network_s"}
    header = ["stage, processor s"]
    header += [f"`{model}`, {engine}" for model, engine in columns]
    header += [f"`{model}`, least" for model in loaded]
    rows = []
    for stage in ("decode", "features", "network", "loudness", "events", "write"):
        times = [_stage_s(loaded[model]["stages_cpu_s"], stage, e) for model, e in columns]
        least = [loaded[model]["floors"].get(floors.get(stage, "")) for model in loaded]
        cells = ["–" if value is None else f"{value:.3f}" for value in (*times, *least)]
        rows.append((stage, *cells))
    for source in ("from files", "from memory"):
        speeds = [str(loaded[m]["times_real_time"][f"{e}, {source}"]) for m, e in columns]
        rows.append((f"times real time, {source}", *speeds, *("" for _ in loaded)))
    return table(header, rows)


def _stage_s(times: Mapping[str, float], stage: str, engine: str) -> float:
    """Time of a stage, which may be of several steps or the same with every engine."""
    steps = ("convolutions", "LSTM and dense") if stage == "network" else (stage,)
    return sum(times.get(f"{step}, {engine}", times.get(step, 0.0)) for step in steps)


def engines_table() -> str:
    """Ways to compute the network that were weighed."""
    record = read_json("engines.json")
    starts, scores = record["until_first_answer_s"], record["f1"]
    rows = []
    for name, seconds in record["cpu_s"].items():
        way = name.split(", ")[1]
        is_first = name.startswith("convolutions")
        f1 = scores.get(way) if is_first else None
        cells = "–" if f1 is None else f"{f1_cell(f1['50ms'])} / {f1_cell(f1['20ms'])}"
        start = f"{starts[way]:.3f}" if is_first and way in starts else "–"
        rows.append((name, f"{seconds:.2f}", start, cells))
    for name, seconds in record["transforms_cpu_s"].items():
        rows.append((f"transforms, {name}", f"{seconds:.2f}", "–", "–"))
    for name, seconds in record["imports_cpu_s"].items():
        rows.append((f"`import {name}`", f"{seconds:.2f}", "–", "–"))
    return table(("", "processor time, s", "until the first answer, s", "mean F1"), rows)


def length_table() -> str:
    """Memory and cost of a transcription against the length of the recording."""
    header = ("recording", "to", "events", "peak memory, MB", "processor, s", "the same an hour, s")
    rows = [
        (
            f"{row['minutes']} min" if row["minutes"] < 60 else f"{row['minutes'] / 60:.3g} h",
            row["suffix"].lstrip("."),
            f"{row['events']:,}",
            f"{row['peak_mb']:.0f}",
            f"{row['cpu_s']:.1f}",
            f"{row['cpu_s'] / row['duration_s'] * 3600:.1f}",
        )
        for row in read_json("length.json")["rows"]
    ]
    return table(header, rows)
