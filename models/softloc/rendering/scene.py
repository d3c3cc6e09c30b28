"""Scenes: a whole recording drawn, rendered and labelled.

Conventions
-----------
- A scene is drawn from one generator and depends on nothing else: not on scenes before it.
- The order of draws is performance, drum set, desk, medium, strikes, accompaniment: whoever
  changes it changes every corpus. The accompaniment has a generator of its own, so that scenes
  without it do not depend on it.
- Which strikes are heard is decided among the drums; under an accompaniment those are dropped, too,
  that lie more than `DROWNED_DB` below it in each band.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softloc.events import Onset
from softloc.rendering.accompaniment import (
    Accompaniment,
    AccompanimentSettings,
    draw_accompaniment,
    mix_level,
    notes_labels,
    render_accompaniment,
)
from softloc.rendering.backing import BackingPack, PitchedSample
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
from softloc.rendering.layering import sample_beside
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

#: Drums that lie further below the accompaniment in each band are not labelled.
DROWNED_DB = 25.0

#: Stands for the sections of a scene without drums.
ALONE = "alone"


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """What scenes are made of."""

    performance: PerformanceSettings = field(default_factory=PerformanceSettings)
    drumset: DrumSetSettings = field(default_factory=DrumSetSettings)
    accompaniment: AccompanimentSettings = field(default_factory=AccompanimentSettings)


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered recording.

    Attributes
    ----------
    audio : ndarray of float32, shape (n_samples,)
        44.1 kHz mono, within -1 to 1.
    onsets : tuple of Onset
        Labels of the drums.
    performance : Performance
        What was played on the drums.
    samples : tuple of Sample
        Every drum sample that was used, in order of name.
    desk : Desk
        How it was mixed.
    medium : Medium
        How it was recorded.
    accompaniment : Accompaniment or None
        What played beside the drums.
    accompaniment_onsets : tuple of Onset
        Labels of its notes.
    """

    audio: Audio
    onsets: tuple[Onset, ...]
    performance: Performance
    samples: tuple[Sample, ...]
    desk: Desk
    medium: Medium
    accompaniment: Accompaniment | None = None
    accompaniment_onsets: tuple[Onset, ...] = ()

    @property
    def pitched_samples(self) -> tuple[PitchedSample, ...]:
        """Every recorded note of the accompaniment, in order of name."""
        return () if self.accompaniment is None else self.accompaniment.samples

    def record(self) -> dict[str, Any]:
        """Give what was drawn, as plain values for a JSON file."""
        return {
            "sections": list(self.performance.sources),
            "samples": [sample.name for sample in self.samples],
            "desk": asdict(self.desk),
            "medium": asdict(self.medium),
            "pitched_samples": [sample.name for sample in self.pitched_samples],
            "accompaniment": None if self.accompaniment is None else self.accompaniment.record(),
        }


def render_scene(
    rng: np.random.Generator,
    pack: KitPack,
    grooves: Sequence[Groove],
    settings: SceneSettings,
    bank: SampleBank,
    *,
    notes_of: Callable[[Groove], tuple[Note, ...]] | None = None,
    backing: BackingPack | None = None,
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
    backing : BackingPack, optional
        Recorded instruments of the same split; without it the accompaniment is all synthesised.

    Returns
    -------
    Scene
        Audio, labels and what was drawn.
    """
    performance = draw_performance(rng, grooves, settings.performance, notes_of)
    return render_performance(rng, performance, pack, settings, bank, backing=backing)


def render_performance(
    rng: np.random.Generator,
    performance: Performance,
    pack: KitPack,
    settings: SceneSettings,
    bank: SampleBank,
    *,
    backing: BackingPack | None = None,
) -> Scene:
    """Draw drum set, desk, medium and accompaniment for a performance, and render it.

    Parameters
    ----------
    performance : Performance
        What is played.
    rng, pack, settings, bank, backing
        As for `render_scene`.

    Returns
    -------
    Scene
        Audio, labels and what was drawn.
    """
    drumset = draw_drumset(rng, pack, settings.drumset)
    desk = draw_desk(rng)
    medium = draw_medium(rng)
    strikes = plan_strikes(rng, performance.hits, drumset)
    strikes = balance(strikes, desk)
    own_rng = np.random.default_rng(rng.integers(2**32, size=4))
    accompaniment = draw_accompaniment(own_rng, performance, settings.accompaniment, backing)
    if accompaniment is not None and accompaniment.is_alone:
        performance, strikes = replace(performance, hits=(), sources=(ALONE,)), ()
    n_samples = round(performance.duration_s * SAMPLE_RATE_HZ)
    bank.forget_variants()
    noise = background(medium, n_samples)
    audio, strikes, tones_db = play(strikes, drumset, bank, desk, noise)
    samples = samples_of(strikes, drumset)  # of drums that are drowned below, too: they sound
    notes: tuple[Onset, ...] = ()
    if accompaniment is not None:
        others = render_accompaniment(accompaniment, n_samples)
        others *= mix_level(audio, accompaniment)
        strikes = drop_drowned(strikes, drumset, bank, others, tones_db)
        notes = notes_labels(accompaniment, n_samples)
        audio = audio + others
    audio = record(run_mix_bus(audio, desk), noise, medium)
    return Scene(
        audio=audio,
        onsets=tuple(labels_of(strikes)),
        performance=performance,
        samples=samples,
        desk=desk,
        medium=medium,
        accompaniment=accompaniment,
        accompaniment_onsets=notes,
    )


def drop_drowned(
    strikes: tuple[Strike, ...],
    drumset: DrumSet,
    bank: SampleBank,
    others: Audio,
    tones_db: Mapping[str, NDArray[np.float64]],
) -> tuple[Strike, ...]:
    """Keep the strikes that are heard under an accompaniment, shape (n_samples,)."""
    heard = audible(strikes, drumset, bank, mix=others, tones_db=tones_db, masking_db=DROWNED_DB)
    return tuple(s for s, is_heard in zip(strikes, heard, strict=True) if is_heard)


def samples_of(strikes: Sequence[Strike], drumset: DrumSet) -> tuple[Sample, ...]:
    """List every sample that some strikes use, once, by name."""
    used: dict[str, Sample] = {}
    for strike in strikes:
        voice = drumset.voices[strike.hit.articulation]
        sample = voice.drum.samples[strike.sample]
        used[sample.name] = sample
        if voice.layer is not None:
            beside = sample_beside(voice.layer, strike.sample, len(voice.drum.samples))
            used[beside.name] = beside
    return tuple(used[name] for name in sorted(used))


def play(
    strikes: Sequence[Strike], drumset: DrumSet, bank: SampleBank, desk: Desk, noise: Audio
) -> tuple[Audio, tuple[Strike, ...], dict[str, NDArray[np.float64]]]:
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
    tones_db : dict of str to ndarray, shape (n_bands,)
        What the desk did to soft hits of each class.
    """
    buses = place_strikes(strikes, drumset, bank, len(noise))
    channels = run_channels(buses, desk)
    bed = make_bed(channels, desk, drumset.beater, len(noise))
    mix = bed + total_of({name: channel.audio for name, channel in channels.items()}, len(noise))
    noise = noise * np.max(np.abs(mix), initial=np.float32(0.0))
    tones_db = tones_of(channels, desk)
    heard = audible(strikes, drumset, bank, mix=mix + noise, tones_db=tones_db)
    if np.all(heard):
        return mix, tuple(strikes), tones_db
    for strike, is_heard in zip(strikes, heard, strict=True):
        if not is_heard:
            sound = bank.sound(drumset.voices[strike.hit.articulation], strike)
            add_strike(buses[strike.hit.label], sound, strike, sign=-1.0)
    # The bed stays: what the rooms answered to unheard hits is softer still.
    channels = run_channels(buses, desk)
    mix = bed + total_of({name: channel.audio for name, channel in channels.items()}, len(noise))
    heard_strikes = tuple(s for s, is_heard in zip(strikes, heard, strict=True) if is_heard)
    return mix, heard_strikes, tones_db
