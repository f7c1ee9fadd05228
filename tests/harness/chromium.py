"""A headless Chromium of the system's own, driven by Playwright; installed first where that is possible."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.harness.environments import locked

PATH = Path("/usr/bin/chromium")
#: A Chromium without any font shows boxes.
PACKAGES = ("chromium", "fonts-dejavu-core")
#: How long an action or a condition may take before the test fails, in seconds.
PATIENCE = 60.0


def ensure() -> Path:
    """Chromium's path; installs Debian's package first if it is missing and we are root."""
    with locked("chromium"):  # what another process is unpacking is there already, and does not start
        return PATH if PATH.exists() else _install()


def _install() -> Path:
    advice = f"The browser's tests need {PATH}: apt-get install {' '.join(PACKAGES)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(advice)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        command = ["apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{advice}\n`{' '.join(command)}` failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return PATH


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """A browser, ended with the block."""
    path = ensure()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            # Chromium's sandbox refuses to work for root; a container's /dev/shm is too small for it.
            args=["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])],
        )
        try:
            yield browser
        finally:
            browser.close()


def evidence(browser: Browser, name: str) -> Path | None:
    """Saves what every open page shows; returns the folder, or ``None`` if no page is open."""
    pages = [page for context in browser.contexts for page in context.pages]
    if not pages:
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"zilliant-browser-{''.join(c if c.isalnum() else '-' for c in name)}-"))
    for number, page in enumerate(pages):
        (folder / f"page-{number}.url").write_text(page.url)
        (folder / f"page-{number}.html").write_text(page.content())
        page.screenshot(path=folder / f"page-{number}.png")
    return folder
