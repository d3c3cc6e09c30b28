"""A model with random weights: it answers, but means nothing."""

from __future__ import annotations

import torch

from softloc.checkpoints import Checkpoint
from softloc.features import LogMel, mel_filterbank
from softloc.model_files import ModelSettings, default_notes
from softloc.network import OnsetNetwork
from softloc.presets import SIZES


def make_model(size: str = "small", *, bidirectional: bool = False) -> Checkpoint:
    torch.manual_seed(0)
    classes = ("KD", "SD")
    preset = SIZES[size]
    network = OnsetNetwork(preset.network(2, bidirectional=bidirectional)).eval()
    log_mel = LogMel(preset.features, torch.from_numpy(mel_filterbank(preset.features)))
    notes = default_notes(classes)
    settings = ModelSettings(preset.features, network.settings, classes, notes, softness_ms=30.0)
    return Checkpoint(settings, log_mel, network)
