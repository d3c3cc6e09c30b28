"""One training on audio: noisy labels in, a model, its scores and the look of its predictions out.

Drums and piano share it. All losses come from the library (or, past the paper, from
`benchmarks.paper.targets`), and all get the same windows, network, steps and learning rates.
Training and validation labels carry the same noise, also those that choose the threshold of peak
picking; test labels are exact. Every model is decoded by mass and by peaks.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.paper.curves import Fitted, LoopSettings, fit, seeded
from benchmarks.paper.runs import Context, Outcome, Run
from benchmarks.paper.shapes import describe_predictions
from benchmarks.paper.targets import alpha_at, continuous_loss, edges_loss
from benchmarks.paper.windows import Batch, FeatureStore, Labels, Windows
from benchmarks.peak_picking import PeakSettings, peak_heights, peaks_above, tune_peaks
from softloc.audio import read_audio
from softloc.batches import feature_statistics
from softloc.checkpoints import Checkpoint
from softloc.datasets import Classes
from softloc.decoding import decode_onsets
from softloc.engines import TorchEngine
from softloc.evaluation import AS_WRITTEN, EvaluationSettings, Ratios, evaluate
from softloc.events import Corpus, Onset
from softloc.features import LogMel, mel_filterbank
from softloc.formats import read_corpus
from softloc.inference import compute_probabilities
from softloc.losses import LossSettings, event_mass_frames, make_loss
from softloc.model_files import ModelSettings, default_notes
from softloc.network import OnsetNetwork
from softloc.perturb import Noise, PerturbSettings, perturb
from softloc.presets import Size

WINDOWS_S = (0.050, 0.020)
#: Up to so many classes are told one by one.
FEW_CLASSES = 8
#: Recurrent cells that a network may have in the place of its LSTM.
CELLS: Mapping[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}
_STATISTICS_BATCHES = 8
_VALIDATION_SEED = 1 << 40


@dataclass(frozen=True)
class AudioSettings:
    """All that decides the result of a training besides corpus and seed; see the run's line.

    Attributes
    ----------
    size : str
        Features and network, by a name of the experiment.
    loss, measure, alpha, label_length_ms, tolerance_ms
        As in `softloc.losses.LossSettings`.
    target : {"frames", "continuous", "edges"}
        What the loss compares with: labels in frames, or see `benchmarks.paper.targets`.
    softness_ms : float or "inf"
        Standard deviation of the smoothing.
    noise_ms : float
        Standard deviation of the normal noise on training and validation labels.
    annotators : tuple of (noise_ms, softness_ms)
        Where several label the same recordings: takes the place of both.
    cell : str
        Name in `CELLS`.
    layers : int
        Of cells.
    bidirectional : bool
        Read both ways.
    steps, batch_size, window_s, learning_rate, decay_share, settle_share, validations
        Of the training, see `benchmarks.paper.curves`.
    validation_windows : int
        So many windows, always the same, are validated with.
    precision : {"float32", "bfloat16"}
        What the network computes with while it trains and validates, as in
        `softloc.training_settings.TrainingSettings`; weights, losses and scores have all digits.
    """

    size: str
    steps: int
    loss: str = "softloc"
    measure: str = "mse"
    alpha: str | float = "piano"
    label_length_ms: float = 32.0
    tolerance_ms: float = 60.0
    target: str = "frames"
    softness_ms: float | str = 30.0
    noise_ms: float = 0.0
    annotators: tuple[tuple[float, float], ...] = ()
    cell: str = "lstm"
    layers: int = 1
    bidirectional: bool = False
    batch_size: int = 16
    window_s: float = 1.5
    learning_rate: float = 3e-3
    decay_share: float = 0.8
    settle_share: float = 0.2
    validations: int = 20
    validation_windows: int = 128
    precision: str = "float32"

    @property
    def loss_settings(self) -> LossSettings:
        """What the library calls the loss."""
        return LossSettings(
            name=self.loss,
            measure=self.measure,
            alpha=self.alpha,
            label_length_ms=self.label_length_ms,
            tolerance_ms=self.tolerance_ms,
        )

    @property
    def label_sets(self) -> tuple[tuple[float, float], ...]:
        """Noise and softness of each annotator, ms."""
        return self.annotators or ((self.noise_ms, float(self.softness_ms)),)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> AudioSettings:
        """Read them from a run, whose further settings are the experiment's own."""
        names = {entry.name for entry in dataclasses.fields(cls)}
        values = {key: value for key, value in settings.items() if key in names}
        values["annotators"] = tuple(tuple(pair) for pair in values.get("annotators", ()))
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Write them as a run has them."""
        values = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return {**values, "annotators": [list(pair) for pair in self.annotators]}


@dataclass(frozen=True)
class Split:
    """Recordings with exact labels.

    Attributes
    ----------
    corpus : Corpus
        Its labels are those of the classes alone.
    classes : tuple of str
        Outputs of the network.
    """

    corpus: Corpus
    classes: tuple[str, ...]

    @property
    def paths(self) -> list[Path]:
        """Audio files, in the order of the corpus."""
        return [self.corpus.root / name for name in self.corpus.recordings]

    def select(self, keep: Callable[[str], bool]) -> Split:
        """Keep the recordings of some names."""
        kept = {name: rows for name, rows in self.corpus.recordings.items() if keep(name)}
        return replace(self, corpus=replace(self.corpus, recordings=kept))

    def shorten(self, n: int) -> Split:
        """Keep the first recordings."""
        kept = set(list(self.corpus.recordings)[:n])
        return self.select(lambda name: name in kept)

    def noisy(self, noise_ms: float, seed: int) -> Mapping[str, list[Onset]]:
        """Labels that normal noise has shifted; some may lie outside their recording now."""
        if not noise_ms:
            return self.corpus.recordings
        settings = PerturbSettings(Noise("normal", noise_ms), bounds="keep", seed=seed)
        return perturb(self.corpus, settings)[0].recordings


def read_split(labels: Path, classes: Classes, only: str = "") -> Split:
    """Read a table of labels, folding them into classes; names may have to begin with something.

    Raises
    ------
    AnnotationError
        If the table cannot be read.
    SettingsError
        If it has a label of no class.
    """
    corpus = read_corpus(labels)
    folded = {
        name: [
            replace(onset, label=classes.names[index])
            for onset in onsets
            if (index := classes.index(onset.label)) is not None
        ]
        for name, onsets in corpus.recordings.items()
        if name.startswith(only)
    }
    return Split(replace(corpus, recordings=folded), classes.names)


@dataclass(frozen=True)
class Material:
    """What a training reads.

    Attributes
    ----------
    train, valid : Split
        Exact labels: noise is added by the run.
    tests : Mapping of str to Split
        Sets that the model is scored on.
    sizes : Mapping of str to Size
        What `AudioSettings.size` names.
    speeds : tuple of float
        Speeds of the training audio.
    vocabulary : str
        How scores name classes, an entry of `EvaluationSettings.classes`.
    """

    train: Split
    valid: Split
    tests: Mapping[str, Split]
    sizes: Mapping[str, Size]
    speeds: tuple[float, ...] = (1.0,)
    vocabulary: str = field(default=AS_WRITTEN)


def train_audio(run: Run, material: Material, context: Context) -> Outcome:
    """Train one model and score it; ``run.settings`` are those of `AudioSettings`."""
    settings = AudioSettings.of(run.settings)
    model = make_model(settings, material, run.seed)
    fitted = _fit(model, settings, material, run.seed, context)
    began = time.process_time()
    result = _score(model, settings, material, run)
    seconds = fitted.seconds + time.process_time() - began
    return Outcome(fitted.step, seconds, fitted.curve, result)


def make_model(settings: AudioSettings, material: Material, seed: int) -> Checkpoint:
    """Build the untrained model."""
    size = material.sizes[settings.size]
    classes = material.train.classes
    shape = size.network(len(classes), bidirectional=settings.bidirectional)
    network = seeded(lambda: _make_network(settings, OnsetNetwork(shape)), seed)
    assert isinstance(network, OnsetNetwork)
    grid = size.features.grid
    network.expect_silence(round(grid.seconds_to_frames(settings.window_s).item()))
    mass = event_mass_frames(settings.loss_settings, float(grid.frame_rate))
    softness_ms = max(softness_ms for _, softness_ms in settings.label_sets)
    return Checkpoint(
        ModelSettings(
            size.features, shape, classes, default_notes(classes), softness_ms, float(mass)
        ),
        LogMel(size.features, torch.from_numpy(mel_filterbank(size.features))),
        network,
    )


class _BandsBeside(nn.Module):
    """Says of a single channel that it is the innermost dimension: not a value is changed.

    A signal of one channel fits any memory format, and convolutions take the one in which all
    layers after them, max-pooling above all, are slow.
    """

    def forward(self, signal: Tensor) -> Tensor:
        """Return (batch, 1, frames, bands) as it is, with a stride of 1 from channel to channel."""
        return signal.squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)


def _make_network(settings: AudioSettings, network: OnsetNetwork) -> OnsetNetwork:
    if network.settings.derivative_beside_bands:
        network.convolutions = nn.Sequential(_BandsBeside(), *network.convolutions)
    if (settings.cell, settings.layers) != ("lstm", 1):
        lstm = network.lstm
        network.lstm = CELLS[settings.cell](  # type: ignore[assignment]
            lstm.input_size,
            lstm.hidden_size,
            settings.layers,
            batch_first=True,
            bidirectional=settings.bidirectional,
        )
    return network


def _fit(
    model: Checkpoint, settings: AudioSettings, material: Material, seed: int, context: Context
) -> Fitted:
    features, shape = model.settings.features, model.settings.network
    folder = context.folder / "features"
    train = Windows(
        FeatureStore(material.train.paths, features, folder, material.speeds),
        _labels(material.train, settings, seed),
        shape.n_classes,
        shape,
        window_s=settings.window_s,
        gain_db=24.0,
        equaliser_db=5.0,
    )
    valid = Windows(
        FeatureStore(material.valid.paths, features, folder),
        _labels(material.valid, settings, seed),
        shape.n_classes,
        shape,
        window_s=settings.window_s,
    )
    # The same windows for every run, as different labels allow.
    rng = np.random.default_rng(_VALIDATION_SEED)
    n_batches = -(-settings.validation_windows // settings.batch_size)
    fixed = [valid.draw(settings.batch_size, rng) for _ in range(n_batches)]
    first = [
        train.draw(settings.batch_size, np.random.default_rng([seed, _VALIDATION_SEED, i]))
        for i in range(_STATISTICS_BATCHES)
    ]
    mean, deviation = _statistics(first)
    model.network.set_feature_statistics(mean, deviation)
    loss = _make_loss(settings, float(features.grid.frame_rate), train.lead_in)
    return fit(
        model.network,
        lambda network, rng, progress: loss(
            network, train.draw(settings.batch_size, rng), progress
        ),
        lambda network: float(np.mean([float(loss(network, batch, 1.0)) for batch in fixed])),
        LoopSettings(
            settings.steps,
            settings.learning_rate,
            settings.decay_share,
            settings.settle_share,
            validations=settings.validations,
            seed=seed,
        ),
        context.state,
        on_step=context.on_step,
    )


def _statistics(batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    return feature_statistics(batches)  # type: ignore[arg-type]  # it reads the features alone


def _labels(split: Split, settings: AudioSettings, seed: int) -> list[list[Labels]]:
    """Noisy labels of every recording, by every annotator."""
    index = {label: number for number, label in enumerate(split.classes)}
    sets = [
        (split.noisy(noise_ms, seed + 1000 * number), softness_ms)
        for number, (noise_ms, softness_ms) in enumerate(settings.label_sets)
    ]
    return [
        [
            Labels(
                np.array([onset.time_s for onset in labels[name]], dtype=np.float64),
                np.array([index[onset.label] for onset in labels[name]], dtype=np.int64),
                softness_ms,
            )
            for labels, softness_ms in sets
        ]
        for name in split.corpus.recordings
    ]


def _make_loss(
    settings: AudioSettings, frame_rate_hz: float, lead_in: int
) -> Callable[[nn.Module, Batch, float], Tensor]:
    """Return the loss of a network on a batch after a share of the training."""
    is_short = settings.precision == "bfloat16"
    if settings.target == "frames":
        library = make_loss(settings.loss_settings, frame_rate_hz)

        def compare(logits: Tensor, batch: Batch, progress: float) -> Tensor:
            loss: Tensor = library(logits, batch.targets, batch.softness_frames, progress)
            return loss
    else:
        past = {"continuous": continuous_loss, "edges": edges_loss}[settings.target]

        def compare(logits: Tensor, batch: Batch, progress: float) -> Tensor:
            alpha = alpha_at(settings.alpha, progress)
            return past(logits, batch.targets, batch.softness_frames, batch.points, alpha)

    def loss(network: nn.Module, batch: Batch, progress: float) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_short):
            logits, _ = network(batch.features)
        return compare(logits[:, :, lead_in:].float(), batch, progress)

    return loss


def _score(
    model: Checkpoint, settings: AudioSettings, material: Material, run: Run
) -> dict[str, Any]:
    """Decode by mass and by peaks, the latter tuned on validation labels as noisy as training."""
    noise_ms = settings.label_sets[0][0]
    noisy = material.valid.noisy(noise_ms, run.seed)
    valid = predict(model, material.valid)
    smooth = functools.cache(lambda smoothing_ms: _heights(model, valid, smoothing_ms))

    def noisy_f1(peaks: PeakSettings) -> float:
        found = _above(model, smooth(peaks.smoothing_ms), peaks.threshold)
        return headline_f1(noisy, found, material.vocabulary)

    peaks = tune_peaks(noisy_f1)
    scores: dict[str, Any] = {}
    looks: dict[str, Any] = {}
    for name, test in material.tests.items():
        answers, truth = predict(model, test), test.corpus.recordings
        found = _by_mass(model, answers)
        scores[name] = {
            "mass": score(truth, found, material.vocabulary),
            **_by_thresholds(model, answers, peaks, truth, material.vocabulary),
        }
        looks[name] = describe_predictions(answers, truth, found, model.settings)
    return {
        "scores": scores,
        "peak_settings": dataclasses.asdict(peaks),
        "noisy_valid_f1": round(noisy_f1(peaks), 4),
        "predictions": looks,
    }


Answers = Mapping[str, NDArray[np.float32]]


def predict(model: Checkpoint, split: Split) -> Answers:
    """Probabilities of every recording, (n_classes, n_frames) each."""
    rate = model.settings.features.sample_rate_hz
    engine = TorchEngine(model.log_mel, model.networks)
    return {
        name: compute_probabilities(engine, [read_audio(split.corpus.root / name, rate).samples])
        for name in split.corpus.recordings
    }


def _by_mass(model: Checkpoint, answers: Answers) -> dict[str, list[Onset]]:
    known = model.settings
    return {
        name: decode_onsets(
            rows,
            known.classes,
            known.features.grid,
            softness_ms=known.softness_ms,
            event_mass=known.event_mass,
        )
        for name, rows in answers.items()
    }


def _heights(model: Checkpoint, answers: Answers, smoothing_ms: float) -> Answers:
    grid = model.settings.features.grid
    return {name: peak_heights(rows, grid, smoothing_ms) for name, rows in answers.items()}


def _above(model: Checkpoint, heights: Answers, threshold: float) -> dict[str, list[Onset]]:
    known = model.settings
    return {
        name: peaks_above(rows, known.classes, known.features.grid, threshold)
        for name, rows in heights.items()
    }


def _by_thresholds(
    model: Checkpoint,
    answers: Answers,
    peaks: PeakSettings,
    references: Mapping[str, list[Onset]],
    vocabulary: str,
) -> dict[str, Any]:
    heights = _heights(model, answers, peaks.smoothing_ms)
    scores: dict[str, Any] = {}
    for name, factor in (("peaks", 1.0), ("peaks_half", 0.5), ("peaks_double", 2.0)):
        found = _above(model, heights, min(factor * peaks.threshold, 1.0))
        scores[name] = score(references, found, vocabulary)
    return scores


def score(
    references: Mapping[str, list[Onset]],
    estimates: Mapping[str, list[Onset]],
    vocabulary: str = AS_WRITTEN,
) -> dict[str, Any]:
    """P, R and F1 in percent of all events, the mean of recordings and of classes; bias in ms.

    Matching is that of mir_eval. Counts are summed over classes and recordings. Classes are told
    one by one where they are few.
    """
    result = evaluate(references, estimates, EvaluationSettings(vocabulary, WINDOWS_S))
    scores: dict[str, Any] = {}
    for window_s in WINDOWS_S:
        total = result.total.counts[window_s].ratios
        row = {
            "P": _percent(total.precision if total else None),
            "R": _percent(total.recall if total else None),
            "F1": _f1(total),
            "class_mean": _f1(result.class_means[window_s]),
            "file_mean": _f1(result.file_means[window_s]),
        }
        if len(result.per_class) <= FEW_CLASSES:
            row |= {label: _f1(c.counts[window_s].ratios) for label, c in result.per_class.items()}
        scores[f"{1000 * window_s:g}ms"] = row
    timing = result.total.timing
    scores["bias_ms"] = round(timing.bias_ms, 2) if timing else None
    scores["sigma_ms"] = round(timing.sigma_ms, 2) if timing else None
    return scores


def headline_f1(
    references: Mapping[str, list[Onset]], estimates: Mapping[str, list[Onset]], vocabulary: str
) -> float:
    """F1 (0 to 1) at ±50 ms of all events; labels outside the recordings cannot be found."""
    inside = {name: [o for o in rows if o.time_s >= 0.0] for name, rows in references.items()}
    rules = EvaluationSettings(vocabulary, WINDOWS_S[:1])
    ratios = evaluate(inside, estimates, rules).total.counts[WINDOWS_S[0]].ratios
    return ratios.f_measure if ratios else 0.0


def score_labels(split: Split, noise_ms: float, seed: int, vocabulary: str) -> dict[str, Any]:
    """Score noisy labels as if they were predictions."""
    noisy = split.noisy(noise_ms, seed)
    inside = {name: [o for o in rows if o.time_s >= 0.0] for name, rows in noisy.items()}
    return score(split.corpus.recordings, inside, vocabulary)


def _f1(ratios: Ratios | None) -> float | None:
    return _percent(ratios.f_measure if ratios else None)


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100.0 * value, 2)
