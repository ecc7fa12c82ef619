"""``python -m tests.browser.screenshots [URL]``: a picture of every page, 1366 and 390 wide, light and dark.

They go to ``var/screenshots/``. Without a URL the program is started with the demo data, as for the browser tests, and
ended again. With one, the program that answers there is taken: it must have the demo data, and its settings and ``var/``
must be those of this folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import pages
from tests.browser.conftest import ROOT, Site
from tests.browser.opening import Sessions

TARGET = Path(os.environ.get("SCREENSHOTS", ROOT / "var" / "screenshots"))
SIZES = ((1366, 900), (390, 844))
THEMES = ("light", "dark")


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Site:
    if url := os.environ.get("SCREENSHOTS_URL"):
        return Site(url=url.rstrip("/"), variables={}, var=ROOT / "var", process=None)
    return request.getfixturevalue("site")


def test_picture_every_page(browser: Browser, subject: Site) -> None:
    """Every page, in each size and theme, is a file."""
    sessions = Sessions(browser, subject)
    # Somebody else's program is looked at only: nobody's password is changed there.
    views = pages.EVERY if subject.process else [*pages.VISITORS, *pages.STAFFS]
    TARGET.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        for width, height in SIZES:
            for view in views:
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=theme,
                    locale="en-GB",
                    storage_state=sessions.of(view.user),
                )
                page = context.new_page()
                view.open(page, subject)
                page.screenshot(path=TARGET / f"{view.name}-{width}-{theme}.png", full_page=view.act is None)
                context.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["SCREENSHOTS_URL"] = sys.argv[1]
    status = pytest.main([__file__, "--quiet", "--timeout=1200", "-p", "no:cacheprovider", f"--rootdir={ROOT}"])
    sys.stdout.write(f"The pictures are in {TARGET}\n")
    sys.exit(status)
