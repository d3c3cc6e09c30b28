"""Waveform to log-mel-spectrogram with its first time-derivative (`softloc.features.settings`).

What needs PyTorch is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from softloc.features.numpy_log_mel import (
    NumpyLogMel,
    compress_magnitudes,
    magnitude_levels,
)
from softloc.features.settings import (
    LEAD_IN_S,
    LEVEL_FLOOR,
    LOG_GAIN,
    FeatureSettings,
    analysis_window,
    mel_filterbank,
)

if TYPE_CHECKING:
    from softloc.features.log_mel import LogMel, band_levels, compress

__all__ = [
    "LEAD_IN_S",
    "LEVEL_FLOOR",
    "LOG_GAIN",
    "FeatureSettings",
    "LogMel",
    "NumpyLogMel",
    "analysis_window",
    "band_levels",
    "compress",
    "compress_magnitudes",
    "magnitude_levels",
    "mel_filterbank",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'softloc.features' has no attribute {name!r}")
    return getattr(importlib.import_module("softloc.features.log_mel"), name)
