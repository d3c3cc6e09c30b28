"""Write the tables of README, model card and benchmark page from ``benchmarks/results``.

``python -m benchmarks.tables`` replaces what stands between ``<!-- name -->`` and
``<!-- /name -->``. Figures are never typed by hand.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.drums import noise_report
from softloc.files import write_text_atomic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PRETRAINED = ROOT / "pretrained"
PAGES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "docs" / "scaling.md",
    *sorted(PRETRAINED.glob("*.md")),
)

#: Runs on labels shifted by 30 ms, with either loss.
NOISY_RUNS = "drums-noise30.jsonl"

#: Author of kits that were synthesised.
OURSELVES = "softloc"

CLASSES = ("KD", "SD", "HH", "TT", "CY")
SET_NAMES = {
    "dev_drums": "drums alone, 13 recordings",
    "dev_mixes": "full mixes, 4 recordings",
    "valid_kits": "validation kits, rendered",
    "test_kits": "test kits, rendered",
}

Run = Mapping[str, Any]


def main() -> None:
    """Bring all pages up to date."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, make in TABLES.items():
            text = replace_table(text, name, make)
        write_text_atomic(page, text)


def replace_table(text: str, name: str, make: Callable[[], str]) -> str:
    """Put the table `make` returns between its marks, if the text has them."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in text:
        return text
    head, rest = text.split(begin, maxsplit=1)
    _, tail = rest.split(end, maxsplit=1)
    return f"{head}{begin}\n{make()}\n{end}{tail}"


def scores_table() -> str:
    """Real recordings of drums alone: ours and a peer."""
    return _scores_of("dev_drums")


def mixes_table() -> str:
    """Real full mixes: ours and a peer."""
    return _scores_of("dev_mixes")


def _scores_of(name: str) -> str:
    header = ("", *CLASSES, "mean of KD SD HH", "the same at ±20 ms", "`any`", "bias, ms")
    rows = [
        (f"softloc `{model}`{_seeds(runs)}", *_cells([r["scores"][name]["mass"] for r in runs]))
        for model in ("drums", "drums-small")
        if (runs := [run for run in _lines("drums.jsonl") if run["name"] == model])
    ]
    peers = _load("peers.json")["results"]
    rows += [
        (f"{program} (own training data)", *_cells([scores[name]]))
        for program, scores in peers.items()
    ]
    return _table(header, rows)


def paired_table() -> str:
    """Shipped models less each peer, with intervals over recordings."""
    titles = {"mean_kd_sd_hh": "mean of KD SD HH", "any": "`any`"}
    windows = ("50ms", "20ms")
    header = ("difference of F1", "set", *(f"{t}, ±{w}" for t in titles.values() for w in windows))
    rows = []
    for pair, sets in _load("peers.json")["paired"].items():
        for name, scores in sets.items():
            cells = [_difference(scores[window].get(key)) for key in titles for window in windows]
            rows.append((pair, SET_NAMES[name], *cells))
    return _table(header, rows)


def sets_table(model: str) -> str:
    """Score a shipped model on every set, F1 at ±50 / ±20 ms."""
    header = ("set", *CLASSES, "mean", "mean of KD SD HH", "`any`", "bias, ms")
    rows = []
    for name, title in SET_NAMES.items():
        scores = _shipped(model)["scores"][name]["mass"]
        wide, narrow = scores["50ms"], scores["20ms"]
        keys = (*CLASSES, "mean", "mean_kd_sd_hh", "any")
        cells = [f"{_f1(wide.get(key))} / {_f1(narrow.get(key))}" for key in keys]
        rows.append((title, *cells, _signed(scores["bias_ms"])))
    return _table(header, rows)


def timing_table(model: str) -> str:
    """Single hits at known times on kits never heard: how many are found, and how late."""
    rows = [
        (
            label,
            f"{row['found']} of {row['labels']}",
            *(_signed(row[key]) for key in ("mean_ms", "median_ms")),
            f"{row['sigma_ms']:.1f}",
        )
        for label, row in _load("timing.json")["results"][model].items()
    ]
    return _table(("class", "found", "mean error, ms", "median, ms", "σ, ms"), rows)


def ablation_table() -> str:
    """One change at a time, equal steps."""
    sets = ("valid_kits", "dev_drums", "dev_mixes")
    header = ("", "seed", "corpus", "steps", "windows", *(SET_NAMES[name] for name in sets))
    rows = []
    for run in _lines("ablation.jsonl"):
        cells = [
            " / ".join(_f1(run["scores"][name][w]["mean_kd_sd_hh"]) for w in ("50ms", "20ms"))
            for name in sets
        ]
        corpus = f"renderer {run['corpus']['renderer_version']}"
        settings = run["settings"]
        windows = f"{settings['batch_size']} × {settings['window_s']:g} s"
        rows.append((run["title"], str(run["seed"]), corpus, str(run["steps"]), windows, *cells))
    return _table(header, rows)


def members_table() -> str:
    """Score members of a model alone and together, with and without other tunings."""
    results = _load("members.json")["results"]
    rows = []
    for way, scores in results.items():
        cells = [
            " / ".join(_f1(scores[name][w]["mean_kd_sd_hh"]) for w in ("50ms", "20ms"))
            for name in SET_NAMES
        ]
        rows.append((way, *cells))
    return _table(("probabilities of", *SET_NAMES.values()), rows)


def coincidence_table() -> str:
    """Labels found, alone and together with other drums."""
    names = {"first": "first weights", "drums": "softloc `drums`", "adtof": "adtof"}
    results = _load("coincidence.json")["results"]
    classes = ("SD", "HH", "CY")
    header = ("found of all labels", *(f"{c} {place}" for c in classes for place in _PLACES))
    rows = []
    for key, title in names.items():
        cells = [
            "{} of {}".format(*results[key][label][place]) for label in classes for place in _PLACES
        ]
        rows.append((title, *cells))
    return _table(header, rows)


_PLACES = ("alone", "together")


def onsets_table() -> str:
    """Onsets of any instrument: real drums, and a piano in two rooms."""
    names = {
        "dev_drums": SET_NAMES["dev_drums"],
        "piano_close": "piano, close",
        "piano_ambient": "piano, ambient",
    }
    rows = []
    for run in _lines("onsets.jsonl"):
        for name, title in names.items():
            scores = run["scores"][name]
            rows.append(
                (
                    title,
                    str(run["seed"]),
                    _f1(scores["50ms"]),
                    _f1(scores["20ms"]),
                    _f1(scores["precision"]),
                    _f1(scores["recall"]),
                    _signed(scores["bias_ms"]),
                )
            )
    header = ("set", "seed", "F1 ±50 ms", "±20 ms", "precision", "recall", "bias, ms")
    return _table(header, rows)


def noise_table() -> str:
    """SoftLoc beside cross-entropy on every set, each by mass and by peaks, every seed."""
    header = ("loss", "seed", "read off by", *(SET_NAMES[name] for name in SET_NAMES))
    rows = []
    for run in _lines(NOISY_RUNS):
        for way in ("mass", "peaks"):
            cells = [
                " / ".join(_f1(run["scores"][name][way][w]["mean"]) for w in ("50ms", "20ms"))
                for name in SET_NAMES
            ]
            rows.append((run["loss"], str(run["seed"]), way, *cells))
    return _table(header, rows)


def noise_sweep_table() -> str:
    """Losses on labels of growing noise, by mass and by peaks."""
    return _table(*noise_report.rows(noise_report.read_runs()))


def classes_table() -> str:
    """List every run's F1 per class on real drums, by mass and by peaks."""
    header = ("loss", "seed", "read off by", *CLASSES, "mean of KD SD HH", "`any`", "bias, ms")
    rows = []
    for run in _lines(NOISY_RUNS):
        for way in ("mass", "peaks"):
            scores = run["scores"]["dev_drums"][way]
            cells = [
                " / ".join(_f1(scores[window][key]) for window in ("50ms", "20ms"))
                for key in (*CLASSES, "mean_kd_sd_hh", "any")
            ]
            rows.append((run["loss"], str(run["seed"]), way, *cells, _signed(scores["bias_ms"])))
    return _table(header, rows)


def decoding_table() -> str:
    """How much the seed, and how much the threshold matters: the shipped model, each set."""
    header = ("decoding", *SET_NAMES.values())
    scores = _shipped("drums")["scores"]
    rows = []
    for way, title in (
        ("mass_by_seed", "mass, seed ×"),
        ("peaks_by_threshold", "peaks, tuned ×"),
    ):
        for factor in scores["dev_drums"][way]:
            cells = [
                " / ".join(_f1(scores[name][way][factor][f"{w}_mean"]) for w in ("50ms", "20ms"))
                for name in SET_NAMES
            ]
            rows.append((f"{title} {factor}", *cells))
    return _table(header, rows)


def softness_table() -> str:
    """Decode with the softness of the training, and with less."""
    runs = _lines("decoding.jsonl")
    shares = [row["share"] for row in runs[0]["scores"]["valid_kits"][:-1]] if runs else []
    header = ("model, its softness", "set", *(f"× {share:g}" for share in shares), "what is used")
    rows = [
        (
            f"{run['model']}, {run['softness_ms']:g} ms",
            SET_NAMES[name],
            *(" / ".join(_f1(row[window]) for window in ("50ms", "20ms")) for row in scores),
        )
        for run in runs
        for name, scores in run["scores"].items()
    ]
    return _table(header, rows)


def count_table() -> str:
    """Set the count term beside the recursion over frames."""
    header = (
        "batch × classes × frames",
        "forward and backward, ms",
        "times faster than the recursion",
        "memory, MiB (recursion)",
        "largest error, nats",
    )
    rows = []
    for case in _load("count_nll.json")["results"].values():
        size = case["case"]
        speed = case["speed"]["1 threads"]
        shape = f"{size['items']} × {size['classes']} × {size['frames']}"
        memory = f"{speed['softloc']['peak_mib']:.0f} ({speed['recursion']['peak_mib']:.0f})"
        rows.append(
            (
                f"{shape}, counts to {size['largest_count']}",
                f"{speed['softloc']['median_ms']:.1f}",
                f"{speed['times_faster']:.1f}",
                memory,
                f"{case['largest_errors']['softloc']['value_nats']:.0e}",
            )
        )
    return _table(header, rows)


def loss_scale_table() -> str:
    """Cost and exactness of the count term for very large batches and windows."""
    header = (
        "batch × classes × frames",
        "forward, ms",
        "forward and backward, ms",
        "memory, MiB (logits alone)",
        "largest error: value, nats",
        "relative",
        "gradient",
        "windows checked",
    )
    rows = []
    for case in _load("loss_scale.json")["results"].values():
        size, speed, errors = case["case"], case["speed"], case["largest_errors"]
        shape = f"{size['items']} × {size['classes']} × {size['frames']}"
        rows.append(
            (
                f"{shape}, counts to {size['largest_count']}",
                f"{speed['forward_ms']:.0f}",
                f"{speed['forward_and_backward_ms']:.0f}",
                f"{speed['peak_mib']:.0f} ({speed['logits_mib']:.0f})",
                *(f"{errors[key]:.0e}" for key in ("value_nats", "value_relative", "gradient")),
                str(errors["windows"]),
            )
        )
    return _table(header, rows)


def loss_width_table() -> str:
    """Mean cost by the width of predictions, the least of each loss in bold."""
    record = _load("loss_width.json")
    header = ("loss", *(f"{width:g}" for width in record["widths_frames"]))
    rows = []
    for name, costs in record["costs"].items():
        cells = [f"{cost:.4g}" for cost in costs]
        least = min(range(len(costs)), key=costs.__getitem__)
        cells[least] = f"**{cells[least]}**"
        rows.append((name, *cells))
    return _table(header, rows)


def training_speed_table() -> str:
    """List the processor time of a step of each size, against the first version."""
    header = ("size", "first version, processor ms a step", "now", "now, bfloat16", "steps timed")
    rows = []
    for size, result in _load("training_speed.json")["results"].items():
        steps = result["steps"]
        median_ms = steps["processor"]["median_ms"]
        cells = [f"{median_ms[way]:.0f}" for way in ("first", "now", "now, bfloat16")]
        rows.append((f"`{size}`", *cells, str(steps["steps_each"])))
    return _table(header, rows)


def training_parts_table() -> str:
    """Where the processor time of a step goes."""
    results = _load("training_speed.json")["results"]
    names = list(next(iter(results.values()))["parts"]["median_ms"])
    header = ("part, processor ms", *(f"`{size}`" for size in results))
    rows = [
        (name, *(f"{result['parts']['median_ms'][name]:.1f}" for result in results.values()))
        for name in names
    ]
    for title, key in (
        ("share of the loss", "loss_share"),
        ("drawing over all the rest", "drawing_over_computing"),
    ):
        rows.append((title, *(f"{result['parts'][key]:.1%}" for result in results.values())))
    return _table(header, rows)


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
        for row in _load("scaling.json")["listing"]
    ]
    return _table(header, rows)


def unit_costs_table() -> str:
    """List the costs that everything else is reasoned from."""
    scaling = _load("scaling.json")
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
    return _table(("measured", "cost"), rows)


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
        for run in _load("scaling.json")["simulation"]["runs"]
    ]
    return _table(header, rows)


#: What `reasoned_table` multiplies the measured costs out for.
MANY_FILES, MANY_WORKERS, SONG_S = 10_000_000, 1_000, 240.0


def reasoned_table() -> str:
    """Multiply measured costs out for ten million songs and a thousand workers: not measured."""
    scaling = _load("scaling.json")
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
    return _table(("reasoned, 10 million songs of 4 minutes, 1,000 workers", ""), rows)


def hop_table() -> str:
    """Hops compared at equal time."""
    header = ("hop", "seed", "steps", "mean F1 ±50 ms", "±20 ms", "bias, ms")
    rows = [
        (
            run["hop"],
            str(run["seed"]),
            str(run["steps"]),
            _f1(run["valid_kits"]["50ms"]["mean"]),
            _f1(run["valid_kits"]["20ms"]["mean"]),
            _signed(run["valid_kits"]["bias_ms"]),
        )
        for run in _lines("hop.jsonl")
    ]
    return _table(header, rows)


def velocity_table() -> str:
    """Ways to estimate velocities, means over classes, on kits never heard in training."""
    names = {"mae": "error", "mae_affine": "after a line", "r": "correlation", "gain": "at -12 dB"}
    sets = _load("velocity.json")["sets"]
    titles = [SET_NAMES[name].split(",")[0] for name in sets]
    header = ("way", *(f"{title}: {column}" for title in titles for column in names.values()))
    rows = [
        (
            way,
            *(
                _velocity_cell(scores[way]["mean"], key)
                for scores in sets.values()
                for key in names
            ),
        )
        for way in sets["test_kits"]
    ]
    return _table(header, rows)


def velocity_classes_table() -> str:
    """Velocities of every class on the test kits, beside its mean velocity."""
    scores = _load("velocity.json")["sets"]["test_kits"]
    header = ("class", "events", "error", "after a line", "correlation", "error of the mean")
    rows = []
    for label in CLASSES:
        row = scores["softloc"][label]
        cells = [_velocity_cell(row, key) for key in ("mae", "mae_affine", "r")]
        constant = _velocity_cell(scores["constant"][label], "mae")
        rows.append((label, str(row["events"]), *cells, constant))
    return _table(header, rows)


def kits_table() -> str:
    """List whose drum samples the shipped models were trained on."""
    kits = [row for row in _load("credits.json")["kits"] if row["author"] != OURSELVES]
    return _credits("kit", kits)


def instruments_table() -> str:
    """List whose pitched samples the shipped models were trained on."""
    recorded = _load("credits.json")["instruments"]
    sources = [row | {"instrument": _soundfont_or_name(row["instrument"])} for row in recorded]
    return _credits("instrument", sources)


def _soundfont_or_name(instrument: str) -> str:
    """Name the instruments of a sound font together: they are all of General MIDI."""
    return "112 programs of Fluid R3" if instrument.startswith("gm_") else instrument


def _credits(what: str, sources: Iterable[Mapping[str, str]]) -> str:
    authors: dict[tuple[str, str], list[str]] = {}
    for row in sources:
        kept = authors.setdefault((row[what], row["licence"]), [])
        if row["author"] not in kept:
            kept.append(row["author"])
    rows = [(name, licence, " · ".join(names)) for (name, licence), names in authors.items()]
    return _table((what, "licence", "authors"), sorted(rows))


def shifts_table() -> str:
    """List how late every wrapping comes back, before and after correction, and how much of it."""
    header = ("recording", "decoder", "before, ms", "after, ms", "the file tells", "read before",
              "read after")  # fmt: skip
    rows = [
        (
            name,
            case["decoder"].split()[0],
            f"{case['before_ms']:.2f}",
            f"{case['after_ms']:.2f}",
            "no" if case["assumed"] else "yes",
            f"{case['read_before']:.0%}",
            f"{case['read_after']:.0%}",
        )
        for name, case in _load("decoders.json")["shifts"].items()
    ]
    return _table(header, rows)


def reading_table() -> str:
    """Compare the time of reading with soundfile alone."""
    speed = _load("decoders.json")["speed"]
    header = (f"{speed['duration_s'] / 60:g} minutes of stereo", "soundfile, s", "softloc, s")
    rows = [
        (form, f"{times['soundfile_s']:.2f}", f"{times['softloc_s']:.2f}")
        for form, times in speed["median"].items()
    ]
    return _table(header, rows)


def speed_table() -> str:
    """Whole processes, beside a bare import of PyTorch in the same run."""
    record = _load("speed.json")
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
    return _table(header, rows)


def stages_table() -> str:
    """Where the time goes once a model is loaded, and what each stage takes at least."""
    loaded = _load("speed.json")["loaded"]
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
    return _table(header, rows)


def _stage_s(times: Mapping[str, float], stage: str, engine: str) -> float:
    """Time of a stage, which may be of several steps or the same with every engine."""
    steps = ("convolutions", "LSTM and dense") if stage == "network" else (stage,)
    return sum(times.get(f"{step}, {engine}", times.get(step, 0.0)) for step in steps)


def engines_table() -> str:
    """Ways to compute the network that were weighed."""
    record = _load("engines.json")
    starts, scores = record["until_first_answer_s"], record["f1"]
    rows = []
    for name, seconds in record["cpu_s"].items():
        way = name.split(", ")[1]
        is_first = name.startswith("convolutions")
        f1 = scores.get(way) if is_first else None
        cells = "–" if f1 is None else f"{_f1(f1['50ms'])} / {_f1(f1['20ms'])}"
        start = f"{starts[way]:.3f}" if is_first and way in starts else "–"
        rows.append((name, f"{seconds:.2f}", start, cells))
    for name, seconds in record["transforms_cpu_s"].items():
        rows.append((f"transforms, {name}", f"{seconds:.2f}", "–", "–"))
    for name, seconds in record["imports_cpu_s"].items():
        rows.append((f"`import {name}`", f"{seconds:.2f}", "–", "–"))
    return _table(("", "processor time, s", "until the first answer, s", "mean F1"), rows)


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
        for row in _load("length.json")["rows"]
    ]
    return _table(header, rows)


def latency_table() -> str:
    """From a hit to the moment it is told: by design, and measured."""
    header = ("model", "frames at once", "by design, ms (at most)", "median", "95 %", "longest",
              "of one core")  # fmt: skip
    rows = [
        (
            f"`{row['model']}`",
            f"{row['step_frames']}",
            f"{row['stated_ms']['typical']:.0f} ({row['stated_ms']['longest']:.0f})",
            *(f"{row['measured_ms'][key]:.0f}" for key in ("median", "95%", "longest")),
            f"{row['cpu_share']:.1%}",
        )
        for row in _load("latency.json")["rows"]
    ]
    return _table(header, rows)


def stream_ways_table() -> str:
    """Ways to compute a stream that were weighed."""
    record = _load("stream_ways.json")
    rows: list[tuple[str, ...]] = [
        (f"transform of a frame, {way}", f"{cost:.1f}", "")
        for way, cost in record["transforms_us_per_frame"].items()
    ]
    by_step, by_call = record["convolutions_us_per_frame"], record["calls_us"]
    for step, ways in by_step["drums"].items():
        rows += [
            (
                f"convolutions of a frame, {step} at once, {way}",
                *(f"{by_step[model][step][way]:.1f}" for model in ("drums", "drums-small")),
            )
            for way in ways
        ]
    rows += [
        (
            f"a call of LSTM and dense layers, {way}",
            *(f"{by_call[model][way]:.1f}" for model in ("drums", "drums-small")),
        )
        for way in by_call["drums"]
    ]
    return _table(("processor time, µs", "`drums`", "`drums-small`"), rows)


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
    return _table(header, rows)


def faults_table() -> str:
    """Faults at random moments that each command survived, all campaigns together."""
    rows = []
    for subject, runs in _campaigns("faults").items():
        counts = [_sum_of_fault(runs, name) for name in FAULTS]
        rows.append((subject, *(_survived(*count) if count else "–" for count in counts)))
    return _table(("survived of injected", *FAULTS.values()), rows)


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
    return _table(("tried at random", "survived"), rows)


def _campaigns(kind: str) -> dict[str, list[Run]]:
    """Group the runs of ``fuzz`` or ``faults`` by what was attacked, in the order of results."""
    campaigns: dict[str, list[Run]] = {}
    for run in _lines("robustness.jsonl"):
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
        for run in _lines("robustness.jsonl"):
            if run["campaign"] == kind:
                name, *others = cells_of(run)
                rows[name] = (name, *others)
    return _table(header, list(rows.values()))


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


TABLES: Mapping[str, Callable[[], str]] = {
    "scores": scores_table,
    "mixes": mixes_table,
    "paired": paired_table,
    "sets": functools.partial(sets_table, "drums"),
    "sets_small": functools.partial(sets_table, "drums-small"),
    "timing": functools.partial(timing_table, "drums"),
    "timing_small": functools.partial(timing_table, "drums-small"),
    "coincidence": coincidence_table,
    "members": members_table,
    "onsets": onsets_table,
    "ablation": ablation_table,
    "noise": noise_table,
    "noise_sweep": noise_sweep_table,
    "classes": classes_table,
    "decoding": decoding_table,
    "softness": softness_table,
    "count_nll": count_table,
    "loss_scale": loss_scale_table,
    "loss_width": loss_width_table,
    "training_speed": training_speed_table,
    "training_parts": training_parts_table,
    "listing": listing_table,
    "unit_costs": unit_costs_table,
    "simulation": simulation_table,
    "reasoned": reasoned_table,
    "hop": hop_table,
    "velocity": velocity_table,
    "velocity_classes": velocity_classes_table,
    "kits": kits_table,
    "instruments": instruments_table,
    "shifts": shifts_table,
    "reading": reading_table,
    "length": length_table,
    "latency": latency_table,
    "stream_ways": stream_ways_table,
    "speed": speed_table,
    "stages": stages_table,
    "engines": engines_table,
    "fuzz": fuzz_table,
    "faults": faults_table,
    "survival": survival_table,
    "load": load_table,
}


def _seeds(runs: Sequence[Run]) -> str:
    return f" ({len(runs)} seeds)" if len(runs) > 1 else " (1 seed)"


def _cells(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Means over runs: classes, mean of three, the same at ±20 ms, any, bias."""
    wide = [score["50ms"] for score in scores]
    narrow = [score["20ms"] for score in scores]
    cells = [_f1(mean(score[label] for score in wide)) for label in CLASSES]
    cells += [_spread([score["mean_kd_sd_hh"] for score in part]) for part in (wide, narrow)]
    cells.append(_spread([score["any"] for score in wide]))
    return [*cells, _signed(mean(score["bias_ms"] for score in scores))]


def _spread(values: Sequence[float]) -> str:
    """Mean, with the range where there is more than one seed."""
    if len(values) == 1:
        return _f1(values[0])
    return f"{_f1(mean(values))} ({_f1(min(values))}–{_f1(max(values))})"


def _velocity_cell(row: Mapping[str, float], key: str) -> str:
    return f"{row[key]:.2f}" if key == "r" else f"{row[key]:.1f}"


def _difference(values: Sequence[float] | None) -> str:
    """Difference with the ends of its interval."""
    if values is None:
        return "–"
    f1, low, high = values
    return f"{f1:+.3f} ({low:+.3f} … {high:+.3f})"


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # adding 0 turns -0.0 into 0.0


def _f1(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".lstrip("0")


def _shipped(model: str) -> Run:
    index = json.loads((PRETRAINED / "index.json").read_text(encoding="utf-8"))
    sha256 = index[model]["sha256"]
    return next(run for run in _lines("drums.jsonl") if run["sha256"] == sha256)


def _lines(name: str) -> list[Run]:
    path = RESULTS / name
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def _load(name: str) -> Run:
    document: Run = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    if not rows:
        return "Not measured yet."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
