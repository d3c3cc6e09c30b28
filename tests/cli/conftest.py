"""Fixtures of the commands' tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click_model import make_click_model

from softloc.checkpoints import save_checkpoint


@pytest.fixture(scope="session")
def click_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "clicks.safetensors"
    save_checkpoint(path, make_click_model())
    return path


@pytest.fixture(autouse=True)
def no_settings_of_the_user(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that the user of this machine has set counts in tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-settings"))
    for name in os.environ:
        if name.startswith("SOFTLOC_") and name != "SOFTLOC_DATA":
            monkeypatch.delenv(name)
