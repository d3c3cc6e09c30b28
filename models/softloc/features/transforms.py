"""Fourier transforms of frames, without PyTorch.

SciPy transforms several frames at once, in the lanes of the processor's registers, and takes half
of the time that NumPy takes. But ``import scipy.fft`` loads hundreds of modules and costs more
than it saves on a song, so the one that computes is loaded by itself. Where that is not possible,
or does not answer like NumPy, NumPy it is: no more than the last digits depend on it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Frames (n, size) of float32 to their transforms (n, size // 2 + 1) of complex64, written to the
#: second array.
Transform = Callable[[NDArray[np.float32], NDArray[np.complex64]], None]

# Where SciPy keeps what computes. It is private to SciPy: nothing here takes for granted that it is
# there, or what it takes.
_PLACES = ("fft/_pocketfft/pypocketfft", "fft/_duccfft/pyduccfft")  # the latter from SciPy 1.18


@functools.cache
def real_transform() -> Transform:
    """Choose what transforms frames: SciPy's code where it can be had, or NumPy's."""
    try:
        transform = _scipy_transform()
        if _answers_like_numpy(transform):
            return transform
    except Exception:  # noqa: BLE001 - whatever became of SciPy's private parts
        return numpy_transform
    return numpy_transform


def numpy_transform(frames: NDArray[np.float32], out: NDArray[np.complex64]) -> None:
    """Transform frames by NumPy, as `Transform`."""
    spectrum: Any = out  # NumPy says complex128 of the transform of float32, and gives complex64
    np.fft.rfft(frames, out=spectrum)


def _scipy_transform() -> Transform:
    """Find SciPy's transform.

    Raises
    ------
    ImportError
        If it is not there, or cannot be loaded.
    """
    # Under SciPy's own name: a process that has this module twice, because it imports SciPy later,
    # ends with a crash (seen with 1.13 to 1.16.0, no longer with 1.16.3).
    path, name = _find_module()
    module: Any = sys.modules.get(name)
    if module is None:
        module = sys.modules[name] = _load_without_scipy(path, name)
    compute = module.r2c

    def transform(frames: NDArray[np.float32], out: NDArray[np.complex64]) -> None:
        compute(frames, axes=(1,), out=out, nthreads=1)

    return transform


def _find_module() -> tuple[Path, str]:
    """Find SciPy's extension module: its file, and SciPy's name for it."""
    found = find_spec("scipy")
    folders = found.submodule_search_locations if found is not None else None
    for folder in folders or ():
        for place in _PLACES:
            for suffix in EXTENSION_SUFFIXES:
                if (path := Path(folder, place + suffix)).is_file():
                    return path, f"scipy.{place.replace('/', '.')}"
    raise ImportError(f"SciPy has none of {', '.join(_PLACES)}")


def _load_without_scipy(path: Path, name: str) -> ModuleType:
    """Load SciPy's extension module and nothing else of it."""
    loader = ExtensionFileLoader(name, str(path))
    spec = spec_from_loader(name, loader)
    if spec is None:
        raise ImportError(f"{path} cannot be loaded")
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def _answers_like_numpy(transform: Transform) -> bool:
    frames = np.linspace(-1.0, 1.0, 5 * 12, dtype=np.float32).reshape(5, 12) ** 3
    out, expected = (np.zeros((5, 7), np.complex64) for _ in range(2))
    transform(frames, out)
    numpy_transform(frames, expected)
    return np.allclose(out, expected, atol=1e-5)
