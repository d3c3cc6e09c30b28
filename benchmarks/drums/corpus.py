"""A rendered corpus on disk: audio, labels, and where everything came from.

Conventions
-----------
- ``audio/<split>-<index>.flac`` is complete when ``parts/<split>-<index>.json`` stands beside it:
  the part is written last. A corpus can thus be interrupted and taken up again.
- The scene of an index depends on seed, split and index alone.
- ``labels.csv`` (drums), ``pitched.csv`` (notes of the accompaniment) and ``manifest.json`` are
  written when all parts are there, from the parts. A recording without labels has a row of its
  name alone.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset
from softloc.files import atomic_path, write_text_atomic
from softloc.rendering.backing import BackingPack, load_backing
from softloc.rendering.grooves import Groove, load_grooves, read_notes
from softloc.rendering.kits import SAMPLE_RATE_HZ, KitPack, load_pack
from softloc.rendering.mixing import SampleBank
from softloc.rendering.scene import Scene, SceneSettings, render_scene

GROOVE_CREDIT = (
    "Groove MIDI Dataset, Google LLC; J. Gillick, A. Roberts, J. Engel, D. Eck, D. Bamman, "
    '"Learning to Groove with Inverse Sequence Transformations", ICML 2019. CC BY 4.0.'
)

#: Counts up whenever equal seeds give other audio than before.
RENDERER_VERSION = 6

_SPLIT_NUMBERS = {"train": 0, "valid": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class CorpusSettings:
    """What is rendered; together with the packs it decides every sample of the audio."""

    split: str
    seed: int
    tiers: tuple[str, ...]
    scene: SceneSettings


@dataclass(frozen=True, slots=True)
class Packs:
    """Kits, grooves and recorded instruments (None: all are synthesised) of one split."""

    kits: KitPack
    grooves: tuple[Groove, ...]
    backing: BackingPack | None = None


def load_packs(
    kits: Path, grooves: Path, settings: CorpusSettings, backing: Path | None = None
) -> Packs:
    """Read the packs and keep one split; raise if nothing is left to play."""
    chosen = load_pack(kits).select(settings.split, settings.tiers)
    if not chosen.drums:
        raise SettingsError(
            f"{kits} has no kits of split {settings.split} in tiers {', '.join(settings.tiers)}"
        )
    played = tuple(g for g in load_grooves(grooves) if g.split == settings.split)
    if not played:
        raise SettingsError(f"{grooves} has no grooves of split {settings.split}")
    instruments = None if backing is None else load_backing(backing).select(settings.split)
    return Packs(chosen, played, instruments)


def scene_generator(settings: CorpusSettings, index: int) -> np.random.Generator:
    """Make the generator of one scene: from seed, split and index, nothing else."""
    return np.random.default_rng([settings.seed, _SPLIT_NUMBERS[settings.split], index])


def render_corpus(
    packs: Packs,
    settings: CorpusSettings,
    minutes: float,
    folder: Path,
    *,
    header: Mapping[str, Any],
    progress: Callable[[int, float], None],
) -> None:
    """Render scenes until there are enough minutes, then write labels and manifest.

    Parameters
    ----------
    packs : Packs
        Kits, grooves and instruments.
    settings : CorpusSettings
        What to render.
    minutes : float
        At least so much audio; the last scene is complete.
    folder : Path
        Where the corpus goes. Complete scenes that are there already are kept.
    header : mapping
        Further entries of the manifest.
    progress : callable
        Told the number of scenes and the seconds of audio after each scene.

    Raises
    ------
    SettingsError
        If the folder holds a corpus of other settings, or of other instruments.
    """
    fingerprint = _fingerprint(settings, packs.backing)
    bank = SampleBank()
    notes_of = functools.lru_cache(maxsize=None)(lambda groove: read_notes(groove.path))
    parts: list[dict[str, Any]] = []
    seconds = 0.0
    while seconds < 60 * minutes:
        index = len(parts)
        part = _read_part(folder, settings.split, index, fingerprint)
        if part is None:
            rng = scene_generator(settings, index)
            scene = render_scene(
                rng,
                packs.kits,
                packs.grooves,
                settings.scene,
                bank,
                notes_of=notes_of,
                backing=packs.backing,
            )
            part = _write_scene(scene, folder, settings.split, index, fingerprint)
        parts.append(part)
        seconds += part["duration_s"]
        progress(len(parts), seconds)
    _write_labels(folder / "labels.csv", parts, "labels")
    _write_labels(folder / "pitched.csv", parts, "pitched")
    manifest = {**header, "settings": asdict(settings), "renderer_version": RENDERER_VERSION}
    manifest |= summarise(parts, packs.kits, packs.backing)
    write_text_atomic(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def summarise(
    parts: Sequence[Mapping[str, Any]], kits: KitPack, backing: BackingPack | None = None
) -> dict[str, Any]:
    """Count what a corpus was made of: files, hits per class, sources with their licences."""
    samples = {sample.name: sample for drum in kits.drums for sample in drum.samples}
    uses: dict[str, int] = {}
    classes: dict[str, int] = {}
    grooves: dict[str, int] = {}
    for part in parts:
        _count(uses, part["samples"])
        _count(classes, [label[1] for label in part["labels"]])
        _count(grooves, part["sections"])
    sources: dict[tuple[str, ...], int] = {}
    for name in uses:
        sample = samples[name]
        key = (sample.kit, sample.family, sample.licence, sample.tier, sample.author)
        sources[key] = sources.get(key, 0) + 1
    fields = ("kit", "family", "licence", "tier", "author")
    return {
        "files": len(parts),
        "seconds": round(sum(part["duration_s"] for part in parts), 3),
        "hits": dict(sorted(classes.items())),
        "kits": [
            dict(zip(fields, key, strict=True)) | {"samples": count}
            for key, count in sorted(sources.items())
        ],
        "samples": dict(sorted(uses.items())),
        "sections": dict(sorted(grooves.items())),
        "groove_credit": GROOVE_CREDIT,
        **_summarise_accompaniment(parts, backing),
    }


def _summarise_accompaniment(
    parts: Sequence[Mapping[str, Any]], backing: BackingPack | None
) -> dict[str, Any]:
    """Count accompanied files, notes, and the recorded instruments with their licences."""
    played = [part["accompaniment"] for part in parts if part["accompaniment"] is not None]
    uses: dict[str, int] = {}
    for part in parts:
        _count(uses, part["pitched_samples"])
    instruments: dict[tuple[str, ...], int] = {}
    for instrument in () if backing is None else backing.instruments:
        for sample in instrument.samples:
            if sample.name in uses:
                key = (instrument.name, instrument.family, sample.licence, sample.author)
                instruments[key] = instruments.get(key, 0) + 1
    fields = ("instrument", "family", "licence", "author")
    return {
        "accompanied": sum(not accompaniment["alone"] for accompaniment in played),
        "without_drums": sum(accompaniment["alone"] for accompaniment in played),
        "pitched_notes": sum(len(part["pitched"]) for part in parts),
        "instruments": [
            dict(zip(fields, key, strict=True)) | {"samples": count}
            for key, count in sorted(instruments.items())
        ],
        "pitched_samples": dict(sorted(uses.items())),
    }


def _count(counts: dict[str, int], names: Iterable[str]) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1


def _fingerprint(settings: CorpusSettings, backing: BackingPack | None) -> str:
    instruments = () if backing is None else backing.instruments
    recorded = [sample.name for instrument in instruments for sample in instrument.samples]
    text = json.dumps([RENDERER_VERSION, asdict(settings), recorded], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _part_paths(folder: Path, split: str, index: int) -> tuple[Path, Path]:
    name = f"{split}-{index:05d}"
    return folder / "audio" / f"{name}.flac", folder / "parts" / f"{name}.json"


def _read_part(folder: Path, split: str, index: int, fingerprint: str) -> dict[str, Any] | None:
    audio, path = _part_paths(folder, split, index)
    if not (audio.is_file() and path.is_file()):
        return None
    try:
        part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = part["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(f"{path} is damaged: delete it to render it again") from error
    if found != fingerprint:
        raise SettingsError(
            f"{path} was rendered with other settings: choose an empty folder for this corpus"
        )
    return part


def _write_scene(
    scene: Scene, folder: Path, split: str, index: int, fingerprint: str
) -> dict[str, Any]:
    audio, path = _part_paths(folder, split, index)
    with atomic_path(audio) as temporary:
        sf.write(temporary, scene.audio, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    part = {
        "fingerprint": fingerprint,
        "file": audio.relative_to(folder).as_posix(),
        "duration_s": len(scene.audio) / SAMPLE_RATE_HZ,
        "labels": _rows_of(scene.onsets),
        "pitched": _rows_of(scene.accompaniment_onsets),
        **scene.record(),
    }
    write_text_atomic(path, json.dumps(part) + "\n")
    return part


def _rows_of(onsets: Iterable[Onset]) -> list[list[Any]]:
    return [[f"{o.time_s:.6f}", o.label, o.midi_note, o.velocity] for o in onsets]


def _write_labels(path: Path, parts: Sequence[Mapping[str, Any]], name: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "time_s", "label", "midi_note", "velocity"])
    for part in parts:
        # A recording that is not in the table would be taken for one that nobody labelled.
        rows = part[name] or [[""] * 4]
        writer.writerows([part["file"], *row] for row in rows)
    write_text_atomic(path, text.getvalue())
