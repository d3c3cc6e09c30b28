"""The desk: one signal per class becomes a mix.

Conventions
-----------
- Balances are in dB re the kick and snare.
- The sum is brought to a peak of 1 before the mix bus compresses and saturates it, and after.
- The direct sound of every hit stays at its sample; rooms only add what comes later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from softloc.rendering.beaters import Beater, swirl
from softloc.rendering.filters import (
    Audio,
    Band,
    convolve,
    equalise,
    gains_db,
    highpass,
    lowpass,
)
from softloc.rendering.mixing import BAND_CENTRES_HZ, Strike, total_of
from softloc.rendering.rooms import Room, draw_room, draw_wash, room_response
from softloc.rendering.shaping import (
    Compressor,
    Saturation,
    compress,
    draw_compressor,
    draw_equaliser,
    draw_saturation,
    saturate,
)

#: Range of each class's level re the kick and snare, dB.
BALANCES: Mapping[str, tuple[float, float]] = {
    "KD": (-6.0, 3.0), "SD": (-10.0, 2.0), "HH": (-30.0, -3.0), "TT": (-10.0, 1.0),
    "CY": (-29.0, -1.0), "OT": (-22.0, -3.0),
}  # fmt: skip

#: Classes that set snare wires rattling.
_RATTLING = ("KD", "TT")


@dataclass(frozen=True, slots=True)
class Desk:
    """Balance, equalisers, rooms and mix bus, as drawn.

    Attributes
    ----------
    balances_db : mapping of str to float
        Level of each class.
    equalisers : mapping of str to tuple of Band
        Equaliser of each class; ``mix`` for the whole.
    overhead : Room
        Response of the overhead microphones: close to the drums, all classes.
    overhead_db, room_db, wash_db, rattle_db : float
        Levels re the direct sound: overheads, room, ringing metal, snare wires.
    room, wash : Room
        Their responses.
    channel_compressors : mapping of str to Compressor
        On classes that have one.
    compressor, saturation : or None
        On the mix.
    """

    balances_db: Mapping[str, float]
    equalisers: Mapping[str, tuple[Band, ...]]
    overhead: Room
    overhead_db: float
    room: Room
    room_db: float
    wash: Room
    wash_db: float
    rattle_db: float
    rattle_seed: int
    channel_compressors: Mapping[str, Compressor]
    compressor: Compressor | None
    saturation: Saturation | None


@dataclass(frozen=True, slots=True)
class Channel:
    """One class behind its channel: its signal, and the gain in dB that soft hits got there."""

    audio: Audio
    makeup_db: float


def draw_desk(rng: np.random.Generator) -> Desk:
    """Draw balance, equalisers, rooms and mix bus."""
    balances = {name: float(rng.uniform(*bounds)) for name, bounds in BALANCES.items()}
    strength_db = float(rng.uniform(1.0, 7.0))
    equalisers = {name: draw_equaliser(rng, strength_db) for name in BALANCES}
    # Engineers give a kick weight and click: on records it reaches as high as a hat.
    equalisers["KD"] = (*equalisers["KD"], *_weight_and_click(rng))
    equalisers["mix"] = draw_equaliser(rng, float(rng.uniform(0.5, 4.0)))
    overhead, room, wash = draw_room(rng), draw_room(rng), draw_wash(rng)
    overhead = replace(
        overhead,
        decay_s=float(rng.uniform(0.08, 0.35)),
        predelay_s=float(rng.uniform(0.001, 0.006)),
        early_db=float(rng.uniform(0.0, 12.0)),
    )
    squeezed = {name: draw_compressor(rng) for name in BALANCES if rng.random() < 0.3}
    chances = rng.random(6)
    return Desk(
        balances_db=balances,
        equalisers=equalisers,
        overhead=overhead,
        overhead_db=float(rng.uniform(-30.0, 0.0)) if chances[0] < 0.75 else -120.0,
        room=room,
        room_db=float(rng.uniform(-34.0, -3.0)) if chances[1] < 0.7 else -120.0,
        wash=wash,
        wash_db=float(rng.uniform(-28.0, -7.0)) if chances[2] < 0.4 else -120.0,
        rattle_db=float(rng.uniform(-42.0, -20.0)) if chances[3] < 0.4 else -120.0,
        rattle_seed=int(rng.integers(2**32)),
        channel_compressors=squeezed,
        compressor=draw_compressor(rng) if chances[4] < 0.65 else None,
        saturation=draw_saturation(rng) if chances[5] < 0.5 else None,
    )


def _weight_and_click(rng: np.random.Generator) -> tuple[Band, Band]:
    weight_db, click_db = rng.normal((2.0, 2.0), (3.0, 5.0))
    return (
        Band("low", float(rng.uniform(60.0, 130.0)), float(weight_db)),
        Band("high", float(rng.uniform(2_000.0, 6_000.0)), float(click_db)),
    )


def balance(strikes: Sequence[Strike], desk: Desk) -> tuple[Strike, ...]:
    """Bring every strike to the level of its class."""
    factors = {name: 10 ** (level / 20) for name, level in desk.balances_db.items()}
    return tuple(
        replace(strike, gain=strike.gain * factors[strike.hit.label]) for strike in strikes
    )


def run_channels(buses: Mapping[str, Audio], desk: Desk) -> dict[str, Channel]:
    """Run every class through its channel: equaliser, then compressor with the peak brought back.

    Parameters
    ----------
    buses : mapping of str to ndarray of float32, shape (n_samples,)
        One signal per class.
    desk : Desk
        What was drawn.

    Returns
    -------
    dict of str to Channel
        As many channels.
    """
    return {name: _run_channel(bus, name, desk) for name, bus in buses.items()}


def make_bed(channels: Mapping[str, Channel], desk: Desk, beater: Beater, n_samples: int) -> Audio:
    """Make what lies under the dry drums: overheads, room, wash, rattle, sweeping brushes.

    Parameters
    ----------
    channels : mapping of str to Channel
        What `run_channels` gives.
    desk : Desk
        What was drawn.
    beater : Beater
        Brushes may sweep between the strokes.
    n_samples : int
        Length.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        To be added to the channels; nothing of it precedes a hit.
    """

    def of(*names: str) -> Audio:
        return total_of({n: c.audio for n, c in channels.items() if n in names}, n_samples)

    dry = of(*BALANCES)
    bed = rattle(of(*_RATTLING), desk)
    if beater.swirl_db > -100:
        sweeps = 10 ** (beater.swirl_db / 20) * np.max(np.abs(dry)) * swirl(beater, n_samples)
        dry += sweeps.astype(np.float32)
        bed += sweeps.astype(np.float32)
    for room, level_db in ((desk.overhead, desk.overhead_db), (desk.room, desk.room_db)):
        _add_convolved(bed, dry, room, level_db)
    _add_convolved(bed, of("CY", "HH"), desk.wash, desk.wash_db)
    return bed


def run_mix_bus(mix: Audio, desk: Desk) -> Audio:
    """Equalise, compress and saturate the whole; peak 1, shape (n_samples,) in and out."""
    mix = normalise(equalise(mix, desk.equalisers["mix"]))
    if desk.compressor is not None:
        mix = normalise(compress(mix, desk.compressor))
    if desk.saturation is not None:
        mix = normalise(saturate(mix, desk.saturation))
    return mix


def tones_of(channels: Mapping[str, Channel], desk: Desk) -> dict[str, NDArray[np.float64]]:
    """Tell what the channels do to soft hits of each class, in dB per band."""
    return {
        name: gains_db(desk.equalisers[name], BAND_CENTRES_HZ) + channel.makeup_db
        for name, channel in channels.items()
    }


def _run_channel(bus: Audio, name: str, desk: Desk) -> Channel:
    shaped = equalise(bus, desk.equalisers[name])
    compressor = desk.channel_compressors.get(name)
    peak = float(np.max(np.abs(shaped), initial=0.0))
    if compressor is None or peak == 0.0:
        return Channel(shaped, 0.0)
    squeezed = compress(normalise(shaped), compressor)
    makeup = 1.0 / float(np.max(np.abs(squeezed)))
    return Channel(squeezed * np.float32(peak * makeup), float(20 * np.log10(makeup)))


def rattle(drums: Audio, desk: Desk) -> Audio:
    """Snare wires that answer kick and toms: noise that follows their envelope, a little late."""
    if desk.rattle_db <= -100 or not np.any(drums):
        return np.zeros_like(drums)
    rng = np.random.default_rng(desk.rattle_seed)
    noise = rng.standard_normal(len(drums), dtype=np.float32)
    wires = lowpass(highpass(noise, 1_500.0, 1), 9_000.0, 1)
    envelope = np.maximum(lowpass(np.abs(drums), 12.0, 2), 0.0)
    return np.asarray(10 ** (desk.rattle_db / 20) * 4 * envelope * wires, dtype=np.float32)


def normalise(audio: Audio) -> Audio:
    """Bring the peak to 1; silence stays silent."""
    peak = np.max(np.abs(audio), initial=np.float32(0.0))
    return audio if peak == 0 else np.asarray(audio / peak, dtype=np.float32)


def _add_convolved(mix: Audio, send: Audio, room: Room, level_db: float) -> None:
    if level_db > -100 and np.any(send):
        mix += np.float32(10 ** (level_db / 20)) * convolve(send, room_response(room))
