"""No stage moves an onset: first sample at -30 dB re the hit's peak, within 0.1 ms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from softloc.rendering.beaters import Beater, strike_with, swirl
from softloc.rendering.desk import draw_desk, make_bed, normalise, run_channels, run_mix_bus
from softloc.rendering.filters import Band, convolve, equalise, gains_db, lowpass, one_pole
from softloc.rendering.recording import (
    background,
    draw_medium,
    limit_bandwidth,
    pass_codec,
    record,
    set_level,
)
from softloc.rendering.rooms import draw_room, draw_wash, room_response
from softloc.rendering.shaping import (
    compress,
    draw_compressor,
    draw_equaliser,
    draw_saturation,
    saturate,
)

RATE_HZ = 44_100
ONSET = 20_000
TOLERANCE = 4  # samples; 0.1 ms are 4.4
SEEDS = range(30)
STICKS = Beater("sticks", 0, 0.005, -120.0, 1.0)


@pytest.fixture
def hit(burst):
    audio = np.zeros(2 * RATE_HZ, dtype=np.float32)
    sound = burst(5, 0.3, 0.05)
    audio[ONSET - 88 : ONSET - 88 + len(sound)] = sound
    return normalise(audio)


def mix_down(buses, desk, beater, n_samples):
    channels = run_channels(buses, desk)
    bed = make_bed(channels, desk, beater, n_samples)
    return run_mix_bus(bed + sum(channel.audio for channel in channels.values()), desk)


@pytest.mark.parametrize("seed", SEEDS)
def test_equaliser(hit, onset_of, seed):
    shaped = equalise(hit, draw_equaliser(np.random.default_rng(seed), 6.0))
    assert abs(onset_of(shaped) - ONSET) <= TOLERANCE
    assert not np.any(shaped[:ONSET])


@pytest.mark.parametrize("draw", [draw_room, draw_wash])
@pytest.mark.parametrize("seed", SEEDS)
def test_room(hit, onset_of, draw, seed):
    response = room_response(draw(np.random.default_rng(seed)))
    assert np.sum(response.astype(float) ** 2) == pytest.approx(1.0, rel=1e-3)
    assert np.abs(response[:40]).max() < 0.01
    wet = hit + convolve(hit, response)
    assert abs(onset_of(wet) - ONSET) <= TOLERANCE
    # Convolution by FFT: what precedes the onset is rounding noise.
    assert np.abs(wet[: ONSET - 1]).max() < 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_compressor(hit, onset_of, seed):
    squeezed = compress(hit, draw_compressor(np.random.default_rng(seed)))
    assert abs(onset_of(squeezed) - ONSET) <= TOLERANCE
    assert len(squeezed) == len(hit)


@pytest.mark.parametrize("seed", SEEDS)
def test_saturation(hit, onset_of, seed):
    bent = saturate(hit, draw_saturation(np.random.default_rng(seed)))
    assert abs(onset_of(bent) - ONSET) <= TOLERANCE
    assert not np.any(bent[:ONSET])


@pytest.mark.parametrize("seed", SEEDS)
def test_bandwidth(hit, onset_of, seed):
    medium = draw_medium(np.random.default_rng(seed))
    medium = replace(medium, lowest_hz=120.0, highest_hz=4_500.0 + 300 * seed)
    assert abs(onset_of(limit_bandwidth(hit, medium)) - ONSET) <= TOLERANCE


@pytest.mark.parametrize("codec", ["OGG", "MP3"])
def test_codec_is_aligned_and_as_long(hit, codec):
    medium = replace(draw_medium(np.random.default_rng(0)), codec=codec, codec_loss=0.3)
    coded = pass_codec(hit, medium)
    assert coded.shape == hit.shape
    assert np.abs(coded).max() <= 1.0
    size = 1 << 18
    cross = np.fft.irfft(np.fft.rfft(coded, size) * np.conj(np.fft.rfft(hit, size)))
    assert np.argmax(cross) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_whole_chain_up_to_the_noise(hit, onset_of, seed):
    rng = np.random.default_rng(seed)
    mix = mix_down({"SD": hit}, draw_desk(rng), STICKS, len(hit))
    assert np.abs(mix).max() == pytest.approx(1.0)
    medium = replace(draw_medium(rng), codec=None, noise_db=-90.0, hum_hz=0.0)
    recorded = record(mix, background(medium, len(hit)), medium)
    assert abs(onset_of(recorded) - ONSET) <= TOLERANCE
    assert np.abs(recorded).max() <= 1.0


def test_compressor_reduces_by_its_ratio_and_lets_go():
    tone = np.sin(2 * np.pi * 2000 * np.arange(2 * RATE_HZ) / RATE_HZ).astype(np.float32)
    tone[RATE_HZ:] *= 0.01
    compressor = replace(
        draw_compressor(np.random.default_rng(0)),
        threshold_db=-20.0,
        ratio=4.0,
        attack_s=0.005,
        release_s=0.05,
    )
    squeezed = compress(tone, compressor)
    level_db = 20 * np.log10(np.abs(squeezed[RATE_HZ // 2 : RATE_HZ - 100]).max())
    assert level_db == pytest.approx(-15.0, abs=0.2)
    np.testing.assert_allclose(squeezed[-5000:], tone[-5000:], atol=1e-4)


def test_equaliser_does_what_its_gains_say():
    bands = (Band("low", 200.0, 6.0), Band("peak", 1000.0, -9.0, 1.0), Band("high", 5000.0, 3.0))
    impulse = np.zeros(1 << 15, dtype=np.float32)
    impulse[0] = 1.0
    response = 20 * np.log10(np.abs(np.fft.rfft(equalise(impulse, bands))))
    frequencies_hz = np.fft.rfftfreq(1 << 15, 1 / RATE_HZ)
    picked = [np.argmin(np.abs(frequencies_hz - f)) for f in (30, 1000, 3000, 15_000)]
    expected = gains_db(bands, frequencies_hz[picked])
    np.testing.assert_allclose(response[picked], expected, atol=0.05)
    assert expected[0] == pytest.approx(6.0, abs=0.4)
    assert expected[3] == pytest.approx(3.0, abs=0.4)


def test_soft_parts_pass_saturation_unchanged():
    quiet = np.full(100, 1e-4, dtype=np.float32)
    for seed in range(10):
        bent = saturate(quiet, draw_saturation(np.random.default_rng(seed)))
        np.testing.assert_allclose(bent, quiet, rtol=2e-3)


def test_levels_from_faint_to_clipped(hit):
    assert np.abs(set_level(hit, -40.0)).max() == pytest.approx(0.01, rel=1e-4)
    clipped = set_level(hit, 9.0)
    assert np.abs(clipped).max() == 1.0
    assert np.sum(np.abs(clipped) == 1.0) > 10
    silence = np.zeros(10, dtype=np.float32)
    assert set_level(silence, -3.0) is silence


@pytest.mark.parametrize("kind", ["rods", "brushes", "mallets"])
def test_beaters_soften_but_nothing_sounds_ahead(hit, onset_of, kind):
    struck = strike_with(hit, Beater(kind, 3, 0.01, -120.0, 1.0))
    assert np.abs(struck).max() == pytest.approx(1.0, rel=1e-3)
    assert ONSET <= onset_of(struck) + 1 <= ONSET + 0.01 * RATE_HZ
    assert strike_with(hit, STICKS) is hit


def test_sweeping_brushes_swell():
    noise = swirl(Beater("brushes", 3, 0.01, -30.0, 2.0), 2 * RATE_HZ)
    assert np.std(noise) == pytest.approx(1.0, rel=1e-3)
    blocks = np.sqrt(np.mean(noise.reshape(-1, RATE_HZ // 20) ** 2, axis=1))
    assert blocks.max() > 3 * blocks.min()


def test_a_channel_keeps_its_peak(hit):
    desk = draw_desk(np.random.default_rng(0))
    compressor = draw_compressor(np.random.default_rng(1))
    (plain,) = run_channels({"SD": hit}, replace(desk, channel_compressors={})).values()
    squeezing = replace(desk, channel_compressors={"SD": compressor})
    (squeezed,) = run_channels({"SD": hit}, squeezing).values()
    assert np.abs(squeezed.audio).max() == pytest.approx(np.abs(plain.audio).max(), rel=1e-4)
    assert plain.makeup_db == 0.0 < squeezed.makeup_db
    # What lies below the threshold is raised by just the make-up gain.
    gain_db = 20 * np.log10(np.abs(squeezed.audio[ONSET]) / np.abs(plain.audio[ONSET]))
    assert gain_db == pytest.approx(squeezed.makeup_db, abs=0.5)


def test_nothing_breaks_on_silence():
    silence = np.zeros(1000, dtype=np.float32)
    desk = draw_desk(np.random.default_rng(4))
    assert not np.any(mix_down({"SD": silence}, desk, STICKS, 1000))
    assert not np.any(compress(silence, draw_compressor(np.random.default_rng(0))))
    assert len(compress(silence[:0], draw_compressor(np.random.default_rng(0)))) == 0
    assert len(one_pole(np.zeros(0), 0.5)) == 0
    assert not np.any(lowpass(silence, 1000.0))
