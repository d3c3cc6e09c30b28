"""softloc: point events from audio, trained through sloppy labels.

>>> import softloc
>>> events = softloc.load("drums").transcribe("song.wav")  # doctest: +SKIP

The public names are imported when they are first used, so that ``import softloc`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softloc.errors import SoftLocError
    from softloc.events import Corpus, Onset
    from softloc.formats import Provenance, read_corpus, read_onsets, write_onsets
    from softloc.loss import SoftLocLoss, count_nll, soft_localization_loss, softloc_loss
    from softloc.pipeline import Transcriber, Transcription, load
    from softloc.streaming import Stream

_HOMES = {
    "Corpus": "events",
    "Onset": "events",
    "Provenance": "formats",
    "SoftLocError": "errors",
    "SoftLocLoss": "loss",
    "Stream": "streaming",
    "Transcriber": "pipeline",
    "Transcription": "pipeline",
    "count_nll": "loss",
    "load": "pipeline",
    "read_corpus": "formats",
    "read_onsets": "formats",
    "soft_localization_loss": "loss",
    "softloc_loss": "loss",
    "write_onsets": "formats",
}

__all__ = [
    "Corpus",
    "Onset",
    "Provenance",
    "SoftLocError",
    "SoftLocLoss",
    "Stream",
    "Transcriber",
    "Transcription",
    "count_nll",
    "load",
    "read_corpus",
    "read_onsets",
    "soft_localization_loss",
    "softloc_loss",
    "write_onsets",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softloc' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"softloc.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
