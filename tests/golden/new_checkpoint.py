"""Write the golden model file of a new format version, once and never again.

``checkpoint-format1.safetensors`` was written by softloc 0.1.0 and must load for ever: so this
writes a file for the present version only where there is none. A click is heard wherever all bands
rise at once; the weights of LSTM and velocities are drawn, and small, so that a part that is not
loaded changes the answer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from softloc.checkpoints import Checkpoint, save_checkpoint
from softloc.features import FeatureSettings, LogMel, mel_filterbank
from softloc.formats import write_onsets
from softloc.model_files import FORMAT_VERSION, ModelSettings
from softloc.network import ConvStage, NetworkSettings, OnsetNetwork
from softloc.pipeline import from_checkpoint
from softloc.velocity import VelocityReadOut

GOLDEN = Path(__file__).parent
RATE_HZ = 8_000
TIMES_S = (0.1, 0.5, 0.7331, 1.2)


def golden_signal() -> np.ndarray:
    """Decaying noise that starts at `TIMES_S`, each softer than the one before."""
    rng = np.random.default_rng(0)
    samples = np.zeros(round(1.5 * RATE_HZ))
    for number, time_s in enumerate(TIMES_S):
        start = round(time_s * RATE_HZ)
        burst = rng.normal(size=800) * np.exp(-np.arange(800) / 150.0)
        samples[start : start + 800] += 0.3 * 0.8**number * burst
    return samples


def make_checkpoint() -> Checkpoint:
    """A network of every part that a model file can hold."""
    torch.manual_seed(0)
    features = FeatureSettings(
        sample_rate_hz=RATE_HZ, hop_samples=80, window_samples=256, fft_samples=256, n_bands=16,
        min_hz=100.0, max_hz=4_000.0,
    )  # fmt: skip
    stages = (ConvStage(1, bands=4, stride=4), ConvStage(1, bands=1, pool=4))
    shape = NetworkSettings(
        n_classes=2, n_bands=16, stages=stages, lstm_units=2, dense_units=2, lstm_delay_frames=2
    )
    velocity = VelocityReadOut(
        weight=torch.rand(2, 16).numpy(),
        mean=np.array([90.0, 0.0], dtype=np.float32),
        known=np.array([True, False]),
    )
    settings = ModelSettings(
        features, shape, ("KD", "door slam"), (36, None), softness_ms=20.0, event_mass=2.0,
        n_members=2,
    )  # fmt: skip
    log_mel = LogMel(features, torch.from_numpy(mel_filterbank(features)))
    first, second = make_network(shape, -7.0), make_network(shape, -8.0)
    return Checkpoint(settings, log_mel, first, {"licence": "MIT"}, velocity, (second,))


def make_network(shape: NetworkSettings, bias: float) -> OnsetNetwork:
    """Draw the weights of a member that hears clicks; the less bias the rarer."""
    network = OnsetNetwork(shape)
    with torch.no_grad():
        first, second = (m for m in network.convolutions if isinstance(m, torch.nn.Conv2d))
        first.weight.zero_()
        first.weight[0, 1, 1, :] = 0.25  # derivative, this frame
        second.weight.zero_()
        second.weight[0, 0, 1, 0] = 1.0
        network.dense.weight.mul_(0.05)
        network.dense.weight[0, 0] = 1.0
        network.output.weight.mul_(0.05)
        network.output.weight[:, 0] = 4.0
        network.output.bias[:] = torch.tensor([bias, bias - 2.0])
    return network.eval()


if __name__ == "__main__":
    path = GOLDEN / f"checkpoint-format{FORMAT_VERSION}.safetensors"
    if path.exists():
        sys.exit(f"{path.name} is there already, and stays")
    save_checkpoint(path, make_checkpoint())
    onsets = from_checkpoint(make_checkpoint()).transcribe(golden_signal(), RATE_HZ)
    write_onsets(GOLDEN / f"{path.stem}.json", onsets)
    sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes, {len(onsets)} events\n")
