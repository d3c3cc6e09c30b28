"""The model that a training starts from: random weights, or those of another model."""

from __future__ import annotations

import dataclasses

import torch

from softloc.batches import window_frames
from softloc.checkpoints import Checkpoint
from softloc.datasets import Dataset
from softloc.features import LogMel, mel_filterbank
from softloc.losses import event_mass_frames
from softloc.model_files import ModelSettings, default_notes, require_readable
from softloc.network import OnsetNetwork
from softloc.presets import get_size
from softloc.training_settings import TrainingSettings


def make_model(dataset: Dataset, settings: TrainingSettings, init: Checkpoint | None) -> Checkpoint:
    """Build the untrained model, or one that starts from another's weights.

    Parameters
    ----------
    dataset : Dataset
        What it will learn from; it names the classes.
    settings : TrainingSettings
        Size, seed and what else decides of the start.
    init : Checkpoint or None
        Model to start from; its features and network are taken, of several members the first.

    Raises
    ------
    SettingsError
        If no model file could hold it.
    """
    classes = dataset.classes.names
    size = get_size(settings.size)
    features = size.features if init is None else init.settings.features
    if init is None:
        shape = size.network(len(classes), bidirectional=settings.bidirectional)
    else:
        shape = dataclasses.replace(init.settings.network, n_classes=len(classes))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = OnsetNetwork(shape)
    network.expect_silence(window_frames(settings.window_s, features))
    if init is None:
        log_mel = LogMel(features, torch.from_numpy(mel_filterbank(features)))
    else:
        log_mel = init.log_mel
        _copy_weights(init, network, classes)
    mass = event_mass_frames(settings.loss, float(features.grid.frame_rate))
    notes = default_notes(classes)
    model = ModelSettings(features, shape, classes, notes, settings.softness_ms, float(mass))
    require_readable(model)
    # Velocities are heard in the features, not by the network: what is known of them stays true.
    velocity = init.velocity if init is not None and init.settings.classes == classes else None
    return Checkpoint(model, log_mel, network, velocity=velocity)


def _copy_weights(init: Checkpoint, network: OnsetNetwork, classes: tuple[str, ...]) -> None:
    """Take all weights of `init`; the output layer only if the classes are the same."""
    weights = dict(init.network.state_dict())
    if init.settings.classes != classes:
        weights |= {k: v for k, v in network.state_dict().items() if k.startswith("output.")}
    network.load_state_dict(weights)
