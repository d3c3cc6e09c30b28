"""Which engine computes a model."""

from __future__ import annotations

import os
from importlib.util import find_spec

from softloc.errors import SettingsError
from softloc.vocabulary import nearest_hint

#: Names of engines; the first leaves the choice to `choose_engine`.
AUTO, TORCH, ONNX = ENGINES = ("auto", "torch", "onnx")

#: Devices on which ONNX Runtime computes.
_PROCESSOR = ("auto", "cpu")

#: Says how many threads a process shall compute with, to all libraries that read it.
THREADS_VARIABLE = "OMP_NUM_THREADS"


def choose_engine(name: str, device: str) -> str:
    """Resolve ``"auto"``: ONNX Runtime where it is installed and no other device is asked for.

    Importing PyTorch takes longer than all that ONNX Runtime does for a song.

    Parameters
    ----------
    name : str
        One of `ENGINES`.
    device : str
        ``"auto"`` or a torch device.

    Returns
    -------
    str
        `TORCH` or `ONNX`.

    Raises
    ------
    SettingsError
        If there is no such engine, it is not installed, or cannot use the device.
    """
    if name not in ENGINES:
        raise SettingsError(f"unknown engine {name!r}{nearest_hint(name, ENGINES)}")
    installed = find_spec("onnxruntime") is not None
    if name == AUTO:
        return ONNX if installed and device in _PROCESSOR else TORCH
    if name == ONNX and not installed:
        raise SettingsError("--engine onnx needs ONNX Runtime: pip install onnxruntime")
    if name == ONNX and device not in _PROCESSOR:
        raise SettingsError(
            f"the engine onnx computes on the processor, not on {device}: use --engine torch"
        )
    return name


def default_threads() -> int:
    """Threads to compute with where nothing else is asked for: one, or `THREADS_VARIABLE`.

    Only the network's products can be shared by threads, which is less than half of the work, and
    they cost more processor time in all. Batches use cores better by ``-j``.
    """
    first, *_ = os.environ.get(THREADS_VARIABLE, "").split(",")  # others are of nested regions
    return max(1, int(first)) if first.strip().isdecimal() else 1
