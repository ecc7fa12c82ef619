"""Writing itineraries."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from itineraries import document, editing, services
from itineraries.errors import DocumentError, Gone, Stale, StaleEdit
from itineraries.models import Itinerary
from itineraries.services import Expected
from tests.itineraries.strategies import documents, same, wire


@pytest.fixture
def ana(db) -> Any:
    return get_user_model().objects.create_user("ana", first_name="Ana", last_name="Pérez")


def exported(itinerary: Itinerary) -> Any:
    return document.export(document.load(Itinerary.objects.get(pk=itinerary.pk).document))


@pytest.mark.django_db
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=documents)
def test_every_document_comes_back_from_the_database_as_it_went_in(data):
    """Parsed, stored, loaded and exported, a document is equal to what came, on either database."""
    assert same(data, exported(services.itinerary_create(user=None, document=data)))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "number", [70, 70.0, 41.3720250384618, 2.1370321883605357, 1e16, 1e23, 1.7e308, 5e-324, 2**53, 10**22, -0.5]
)
def test_numbers_come_back_from_the_database_with_every_digit(number):
    """PostgreSQL writes exponents out; the value stays the same double, and integers stay integers."""
    found = exported(services.itinerary_create(user=None, document={"a": number}))["a"]
    assert found == number
    assert type(found) is type(number) or abs(number) >= 1e16


@pytest.mark.django_db
def test_a_new_itinerary_has_the_columns_of_its_lists(ana):
    """Title, dates and counts are those of the document; a blank draft has none and errors."""
    made = services.itinerary_create(user=ana, document=wire("trip"))
    assert (made.title, made.starts_on, made.ends_on) == ("Trip to Barcelona", date(2016, 5, 19), date(2016, 5, 26))
    assert (made.error_count, made.created_by, made.updated_by, made.version) == (0, ana, ana, 1)
    assert made.warning_count > 0
    blank = services.itinerary_create(user=ana)
    assert (blank.title, blank.starts_on, blank.error_count > 0, blank.state) == ("", None, True, "draft")
    assert document.export(document.load(blank.document)) == {}
    long = services.itinerary_create(user=ana, document={"title": "x" * 1000, "dateInterval": {"from": "99.99.9999"}})
    assert (len(long.title), long.starts_on) == (255, None)


@pytest.mark.django_db
def test_an_edit_saves_the_document_and_its_columns(ana):
    """The version rises with each save, and only with one."""
    made = services.itinerary_create(user=None, document=wire("trip"))
    edit = lambda trip: editing.trip_update(trip, {"title": "Elsewhere"})  # noqa: E731
    for _time in range(2):
        saved = services.itinerary_edit(itinerary_id=made.pk, user=ana, edit=edit)
    assert (saved.title, saved.version, saved.updated_by) == ("Elsewhere", 2, ana)
    assert exported(made) == wire("trip") | {"title": "Elsewhere"}


@pytest.mark.django_db
def test_a_stale_edit_is_refused_with_who_and_when(ana):
    """The card's own last change is told, not that of another part; nothing of the stale edit is saved."""
    made = services.itinerary_create(user=None, document=wire("trip"))
    first, second = (card.key for card in document.load(made.document).segments[:2])

    def change(key: str, text: str, user: Any, version: int | None) -> Itinerary:
        return services.itinerary_edit(
            itinerary_id=made.pk,
            user=user,
            edit=lambda trip: editing.card_update(trip, key, {"milestone": text}),
            expected=None if version is None else Expected(key, version),
        )

    changed = change(first, "By Ana", ana, 1)
    change(second, "By nobody", None, 1)
    with pytest.raises(StaleEdit) as caught:
        change(first, "Too late", None, 1)
    assert (caught.value.who, caught.value.when, caught.value.version) == ("Ana Pérez", changed.updated_at, 2)
    assert isinstance(caught.value, Stale)
    assert exported(made)["segments"][0]["milestone"] == "By Ana"
    change(first, "In time", None, 2)


@pytest.mark.django_db
def test_an_edit_of_a_removed_card_is_gone(ana):
    """Expecting a version of a card that is not there any more raises Gone."""
    made = services.itinerary_create(user=None, document=wire("trip"))
    key = document.load(made.document).segments[0].key
    services.itinerary_edit(itinerary_id=made.pk, user=ana, edit=lambda trip: editing.card_remove(trip, key))
    with pytest.raises(Gone):
        services.itinerary_edit(itinerary_id=made.pk, user=ana, edit=lambda trip: trip, expected=Expected(key, 1))


@pytest.mark.django_db
def test_a_replacement_goes_on_counting(ana):
    """Versions that a form remembers from before a replacement are stale after it."""
    made = services.itinerary_create(user=None, document=wire("trip"))
    services.itinerary_replace(itinerary_id=made.pk, user=ana, document={"title": "New"}, expected_version=1)
    for part in ("trip", "order"):
        with pytest.raises(StaleEdit) as caught:
            services.itinerary_edit(itinerary_id=made.pk, user=None, edit=lambda trip: trip, expected=Expected(part, 1))
        assert caught.value.who == "Ana Pérez"
    with pytest.raises(StaleEdit) as caught:
        services.itinerary_replace(itinerary_id=made.pk, user=None, document={}, expected_version=1)
    assert (caught.value.part, caught.value.version, caught.value.who) == ("itinerary", 2, "Ana Pérez")
    with pytest.raises(DocumentError):
        services.itinerary_replace(itinerary_id=made.pk, user=None, document={"title": 1})


@pytest.mark.django_db
def test_a_deleted_itinerary_is_gone(ana):
    """Deleting checks the version, where one is given."""
    made = services.itinerary_create(user=None)
    with pytest.raises(StaleEdit):
        services.itinerary_delete(itinerary_id=made.pk, user=ana, expected_version=7)
    services.itinerary_delete(itinerary_id=made.pk, user=ana, expected_version=1)
    with pytest.raises(Itinerary.DoesNotExist):
        services.itinerary_delete(itinerary_id=made.pk, user=ana)


@pytest.mark.django_db(transaction=True)
def test_no_edit_is_lost_when_eight_people_write_at_once():
    """Edits of one row wait for each other: seen to lose some without the row's lock and the immediate transactions."""
    made = services.itinerary_create(user=None)
    start = threading.Barrier(8)

    def add(number: int) -> None:
        start.wait()
        try:
            for _time in range(5):
                services.itinerary_edit(
                    itinerary_id=made.pk, user=None, edit=lambda trip: editing.card_add(trip, "experience", 0)[0]
                )
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    stored = Itinerary.objects.get()
    assert (len(document.load(stored.document).segments), stored.version) == (40, 41)


def _write_at_once(itinerary: Itinerary, edits_: dict[str, tuple[str, int]]) -> dict[str, str]:
    """Each person writes a label into a card, on the version that all of them read; what became of each."""
    start = threading.Barrier(len(edits_))

    def write(name: str) -> tuple[str, str]:
        key, version = edits_[name]
        start.wait()
        try:
            services.itinerary_edit(
                itinerary_id=itinerary.pk,
                user=None,
                edit=lambda trip: editing.card_update(trip, key, {"milestone": name}),
                expected=Expected(key, version),
            )
        except StaleEdit as error:
            return name, f"stale at {error.version}"
        finally:
            connection.close()
        return name, "saved"

    with ThreadPoolExecutor(len(edits_)) as pool:
        return dict(pool.map(write, edits_))


@pytest.mark.django_db(transaction=True)
def test_people_at_different_cards_never_meet_and_at_one_card_one_is_first():
    """Four at once at four cards are all saved; of four at once at one card one is, and three are told."""
    made = services.itinerary_create(user=None, document=wire("trip"))
    keys = [card.key for card in document.load(made.document).segments]
    names = ["Ana", "Bea", "Carla", "Dora"]
    apart = _write_at_once(made, {name: (key, 1) for name, key in zip(names, keys, strict=True)})
    assert apart == dict.fromkeys(names, "saved")
    assert [card["milestone"] for card in exported(made)["segments"]] == names
    # Others, as who writes what stands there already changes nothing, and is not told.
    together = _write_at_once(made, {name: (keys[0], 2) for name in ("Eva", "Flor", "Gala", "Hilda")})
    assert sorted(together.values()) == ["saved", "stale at 3", "stale at 3", "stale at 3"]
    (first,) = [name for name, became in together.items() if became == "saved"]
    assert exported(made)["segments"][0]["milestone"] == first
    # The trip's own properties and the order have versions of their own.
    present = document.load(Itinerary.objects.get().document)
    assert (present.version, present.order_version) == (1, 1)
