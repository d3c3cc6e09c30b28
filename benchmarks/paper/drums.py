"""Drums (Sections 5.1.2, 4.3, 4.4, and more): ``python -m benchmarks.paper drums -o DIR``.

The corpora are rendered once, below ``DIR/drums/corpus``, from ``$SOFTLOC_DATA/drumkit`` and
``grooves``: drums alone, classes KD, SD, HH (what else is played stays unlabelled), validation and
test kits never heard in training. Models are scored on the test kits and on the real recordings of
``$SOFTLOC_DATA/drums-dev``; where ``$SOFTLOC_DATA/idmt`` holds IDMT-SMT-Drums (for those who own
it: ``audio/*.wav``, ``annotation_xml/*.xml``), on its mixtures, too.

Names of runs: ``map`` (Fig. 6), ``clean-*`` (Table 2), ``annotators-*`` (Section 4.4), ``eq5*`` and
``eq6``, ``long`` (a long event as two channels), ``look-*`` (Fig. 4, 8, 9), ``edges-*``,
``reading-*`` (causal against bidirectional), ``hop-*``, ``schedule``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drums.render import DATA_VARIABLE, data_folder
from benchmarks.drums.render import main as render
from benchmarks.paper.audio import (
    AudioSettings,
    Material,
    Split,
    read_split,
    train_audio,
)
from benchmarks.paper.idmt import read_idmt_split
from benchmarks.paper.runs import Context, Line, Outcome, Run
from benchmarks.paper.synthetic import RATE_HZ, ensure_corpus
from softloc.datasets import Classes
from softloc.errors import SoftLocError
from softloc.features import FeatureSettings
from softloc.network import ConvStage, NetworkSettings
from softloc.presets import SIZES, Size
from softloc.vocabulary import DRUM_VOCABULARIES

VOCABULARY = "3"
#: Minutes that are rendered of each split.
MINUTES = {"train": 60, "valid": 8, "test": 15}
#: The paper's range, in fewer steps.
SPEEDS = (0.875, 1.0, 1.125)
N_MAP = 60
MAP_NOISE_MS = 100.0
MAP_SOFTNESS_MS = 150.0
SEEDS = (0, 1)
STEPS = 2_000
#: Noise of the three annotators of Section 4.4.
ANNOTATORS_MS = (10.0, 50.0, 150.0)
#: A softness below this only makes training harder, however exact the labels are.
MIN_SOFTNESS_MS = 30.0
LOOK_NOISES_MS = (0.0, 50.0, 100.0, 200.0)
#: Losses to look at, with the settings that each has for itself; `likelihood` is past the paper.
LOOK_LOSSES: Mapping[str, Mapping[str, Any]] = {
    "softloc": {},
    "likelihood": {"alpha": 0.2},
    "sll": {},
    "count": {},
    "cross-entropy": {},
    "label-smoothing": {},
}


def runs(*, quick: bool) -> Sequence[Run]:
    """List all runs, those of the paper's own tables first."""
    return _quick_runs() if quick else _full_runs()


def train(run: Run, context: Context) -> Outcome:
    """Train and score one of them."""
    return train_audio(run, _material(run, context), context)


def check(lines: Sequence[Line]) -> None:
    """Assert what tiny runs can show."""
    for line in lines:
        result = line["result"]
        assert "error" not in result, f"{line['name']}: {result}"
        first, last = line["validation_curve"][0][1], line["validation_curve"][-1][1]
        assert last < first, f"{line['name']}: the loss did not fall, from {first} to {last}"
    best = max(line["result"]["scores"]["test"]["peaks"]["50ms"]["F1"] for line in lines)
    assert best > 50.0, f"nothing was learnt: F1 {best}"


# --- the list --------------------------------------------------------------------------------


def _full_runs() -> list[Run]:
    """Order them so that a sweep that is stopped early has a bit of everything, one seed first.

    The settings of the map are random: any of its runs, in their order, are a coarser map.
    """
    main = [*_clean(), *_looks()]
    more = (_annotators, _equations, _edges, _reading, _hops, _schedules, _long)
    others = [run for part in more for run in part()]
    again = [run for run in (*main, *others) if run.seed]
    chart = list(_map())
    third = len(chart) // 3
    return [
        *(run for run in main if not run.seed),
        *chart[:third],
        *(run for run in others if not run.seed),
        *chart[third : 2 * third],
        *again,
        *chart[2 * third :],
    ]


def _run(name: str, settings: AudioSettings, seed: int = 0, *, cost: str = "", **more: Any) -> Run:
    values = settings.to_json() | {"minutes": MINUTES} | more
    return Run("drums", name, values, seed, cost or settings.size)


def _settings(**values: Any) -> AudioSettings:
    return AudioSettings(
        **{
            "size": "drums",
            "steps": STEPS,
            "batch_size": 8,
            **values,
        }
    )


def _map() -> Iterator[Run]:
    """Draw noise and softness uniformly (Fig. 6)."""
    rng = np.random.default_rng(0)
    pairs = rng.uniform(0.0, 1.0, (N_MAP, 2)) * (MAP_NOISE_MS, MAP_SOFTNESS_MS)
    for index, (noise_ms, softness_ms) in enumerate(np.round(pairs, 1).tolist()):
        yield _run("map", _settings(noise_ms=noise_ms, softness_ms=softness_ms), index)


def _clean() -> Iterator[Run]:
    """Rows of Table 2 that can be built here, on exact labels."""
    for seed in SEEDS:
        yield _run("clean-softloc", _settings(softness_ms=100.0), seed)
        yield _run("clean-counts", _settings(softness_ms="inf"), seed)
        yield _run("look-cross-entropy", _at_noise(loss="cross-entropy", noise_ms=0.0), seed)
        for cell, both in (("tanh", True), ("lstm", True), ("gru", False)):
            settings = _settings(
                size="recurrent-delayed" if cell == "gru" else "recurrent",
                loss="cross-entropy",
                cell=cell,
                layers=2,
                bidirectional=both,
            )
            yield _run(f"clean-{cell}", settings, seed)
        yield _run(
            "clean-small-network",
            _settings(size="small", softness_ms=100.0, steps=2 * STEPS),
            seed,
        )
    # The paper's network to the letter, longer, because nothing in it makes training quick.
    yield _run("clean-paper-network", _settings(size="paper", softness_ms=100.0, steps=4 * STEPS))


def _annotators() -> Iterator[Run]:
    """Three annotators of the same data (Section 4.4)."""
    each = tuple((noise_ms, max(MIN_SOFTNESS_MS, noise_ms)) for noise_ms in ANNOTATORS_MS)
    one = tuple((noise_ms, 100.0) for noise_ms in ANNOTATORS_MS)
    for seed in SEEDS:
        yield _run("annotators-one-softness", _settings(annotators=one), seed)
        yield _run("annotators-each", _settings(annotators=each), seed)
        yield _run("annotators-best-alone", _settings(annotators=each[:1]), seed)


def _equations() -> Iterator[Run]:
    """S → 0, where the localisation term becomes cross-entropy, and S → ∞, where it vanishes."""
    for noise_ms in (0.0, 50.0):
        settings = _settings(loss="sll", measure="log", softness_ms=0.0, noise_ms=noise_ms)
        yield _run("eq5", settings)
        one_frame = _settings(loss="cross-entropy", label_length_ms=10.0, noise_ms=noise_ms)
        yield _run("eq5-cross-entropy", one_frame)
    # On exact labels it is clean-counts. Compare with look-count, which has no localisation term.
    yield _run("eq6", _settings(softness_ms="inf", noise_ms=50.0))


def _long() -> Iterator[Run]:
    """Sustained tones, their beginnings and ends two classes (Section 2)."""
    for noise_ms in (0.0, 50.0):
        settings = _settings(
            size="tones", noise_ms=noise_ms, softness_ms=max(MIN_SOFTNESS_MS, noise_ms)
        )
        yield _run("long", settings, corpus="spans")


def _looks() -> Iterator[Run]:
    """Show what each loss predicts at each noise (Fig. 4, 8, 9)."""
    for noise_ms in LOOK_NOISES_MS:
        for loss, own in LOOK_LOSSES.items():
            if noise_ms or loss != "cross-entropy":  # that one is in Table 2 already
                yield _run(f"look-{loss}", _at_noise(loss=loss, noise_ms=noise_ms, **own))


def _at_noise(*, noise_ms: float, **values: Any) -> AudioSettings:
    softness_ms = max(MIN_SOFTNESS_MS, noise_ms)
    return _settings(noise_ms=noise_ms, softness_ms=softness_ms, **values)


def _edges() -> Iterator[Run]:
    """Target counts as distributions, against longer windows of as much audio a step."""
    for seed in SEEDS:
        for noise_ms in (100.0, 200.0):
            if seed:  # that of seed 0 is there: it is look-softloc
                yield _run("look-softloc", _at_noise(noise_ms=noise_ms), seed)
            yield _run("edges-distribution", _at_noise(noise_ms=noise_ms, target="edges"), seed)
            longer = _at_noise(noise_ms=noise_ms, window_s=3.0, batch_size=4)
            yield _run("edges-long-windows", longer, seed)


def _reading() -> Iterator[Run]:
    """Causal LSTMs are those of ``look-*``; here are the bidirectional ones."""
    for seed in SEEDS:
        for loss in ("softloc", "cross-entropy", "label-smoothing"):
            if seed and loss != "softloc":
                yield _run(f"look-{loss}", _at_noise(loss=loss, noise_ms=100.0), seed)
            both = _at_noise(loss=loss, noise_ms=100.0, bidirectional=True)
            yield _run(f"reading-both-ways-{loss}", both, seed, cost="both ways")


def _hops() -> Iterator[Run]:
    """Labels smoothed at their real-valued times against labels rounded to frames."""
    for seed in SEEDS:
        for size in ("drums-5ms", "drums", "drums-20ms"):
            for target in ("frames", "continuous"):
                settings = _at_noise(size=size, target=target, noise_ms=20.0)
                yield _run(f"hop-{target}", settings, seed)


def _schedules() -> Iterator[Run]:
    """Let the counts take over earlier, or weigh as much all along."""
    for alpha in ("drums", "puffs", 0.5):
        yield _run("schedule", _at_noise(noise_ms=50.0, alpha=alpha))


def _quick_runs() -> list[Run]:
    tiny = AudioSettings(
        "tiny", steps=60, learning_rate=1e-2, validations=5, validation_windows=16, softness_ms=50.0
    )
    changes: Mapping[str, Mapping[str, Any]] = {
        "map": {"noise_ms": 30.0},
        "look-cross-entropy": {"loss": "cross-entropy"},
        "look-label-smoothing": {"loss": "label-smoothing"},
        "clean-counts": {"softness_ms": "inf"},
        "clean-gru": {"size": "tiny-recurrent", "cell": "gru", "loss": "cross-entropy"},
        "annotators-each": {"annotators": ((10.0, 30.0), (50.0, 50.0))},
        "edges-distribution": {"target": "edges", "noise_ms": 100.0, "softness_ms": 100.0},
        "hop-continuous": {"target": "continuous", "noise_ms": 20.0},
        "reading-both-ways-softloc": {"bidirectional": True},
        "eq5": {"loss": "sll", "measure": "log", "softness_ms": 0.0},
    }
    listed = [
        Run("drums", name, replace(tiny, **change).to_json() | {"corpus": "hits"})
        for name, change in changes.items()
    ]
    return [*listed, Run("drums", "long", tiny.to_json() | {"corpus": "spans"})]


# --- data and networks -----------------------------------------------------------------------


def sizes() -> dict[str, Size]:
    """Name the features and networks of these experiments."""
    paper = SIZES["paper"]
    # The paper's, made trainable in minutes: normalised, the first dense layer beside the LSTM,
    # and 10 ms from frame to frame.
    eased = replace(paper.shape, batch_norm=True, sigmoid_dense=False, dense_sees_convolutions=True)
    features = replace(paper.features, hop_samples=441)
    recurrent = replace(paper.shape, stages=(), lstm_units=50, dense_units=24, sigmoid_dense=False)
    quick = FeatureSettings(RATE_HZ, 160, 512, 512, n_bands=24, min_hz=30.0, max_hz=8000.0)
    # Up to what the slowest reading of 16 kHz still holds.
    tones = FeatureSettings(RATE_HZ, 160, 512, 4096, n_bands=72, min_hz=60.0, max_hz=6900.0)
    tiny = NetworkSettings(
        n_classes=1,
        n_bands=24,
        stages=(ConvStage(8, stride=2), ConvStage(8, stride=2)),
        lstm_units=8,
        dense_units=8,
    )
    return {
        "drums": Size(features, eased),
        "drums-5ms": Size(paper.features, eased),
        "drums-20ms": Size(replace(features, hop_samples=882), eased),
        "paper": paper,
        "small": SIZES["small"],
        "recurrent": Size(features, recurrent),
        "recurrent-delayed": Size(features, replace(recurrent, lstm_delay_frames=3)),
        "tones": Size(tones, eased),
        "tiny": Size(quick, tiny),
        "tiny-recurrent": Size(quick, replace(tiny, stages=())),
    }


def _material(run: Run, context: Context) -> Material:
    corpus = run.settings.get("corpus", "rendered")
    if corpus == "rendered":
        return _rendered(context.folder / "corpus", tuple(MINUTES.items()))
    return _synthetic(context.folder / corpus, corpus, context.quick)


@functools.lru_cache(maxsize=1)
def _rendered(folder: Path, minutes: tuple[tuple[str, int], ...]) -> Material:
    """Render what is missing, and read it."""
    for split, length in minutes:
        arguments = ["--split", split, "--minutes", str(length), "--no-accompaniment"]
        target = folder / split
        if not (target / "labels.csv").exists() and render([*arguments, "-o", str(target)]):
            raise SoftLocError(f"{target} could not be rendered, as told above")
    classes = Classes(DRUM_VOCABULARIES[VOCABULARY], vocabulary=VOCABULARY)
    splits = {split: read_split(folder / split / "labels.csv", classes) for split, _ in minutes}
    dev = read_split(data_folder("drums-dev") / "labels.csv", classes, "drums/")
    tests = {"test": splits["test"], "dev": dev, **_owned(classes)}
    return Material(splits["train"], splits["valid"], tests, sizes(), SPEEDS, VOCABULARY)


def _owned(classes: Classes) -> dict[str, Split]:
    """IDMT-SMT-Drums, for those who have it."""
    folder = Path(os.environ.get(DATA_VARIABLE, ".")) / "idmt"
    return {"idmt": read_idmt_split(folder, classes)} if folder.is_dir() else {}


@functools.lru_cache(maxsize=2)
def _synthetic(folder: Path, kind: str, quick: bool) -> Material:
    lengths = {"train": 5, "valid": 2, "test": 2} if quick else {"train": 60, "valid": 8, "test": 8}
    names = ("begin", "end") if kind == "spans" else ("KD", "SD", "HH")
    splits = {
        split: read_split(
            ensure_corpus(folder / split, kind, n_files, 15.0 if quick else 30.0, seed),
            Classes(names),
        )
        for seed, (split, n_files) in enumerate(lengths.items())
    }
    speeds = (1.0,) if quick else SPEEDS
    return Material(splits["train"], splits["valid"], {"test": splits["test"]}, sizes(), speeds)
