"""Synthesise a kit pack: ``python -m benchmarks.drums.synthesise --kits 80 --seed 0 -o DIR``.

Writes ``DIR/<kit>/*.flac`` (44.1 kHz mono 16 bit, onset at 2.0 ms) and ``DIR/manifest.csv`` with
the columns of the drum kit pack. The manifest is written last: a folder that has one is complete.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile as sf

from softloc.errors import SettingsError, SoftLocError
from softloc.files import atomic_path, write_text_atomic
from softloc.rendering.filters import Audio
from softloc.rendering.kits import COLUMNS, SAMPLE_RATE_HZ
from softloc.rendering.synthesis import ELECTRONIC, PEAK, SYNTHESIS_VERSION, synthesise

#: The onset is at this sample: 2.0 ms.
ONSET = 88

#: Kits are drawn by family, so that all synthetic kits together count as much as six real ones.
ACOUSTIC_FAMILIES = ("synth_a", "synth_b")
ELECTRONIC_FAMILIES = ("synth_c",)

MAIN = ("kick", "snare", "closed", "open", "ride")
CLASSES: Mapping[str, str] = {
    "kick": "KD",
    **dict.fromkeys(("snare", "rimshot", "side_stick", "brush"), "SD"),
    **dict.fromkeys(("closed", "half_open", "open", "pedal"), "HH"),
    **dict.fromkeys(("tom_hi", "tom_mid", "tom_lo"), "TT"),
    **dict.fromkeys(("crash", "splash", "china", "ride", "ride_bell"), "CY"),
    **dict.fromkeys(("clap", "tambourine", "shaker", "cowbell"), "OT"),
}

_LAYERS = 3
_MANIFEST = "manifest.csv"


def write_pack(folder: Path, n_kits: int, seed: int, jobs: int = 1) -> None:
    """Synthesise kits and write them as a kit pack.

    Parameters
    ----------
    folder : Path
        Where the pack goes; what has the names of its files is replaced.
    n_kits : int
        How many kits, at least one. A kit depends on the seed and its number alone.
    seed : int
        Source of everything.
    jobs : int
        Processes that synthesise side by side; the result is the same for any number.

    Raises
    ------
    SettingsError
        If there is no kit to write.
    OutputError
        If a file cannot be written.
    """
    if n_kits < 1:
        raise SettingsError(f"a pack needs at least one kit, not {n_kits}")
    write_kit = partial(_write_kit, folder, seed)
    if jobs == 1:
        kits = [write_kit(number) for number in range(n_kits)]
    else:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            kits = list(pool.map(write_kit, range(n_kits)))
    rows = [row for kit in kits for row in kit]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, "duration_s"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(folder / _MANIFEST, text.getvalue())


def ensure_pack(folder: Path, n_kits: int, seed: int, jobs: int = 1) -> Path:
    """Folder of a pack below `folder` that is written unless it is there; gives its path."""
    pack = folder / f"synthetic-v{SYNTHESIS_VERSION}-{n_kits}-{seed}"
    if not (pack / _MANIFEST).is_file():
        write_pack(pack, n_kits, seed, jobs)
    return pack


def draw_kit(rng: np.random.Generator, *, electronic: bool) -> dict[tuple[str, str], int]:
    """Draw the instruments of a kit: a number for every articulation and name of a drum."""
    cymbals = ["crash"] * int(rng.integers(1, 3)) + [str(rng.choice(["splash", "china"]))]
    percussion = rng.choice(["clap", "tambourine", "shaker", "cowbell"], 2, replace=False)
    groups: list[tuple[str, ...]] = [
        ("kick",),
        *[("snare", "rimshot", "side_stick", "brush")] * int(rng.integers(1, 3)),
        ("closed", "half_open", "open", "pedal"),
        ("tom_hi", "tom_mid", "tom_lo"),
        *((name,) for name in cymbals),
        ("ride", "ride_bell"),
        *((str(name),) for name in percussion),
    ]
    drums = {}
    for group in groups:
        instrument = int(rng.integers(2**32))
        # Letters: numbers at the end of a name would make takes of one drum out of two.
        name = "b" if (group[0], "a") in drums else "a"
        for articulation in group:
            if not electronic or articulation in ELECTRONIC:
                drums[articulation, name] = instrument
    return drums


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a pack; the exit code is 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drums.synthesise")
    parser.add_argument("--kits", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pack")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        write_pack(options.output, options.kits, options.seed, options.jobs)
    except SoftLocError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.kits} kits in {time.monotonic() - started:.0f} s", flush=True)
    return 0


def _write_kit(folder: Path, seed: int, number: int) -> list[dict[str, object]]:
    return list(_write_hits(folder, seed, number))


def _write_hits(folder: Path, seed: int, number: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng([seed, number])
    electronic = number % 3 == 2
    families = ELECTRONIC_FAMILIES if electronic else ACOUSTIC_FAMILIES
    place = number // 3 if electronic else 2 * (number // 3) + number % 3
    kit = f"synth_{number:04d}"
    for (articulation, name), instrument in draw_kit(rng, electronic=electronic).items():
        exponent = rng.uniform(0.3, 0.9) if electronic else rng.uniform(0.7, 1.3)
        for layer, take in _strokes(articulation):
            velocity = layer / _LAYERS
            audio = synthesise(
                articulation,
                np.random.default_rng([seed, number, instrument, layer, take]),
                velocity,
                instrument=instrument,
                electronic=electronic,
            )
            path = f"{kit}/{articulation}_{name}_l{layer}of{_LAYERS}_r{take}.flac"
            _write_hit(folder / path, audio)
            level_db = 20 * exponent * np.log10(velocity) - rng.uniform(0.0, 1.5) * (take - 1)
            yield {
                "path": path,
                "kit": kit,
                "family": families[place % len(families)],
                "split": "train",
                "class": CLASSES[articulation],
                "articulation": articulation,
                "layer": layer,
                "n_layers": _LAYERS,
                "velocity_lo": 127 * (layer - 1) // _LAYERS + 1,
                "velocity_hi": 127 * layer // _LAYERS,
                "source_peak_db": f"{level_db:.2f}",
                "duration_s": f"{len(audio) / SAMPLE_RATE_HZ:.3f}",
                "licence": "CC0-1.0",
                "tier": "A",
                "author": "softloc",
                "source": f"synthesis {SYNTHESIS_VERSION}, seed {seed}, instrument {instrument}",
                "type": "electronic" if electronic else "acoustic",
                "attack_ms": f"{_attack_ms(audio):.2f}",
            }


def _strokes(articulation: str) -> list[tuple[int, int]]:
    """Layers and takes of a drum, from soft to loud: two takes of what is played most."""
    takes = (1, 2) if articulation in MAIN else (1,)
    return [(layer, take) for layer in range(1, _LAYERS + 1) for take in takes]


def _write_hit(path: Path, audio: Audio) -> None:
    with atomic_path(path) as temporary:
        padded = np.pad(audio, (ONSET, 0))
        sf.write(temporary, padded, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")


def _attack_ms(audio: Audio) -> float:
    """From the onset to the first sample above -12 dB re the peak."""
    return float(np.argmax(np.abs(audio) >= PEAK * 10 ** (-12 / 20)) * 1000 / SAMPLE_RATE_HZ)


if __name__ == "__main__":
    sys.exit(main())
