"""A browser, and pages to open in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

_INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _launch(playwright: Playwright, path: str | None) -> Browser:
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]
    return playwright.chromium.launch(executable_path=path, args=arguments)


def _executable() -> str | None:
    named = os.environ.get("SOFTLOC_BROWSER")
    return named or next(filter(None, map(shutil.which, _INSTALLED)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium: of the system, else one that Playwright has or can install; else a skip."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        path = _executable()
        if path is None:
            install = [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(install, capture_output=True, timeout=120, check=False)
        try:
            browser = _launch(playwright, path)
        except api.Error as error:
            pytest.skip(f"no Chromium here, and none can be installed: {str(error)[:200]}")
        yield browser
        browser.close()
