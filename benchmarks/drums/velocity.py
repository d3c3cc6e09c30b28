"""How well velocities are heard: ``python -m benchmarks.drums.velocity --corpus DIR -o MODEL``.

Fits velocities for an existing model (``--model``, by default the shipped one) to the exact labels
of ``DIR/train``, writes it with them to ``-o``, and compares ways to estimate them on ``DIR/valid``
and ``DIR/test`` (kits never heard in training): every event that the model finds and that matches
a label within 50 ms counts. Figures go to ``benchmarks/results/velocity.json``.

The ways differ in what they hear of an event and in whether the mean of a class' events in a
recording is taken off (*centred*):

- ``dense``: activations before the network's last layer, mean of three frames;
- ``rise``: band levels, maximum after the onset less the mean before it;
- ``level``: band levels, maximum after the onset. Centred, this is what softloc does; it adds the
  bands up in every frame first and takes the maximum of the sum.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.drums.experiment import RESULTS, command, noisy_dataset
from softloc.audio_store import AudioStore
from softloc.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from softloc.datasets import Dataset, Recording
from softloc.errors import SettingsError
from softloc.evaluation import match_times
from softloc.files import write_text_atomic
from softloc.inference import compute_frames
from softloc.pipeline import from_checkpoint
from softloc.timebase import seconds_to_microseconds
from softloc.velocity import PENALTY, HeardEvents, VelocityReadOut, event_peaks, fit_class
from softloc.velocity_fitting import (
    MAX_FIT_S,
    bands_engine,
    draw_recordings,
    event_times_s,
    fit_velocities,
    match_velocities,
)

WINDOW_S = 0.050
NOISE_MS = 30.0
GAIN_DB = -12.0
#: Recordings with fewer matched events of a class do not count for correlations and lines.
MIN_EVENTS = 8
#: Levels before an onset, and what is silence to a rise: as in the features.
RISE_BEFORE_S, RISE_FLOOR = (0.050, 0.020), 1e-4

#: Name of a way to what it hears and whether it is centred.
WAYS: Mapping[str, tuple[tuple[str, ...], bool]] = {
    "dense": (("dense",), False),
    "dense, centred": (("dense",), True),
    "rise, centred": (("rise",), True),
    "level": (("level",), False),
    "level, centred": (("level",), True),
    "dense and level, centred": (("dense", "level"), True),
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Events of one class that the model finds in one recording.

    Attributes
    ----------
    times_s : ndarray, shape (n_events,)
        Their times.
    velocities : ndarray, shape (n_events,)
        Velocity of the label that each matches; NaN where there is none.
    inputs : Mapping[str, ndarray of shape (n_events, n)]
        What was heard of them.
    """

    times_s: Floats
    velocities: Floats
    inputs: Mapping[str, Floats]


#: Velocities of the events of a class in a recording.
Estimate = Callable[[int, Found], Floats]
#: One list of recordings for each class.
Answers = list[list[Found]]


def main() -> None:
    """Fit, compare, write."""
    options = _parse()
    torch.set_num_threads(1)
    model = load_checkpoint(options.model)
    result: dict[str, Any] = {
        "command": command(),
        "model": options.model,
        "seed": options.seed,
        "fitted_to_minutes": options.minutes,
        "penalty": PENALTY,
        "window_s": WINDOW_S,
        "gain_db": GAIN_DB,
    }
    with tempfile.TemporaryDirectory() as folder:
        train = noisy_dataset(options.corpus / "train", 0.0, 0.0, options.seed)
        if train.classes.names != model.settings.classes:
            raise SettingsError(f"{options.model}: its classes are not those of the corpus")
        kept = draw_recordings(train, 60.0 * options.minutes, options.seed)
        train = dataclasses.replace(train, recordings=tuple(train.recordings[i] for i in kept))
        store = _store(train, model, Path(folder) / "train.pcm")
        models = {
            "softloc": _fitted(model, train, store),
            f"softloc, labels shifted by {NOISE_MS:g} ms": _fitted(
                model, _shifted(options.corpus / "train", kept, options.seed), store
            ),
        }
        estimates = _fit_ways(hear(model, train, store))
        result["sets"] = {
            name: _compare(model, path, Path(folder) / "eval.pcm", estimates, models)
            for name, path in (
                ("valid_kits", options.corpus / "valid"),
                ("test_kits", (options.test or options.corpus) / "test"),
            )
        }
    text = json.dumps(result, indent=1) + "\n"
    write_text_atomic(RESULTS / "velocity.json", text)
    print(text)
    if options.output:
        save_checkpoint(options.output, models["softloc"])


def hear(model: Checkpoint, dataset: Dataset, store: AudioStore, gain_db: float = 0.0) -> Answers:
    """Run the model over recordings and keep what every way needs of its events."""
    answers: Answers = [[] for _ in model.settings.classes]
    for index, recording in enumerate(dataset.recordings):
        for row, found in zip(
            answers, _hear_one(model, recording, _blocks(store, index, gain_db)), strict=True
        ):
            row.append(found)
    return answers


def score(answers: Answers, quieter: Answers, estimate: Estimate, classes: Sequence[str]) -> Any:
    """Errors of a way, class by class, and their means over classes.

    Returns
    -------
    dict
        For each class and ``mean``: ``mae``; ``mae_affine``, the same after the best line in each
        recording; ``r``, mean correlation within recordings; ``gain``, the mean change of an
        event's velocity when the recording is turned down by 12 dB.
    """
    figures = {}
    for c, label in enumerate(classes):
        errors, lined, correlations, changes = [], [], [], []
        for found, softer in zip(answers[c], quieter[c], strict=True):
            estimates = estimate(c, found)
            changes.append(_changes(found, estimates, softer, estimate(c, softer)))
            known = ~np.isnan(found.velocities)
            x, y = estimates[known], found.velocities[known]
            errors.append(np.abs(x - y))
            if len(y) >= MIN_EVENTS and y.std() >= 1.0:
                slope, r = _line(x, y)
                lined.append(np.abs(y - y.mean() - slope * (x - x.mean())))
                correlations.append(r)
        figures[label] = {
            "events": sum(map(len, errors)),
            "recordings": len(correlations),
            "mae": float(np.mean(np.concatenate(errors))),
            "mae_affine": float(np.mean(np.concatenate(lined))),
            "r": float(np.mean(correlations)),
            "gain": float(np.mean(np.concatenate(changes))),
        }
    names = ("mae", "mae_affine", "r", "gain")
    figures["mean"] = {n: float(np.mean([row[n] for row in figures.values()])) for n in names}
    return {
        label: {name: round(value, 3) for name, value in row.items()}
        for label, row in figures.items()
    }


def _compare(
    model: Checkpoint,
    folder: Path,
    scratch: Path,
    estimates: Mapping[str, Estimate],
    models: Mapping[str, Checkpoint],
) -> dict[str, Any]:
    dataset = noisy_dataset(folder, 0.0, 0.0, 0)
    store = _store(dataset, model, scratch)
    classes = model.settings.classes
    plain, quieter = (hear(model, dataset, store, gain_db) for gain_db in (0.0, GAIN_DB))
    scores = {name: score(plain, quieter, way, classes) for name, way in estimates.items()}
    for name, fitted in models.items():
        plain, quieter = (transcribe(fitted, dataset, store, db) for db in (0.0, GAIN_DB))
        scores[name] = score(plain, quieter, lambda _, found: found.inputs["velocity"], classes)
    return scores


def transcribe(model: Checkpoint, dataset: Dataset, store: AudioStore, gain_db: float) -> Answers:
    """Transcribe as users do; the input of each event is the velocity that it was given."""
    answers: Answers = [[] for _ in model.settings.classes]
    transcriber = from_checkpoint(model)
    for index, recording in enumerate(dataset.recordings):
        samples = np.concatenate(list(_blocks(store, index, gain_db)))
        onsets = transcriber.transcribe(samples, store.sample_rate_hz)
        for c, label in enumerate(model.settings.classes):
            mine = [onset for onset in onsets if onset.label == label]
            times_s = np.array([onset.time_s for onset in mine])
            velocities = match_velocities(times_s, recording.sequences[0], c, WINDOW_S)
            given = np.array([onset.velocity for onset in mine], dtype=np.float64)
            answers[c].append(Found(times_s, velocities, {"velocity": given}))
    return answers


def _hear_one(
    model: Checkpoint, recording: Recording, blocks: Iterator[NDArray[np.float32]]
) -> Iterator[Found]:
    """Yield the events of each class with their inputs."""
    activations: list[Tensor] = []
    # Of several members only the first is listened to; the events are those of all.
    hook = model.network.output.register_forward_hook(
        lambda _module, inputs, _output: activations.append(inputs[0][0])
    )
    frames = compute_frames(bands_engine(model), blocks)
    hook.remove()
    grid = model.settings.features.grid
    first = model.settings.features.lead_in_frames
    n_frames = frames.heard.shape[1]
    dense = torch.cat(activations).T.numpy()[:, first : first + n_frames]
    times_per_class = event_times_s(model, frames)
    for c, times_s in enumerate(times_per_class):
        inputs = {
            "level": event_peaks(frames.heard, times_s, grid),
            "rise": _rises(frames.heard, times_s, model),
            "dense": _means(dense, times_s, model, (0.010, -0.010)),
        }
        velocities = match_velocities(times_s, recording.sequences[0], c, WINDOW_S)
        yield Found(times_s, velocities, inputs)


def _rises(levels: NDArray[np.float32], times_s: Floats, model: Checkpoint) -> Floats:
    """Levels at the maximum less those before, on the scale of the features."""
    scale = np.log(RISE_FLOOR + np.exp(levels))
    after = event_peaks(scale, times_s, model.settings.features.grid)
    return after - _means(scale, times_s, model, RISE_BEFORE_S)


def _means(
    rows: NDArray[np.floating], times_s: Floats, model: Checkpoint, before_s: tuple[float, float]
) -> Floats:
    """Mean of each row over the frames from `before_s[0]` to `before_s[1]` before each event."""
    grid = model.settings.features.grid
    bounds = [
        np.clip(grid.nearest_frames(times_s - edge_s), 0, rows.shape[1] - 1) for edge_s in before_s
    ]
    means = [rows[:, a : b + 1].mean(axis=1) for a, b in zip(*bounds, strict=True)]
    return np.array(means, dtype=np.float64).reshape(-1, len(rows))


def _fit_ways(train: Answers) -> dict[str, Estimate]:
    means = [
        float(np.nanmean(np.concatenate([found.velocities for found in row]))) for row in train
    ]
    ways: dict[str, Estimate] = {"constant": lambda c, found: np.full(len(found.times_s), means[c])}
    return ways | {name: _fit_way(train, *way) for name, way in WAYS.items()}


def _fit_way(train: Answers, names: Sequence[str], centred: bool) -> Estimate:
    """Fit a way; one that is not centred takes all recordings for one."""

    def hear_all(row: Sequence[Found]) -> list[HeardEvents]:
        events = [HeardEvents(_stack(found, names), found.velocities) for found in row]
        if centred:
            return events
        levels, velocities = zip(*((e.levels, e.velocities) for e in events), strict=True)
        return [HeardEvents(np.concatenate(levels), np.concatenate(velocities))]

    heard = [hear_all(row) for row in train]
    fitted = [fit_class(row) for row in heard]

    def estimate(c: int, found: Found) -> Floats:
        weights_and_mean = fitted[c]
        if weights_and_mean is None:
            raise SettingsError(f"class {c}: too few labels to compare ways")
        weights, mean = weights_and_mean
        inputs = _stack(found, names)
        if not len(inputs):
            return np.zeros(0)
        middle = inputs.mean(axis=0) if centred else heard[c][0].levels.mean(axis=0)
        velocities: Floats = np.clip(np.rint(mean + (inputs - middle) @ weights), 1.0, 127.0)
        return velocities

    return estimate


def _stack(found: Found, names: Sequence[str]) -> Floats:
    return np.concatenate([found.inputs[name] for name in names], axis=1)


def _changes(found: Found, before: Floats, softer: Found, after: Floats) -> Floats:
    """Differences of the velocities of events that are found at both levels."""
    pairs = match_times(
        seconds_to_microseconds(found.times_s), seconds_to_microseconds(softer.times_s), 0.020
    )
    return np.abs(before[pairs[:, 0]] - after[pairs[:, 1]])


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope of the best line and correlation; 0 where x never varies."""
    if not x.std():
        return 0.0, 0.0
    r = float(np.corrcoef(x, y)[0, 1])
    return r * float(y.std() / x.std()), r


def _fitted(model: Checkpoint, dataset: Dataset, store: AudioStore) -> Checkpoint:
    velocity = fit_velocities(model, dataset, store, max_s=float("inf"))
    if velocity is None:
        raise SettingsError("the labels of the corpus carry too few velocities")
    record = {**model.record, "velocity": _describe(velocity, model, dataset)}
    return dataclasses.replace(model, velocity=velocity, record=record)


def _describe(velocity: VelocityReadOut, model: Checkpoint, dataset: Dataset) -> dict[str, Any]:
    means = zip(model.settings.classes, velocity.mean.tolist(), strict=True)
    return {
        "means": {label: round(mean, 1) for label, mean in means},
        "minutes": round(dataset.duration_s / 60.0, 2),
        "sha256": dataset.sha256(),
    }


def _shifted(folder: Path, kept: Sequence[int], seed: int) -> Dataset:
    dataset = noisy_dataset(folder, NOISE_MS, NOISE_MS, seed)
    return dataclasses.replace(dataset, recordings=tuple(dataset.recordings[i] for i in kept))


def _store(dataset: Dataset, model: Checkpoint, path: Path) -> AudioStore:
    audio = [recording.audio for recording in dataset.recordings]
    return AudioStore(audio, model.settings.features.sample_rate_hz, path)


def _blocks(store: AudioStore, index: int, gain_db: float) -> Iterator[NDArray[np.float32]]:
    gain = np.float32(10.0 ** (gain_db / 20.0))
    return (gain * block for block in store.blocks(index))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="drums", help="name or path of the model")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with train/ and valid/")
    parser.add_argument("--test", type=Path, help="folder with test/, if another one")
    parser.add_argument("--minutes", type=float, default=MAX_FIT_S / 60.0, help="audio to fit to")
    parser.add_argument("--seed", type=int, default=0, help="draws the audio to fit to")
    parser.add_argument("-o", "--output", type=Path, help="model file to write, with velocities")
    return parser.parse_args()


if __name__ == "__main__":
    main()
