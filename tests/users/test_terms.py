"""The public page of the terms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from users.models import TermsVersion
from users.services import terms_save
from users.terms_text import Block, blocks_of

pytestmark = pytest.mark.django_db


def version(days_ago: float, **texts: str) -> TermsVersion:
    moment = timezone.now() - timedelta(days=days_ago)
    return terms_save(version=TermsVersion(in_force_from=moment, **(texts or {"text_en": f"Of {days_ago} days ago"})))


def page(client: Client, address: str = "/terms/", language: str = "en") -> str:
    answer = client.get(address, headers={"accept-language": language})
    assert answer.status_code == 200
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    return answer.content.decode()


def test_without_terms_the_page_says_so(client: Client) -> None:
    """Whoever follows the link that CityTrips was given finds words rather than an error."""
    assert "No terms have been published yet" in page(client)


def test_anybody_reads_the_version_in_force(client: Client) -> None:
    """The newest that has begun; earlier ones are a link away, and one to come is nobody's business."""
    old, current, coming = version(20), version(5), version(-3)
    shown = page(client)
    assert "Of 5 days ago" in shown
    assert f'href="/terms/{old.pk}/"' in shown
    assert f"/terms/{coming.pk}/" not in shown
    earlier = page(client, f"/terms/{old.pk}/")
    assert "Of 20 days ago" in earlier
    assert "This is an earlier version" in earlier
    assert "This is an earlier version" not in page(client, f"/terms/{current.pk}/")
    assert client.get(f"/terms/{coming.pk}/").status_code == 404
    assert client.post("/terms/").status_code == 405


def test_the_reader_s_language_is_shown_where_it_was_written(client: Client) -> None:
    """Else the other, and the page says in which language the text is."""
    version(5, text_en="In English", text_es="En castellano")
    assert '<article class="card people-terms" lang="es">' in page(client, language="es")
    assert "En castellano" in page(client, language="es")
    assert "In English" in page(client, language="en")
    version(4, text_es="Solo en castellano")
    shown = page(client, language="en")
    assert "Solo en castellano" in shown
    assert 'lang="es"' in shown


def test_the_text_is_only_text(client: Client) -> None:
    """Markup that somebody pastes is shown, not obeyed."""
    version(1, text_en="# A <b>heading</b>\n\n<script>alert(1)</script>")
    shown = page(client)
    assert "<script>alert" not in shown
    assert "<h2>A &lt;b&gt;heading&lt;/b&gt;</h2>" in shown


def test_terms_that_are_elsewhere_are_where_the_page_leads(client: Client, settings: Any) -> None:
    """Where the setting names another page, this one leads there; versions written here stay readable."""
    old = version(5)
    settings.OPERATOR_TERMS_URL = "https://operator.example/terms"
    assert client.get("/terms/")["Location"] == "https://operator.example/terms"
    assert "Of 5 days ago" in page(client, f"/terms/{old.pk}/")
    settings.OPERATOR_TERMS_URL = f"{settings.SITE_URL}/terms"
    assert "Of 5 days ago" in page(client)


def test_a_text_is_laid_out_by_its_lines() -> None:
    """Headings, paragraphs with their lines, and lists whose items may be long."""
    text = "# One\nfirst\nsecond\n\n- a\n- b\n  goes on\n\nlast\n- c\n# Two"
    assert blocks_of(text) == [
        Block("heading", ("One",)),
        Block("paragraph", ("first", "second")),
        Block("list", ("a", "b goes on")),
        Block("paragraph", ("last",)),
        Block("list", ("c",)),
        Block("heading", ("Two",)),
    ]
    assert blocks_of(" \n\n") == []
