"""Transforms of frames: those of NumPy, whoever computes them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softloc.features import transforms
from softloc.features.transforms import numpy_transform, real_transform


@pytest.fixture
def chosen_anew() -> Iterator[None]:
    real_transform.cache_clear()
    yield
    real_transform.cache_clear()


@settings(max_examples=30)
@given(n_frames=st.integers(1, 40), half=st.integers(1, 600), seed=st.integers(0, 100))
def test_transforms_are_those_of_numpy(n_frames: int, half: int, seed: int) -> None:
    frames = np.random.default_rng(seed).normal(size=(n_frames, 2 * half)).astype(np.float32)
    expected = np.fft.rfft(frames.astype(np.float64))
    for transform in (real_transform(), numpy_transform):
        found = np.empty((n_frames + 1, half + 1), np.complex64)
        transform(frames, found[:n_frames])
        assert np.abs(found[:n_frames] - expected).max() < 1e-6 * np.abs(frames).sum(axis=1).max()


@pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is not installed")
def test_scipy_transforms_as_ever_afterwards() -> None:
    assert real_transform() is not numpy_transform  # else it takes twice the time
    from scipy import fft

    frames = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    found = np.empty((3, 33), np.complex64)
    real_transform()(frames, found)
    np.testing.assert_array_equal(found, fft.rfft(frames))


@pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is not installed")
@pytest.mark.parametrize("first", ["softloc", "scipy"])
def test_a_process_has_scipys_module_once_and_ends_well(first: str) -> None:
    """Twice there, it crashes at the end: whatever is imported first, only one may be loaded."""
    imports = ["from softloc.features.transforms import real_transform; real_transform()",
               "import scipy.fft, scipy.signal"]  # fmt: skip
    lines = imports if first == "softloc" else imports[::-1]
    lines += ["import sys", "from softloc.features.transforms import _find_module",
              "from importlib import import_module", "name = _find_module()[1]",
              "last = name.split('.')[-1]",
              "print([known for known in sys.modules if known.endswith(last)] == [name])",
              "basic = import_module(name.rpartition('.')[0] + '.basic')",
              "assert basic.pfft is sys.modules[name]"]  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "True\n"


def fails() -> None:
    raise ImportError("no such module")


def test_numpy_transforms_where_scipy_does_not(
    monkeypatch: pytest.MonkeyPatch, chosen_anew: None
) -> None:
    monkeypatch.setattr(transforms, "_scipy_transform", fails)
    assert real_transform() is numpy_transform


def test_another_answer_than_that_of_numpy_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, chosen_anew: None
) -> None:
    def zeros(_frames: np.ndarray, out: np.ndarray) -> None:
        out[:] = 0

    monkeypatch.setattr(transforms, "_scipy_transform", lambda: zeros)
    assert real_transform() is numpy_transform
