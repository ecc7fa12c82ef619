"""A spreadsheet with headings nobody knows: mapped by hand, rejected, mended, retiring, taken back, sent out."""

from __future__ import annotations

import csv
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site

HEADINGS = "Nr;batería;matrícula;ciudad;país;lat;lon"


def rows(count: int, battery: int = 80) -> str:
    lines = [f"WK-{one};{battery};WK {one:04d};Vigo;España;42,23{one:02d};-8,72{one:02d}" for one in range(count)]
    return "\n".join([HEADINGS, *lines]) + "\n"


def give(page: Page, site: Site, text: str, *, retire: bool = False) -> None:
    page.goto(f"{site.url}/fleet/import/")
    table = {"name": "vigo.csv", "mimeType": "text/csv", "buffer": text.encode("cp1252")}
    page.get_by_label("File", exact=True).set_input_files(table)  # type: ignore[arg-type]
    page.get_by_label("City").fill("Vigo")
    if retire:
        page.get_by_label("Retire vehicles that the source does not name").check()
    page.get_by_role("button", name="Read and compare").click()


def mapped(page: Page) -> None:
    """The heading that nobody knows, mapped by hand."""
    page.get_by_label("Nr").select_option("id")
    page.get_by_role("button", name="Read again with these").click()
    expect(page.get_by_role("heading", name="Apply")).to_be_visible(timeout=20_000)


def applied(page: Page) -> None:
    page.get_by_role("button", name="Apply the import").click()
    expect(page.get_by_role("heading", name="What was done")).to_be_visible(timeout=20_000)


def test_a_table_with_a_heading_of_its_own_goes_in_and_all_the_way_back(site: Site, page: Page, tmp_path: Path) -> None:
    """From a spreadsheet with a heading of its own to a fleet on the map, and all the way back."""
    site.login(page)
    # Monday: the file comes with a heading that means nothing, and with a battery that cannot be.
    give(page, site, rows(12).replace("WK-3;80", "WK-3;0,8"))
    expect(page.get_by_role("alert")).to_contain_text("no heading for the vehicle's id")
    mapped(page)
    expect(page.get_by_role("table")).to_contain_text("looks like a fraction")
    applied(page)
    # Tuesday: the row was mended; only that one is new.
    give(page, site, rows(12))
    mapped(page)
    page.get_by_role("link", name="Added 1", exact=True).click()
    expect(page.get_by_role("table")).to_contain_text("WK-3")
    applied(page)
    # Wednesday: they stand on the map.
    page.goto(f"{site.url}/fleet/map/?city=Vigo")
    expect(page.locator("main")).to_contain_text("Vigo")
    # Thursday: most have gone, which has to be meant.
    give(page, site, rows(5, battery=60), retire=True)
    mapped(page)
    page.get_by_role("button", name="Apply the import").click()
    expect(page.get_by_role("alert")).to_contain_text("Type 7 to retire so many vehicles")
    page.get_by_label("To retire them all the same, type 7").fill("7")
    applied(page)
    page.goto(f"{site.url}/admin/fleet/vehicle/?city=Vigo&state=removed")
    expect(page.locator("#result_list tbody tr")).to_have_count(7)
    page.go_back()
    # Friday: they have not gone after all.
    page.locator("summary", has_text="Undo this import").click()
    page.get_by_role("button", name="Undo this import").click()
    expect(page.locator(".messagelist")).to_contain_text("12 vehicles were set back")
    # And what is filtered can be taken along, and given back as it is.
    with page.expect_download() as download:
        page.evaluate("location.href = '/fleet/export/?city=Vigo'")
    path = tmp_path / "export.csv"
    download.value.save_as(path)
    with path.open(encoding="utf-8-sig") as file:
        exported = list(csv.DictReader(file))
    assert [row["battery"] for row in exported if row["state"] == "available"] == ["80"] * 12
    page.goto(f"{site.url}/fleet/import/")
    page.get_by_label("File", exact=True).set_input_files(path)
    page.get_by_role("button", name="Read and compare").click()
    expect(page.get_by_role("link", name="Unchanged 12", exact=True)).to_be_visible(timeout=20_000)
