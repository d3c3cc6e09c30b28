"""What processes that train together do in tests: they must be able to run it as a program.

``python training_processes.py CORPUS FOLDER`` writes, in the first process, what it found. It goes
on with a training that one process has left in FOLDER/alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

import torch

from softloc.audio_store import AudioStore
from softloc.batches import AugmentSettings, WindowSampler, step_generator
from softloc.datasets import Dataset, build_dataset, choose_classes
from softloc.features import FeatureSettings, LogMel, mel_filterbank
from softloc.formats import read_corpus
from softloc.loss import softloc_loss
from softloc.network import ConvStage, NetworkSettings, OnsetNetwork
from softloc.presets import Size, register_size
from softloc.processes import Team, join_team, share_gradients
from softloc.training import fit
from softloc.training_observers import Observer
from softloc.training_settings import Execution, TrainingSettings
from softloc.training_validation import Validation
from softloc_cli.train_processes import leave_team

#: With batch normalisation, which has to count the windows of all processes.
NETWORK = NetworkSettings(
    n_classes=3,
    n_bands=16,
    stages=(ConvStage(4, bands=4, stride=4), ConvStage(8, bands=4, stride=4)),
    lstm_units=4,
    dense_units=4,
)
FEATURES = FeatureSettings(sample_rate_hz=11_025, hop_samples=110, window_samples=512,
                           fft_samples=512, n_bands=16, max_hz=5_500.0)  # fmt: skip
N_STEPS = 20
KILLED_AFTER = 9


class KilledError(Exception):
    """Stands for kill -9."""


class Losses(Observer):
    """Collects the losses of the steps; raises after some of them."""

    def __init__(self, killed_after: int = N_STEPS) -> None:
        self.values: list[float] = []
        self._killed_after = killed_after

    def on_step(self, loss: float) -> None:
        self.values.append(loss)
        if len(self.values) > self._killed_after:
            raise KilledError


def register(*, batch_norm: bool = True) -> None:
    register_size("tiny", Size(FEATURES, dataclasses.replace(NETWORK, batch_norm=batch_norm)))


def settings() -> TrainingSettings:
    return TrainingSettings(
        size="tiny", steps=N_STEPS, batch_size=4, window_s=0.6, validations=2, average_steps=5,
        seed=4, state_interval_s=0.0,
    )  # fmt: skip


def read_dataset(corpus_folder: Path) -> Dataset:
    corpus = read_corpus(corpus_folder / "labels.csv")
    return build_dataset(corpus, choose_classes("auto", corpus), None, softness_ms=30.0)


def find_gradients(dataset: Dataset, folder: Path, team: Team) -> dict[str, torch.Tensor]:
    """Gradients of one step, by every weight, and the statistics that batch norms keep."""
    folder.mkdir(parents=True, exist_ok=True)
    audio = [recording.audio for recording in dataset.recordings]
    store = AudioStore(audio, FEATURES.sample_rate_hz, folder / f"{team.rank}.pcm")
    log_mel = LogMel(FEATURES, torch.from_numpy(mel_filterbank(FEATURES)))
    sampler = WindowSampler(
        dataset, store, log_mel, NETWORK, window_s=0.6, augment=AugmentSettings()
    )
    torch.manual_seed(3 + team.rank)  # the first one's weights count
    network = OnsetNetwork(NETWORK).train()
    learner = share_gradients(network, team)
    batch = sampler.draw(4, step_generator(1, 1), team.share(4))
    logits, _ = learner(batch.features)
    scored = logits[:, :, -batch.targets.shape[2] :]
    softloc_loss(scored, batch.targets, batch.softness_frames, 0.5, mask=batch.mask).backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    statistics = {name: b for name, b in network.named_buffers() if "running" in name}
    return found | statistics


def train(
    dataset: Dataset,
    folder: Path,
    execution: Execution | None = None,
    *,
    resume: bool = False,
    losses: Losses | None = None,
) -> list[float]:
    """Train to the end, or until killed; return the losses of its steps."""
    folder.mkdir(parents=True, exist_ok=True)
    losses = losses or Losses()
    held_back = dataset.split(0.25, seed=0)
    with contextlib.suppress(KilledError):
        fit(
            held_back[0],
            Validation(held_back[1], clean=True),
            settings(),
            folder / "model.safetensors",
            folder,
            resume=resume,
            execution=execution,
            observer=losses,
        )
    return losses.values


def main(corpus_folder: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    register()
    dataset = read_dataset(corpus_folder)
    with join_team("cpu") as team:
        execution = Execution(team=team)
        found = {
            "gradients": find_gradients(dataset, folder / "gradients", team),
            "losses": train(dataset, folder / "whole", execution),
            "until_killed": train(
                dataset, folder / "killed", execution, losses=Losses(KILLED_AFTER)
            ),
            "resumed": train(dataset, folder / "alone", execution, resume=True),
        }
        if team.leads:
            torch.save(found, folder / "found.pt")
    leave_team(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
