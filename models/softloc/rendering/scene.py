"""Scenes: a whole recording drawn, rendered and labelled.

Conventions
-----------
- A scene is drawn from one generator and depends on nothing else: not on scenes before it.
- The order of draws is performance, drum set, desk, medium, strikes: whoever changes it changes
  every corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from softloc.events import Onset
from softloc.rendering.desk import (
    Desk,
    balance,
    draw_desk,
    make_bed,
    run_channels,
    run_mix_bus,
    tones_of,
)
from softloc.rendering.drumset import DrumSet, DrumSetSettings, draw_drumset
from softloc.rendering.filters import Audio
from softloc.rendering.grooves import Groove, Note
from softloc.rendering.kits import SAMPLE_RATE_HZ, KitPack, Sample
from softloc.rendering.mixing import (
    SampleBank,
    Strike,
    add_strike,
    audible,
    labels_of,
    place_strikes,
    plan_strikes,
    total_of,
)
from softloc.rendering.performance import Performance, PerformanceSettings, draw_performance
from softloc.rendering.recording import Medium, background, draw_medium, record


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """What scenes are made of."""

    performance: PerformanceSettings = field(default_factory=PerformanceSettings)
    drumset: DrumSetSettings = field(default_factory=DrumSetSettings)


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered recording.

    Attributes
    ----------
    audio : ndarray of float32, shape (n_samples,)
        44.1 kHz mono, within -1 to 1.
    onsets : tuple of Onset
        Its labels.
    performance : Performance
        What was played.
    samples : tuple of Sample
        Every sample that was used, in order of name.
    desk : Desk
        How it was mixed.
    medium : Medium
        How it was recorded.
    """

    audio: Audio
    onsets: tuple[Onset, ...]
    performance: Performance
    samples: tuple[Sample, ...]
    desk: Desk
    medium: Medium

    def record(self) -> dict[str, Any]:
        """Give what was drawn, as plain values for a JSON file."""
        return {
            "sections": list(self.performance.sources),
            "samples": [sample.name for sample in self.samples],
            "desk": asdict(self.desk),
            "medium": asdict(self.medium),
        }


def render_scene(
    rng: np.random.Generator,
    pack: KitPack,
    grooves: Sequence[Groove],
    settings: SceneSettings,
    bank: SampleBank,
    *,
    notes_of: Callable[[Groove], tuple[Note, ...]] | None = None,
) -> Scene:
    """Draw and render one recording.

    Parameters
    ----------
    rng : Generator
        Source of chance; equal generators give equal scenes.
    pack : KitPack
        Kits of one split.
    grooves : sequence of Groove
        Grooves of the same split.
    settings : SceneSettings
        Shares and ranges.
    bank : SampleBank
        Keeps decoded samples from scene to scene; what it holds changes nothing but the speed.
    notes_of : callable, optional
        Gives the notes of a groove; reads its file by default.

    Returns
    -------
    Scene
        Audio, labels and what was drawn.
    """
    performance = draw_performance(rng, grooves, settings.performance, notes_of)
    drumset = draw_drumset(rng, pack, settings.drumset)
    desk = draw_desk(rng)
    medium = draw_medium(rng)
    strikes = plan_strikes(rng, performance.hits, drumset)
    strikes = balance(strikes, desk)
    n_samples = round(performance.duration_s * SAMPLE_RATE_HZ)
    bank.forget_variants()
    noise = background(medium, n_samples)
    audio, strikes = play(strikes, drumset, bank, desk, noise)
    audio = record(run_mix_bus(audio, desk), noise, medium)
    return Scene(
        audio=audio,
        onsets=tuple(labels_of(strikes)),
        performance=performance,
        samples=samples_of(strikes, drumset),
        desk=desk,
        medium=medium,
    )


def samples_of(strikes: Sequence[Strike], drumset: DrumSet) -> tuple[Sample, ...]:
    """List every sample that some strikes use, once, by name."""
    used: dict[str, Sample] = {}
    for strike in strikes:
        sample = drumset.voices[strike.hit.articulation].drum.samples[strike.sample]
        used[sample.name] = sample
    return tuple(used[name] for name in sorted(used))


def play(
    strikes: Sequence[Strike], drumset: DrumSet, bank: SampleBank, desk: Desk, noise: Audio
) -> tuple[Audio, tuple[Strike, ...]]:
    """Place the strikes, mix them, and take away again those that nobody could hear.

    Parameters
    ----------
    strikes : sequence of Strike
        Balanced strikes.
    drumset : DrumSet
        Their voices.
    bank : SampleBank
        Their samples.
    desk : Desk
        How they are mixed.
    noise : ndarray of float32, shape (n_samples,)
        Background noise re a peak of 1: it masks, too.

    Returns
    -------
    mix : ndarray of float32, shape (n_samples,)
        What goes to the mix bus.
    strikes : tuple of Strike
        Those that are heard.
    """
    buses = place_strikes(strikes, drumset, bank, len(noise))
    channels = run_channels(buses, desk)
    bed = make_bed(channels, desk, drumset.beater, len(noise))
    mix = bed + total_of({name: channel.audio for name, channel in channels.items()}, len(noise))
    noise = noise * np.max(np.abs(mix), initial=np.float32(0.0))
    tones_db = tones_of(channels, desk)
    heard = audible(strikes, drumset, bank, mix=mix + noise, tones_db=tones_db)
    if np.all(heard):
        return mix, tuple(strikes)
    for strike, is_heard in zip(strikes, heard, strict=True):
        if not is_heard:
            sound = bank.sound(drumset.voices[strike.hit.articulation], strike)
            add_strike(buses[strike.hit.label], sound, strike, sign=-1.0)
    # The bed stays: what the rooms answered to unheard hits is softer still.
    channels = run_channels(buses, desk)
    mix = bed + total_of({name: channel.audio for name, channel in channels.items()}, len(noise))
    return mix, tuple(s for s, is_heard in zip(strikes, heard, strict=True) if is_heard)
