"""Which engine computes a model."""

from __future__ import annotations

from importlib.util import find_spec

from softloc.errors import SettingsError
from softloc.vocabulary import nearest_hint

#: Names of engines; the first leaves the choice to `choose_engine`.
AUTO, TORCH, ONNX = ENGINES = ("auto", "torch", "onnx")

#: Devices on which ONNX Runtime computes.
_PROCESSOR = ("auto", "cpu")


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
