"""Real guitars without drums: ``python -m benchmarks.drums.guitars -o DIR``.

Fetches the songs of Frets on Fire (Debian's ``fretsonfire-songs-sectoid``, MIT, and
``fretsonfire-songs-muldjord``, CC-BY-SA-3.0: weights may be trained on them with credit) into
``DIR/packages``, and writes their guitar tracks in pieces to ``DIR/guitars/audio/*.flac``, with a
``labels.csv`` that names every piece and labels nothing, and a ``manifest.json`` of the credits.
The labels are written last.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from benchmarks.drums.packages import MULDJORD_SONGS, SECTOID_SONGS, Package, ensure_package
from softloc.errors import SoftLocError
from softloc.files import atomic_path, write_text_atomic
from softloc.rendering.accompaniment import rms
from softloc.rendering.filters import Audio
from softloc.rendering.kits import SAMPLE_RATE_HZ

#: Where the packages have their songs.
_SONGS = "usr/share/games/fretsonfire/data/songs"

_PIECE_S = 40.0
#: Pieces softer than this are pauses.
_SILENT = 10 ** (-50 / 20)


def ensure_guitars(folder: Path) -> Path:
    """Folder of the guitars below `folder`, which are written unless they are there."""
    corpus = folder / "guitars"
    labels = corpus / "labels.csv"
    if not labels.is_file():
        rows = [
            row
            for package in (SECTOID_SONGS, MULDJORD_SONGS)
            for row in _write_package(package, ensure_package(package, folder / "packages"), corpus)
        ]
        manifest = {"instruments": credits_of(rows)}
        write_text_atomic(corpus / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "time_s", "label"])
        writer.writerows([file, "", ""] for file, _, _ in rows)
        write_text_atomic(labels, text.getvalue())
    return corpus


def credits_of(rows: Sequence[tuple[str, str, Package]]) -> list[dict[str, object]]:
    """Credit every song, in the form of the renderer's manifests."""
    songs = {(song, package) for _, song, package in rows}
    return [
        {
            "instrument": f"guitar track of {song}",
            "family": package.name,
            "licence": package.licence,
            "author": package.author,
            "samples": sum((song, package) == row[1:] for row in rows),
        }
        for song, package in sorted(songs, key=lambda pair: pair[0])
    ]


def _write_package(
    package: Package, files: Path, corpus: Path
) -> Iterator[tuple[str, str, Package]]:
    """Write the pieces of all songs; yields file name, song and package of each."""
    for track in sorted((files / _SONGS).glob("*/*/guitar.ogg")):
        song = track.parent.name
        slug = re.sub("[^a-z0-9]+", "-", song.lower())
        for number, piece in enumerate(cut(track)):
            if rms(piece) < _SILENT:
                continue
            name = f"audio/{slug}-{number:02d}.flac"
            with atomic_path(corpus / name) as temporary:
                sf.write(temporary, piece, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
            yield name, song, package


def cut(track: Path) -> list[Audio]:
    """Cut a track into mono pieces of equal length, at most `_PIECE_S`."""
    audio, rate_hz = sf.read(track, dtype="float32", always_2d=True)
    if rate_hz != SAMPLE_RATE_HZ:
        raise SoftLocError(f"{track} is at {rate_hz} Hz, not {SAMPLE_RATE_HZ}")
    n_pieces = max(1, int(np.ceil(len(audio) / (_PIECE_S * SAMPLE_RATE_HZ))))
    return np.array_split(audio.mean(axis=1, dtype=np.float32), n_pieces)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the guitars; the exit code is 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drums.guitars")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for everything")
    options = parser.parse_args(arguments)
    try:
        print(ensure_guitars(options.output), flush=True)
    except SoftLocError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
