"""A model that hears clicks: weights set by hand, so that commands have events to write."""

from __future__ import annotations

import torch

from softloc.checkpoints import Checkpoint
from softloc.features import FeatureSettings, LogMel, mel_filterbank
from softloc.model_files import ModelSettings, default_notes
from softloc.network import ConvStage, NetworkSettings, OnsetNetwork


def make_click_model(classes: tuple[str, ...] = ("KD", "HH")) -> Checkpoint:
    """Answer one unit of mass wherever all bands rise at once; every class says the same.

    One convolution takes the derivative's mean over the bands, relu keeps the rise, and the dense
    layers pass it on around the LSTM, whose weights are zero.
    """
    features = FeatureSettings(n_bands=32)
    shape = NetworkSettings(
        n_classes=len(classes),
        n_bands=32,
        stages=(ConvStage(1, bands=32, stride=32),),
        lstm_units=1,
        dense_units=1,
        batch_norm=False,
    )
    network = OnsetNetwork(shape)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        convolution = network.convolutions[1]
        assert isinstance(convolution, torch.nn.Conv2d)
        convolution.weight[0, 1, 1, :] = 1.0 / 32  # derivative, this frame
        network.dense.weight[0, 0] = 1.0
        network.output.weight[:] = 12.0
        network.output.bias[:] = -18.0
    log_mel = LogMel(features, torch.from_numpy(mel_filterbank(features)))
    settings = ModelSettings(features, shape, classes, default_notes(classes), softness_ms=10.0)
    return Checkpoint(settings, log_mel, network.eval())
