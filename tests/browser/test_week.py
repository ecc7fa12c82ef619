"""An operator's week: the workshop's table in, what is wrong in it mended, the street watched, mistakes taken back."""

from __future__ import annotations

import csv
import io
import random
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site

HEADINGS = "Matrícula;Código;Ciudad;País;Latitud;Longitud;Batería;Estado;Tipo"
WEEKS = 40


def table(*more: str) -> bytes:
    """A table as a Spanish spreadsheet writes it: semicolons, decimal commas, Latin-1, lines of Windows."""
    chance = random.Random(7)
    rows = [
        f"{number:04} TLR;TL-{number:04};Girona;España;{41.97 + chance.random() / 50:.5f};{2.81 + chance.random() / 50:.5f};"
        f"{chance.randint(30, 100)};disponible;ciclomotor"
        for number in range(WEEKS)
    ]
    lines = [HEADINGS, *(row.replace(".", ",") for row in rows), *more]
    return "\r\n".join(lines).encode("latin-1")


def read(site: Site, page: Page, content: bytes) -> None:
    """Hand the file in at the page, and wait until it can be applied."""
    page.goto(f"{site.url}/fleet/import/")
    page.get_by_label("File").set_input_files({"name": "taller.csv", "mimeType": "text/csv", "buffer": content})
    page.get_by_role("button", name="Read and compare").click()
    expect(page.get_by_role("button", name="Apply the import")).to_be_visible()


def apply(page: Page) -> None:
    page.get_by_role("button", name="Apply the import").click()
    expect(page.get_by_role("heading", name="What was done")).to_be_visible()


def fact(page: Page, name: str) -> str:
    return page.locator("dl.facts dt", has_text=name).first.locator("xpath=following-sibling::dd[1]").inner_text()


def exported(page: Page, tmp_path: Path) -> list[dict[str, str]]:
    with page.expect_download() as caught:
        page.get_by_role("link", name="Export").first.click()
    path = tmp_path / "export.csv"
    caught.value.save_as(path)
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def test_an_operators_week(site: Site, page: Page, tmp_path: Path) -> None:
    """Import, preview, mend, watch the map, retire, undo, export, and the export in again."""
    site.login(page)

    # Monday: forty mopeds come from the workshop; two rows cannot be meant.
    wrong = ("9001 TLR;TL-9001;Girona;España;0;0;50;disponible;ciclomotor",
             "9002 TLR;TL-9002;Girona;España;41,98;2,82;0,85;disponible;ciclomotor")  # fmt: skip
    read(site, page, table(*wrong))
    assert (fact(page, "Added"), fact(page, "Rejected")) == (str(WEEKS), "2")
    page.get_by_role("link", name="Rejected 2").click()
    rejected = page.locator("main table")
    expect(rejected).to_contain_text("0, 0 lies in the Atlantic")
    expect(rejected).to_contain_text("looks like a fraction")
    expect(rejected).to_contain_text("Batería")
    apply(page)

    # Mended in the table, and read again: what is there already is not touched.
    mended = tuple(row.replace(";0;0;", ";41,98;2,81;").replace("0,85", "85") for row in wrong)
    read(site, page, table(*mended))
    assert (fact(page, "Added"), fact(page, "Unchanged"), fact(page, "Rejected")) == ("2", str(WEEKS), "0")
    apply(page)

    # Tuesday: they stand on the map of their city.
    page.goto(f"{site.url}/fleet/map/?city=Girona")
    expect(page.locator("#map-cities tr", has_text="Girona").locator("td").first).to_have_text(str(WEEKS + 2))
    expect(page.locator("#map-rows tr").first).to_contain_text("Girona")

    # Wednesday: ten are retired, and that was the wrong ten.
    page.goto(f"{site.url}/admin/fleet/vehicle/?q=TL-000")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label="Retire …")
    page.locator("button[name=index]").click()
    page.get_by_role("button", name="Retire 10 vehicles").click()
    expect(page.locator(".messagelist")).to_contain_text("10 vehicles")
    undo = page.locator(".messagelist").get_by_role("link", name="Undo").get_attribute("href")
    page.goto(f"{site.url}/admin/fleet/vehicle/?q=TL-000&state=removed")
    expect(page.locator("#result_list tbody tr")).to_have_count(10)
    page.goto(f"{site.url}/admin/fleet/vehicle/TL-0003/history/")
    expect(page.locator("main")).to_contain_text(re.compile("Removed"))

    # Thursday: back with them, the batch at once.
    page.goto(f"{site.url}{undo}")
    page.locator("main form button[type=submit]").click()
    expect(page.locator(".messagelist")).to_contain_text("10 vehicles undone")
    page.goto(f"{site.url}/admin/fleet/vehicle/?q=TL-000&state=available")
    expect(page.locator("#result_list tbody tr")).to_have_count(10)

    # Friday: the list goes out as a table, and comes in again as it went.
    page.goto(f"{site.url}/admin/fleet/vehicle/?city=Girona")
    rows = exported(page, tmp_path)
    assert len(rows) == WEEKS + 2
    read(site, page, (tmp_path / "export.csv").read_bytes())
    assert (fact(page, "Added"), fact(page, "Changed"), fact(page, "Unchanged")) == ("0", "0", str(WEEKS + 2))
    page.get_by_role("button", name="Discard").click()

    # And the whole import can go as it came.
    page.goto(f"{site.url}/fleet/import/")
    page.locator("main table a", has_text="taller.csv").last.click()
    page.get_by_text("Undo this import").first.click()
    page.get_by_role("button", name="Undo this import").click()
    page.goto(f"{site.url}/admin/fleet/vehicle/?city=Girona&state=available")
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
