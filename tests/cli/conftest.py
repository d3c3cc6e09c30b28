"""Fixtures of the commands' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from click_model import make_click_model

from softloc.checkpoints import save_checkpoint


@pytest.fixture(scope="session")
def click_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "clicks.safetensors"
    save_checkpoint(path, make_click_model())
    return path
