"""What the browser tests share: the chromium that this machine has, a page that asks no other host, and screenshots of it.

Screenshots go to build/screenshots. One size in light by default; with SCREENSHOTS=all every one in both themes and both sizes.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterable, Iterator

import pytest

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "screenshots"
SIZES = ((1366, 768), (1920, 1080))
SOON = 300_000  # milliseconds for what takes one second, on a machine that has much else to do
FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync").split()  # fmt: skip


def chromium() -> str | None:
    """The browser: $CHROMIUM, or the first of the usual names that is there."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def needed() -> None:
    """Skip the test file that calls this where nothing can show a page, and say what to do about it."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        pytest.skip("The browser tests need playwright: `make browser-test` installs it.", allow_module_level=True)
    if chromium() is None:
        pytest.skip("The browser tests need chromium, on the PATH or named by $CHROMIUM.", allow_module_level=True)


@contextmanager
def browser() -> Iterator:
    """Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield opened
        finally:
            opened.close()


def sizes() -> tuple[tuple[int, int], ...]:
    """Those in which screenshots are made."""
    return SIZES if os.environ.get("SCREENSHOTS") == "all" else SIZES[:1]


def themes() -> tuple[str, ...]:
    return ("light", "dark") if os.environ.get("SCREENSHOTS") == "all" else ("light",)


def shoot(page, name: str, into_theme: Callable[[str], None], settle: Callable[[], None] = lambda: None,
          wanted: Iterable[tuple[int, int]] | None = None) -> None:
    """The page as it stands, in every size and theme that is wanted; afterwards it is light, and as large as it was."""
    before = page.viewport_size
    for theme in themes():
        into_theme(theme)
        for width, height in wanted or sizes():
            page.set_viewport_size({"width": width, "height": height})
            settle()
            page.screenshot(path=SHOTS / f"{name}-{theme}-{width}x{height}.png")
    page.set_viewport_size(before)
    into_theme("light")
