"""Render a drum corpus: ``python -m benchmarks.drums.render --split train --minutes 120 -o DIR``.

Reads one-shots and grooves from ``$SOFTLOC_DATA/drumkit`` and ``$SOFTLOC_DATA/grooves``, pitched
notes from ``$SOFTLOC_DATA/backing`` where that is there (without it the accompaniment is all
synthesised), and writes ``DIR/audio/*.flac`` (44.1 kHz mono 16 bit), ``DIR/labels.csv`` (file,
time_s, label, midi_note, velocity), ``DIR/pitched.csv`` (the same of the accompaniment's notes) and
``DIR/manifest.json``. A run that was interrupted goes on where it stopped.
``--kits`` and ``--backing`` may be given several times: the packs are merged.
``--synthetic-kits 80`` adds kits that are synthesised first, into ``DIR/kits``.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from benchmarks.drums.corpus import CorpusSettings, load_packs, render_corpus
from benchmarks.drums.synthesise import ensure_pack
from softloc.errors import SettingsError, SoftLocError
from softloc.rendering.accompaniment import AccompanimentSettings
from softloc.rendering.manifests import SPLITS
from softloc.rendering.scene import SceneSettings

DATA_VARIABLE = "SOFTLOC_DATA"


def data_folder(name: str, chosen: Path | None = None) -> Path:
    """Folder of a data pack: the chosen one, or ``$SOFTLOC_DATA/name``.

    Raises
    ------
    SettingsError
        If nothing was chosen and the variable is unset, or there is no such folder.
    """
    if chosen is None:
        root = os.environ.get(DATA_VARIABLE)
        if not root:
            raise SettingsError(
                f"where is the {name} pack? Set {DATA_VARIABLE} to the folder that holds it, "
                f"or name it with --{'kits' if name == 'drumkit' else name}"
            )
        chosen = Path(root) / name
    if not chosen.is_dir():
        raise SettingsError(f"there is no folder {chosen}")
    return chosen


def backing_folders(chosen: Sequence[Path]) -> list[Path]:
    """Folders of the backing packs: the chosen ones, ``$SOFTLOC_DATA/backing``, or none.

    Raises
    ------
    SettingsError
        If a folder was chosen that is not there.
    """
    if chosen:
        return [data_folder("backing", folder) for folder in chosen]
    root = os.environ.get(DATA_VARIABLE)
    found = Path(root) / "backing" if root else None
    return [found] if found is not None and found.is_dir() else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Render a corpus; the exit code is 0, or 1 with one sentence on stderr."""
    options = _parse(arguments)
    tiers = ("A", "B", "P") if options.tier_p else ("A", "B")
    shares = (0.0, 0.0) if options.no_accompaniment else (options.accompanied, options.alone)
    scene = replace(SceneSettings(), accompaniment=AccompanimentSettings(*shares))
    settings = CorpusSettings(options.split, options.seed, tiers, scene)
    command = shlex.join(["python", "-m", "benchmarks.drums.render", *(arguments or sys.argv[1:])])
    names = ("numpy", "scipy", "soundfile", "mido")
    versions = {"python": platform.python_version()} | {n: metadata.version(n) for n in names}
    started = time.monotonic()

    def progress(n_scenes: int, seconds: float) -> None:
        if n_scenes % 20 == 0 or seconds >= 60 * options.minutes:
            speed = seconds / (time.monotonic() - started)
            print(f"{n_scenes} scenes, {seconds / 60:.1f} min, {speed:.0f} x real time", flush=True)

    try:
        kits = [data_folder("drumkit", folder) for folder in options.kits or [None]]
        if options.synthetic_kits:
            if options.split != "train":
                raise SettingsError("synthetic kits are of split train only")
            folder = options.output / "kits"
            kits.append(ensure_pack(folder, options.synthetic_kits, options.seed, options.jobs))
        packs = load_packs(
            kits,
            data_folder("grooves", options.grooves),
            settings,
            [] if options.no_accompaniment else backing_folders(options.backing),
        )
        render_corpus(
            packs,
            settings,
            options.minutes,
            options.output,
            header={"command": command, "versions": versions},
            progress=progress,
            jobs=options.jobs,
        )
    except SoftLocError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drums.render")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--minutes", type=float, default=120.0, help="at least so much audio")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the corpus")
    parser.add_argument(
        "--kits",
        type=Path,
        action="append",
        help=f"drum kit pack (${DATA_VARIABLE}/drumkit); several are merged",
    )
    parser.add_argument(
        "--synthetic-kits", type=int, default=0, metavar="N", help="add N synthesised kits"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side (%(default)s)")
    parser.add_argument("--grooves", type=Path, help=f"groove pack (${DATA_VARIABLE}/grooves)")
    parser.add_argument(
        "--tier-p", action="store_true", help="use kits without a licence file, too"
    )
    parser.add_argument(
        "--backing",
        type=Path,
        action="append",
        default=[],
        help=f"pack of pitched notes (${DATA_VARIABLE}/backing, if there); several are merged",
    )
    shares = AccompanimentSettings()
    parser.add_argument(
        "--accompanied",
        type=_share,
        default=shares.share,
        metavar="SHARE",
        help="share of the scenes in which instruments play beside the drums (%(default)s)",
    )
    parser.add_argument(
        "--alone",
        type=_share,
        default=shares.alone_share,
        metavar="SHARE",
        help="share of the scenes in which they play without drums (%(default)s)",
    )
    parser.add_argument(
        "--no-accompaniment", action="store_true", help="drums only: both shares are 0"
    )
    options = parser.parse_args(arguments)
    if options.accompanied + options.alone > 1:
        parser.error("--accompanied and --alone add up to more than 1")
    return options


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share between 0 and 1")
    return share


if __name__ == "__main__":
    sys.exit(main())
