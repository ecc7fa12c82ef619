"""What the tests of the itineraries' pages share: people, trips, and what a browser would post of a page."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from itineraries import document, services
from itineraries.models import Itinerary

SAMPLE = json.loads((Path(__file__).parents[1] / "wire" / "crusoe_trip.json").read_text())
HTMX = {"HX-Request": "true"}


def person(name, *permissions, is_staff=True):
    user = get_user_model().objects.create_user(name, first_name=name.title(), is_staff=is_staff)
    for codename in permissions:
        user.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label="itineraries"))
    return user


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


EVERYTHING = ("view", "add", "change", "delete", "publish")


@pytest.fixture
def ana():
    return person("ana", *(f"{verb}_itinerary" for verb in EVERYTHING))


@pytest.fixture
def client(ana):
    return signed_in(ana)


@pytest.fixture
def sample(ana):
    return services.itinerary_create(user=ana, document=SAMPLE)


@pytest.fixture
def blank(ana):
    return services.itinerary_create(user=ana)


def page(name, itinerary, *more):
    return reverse(f"itineraries:{name}", args=[itinerary.pk, *more])


def tree(itinerary):
    return document.load(Itinerary.objects.get(pk=itinerary.pk).document)


def exported(itinerary):
    return document.export(tree(itinerary))


def posted(html):
    """What a browser would post of each form in a page, by the form's action."""
    forms = {}
    for form in re.findall(r"<form.*?</form>", html, re.S):
        action = re.search(r'action="([^"]*)"', form)
        if action:
            forms.setdefault(action[1], _values(form))
    return forms


def _values(form):
    values = {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        name = re.search(r'name="([^"]*)"', tag)
        if not name or re.search(r'type="submit"', tag):
            continue
        if re.search(r'type="checkbox"', tag):
            if re.search(r"\bchecked\b", tag):
                values[name[1]] = "on"
            continue
        value = re.search(r'value="([^"]*)"', tag)
        text = unescape(value[1]) if value else ""
        # A browser drops line breaks from a one-line input.
        values[name[1]] = text.replace("\n", "").replace("\r", "")
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.S):
        # The first line break of a text area belongs to the markup; others are posted as CR LF.
        values[name] = unescape(text).removeprefix("\r").removeprefix("\n").replace("\r\n", "\n").replace("\n", "\r\n")
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'<option value="([^"]*)"[^>]*\bselected\b', options)
        values[name] = unescape(chosen[1]) if chosen else ""
    return values


def card_form(client, itinerary, at=0):
    """The key of a card, the address of its form, and what the form posts untouched."""
    key = tree(itinerary).segments[at].key
    address = page("card", itinerary, key)
    return key, address, posted(client.get(page("edit", itinerary)).content.decode())[address]


def field(values, part, name):
    """The full name of a field of the only, or first, part of that kind."""
    return next(full for full in values if full.startswith(f"{part}-") and full.endswith(f"-{name}"))


def queries(client, address):
    """How many queries a page takes, once caches are warm."""
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)
