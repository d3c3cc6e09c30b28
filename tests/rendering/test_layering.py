from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from softloc.rendering.drumset import DrumSetSettings, draw_drumset
from softloc.rendering.kits import find_onset, load_pack
from softloc.rendering.layering import Layer, draw_layer, sample_beside, stack
from softloc.rendering.mixing import plan_strikes
from softloc.rendering.performance import Hit
from softloc.rendering.scene import samples_of

RATE_HZ = 44_100


def tone(frequency_hz, start, length):
    audio = np.zeros(start + length, dtype=np.float32)
    time_s = np.arange(length) / RATE_HZ
    audio[start:] = np.exp(-time_s / 0.05) * np.cos(2 * np.pi * frequency_hz * time_s)
    return audio


@pytest.fixture
def drum(kits):
    return load_pack(kits).select("train", ("A", "B")).articulation("snare")[0]


@pytest.mark.parametrize(("first_start", "second_start"), [(100, 30), (30, 100)])
def test_layers_begin_together(drum, first_start, second_start):
    first, second = tone(200.0, first_start, 4_000), tone(900.0, second_start, 6_000)
    layer = Layer(drum, -6.0, None)
    stacked = stack(first, 0.1 * second, layer)
    assert find_onset(stacked) == first_start
    by_hand = np.zeros(len(stacked))
    by_hand[: len(first)] += first
    by_hand[first_start : first_start + 6_000] += 10 ** (-6 / 20) * second[second_start:]
    np.testing.assert_allclose(stacked, by_hand, atol=1e-6)


def test_each_layer_keeps_its_side_of_the_crossover(drum):
    first = tone(100.0, 50, 20_000) + tone(8_000.0, 50, 20_000)
    second = tone(150.0, 50, 20_000) + tone(9_000.0, 50, 20_000)
    stacked = stack(first, second, Layer(drum, 0.0, 1_000.0))
    spectrum = np.abs(np.fft.rfft(stacked))

    def near(frequency_hz):
        centre = round(frequency_hz * len(stacked) / RATE_HZ)
        return spectrum[centre - 3 : centre + 4].max()

    assert near(100.0) > 10 * near(8_000.0)
    assert near(9_000.0) > 10 * near(150.0)


def test_silence_changes_nothing(drum):
    first = tone(200.0, 30, 1_000)
    np.testing.assert_array_equal(
        stack(first, np.zeros(99, np.float32), Layer(drum, 0, 9.0)), first
    )


def test_loud_goes_with_loud(drum):
    many = replace(drum, samples=tuple(replace(drum.samples[0], name=str(i)) for i in range(3)))
    layer = Layer(many, 0.0, None)
    assert [sample_beside(layer, index, 6).name for index in range(6)] == list("001122")
    assert sample_beside(layer, 0, 1).name == "1"


def test_ranges(drum):
    rng = np.random.default_rng(0)
    layers = [draw_layer(rng, drum, is_metal=is_metal) for is_metal in (True, False) * 50]
    crossovers_hz = [layer.crossover_hz for layer in layers if layer.crossover_hz is not None]
    assert 20 < len(crossovers_hz) < 80
    assert all(180 <= frequency_hz <= 7_000 for frequency_hz in crossovers_hz)
    assert all(-12 <= layer.level_db <= 3 for layer in layers)


def test_layered_sets_name_all_that_sounds(kits):
    pack = load_pack(kits).select("train", ("A", "B"))
    settings = DrumSetSettings(layer_share=1.0, blend_share=1.0)
    layered = 0
    for seed in range(8):
        drumset = draw_drumset(np.random.default_rng(seed), pack, settings)
        for name, voice in drumset.voices.items():
            if voice.layer is None:
                continue
            assert voice.layer.drum != voice.drum
            strikes = plan_strikes(np.random.default_rng(1), [Hit(0.1, name, 90)], drumset)
            used = {sample.name for sample in samples_of(strikes, drumset)}
            assert used & {sample.name for sample in voice.layer.drum.samples}
            assert used & {sample.name for sample in voice.drum.samples}
            layered += 1
    assert layered
