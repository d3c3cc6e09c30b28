"""What predictions look like around real events (Figures 4, 8 and 9 of the paper).

An event is looked at if no other of its class lies within `ALONE_S`, and `REACH_S` to either side
of it are inside the recording: what is found there is its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softloc.events import Onset
from softloc.model_files import ModelSettings

REACH_S = 0.15
ALONE_S = 0.30
#: An event is sharp if two neighbouring frames hold this share of its mass.
SHARP_SHARE = 0.9
#: An event is missed if there is less mass than this around it.
LEAST_MASS = 0.5
ERROR_BINS_MS = tuple(range(-150, 151, 5))
_EXAMPLES = 3

Floats = NDArray[np.floating]


def describe_predictions(
    probabilities: Mapping[str, Floats],
    references: Mapping[str, list[Onset]],
    estimates: Mapping[str, list[Onset]],
    model: ModelSettings,
) -> dict[str, Any]:
    """Describe mass and spread per event, the mean curve, examples, and errors in time.

    Parameters
    ----------
    probabilities : Mapping of str to ndarray of shape (n_classes, n_frames)
        Of each recording.
    references, estimates : Mapping of str to list of Onset
        Exact labels, and what was decoded.
    model : ModelSettings
        Classes, frames, and mass of an event.

    Returns
    -------
    dict
        ``events``; ``mass_mean``, ``mass_std``, in events; of events with mass ``spread_frames``
        (mean standard deviation of the mass in time) and ``sharp_share``; ``mean_curve`` and
        ``examples``, probabilities by frame around the event; ``error_counts`` by
        `ERROR_BINS_MS`.
    """
    grid = model.features.grid
    reach = round(grid.seconds_to_frames(REACH_S).item())
    cuts = [
        probabilities[name][row, frame - reach : frame + reach + 1]
        for name, row, frame in _lonely(references, probabilities, model)
    ]
    if not cuts:
        return {"events": 0, "error_counts": _errors(references, estimates)}
    around = np.stack(cuts).astype(np.float64)  # (events, 2 · reach + 1)
    masses = around.sum(axis=1) / model.event_mass
    found = around[masses >= LEAST_MASS]
    return {
        "events": len(around),
        "hop_ms": round(1000.0 * grid.hop_s, 3),
        "mass_mean": round(float(masses.mean()), 3),
        "mass_std": round(float(masses.std()), 3),
        "found": len(found),
        "spread_frames": round(float(_spreads(found).mean()), 3) if len(found) else None,
        "sharp_share": round(float(_is_sharp(found).mean()), 3) if len(found) else None,
        "mean_curve": [round(float(value), 4) for value in around.mean(axis=0)],
        "examples": [[round(float(p), 4) for p in row] for row in around[:_EXAMPLES]],
        "error_counts": _errors(references, estimates),
    }


def _lonely(
    references: Mapping[str, list[Onset]], probabilities: Mapping[str, Floats], model: ModelSettings
) -> Iterator[tuple[str, int, int]]:
    """Yield recording, class and nearest frame of the events to look at."""
    grid = model.features.grid
    reach = round(grid.seconds_to_frames(REACH_S).item())
    for name, onsets in references.items():
        for row, label in enumerate(model.classes):
            times_s = np.sort([onset.time_s for onset in onsets if onset.label == label])
            if not len(times_s):
                continue
            gaps_s = np.diff(times_s, prepend=-np.inf, append=np.inf)
            alone = np.minimum(gaps_s[:-1], gaps_s[1:]) > ALONE_S
            for frame in grid.nearest_frames(times_s[alone]).tolist():
                if reach <= frame < probabilities[name].shape[1] - reach:
                    yield name, row, frame


def _spreads(around: Floats) -> Floats:
    """Return the standard deviation of each row's mass, in frames."""
    places = np.arange(around.shape[1], dtype=np.float64)
    shares = around / around.sum(axis=1, keepdims=True)
    centres = shares @ places
    return np.asarray(np.sqrt(np.maximum(shares @ places**2 - centres**2, 0.0)))


def _is_sharp(around: Floats) -> NDArray[np.bool_]:
    """Tell whether two neighbouring frames hold nearly all of each row's mass."""
    pairs = around[:, 1:] + around[:, :-1]
    return np.asarray(pairs.max(axis=1) >= SHARP_SHARE * around.sum(axis=1))


def _errors(
    references: Mapping[str, list[Onset]], estimates: Mapping[str, list[Onset]]
) -> list[int]:
    """Count estimates by their distance to the nearest event of their class."""
    errors_ms: list[float] = []
    for name, onsets in references.items():
        for label in {onset.label for onset in onsets}:
            truth = np.sort([onset.time_s for onset in onsets if onset.label == label])
            found = np.array([o.time_s for o in estimates[name] if o.label == label])
            if len(found):
                errors = found[:, None] - truth
                nearest = np.abs(errors).argmin(axis=1)
                errors_ms += (1000.0 * errors[np.arange(len(found)), nearest]).tolist()
    counts, _ = np.histogram(errors_ms, ERROR_BINS_MS)
    return [int(count) for count in counts]
