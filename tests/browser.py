"""A browser without a window and without a network, for pages that are one file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
READY = "html[data-ready]"


@contextmanager
def chromium() -> Iterator[Any]:
    """The system's Chromium; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, ready: str = READY, **settings: Any) -> Iterator[Any]:
    """A page that has loaded, with the network off; until it is closed it may ask for nothing and tell no error."""
    context = browser.new_context(
        offline=True, accept_downloads=True, viewport={"width": 1200, "height": 800}, **settings
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    foreign = lambda request: not request.url.startswith(("file:", "data:", "blob:"))  # noqa: E731
    page.on("request", lambda request: troubles.append(request.url) if foreign(request) else None)
    page.goto(path.as_uri())
    page.wait_for_selector(ready, state="attached")
    yield page
    context.close()
    assert not troubles
