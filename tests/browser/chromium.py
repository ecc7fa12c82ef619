"""A Chromium or Chrome for the browser tests: one that is there, else one installed by the means the machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")

# Without these a Chromium as root or on a closed network stalls on what has nothing to do with the page.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _of_playwright() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.is_file() else None


def find() -> Path | None:
    """The browser that ``CHROMIUM`` names, one on the path, or Playwright's own."""
    if named := os.environ.get("CHROMIUM"):
        return Path(named)
    for name in NAMES:
        if path := shutil.which(name):
            return Path(path)
    return MAC if MAC.is_file() else _of_playwright()


def _attempt(command: list[str], seconds: float) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def find_or_install() -> Path | None:
    """As :func:`find`; where there is none, installs one by Playwright or (as root) by apt."""
    if path := find():
        return path
    sys.stdout.write("Installing a Chromium for the browser tests …\n")
    sys.stdout.flush()
    may_use_apt = shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0
    if not _attempt([sys.executable, "-m", "playwright", "install", "chromium"], 300) and may_use_apt:
        _attempt(["apt-get", "update"], 300)
        _attempt(["apt-get", "install", "--yes", "--no-install-recommends", "chromium"], 900)
    return find()
