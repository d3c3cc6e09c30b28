"""Video action segmentation with ED-TCN (Section 5.3, Tables 4 and 5, Fig. 10).

Every step of a video has one class; a softmax gives the probabilities. Cross-entropy, the
localisation term and SoftLoc are compared on training videos whose labels are shifted as a whole,
early or late with equal probability. The first runs have exact labels and cross-entropy: they must
come near the scores of the predictions that Lea et al. released.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.drums.render import data_folder
from benchmarks.paper.curves import LoopSettings, fit, seeded
from benchmarks.paper.ed_tcn import EdTcn
from benchmarks.paper.runs import Context, Line, Outcome, Run
from benchmarks.paper.segments import mean_f1, step_accuracy
from benchmarks.paper.step_noise import StepNoise, shift_steps
from benchmarks.paper.video_data import SETS, Classes, Split, Video, read_split
from softloc.checkpoints import load_training_state
from softloc.loss import ALPHA_SCHEDULES, soft_localization_loss, softloc_loss

LOSSES = ("cross-entropy", "sll", "softloc")
#: Shifts in steps: 0, 5, 10 and 20 s of 50 Salads.
SHIFTS_STEPS = (0, 3, 6, 12)
#: The paper's 7 s.
SOFTNESS_STEPS = 4.2
#: For the sweep on split 1 of 50 Salads: 1.75, 3.5, 14 and 28 s.
SOFTNESSES_STEPS = (1.05, 2.1, 8.4, 16.8)
N_SEEDS = 2
OVERLAPS = (10, 25, 50)

SETTINGS: Mapping[str, Any] = {
    "softness_steps": SOFTNESS_STEPS,
    "alpha": "drums",
    "batch": 4,
    "learning_rate": 2e-3,
    "decay_share": 0.8,
    "settle_share": 0.2,
    # Videos of the training list that only tell the validation loss.
    "held_out": 2,
    # As published: nothing is chosen, least of all by the loss of two videos.
    "weights": "last",
    # What the network computes with while it trains; weights, losses and scores have all digits.
    "precision": "bfloat16",
}
#: More than 100 passes over the training videos of either set.
STEPS = {"50salads_mid": 1_000, "gtea": 600, "made-up": 60}
_N_VALIDATIONS = 20


def runs(*, quick: bool) -> Sequence[Run]:
    """List all runs: seed by seed the references, the tables and the softness sweep."""
    if quick:
        changes = {"batch": 8, "learning_rate": 5e-3, "precision": "float32"}
        return [_run(("made-up", 1), loss, 0, 0, **changes) for loss in LOSSES]
    return [run for seed in range(N_SEEDS) for run in _runs_of(seed)]


def _runs_of(seed: int) -> list[Run]:
    splits = [(name, split) for name, spec in SETS.items() for split in range(1, spec.n_splits + 1)]
    references = [_run(videos, "cross-entropy", 0, seed) for videos in splits]
    tables = [
        _run(videos, loss, shift, seed)
        for shift in SHIFTS_STEPS
        for videos in splits
        for loss in LOSSES
        if (loss, shift) != ("cross-entropy", 0)
    ]
    sweep = [
        _run(("50salads_mid", 1), "softloc", shift, seed, softness_steps=softness)
        for softness in SOFTNESSES_STEPS
        for shift in SHIFTS_STEPS
    ]
    return [*references, *tables, *sweep]


def _run(videos: tuple[str, int], loss: str, shift_steps: int, seed: int, **changes: Any) -> Run:
    name, split = videos
    settings = {
        "set": name,
        "split": split,
        "loss": loss,
        "shift_steps": shift_steps,
        **SETTINGS,
        "steps": STEPS[name],
        **changes,
    }
    if loss == "cross-entropy":
        del settings["softness_steps"]
    if loss != "softloc":
        del settings["alpha"]
    title = f"{name}-{split}-{loss}-{shift_steps}"
    if settings.get("softness_steps", SOFTNESS_STEPS) != SOFTNESS_STEPS:
        title += f"-softness-{settings['softness_steps']:g}"
    return Run("video", title, settings, seed, cost=f"{name}-{loss}")


def train(run: Run, context: Context) -> Outcome:
    """Train on one split and score its test videos.

    Raises
    ------
    AnnotationError, SettingsError
        If data is missing or damaged.
    TrainingError
        If the loss is not finite.
    """
    settings = run.settings
    split, n_classes, length_steps = _read(settings["set"], settings["split"])
    noise = StepNoise("shift", settings["shift_steps"], per_recording=True)
    noisy = [shift_labels(video, noise, run.seed) for video in split.train]
    order = np.random.default_rng([run.seed, settings["split"]]).permutation(len(noisy))
    held_out, kept = order[: settings["held_out"]], order[settings["held_out"] :]
    train_videos = [noisy[index] for index in kept]
    valid = Videos.of([noisy[index] for index in held_out])
    network = seeded(
        lambda: EdTcn(split.train[0].features.shape[1], n_classes, length_steps), run.seed
    )

    is_short = settings["precision"] == "bfloat16"

    def loss(model: nn.Module, videos: Videos, progress: float) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_short):
            logits = model(videos.features, videos.mask)
        return loss_of(logits.float(), videos, settings, progress)

    def step_loss(model: nn.Module, rng: np.random.Generator, progress: float) -> Tensor:
        chosen = rng.choice(len(train_videos), min(settings["batch"], len(train_videos)), False)
        return loss(model, Videos.of([train_videos[index] for index in chosen]), progress)

    done = fit(
        network,
        step_loss,
        lambda model: float(loss(model, valid, 1.0)),
        LoopSettings(
            settings["steps"],
            settings["learning_rate"],
            settings["decay_share"],
            settings["settle_share"],
            validations=_N_VALIDATIONS,
            seed=run.seed,
        ),
        context.state,
        on_step=context.on_step,
    )
    # `fit` leaves the weights of the lowest validation loss; the last ones are in its state.
    network.load_state_dict(load_training_state(context.state)["model"])
    shifted = [(v.classes, n.classes) for v, n in zip(split.train, noisy, strict=True)]
    result = {
        **score((video.classes, predict(network, video)) for video in split.test),
        "labels": score(shifted),
    }
    return Outcome(done.step, done.seconds, done.curve, result)


def check(lines: Sequence[Line]) -> None:
    """Raise AssertionError unless every loss has learnt the made-up actions."""
    found = {line["settings"]["loss"]: line["result"]["f1_10"] for line in lines}
    assert all(f1 > 0.7 for f1 in found.values()), found


# --- data ------------------------------------------------------------------------------------


def _read(name: str, split: int) -> tuple[Split, int, int]:
    """Read a split; also the number of classes and the length of the convolutions."""
    if name == "made-up":
        return make_up_split(), 4, 7
    spec = SETS[name]
    videos = standardise(read_split(data_folder("video"), name, split))
    return videos, spec.n_classes, spec.length_steps


def standardise(split: Split) -> Split:
    """Give every feature mean 0 and standard deviation 1 over the training videos."""
    rows = np.concatenate([video.features for video in split.train])
    mean, deviation = rows.mean(0), np.maximum(rows.std(0), 1e-6)

    def of(videos: Sequence[Video]) -> list[Video]:
        return [replace(video, features=(video.features - mean) / deviation) for video in videos]

    return Split(of(split.train), of(split.test))


def make_up_split(n_train: int = 10, n_test: int = 3, seed: int = 0) -> Split:
    """Make videos up whose features are their classes and noise."""
    rng = np.random.default_rng(seed)

    def make_up(name: str) -> Video:
        lengths = rng.integers(4, 12, size=10)
        classes = np.repeat(rng.integers(0, 4, size=10), lengths)
        features = np.eye(4)[classes] + 0.3 * rng.normal(size=(len(classes), 4))
        return Video(name, features.astype(np.float32), classes)

    names = [str(index) for index in range(n_train + n_test)]
    videos = [make_up(name) for name in names]
    return Split(videos[:n_train], videos[n_train:])


def shift_labels(video: Video, noise: StepNoise, seed: int) -> Video:
    """Delay or advance all labels of a video; the first or last class fills the gap."""
    (shift,) = shift_steps([0], noise, seed, video.name)
    source = np.arange(len(video.classes)) - shift
    return replace(video, classes=video.classes[np.clip(source, 0, len(source) - 1)])


@dataclass(frozen=True)
class Videos:
    """Videos side by side, padded.

    Attributes
    ----------
    features : Tensor [shape=(n, n_features, steps)]
    classes : Tensor of int [shape=(n, steps)]
    mask : Tensor of bool [shape=(n, 1, steps)]
        True inside each video.
    """

    features: Tensor
    classes: Tensor
    mask: Tensor

    @classmethod
    def of(cls, videos: Sequence[Video]) -> Videos:
        """Pad videos to the longest."""
        pad = nn.utils.rnn.pad_sequence
        lengths = torch.tensor([len(video.classes) for video in videos])
        features = pad([torch.from_numpy(video.features) for video in videos], batch_first=True)
        return cls(
            features.transpose(1, 2).contiguous(),
            pad([torch.from_numpy(video.classes) for video in videos], batch_first=True),
            (torch.arange(int(lengths.max())) < lengths[:, None]).unsqueeze(1),
        )


# --- loss and scores -------------------------------------------------------------------------


def loss_of(logits: Tensor, videos: Videos, settings: Mapping[str, Any], progress: float) -> Tensor:
    """Compare the classes' softmax with the labels.

    Parameters
    ----------
    logits : Tensor [shape=(n, n_classes, steps)]
    videos : Videos
    settings : Mapping
        Of a run: ``loss``, and ``softness_steps`` and ``alpha`` where it has them.
    progress : float
        Share of the training done.

    Returns
    -------
    Tensor [shape=()]
    """
    if settings["loss"] == "cross-entropy":
        # As in the published training: the mean over all labelled steps of the batch.
        ignored = videos.classes.masked_fill(~videos.mask[:, 0], -100)
        return functional.cross_entropy(logits, ignored)
    probabilities = logits.softmax(1)
    targets = functional.one_hot(videos.classes, logits.shape[1]).transpose(1, 2)
    softness = settings["softness_steps"]
    if settings["loss"] == "sll":
        return soft_localization_loss(probabilities, targets, softness, mask=videos.mask)
    alpha = ALPHA_SCHEDULES[settings["alpha"]](progress)
    return softloc_loss(
        probabilities, targets, softness, alpha, mask=videos.mask, inputs="probabilities"
    )


def predict(network: nn.Module, video: Video) -> Classes:
    """Take the most probable class of each step."""
    alone = Videos.of([video])
    with torch.no_grad():
        logits: Tensor = network(alone.features, alone.mask)
    return np.asarray(logits[0].argmax(0).numpy(), dtype=np.int64)


def score(pairs: Iterable[tuple[Classes, Classes]]) -> dict[str, float]:
    """Mean segmental F1 without background and share of right steps, over (truth, predicted)."""
    both = list(pairs)
    f1 = {f"f1_{overlap}": round(mean_f1(both, overlap / 100), 4) for overlap in OVERLAPS}
    return {**f1, "accuracy": round(step_accuracy(both), 4)}
