"""Which pages have tables, and which function makes each.

A new table is a function in the module of its subject, its name in `TABLES`, and its marks in a
page.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from benchmarks.tables import (
    audio_files,
    decoding,
    label_noise,
    losses,
    provenance,
    robustness,
    scaling,
    scores,
    speed,
    streams,
    training_speed,
    variants,
    velocity,
)
from benchmarks.tables.markdown import replace_table
from benchmarks.tables.results import PRETRAINED, ROOT
from softloc.files import write_text_atomic

PAGES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "docs" / "scaling.md",
    *sorted(PRETRAINED.glob("*.md")),
)

#: From the name in a table's marks to what makes the table.
TABLES: Mapping[str, Callable[[], str]] = {
    "scores": scores.scores_table,
    "mixes": scores.mixes_table,
    "paired": scores.paired_table,
    "sets": functools.partial(scores.sets_table, "drums"),
    "sets_small": functools.partial(scores.sets_table, "drums-small"),
    "timing": functools.partial(scores.timing_table, "drums"),
    "timing_small": functools.partial(scores.timing_table, "drums-small"),
    "coincidence": scores.coincidence_table,
    "onsets": scores.onsets_table,
    "ablation": variants.ablation_table,
    "members": variants.members_table,
    "hop": variants.hop_table,
    "noise": label_noise.noise_table,
    "noise_sweep": label_noise.noise_sweep_table,
    "scatter": label_noise.scatter_table,
    "classes": label_noise.classes_table,
    "decoding": decoding.decoding_table,
    "softness": decoding.softness_table,
    "velocity": velocity.velocity_table,
    "velocity_classes": velocity.velocity_classes_table,
    "kits": provenance.kits_table,
    "instruments": provenance.instruments_table,
    "count_nll": losses.count_table,
    "loss_scale": losses.loss_scale_table,
    "loss_width": losses.loss_width_table,
    "training_speed": training_speed.training_speed_table,
    "training_parts": training_speed.training_parts_table,
    "speed": speed.speed_table,
    "stages": speed.stages_table,
    "engines": speed.engines_table,
    "length": speed.length_table,
    "latency": streams.latency_table,
    "stream_ways": streams.stream_ways_table,
    "shifts": audio_files.shifts_table,
    "reading": audio_files.reading_table,
    "listing": scaling.listing_table,
    "unit_costs": scaling.unit_costs_table,
    "simulation": scaling.simulation_table,
    "reasoned": scaling.reasoned_table,
    "fuzz": robustness.fuzz_table,
    "faults": robustness.faults_table,
    "survival": robustness.survival_table,
    "load": robustness.load_table,
}


def update_pages() -> None:
    """Put every table into every page that has its marks."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, make in TABLES.items():
            text = replace_table(text, name, make)
        write_text_atomic(page, text)
