"""The network: shapes, causality, cutting anywhere, costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from softloc.errors import SettingsError
from softloc.network import OnsetNetwork, multiplications_per_frame, tensor_shapes
from softloc.presets import SIZES, get_size


def make(size: str, *, bidirectional: bool = False) -> OnsetNetwork:
    torch.manual_seed(0)
    return OnsetNetwork(SIZES[size].network(3, bidirectional=bidirectional)).eval()


def random_features(network: OnsetNetwork, n_frames: int) -> torch.Tensor:
    shape = network.settings
    total = shape.look_back_frames + n_frames + shape.look_ahead_frames
    return torch.randn(2, total, 2, shape.n_bands, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_shapes(size: str, bidirectional: bool) -> None:
    network = make(size, bidirectional=bidirectional)
    logits, _ = network(random_features(network, 50))
    assert logits.shape == (2, 3, 50)


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_cut_anywhere_the_logits_are_the_same(size: str) -> None:
    network = make(size)
    features = random_features(network, 90)
    context = network.settings.look_back_frames + network.settings.look_ahead_frames
    whole, _ = network(features)
    state, parts, start = None, [], 0
    for n_frames in (1, 30, 7, 52):
        part, state = network(features[:, start : start + n_frames + context], state)
        parts.append(part)
        start += n_frames
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_delayed_lstm_answers_with_what_it_holds_later() -> None:
    """Slow literal version: the LSTM over all frames, its answers moved by the delay."""
    shape = replace(SIZES["small"].network(3), lstm_delay_frames=4)
    torch.manual_seed(0)
    network = OnsetNetwork(shape).eval()
    features = random_features(network, 20)
    encoded = network.encode(features)
    assert encoded.shape[1] == 24
    hidden, _ = network.lstm(encoded)
    expected = network.read_out(encoded[:, :20], hidden[:, 4:])
    torch.testing.assert_close(network(features)[0], expected)


def test_a_delay_that_makes_no_sense_is_refused() -> None:
    shape = SIZES["small"].network(3)
    with pytest.raises(ValueError, match="not -1"):
        replace(shape, lstm_delay_frames=-1)
    with pytest.raises(ValueError, match="not 3"):
        replace(shape, lstm_delay_frames=3, bidirectional=True)


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_one_direction_looks_no_farther_ahead_than_it_says(size: str) -> None:
    network = make(size)
    features = random_features(network, 40)
    changed = features.clone()
    changed_frame = 25 + network.settings.look_back_frames + network.settings.look_ahead_frames + 1
    changed[:, changed_frame:] *= 100.0
    before, after = network(features)[0], network(changed)[0]
    torch.testing.assert_close(before[:, :, :26], after[:, :, :26], atol=1e-6, rtol=0)
    assert (before[:, :, 26] - after[:, :, 26]).abs().max() > 1e-5


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_every_band_is_heard(size: str) -> None:
    network = make(size)
    features = random_features(network, 5)
    encoded = network.encode(features)
    for band in range(network.settings.n_bands):
        changed = features.clone()
        changed[:, :, :, band] += 10.0
        assert not torch.allclose(network.encode(changed), encoded, atol=1e-6), band


def test_start_expects_silence() -> None:
    network = make("small")
    network.expect_silence(300)
    torch.nn.init.zeros_(network.output.weight)
    logits, _ = network(random_features(network, 150))
    no_event = (1 - logits.sigmoid()).prod(dim=2)
    torch.testing.assert_close(no_event, torch.full_like(no_event, 0.8), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_multiplications_agree_with_counted_ones(size: str) -> None:
    network = make(size)
    counted = network.dense.weight.numel() + network.output.weight.numel()
    counted += sum(p.numel() for name, p in network.lstm.named_parameters() if "weight" in name)

    def count(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal counted
        counted += module.weight.numel() * output.shape[3]

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    network(random_features(network, 1))
    assert multiplications_per_frame(network.settings) == counted


def test_sizes_are_found_by_name() -> None:
    assert get_size("paper").features.hop_samples == 220
    with pytest.raises(SettingsError, match="did you mean 'large'"):
        get_size("lage")


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    "variant", [{}, {"batch_norm": False}, {"dense_sees_convolutions": False}], ids=str
)
def test_tensors_are_named_without_making_them(
    name: str, bidirectional: bool, variant: dict[str, bool]
) -> None:
    settings = replace(SIZES[name].network(3, bidirectional=bidirectional), **variant)
    made = OnsetNetwork(settings).state_dict()
    assert tensor_shapes(settings) == {key: tuple(value.shape) for key, value in made.items()}
