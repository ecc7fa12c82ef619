"""How a page is opened: as somebody, at an address, and in a state worth a look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Page, StorageState

from tests.browser.prepared import PREPARED, prepared

if TYPE_CHECKING:
    from tests.browser.conftest import Site

STAFF = "ana"


@dataclass(frozen=True)
class View:
    """A page, as somebody sees it.

    ``path`` may name what is in the demo data (``{vehicle}``) and what is prepared for these views (``{blank}``);
    ``act`` brings the page into a state worth a look.
    """

    name: str
    path: str
    user: str | None = STAFF
    act: Callable[[Page], None] | None = None
    status: int = 200

    def open(self, page: Page, site: Site) -> None:
        answer = page.goto(site.url + self.address(site))
        assert answer is not None
        assert answer.status == self.status, f"{self.path}: {answer.status}"
        if self.act:
            self.act(page)

    def address(self, site: Site) -> str:
        known = {}
        if "{" in self.path:
            known = {"vehicle": site.vehicle_id, "itinerary": site.itinerary_id, "person": site.ids["person"]}
            known |= {"faulty": site.ids["itineraries"]["Madrid for the Rossi family"]}
        if any("{" + name + "}" in self.path for name in PREPARED):
            known |= prepared(site)
        return self.path.format(**known)


class Sessions:
    """Cookies of people who are logged in; each logs in once, since passwords are slow by design."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site
        self._known: dict[str, StorageState] = {}

    def of(self, username: str | None) -> StorageState | None:
        if username is None:
            return None
        if username not in self._known:
            if username != STAFF:  # the demo's other people have no password
                self._site.manage(
                    "shell",
                    "--no-imports",
                    "-c",
                    "from users.models import User\n"
                    f"person = User.objects.get(username={username!r})\n"
                    f"person.set_password({self._site.password!r}); person.save()",
                )
            context = self._browser.new_context()
            self._site.login(context.new_page(), username)
            self._known[username] = context.storage_state()
            context.close()
        return self._known[username]
