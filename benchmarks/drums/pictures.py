"""Rendered recordings beside real ones: ``python -m benchmarks.drums.pictures -o pictures.png``.

Draws stretches of a corpus (``--corpus``) beside the recordings of ``$SOFTLOC_DATA/drums-dev``, as
log-mel-spectrograms with their labels, in an order drawn from ``--seed``; ``--blind`` leaves out
which is which and prints it instead, for whoever wants to guess. Needs matplotlib. The pictures are
for looking at: the real recordings may not be passed on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from benchmarks.drums.render import data_folder
from softloc.audio import read_audio
from softloc.errors import SoftLocError
from softloc.events import Onset
from softloc.files import atomic_path
from softloc.formats import read_corpus

_RATE_HZ = 44_100
_HOP = 441
_STRETCH_S = 4.0
#: Before the first label of a stretch, and after the last of a recording.
_MARGIN_S = 0.2
_N_BANDS = 80

#: Where the labels of a class are drawn (band), and in which colour.
_MARKS = {
    "KD": (6, "red"), "SD": (22, "lime"), "TT": (38, "orange"), "OT": (54, "white"),
    "HH": (70, "cyan"), "CY": (76, "magenta"),
}  # fmt: skip


@dataclass(frozen=True)
class Stretch:
    """Some seconds of a recording, and where it comes from."""

    source: str
    path: Path
    start_s: float
    onsets: tuple[Onset, ...]


def choose_stretches(
    labels: Path, source: str, count: int, rng: np.random.Generator
) -> list[Stretch]:
    """Choose stretches that begin with some label, each of another recording.

    Parameters
    ----------
    labels : Path
        Table of a corpus.
    source : str
        What to call it.
    count : int
        At most so many.
    rng : Generator
        Source of chance.

    Returns
    -------
    list of Stretch
        Only of recordings with labels.
    """
    corpus = read_corpus(labels)
    named = sorted(name for name, onsets in corpus.recordings.items() if onsets)
    stretches = []
    for index in rng.permutation(len(named))[:count]:
        onsets = corpus.recordings[named[index]]
        latest_s = max(onset.time_s for onset in onsets) + _MARGIN_S - _STRETCH_S
        first_s = onsets[int(rng.integers(len(onsets)))].time_s - _MARGIN_S
        start_s = max(0.0, min(first_s, latest_s))
        inside = tuple(o for o in onsets if start_s <= o.time_s < start_s + _STRETCH_S)
        stretches.append(Stretch(source, corpus.root / named[index], start_s, inside))
    return stretches


def spectrogram(stretch: Stretch) -> NDArray[np.float32]:
    """Log-mel-spectrogram of a stretch, in dB re its loudest point, shape (n_bands, n_frames)."""
    samples = read_audio(stretch.path, _RATE_HZ).samples
    start = round(stretch.start_s * _RATE_HZ)
    power = librosa.feature.melspectrogram(
        y=samples[start : start + round(_STRETCH_S * _RATE_HZ)],
        sr=_RATE_HZ, hop_length=_HOP, n_mels=_N_BANDS, fmin=30.0, fmax=16_000.0,
    )  # fmt: skip
    return np.asarray(librosa.power_to_db(power, ref=np.max, top_db=70.0), dtype=np.float32)


def draw(stretches: Sequence[Stretch], picture: Path, *, blind: bool) -> None:
    """Draw the stretches in two columns, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    n_rows = -(-len(stretches) // 2)
    figure = Figure(figsize=(16.0, 1.9 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    cells = np.ravel(figure.subplots(n_rows, 2, squeeze=False))
    for number, (axes, stretch) in enumerate(zip(cells, stretches, strict=False)):
        _draw_one(axes, stretch, str(number) if blind else f"{stretch.source} {stretch.path.stem}")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=70, format="png")


def _draw_one(axes: Any, stretch: Stretch, title: str) -> None:
    axes.imshow(
        spectrogram(stretch), origin="lower", aspect="auto", cmap="magma",
        extent=(0.0, _STRETCH_S, 0, _N_BANDS),
    )  # fmt: skip
    for onset in stretch.onsets:
        band, colour = _MARKS[onset.label]
        axes.plot(onset.time_s - stretch.start_s, band, "v", color=colour, markersize=4)
    axes.set_title(title, fontsize=8)
    axes.tick_params(labelsize=6)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the pictures; the exit code is 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drums.pictures")
    parser.add_argument("--corpus", type=Path, required=True, help="a rendered corpus")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture to write")
    parser.add_argument("--count", type=int, default=12, help="recordings of each (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blind", action="store_true", help="number the pictures only")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    try:
        real = data_folder("drums-dev") / "labels.csv"
        stretches = [
            *choose_stretches(real, "real", options.count, rng),
            *choose_stretches(options.corpus / "labels.csv", "rendered", options.count, rng),
        ]
        stretches = [stretches[index] for index in rng.permutation(len(stretches))]
        draw(stretches, options.output, blind=options.blind)
    except SoftLocError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.blind:
        for number, stretch in enumerate(stretches):
            print(number, stretch.source, stretch.path.stem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
