"""Play a sound font into a backing pack: ``python -m benchmarks.drums.soundfonts -o DIR``.

Fetches Fluid R3 (Debian's ``fluid-soundfont-gm``, MIT) into ``DIR/packages`` and writes
``DIR/soundfont-v1/<instrument>/*.flac`` (44.1 kHz mono 16 bit, notes at 2.0 ms) with a
``manifest.csv`` of the columns of the backing pack, which is written last. Instruments are the
programs of General MIDI but percussion and sound effects. Needs ``tinysoundfont`` (on PyPI; install
it with ``--no-deps``: only its live playback needs more).
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import soundfile as sf

from benchmarks.drums.packages import FLUID_SOUNDFONT, ensure_package
from softloc.errors import SettingsError, SoftLocError
from softloc.files import atomic_path, write_text_atomic
from softloc.rendering.backing import COLUMNS, NOTE_START_S
from softloc.rendering.filters import Audio
from softloc.rendering.kits import SAMPLE_RATE_HZ, find_onset

#: Counts up whenever a pack would sound other than before.
PACK_VERSION = 1

#: Programs from here on are percussion and effects.
N_PROGRAMS = 112
BASSES = range(32, 40)

_VELOCITIES = (60, 112)
_HELD_S, _NOTE_S = 2.2, 3.0
_SOUNDFONT = "usr/share/sounds/sf2/FluidR3_GM.sf2"
_MANIFEST = "manifest.csv"


def ensure_pack(folder: Path) -> Path:
    """Folder of the pack below `folder`, which is written unless it is there."""
    pack = folder / f"soundfont-v{PACK_VERSION}"
    if not (pack / _MANIFEST).is_file():
        write_pack(ensure_package(FLUID_SOUNDFONT, folder / "packages") / _SOUNDFONT, pack)
    return pack


def write_pack(soundfont: Path, folder: Path) -> None:
    """Play every pitched program of a sound font note by note.

    Parameters
    ----------
    soundfont : Path
        An ``.sf2`` file of General MIDI.
    folder : Path
        Where the pack goes.

    Raises
    ------
    SettingsError
        If ``tinysoundfont`` is not installed, or cannot read the file.
    OutputError
        If a file cannot be written.
    """
    player = _Player(soundfont)
    rows = [row for program in range(N_PROGRAMS) for row in _write_program(player, program, folder)]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(folder / _MANIFEST, text.getvalue())


def instrument_name(program: int) -> str:
    """Name of a program: ``gm_033_electric_bass_finger``."""
    name = pretty_midi.program_to_instrument_name(program).lower()
    return f"gm_{program:03d}_{re.sub('[^a-z0-9]+', '_', name).strip('_')}"


def family_name(program: int) -> str:
    """Name of a program's section of General MIDI; basses and guitars are sections of their own."""
    section = pretty_midi.program_to_instrument_class(program).lower()
    return f"gm_{re.sub('[^a-z0-9]+', '_', section).strip('_')}"


class _Player:
    """A sound font, loaded."""

    def __init__(self, soundfont: Path) -> None:
        try:
            import tinysoundfont  # noqa: PLC0415 - only whoever renders the corpus needs it
        except ImportError:
            raise SettingsError(
                "tinysoundfont is missing: pip install --no-deps tinysoundfont"
            ) from None
        self._synth: Any = tinysoundfont.Synth(samplerate=SAMPLE_RATE_HZ)
        try:
            self._font = self._synth.sfload(str(soundfont))
        except Exception as error:
            raise SettingsError(f"cannot read {soundfont}: {error}") from error

    def note(self, program: int, pitch: int, velocity: int) -> Audio:
        """Play one note, mono, shape (n_samples,)."""
        self._synth.program_select(0, self._font, 0, program)
        self._synth.noteon(0, pitch, velocity)
        held = self._generate(_HELD_S)
        self._synth.noteoff(0, pitch)
        released = self._generate(_NOTE_S - _HELD_S)
        self._synth.sounds_off()
        self._generate(0.1)
        return np.concatenate([held, released])

    def _generate(self, duration_s: float) -> Audio:
        stereo = np.frombuffer(
            bytes(self._synth.generate(round(duration_s * SAMPLE_RATE_HZ))), dtype=np.float32
        )
        return np.asarray(stereo.reshape(-1, 2).mean(axis=1), dtype=np.float32)


def _write_program(player: _Player, program: int, folder: Path) -> Iterator[dict[str, object]]:
    name = instrument_name(program)
    pitches = range(26, 62, 5) if program in BASSES else range(36, 97, 6)
    for pitch in pitches:
        for layer, velocity in enumerate(_VELOCITIES, start=1):
            note = prepare(player.note(program, pitch, velocity))
            if note is None:
                continue
            path = f"{name}/{pitch}_l{layer}.flac"
            with atomic_path(folder / path) as temporary:
                sf.write(temporary, note, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
            yield {
                "path": path,
                "instrument": name,
                "family": family_name(program),
                "split": "train",
                "midi_note": pitch,
                "layer": layer,
                "licence": FLUID_SOUNDFONT.licence,
                "author": FLUID_SOUNDFONT.author,
                "source": f"{FLUID_SOUNDFONT.name} {FLUID_SOUNDFONT.version}, program {program}",
                "tuning_cents": "",
            }


def prepare(note: Audio) -> Audio | None:
    """Move a note's onset to where a backing pack has it, and bring its peak to -1 dBFS.

    Parameters
    ----------
    note : ndarray of float32, shape (n_samples,)
        As it was played.

    Returns
    -------
    ndarray of float32, shape (n_samples,), or None
        Faded out at its end; None if nothing sounds at this pitch.
    """
    peak = float(np.max(np.abs(note), initial=0.0))
    if peak < 1e-4:
        return None
    lead = round(NOTE_START_S * SAMPLE_RATE_HZ)
    onset = find_onset(note)
    note = np.concatenate(
        [np.zeros(max(0, lead - onset), np.float32), note[max(0, onset - lead) :]]
    )
    fade = min(len(note), round(0.05 * SAMPLE_RATE_HZ))
    note[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return np.asarray(note * np.float32(10 ** (-1 / 20) / peak), dtype=np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pack; the exit code is 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drums.soundfonts")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of pack and font")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        pack = ensure_pack(options.output)
    except SoftLocError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{pack}, {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
