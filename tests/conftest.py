"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# Networks this small gain nothing from more threads, and threads that wait for each other on a
# busy machine take many times as long.
torch.set_num_threads(1)

# Nothing is timed in tests: machines differ. The examples are the same in every run; to look for
# new ones: pytest --hypothesis-profile explore.
settings.register_profile("softloc", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.load_profile("softloc")


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded source of randomness."""
    return np.random.default_rng(20_261_123)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the corpora; tests that need it skip where it is not given."""
    root = os.environ.get("SOFTLOC_DATA")
    if not root:
        pytest.skip("SOFTLOC_DATA is not set: the corpora are not here")
    return Path(root)


@pytest.fixture
def half_precision() -> str:
    """Name the precision of half the digits; tests that need it skip where it cannot be had."""
    from softloc.errors import SettingsError
    from softloc.training_settings import require_precision

    try:
        require_precision("bfloat16", "cpu")
    except SettingsError as error:
        pytest.skip(str(error))
    return "bfloat16"
