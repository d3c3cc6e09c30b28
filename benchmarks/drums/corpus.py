"""A rendered corpus on disk: audio, labels, and where everything came from.

Conventions
-----------
- ``audio/<split>-<index>.flac`` is complete when ``parts/<split>-<index>.json`` stands beside it:
  the part is written last. A corpus can thus be interrupted and taken up again.
- The scene of an index depends on seed, split and index alone.
- ``labels.csv`` and ``manifest.json`` are written when all parts are there, from the parts.
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
from softloc.files import atomic_path, sha256_of_files, write_text_atomic
from softloc.rendering.grooves import Groove, load_grooves, read_notes
from softloc.rendering.kits import SAMPLE_RATE_HZ, KitPack, load_pack, merge_packs
from softloc.rendering.mixing import SampleBank
from softloc.rendering.scene import Scene, SceneSettings, render_scene

GROOVE_CREDIT = (
    "Groove MIDI Dataset, Google LLC; J. Gillick, A. Roberts, J. Engel, D. Eck, D. Bamman, "
    '"Learning to Groove with Inverse Sequence Transformations", ICML 2019. CC BY 4.0.'
)

#: Counts up whenever equal seeds give other audio than before.
RENDERER_VERSION = 3

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
    """Kits and grooves of one split, and the SHA-256 of each kit pack's manifest."""

    kits: KitPack
    grooves: tuple[Groove, ...]
    digests: tuple[str, ...]


def load_packs(kits: Sequence[Path], grooves: Path, settings: CorpusSettings) -> Packs:
    """Read kit packs and grooves and keep one split; raise if nothing is left to play."""
    merged = merge_packs([load_pack(folder) for folder in kits])
    chosen = merged.select(settings.split, settings.tiers)
    if not chosen.drums:
        raise SettingsError(
            f"{', '.join(map(str, kits))} has no kits of split {settings.split} "
            f"in tiers {', '.join(settings.tiers)}"
        )
    digests = tuple(sha256_of_files(folder, ["manifest.csv"]) for folder in kits)
    played = tuple(g for g in load_grooves(grooves) if g.split == settings.split)
    if not played:
        raise SettingsError(f"{grooves} has no grooves of split {settings.split}")
    return Packs(chosen, played, digests)


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
        Kits and grooves.
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
        If the folder holds a corpus of other settings or kits.
    """
    fingerprint = _fingerprint(settings, packs.digests)
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
                rng, packs.kits, packs.grooves, settings.scene, bank, notes_of=notes_of
            )
            part = _write_scene(scene, folder, settings.split, index, fingerprint)
        parts.append(part)
        seconds += part["duration_s"]
        progress(len(parts), seconds)
    _write_labels(folder / "labels.csv", parts)
    manifest = {**header, "settings": asdict(settings), "renderer_version": RENDERER_VERSION}
    manifest |= {"kit_packs": list(packs.digests)} | summarise(parts, packs.kits)
    write_text_atomic(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def summarise(parts: Sequence[Mapping[str, Any]], kits: KitPack) -> dict[str, Any]:
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
    }


def _count(counts: dict[str, int], names: Iterable[str]) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1


def _fingerprint(settings: CorpusSettings, digests: Sequence[str]) -> str:
    text = json.dumps([RENDERER_VERSION, asdict(settings), *digests], sort_keys=True)
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
            f"{path} was rendered with other settings or kits: "
            "choose an empty folder for this corpus"
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
        "labels": [
            [f"{onset.time_s:.6f}", onset.label, onset.midi_note, onset.velocity]
            for onset in scene.onsets
        ],
        **scene.record(),
    }
    write_text_atomic(path, json.dumps(part) + "\n")
    return part


def _write_labels(path: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "time_s", "label", "midi_note", "velocity"])
    for part in parts:
        writer.writerows([part["file"], *label] for label in part["labels"])
    write_text_atomic(path, text.getvalue())
