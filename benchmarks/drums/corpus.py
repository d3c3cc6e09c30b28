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

import contextlib
import csv
import hashlib
import io
import itertools
import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from softloc.errors import AnnotationError, SettingsError
from softloc.events import Onset
from softloc.files import atomic_path, sha256_of_files, write_text_atomic
from softloc.rendering.backing import BackingPack, load_backing, merge_backing
from softloc.rendering.grooves import Groove, Note, load_grooves, read_notes
from softloc.rendering.kits import SAMPLE_RATE_HZ, KitPack, load_pack, merge_packs
from softloc.rendering.mixing import SampleBank
from softloc.rendering.scene import Scene, SceneSettings, render_scene

GROOVE_CREDIT = (
    "Groove MIDI Dataset, Google LLC; J. Gillick, A. Roberts, J. Engel, D. Eck, D. Bamman, "
    '"Learning to Groove with Inverse Sequence Transformations", ICML 2019. CC BY 4.0.'
)

#: Counts up whenever equal seeds give other audio than before.
RENDERER_VERSION = 8

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
    """Kits, grooves and recorded instruments (None: all are synthesised) of one split.

    `digests` are the SHA-256 of each kit pack's manifest.
    """

    kits: KitPack
    grooves: tuple[Groove, ...]
    digests: tuple[str, ...]
    backing: BackingPack | None = None


def load_packs(
    kits: Sequence[Path], grooves: Path, settings: CorpusSettings, backing: Sequence[Path] = ()
) -> Packs:
    """Read the packs and keep one split; raise if nothing is left to play."""
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
    instruments = None
    if backing:
        instruments = merge_backing(map(load_backing, backing)).select(settings.split)
    return Packs(chosen, played, digests, instruments)


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
    jobs: int = 1,
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
    jobs : int
        Processes that render side by side; the result is the same for any number.

    Raises
    ------
    SettingsError
        If the folder holds a corpus of other settings, kits or instruments.
    """
    parts: list[dict[str, Any]] = []
    seconds = 0.0
    with contextlib.closing(_parts(packs, settings, folder, jobs)) as rendered:
        while seconds < 60 * minutes:
            parts.append(next(rendered))
            seconds += parts[-1]["duration_s"]
            progress(len(parts), seconds)
    _write_labels(folder / "labels.csv", parts, "labels")
    _write_labels(folder / "pitched.csv", parts, "pitched")
    manifest = {**header, "settings": asdict(settings), "renderer_version": RENDERER_VERSION}
    manifest |= {"kit_packs": list(packs.digests)}
    manifest |= summarise(parts, packs.kits, packs.backing)
    write_text_atomic(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")


class _Renderer:
    """Renders the scenes of a corpus one by one, keeping what they share in memory."""

    def __init__(self, packs: Packs, settings: CorpusSettings, folder: Path) -> None:
        self.packs = packs
        self.settings = settings
        self.folder = folder
        self.fingerprint = _fingerprint(settings, packs)
        self.bank = SampleBank()
        self.notes: dict[Path, tuple[Note, ...]] = {}

    def part(self, index: int) -> dict[str, Any]:
        """Render the scene of an index, unless it is there already."""
        split = self.settings.split
        part = _read_part(self.folder, split, index, self.fingerprint)
        if part is None:
            scene = render_scene(
                scene_generator(self.settings, index),
                self.packs.kits,
                self.packs.grooves,
                self.settings.scene,
                self.bank,
                notes_of=self._notes_of,
                backing=self.packs.backing,
            )
            part = _write_scene(scene, self.folder, split, index, self.fingerprint)
        return part

    def _notes_of(self, groove: Groove) -> tuple[Note, ...]:
        if groove.path not in self.notes:
            self.notes[groove.path] = read_notes(groove.path)
        return self.notes[groove.path]


#: What a process that renders beside others keeps from scene to scene.
_own: list[_Renderer] = []


def _start(packs: Packs, settings: CorpusSettings, folder: Path) -> None:
    _own.append(_Renderer(packs, settings, folder))


def _own_part(index: int) -> dict[str, Any]:
    return _own[0].part(index)


def _parts(
    packs: Packs, settings: CorpusSettings, folder: Path, jobs: int
) -> Generator[dict[str, Any], None, None]:
    """Yield the parts in order, without end; processes render some more ahead."""
    if jobs == 1:
        yield from map(_Renderer(packs, settings, folder).part, itertools.count())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start, (packs, settings, folder)) as pool:
        ahead = deque(pool.submit(_own_part, index) for index in range(2 * jobs))
        try:
            for index in itertools.count(2 * jobs):
                yield ahead.popleft().result()
                ahead.append(pool.submit(_own_part, index))
        finally:
            pool.shutdown(cancel_futures=True)


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


def _fingerprint(settings: CorpusSettings, packs: Packs) -> str:
    instruments = () if packs.backing is None else packs.backing.instruments
    recorded = [sample.name for instrument in instruments for sample in instrument.samples]
    parts = [RENDERER_VERSION, asdict(settings), recorded, *packs.digests]
    text = json.dumps(parts, sort_keys=True)
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
