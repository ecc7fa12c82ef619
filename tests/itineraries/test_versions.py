"""Versions: numbered, compared, restored as an edit that can be undone."""

from __future__ import annotations

# ruff: noqa: F811 (the fixtures)
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis.extra.django import TestCase

from itineraries import editing, selectors, services, versions
from itineraries.document import export, load, parse, store
from itineraries.errors import Stale, StaleEdit
from itineraries.models import Itinerary, Publication, SetAside
from itineraries.outline import keyed, outline
from itineraries.services import Expected
from tests.itineraries.pages import (
    SAMPLE,
    ana,  # noqa: F401
    client,  # noqa: F401
    page,
    person,
    posted,
    queries,
    sample,  # noqa: F401
    signed_in,
    tree,
)
from tests.itineraries.strategies import documents, same, wire

pytestmark = pytest.mark.django_db


def publication(itinerary, state="published", **more):
    """A row as publishing leaves it."""
    present = Itinerary.objects.get(pk=itinerary.pk)
    trip = load(present.document)
    return Publication.objects.create(
        itinerary=present,
        number=(selectors.version_numbers(present) or [0])[0] + 1,
        state=state,
        document=export(trip),
        outline=outline(trip),
        fingerprint=present.fingerprint,
        url="http://a.example/1" if state == "published" else "",
        answer='{"success": true}',
        started_at=timezone.now(),
        **more,
    )


def edit(itinerary, change, **more):
    return services.itinerary_edit(itinerary_id=itinerary.pk, user=None, edit=change, **more)


def title(text):
    return lambda trip: editing.trip_update(trip, {"title": text})


def restore(itinerary, number):
    present = Itinerary.objects.get(pk=itinerary.pk)
    return versions.restore(itinerary_id=itinerary.pk, number=number, user=None, expected_version=present.version)


@given(documents)
def test_keys_can_be_taken_off_and_put_back(document):
    """A document with the outline of its tree is keyed as the tree was; with another's it stays as it is."""
    trip = parse(document)
    assert outline(parse(keyed_only(keyed(export(trip), outline(trip))))) is not None
    again = keyed(export(trip), outline(trip))
    assert [card.get("_key") for card in again.get("segments") or []] == [card.key for card in trip.segments]
    assert export(parse(keyed_only(again))) == export(trip)
    assert keyed(export(trip), [*outline(trip), ["key", []]]) == export(trip)


def keyed_only(value):
    if isinstance(value, dict):
        return {name: keyed_only(item) for name, item in value.items() if name != "_key"}
    return [keyed_only(item) for item in value] if isinstance(value, list) else value


class TestAnyDocument(TestCase):
    @given(documents, documents)
    def test_restoring_gives_the_version_by_value_and_undoing_it_the_draft(self, one, other):
        """Whatever the two are: equal by value, tree parseable, keys unique; and back again."""
        itinerary = services.itinerary_create(user=None, document=one)
        publication(itinerary)
        services.itinerary_replace(itinerary_id=itinerary.pk, user=None, document=other)
        before = Itinerary.objects.get(pk=itinerary.pk).document
        restored = restore(itinerary, 1)
        assert same(export(parse(one)), export(load(restored.document)))
        keys = [card["_key"] for card in restored.document.get("segments") or []]
        assert len(set(keys)) == len(keys)
        if (aside := SetAside.objects.filter(itinerary=itinerary).first()) is not None:
            assert same(aside.document, before)
            back = versions.put_back(
                itinerary_id=itinerary.pk, set_aside_id=aside.pk, user=None, expected_version=restored.version
            )
            assert same(export(parse(other)), export(load(back.document)))


def test_a_restored_version_is_published_again_without_a_second_page(sample):
    """Back at what an address shows, the trip is `published`, not `changed`."""
    publication(sample)
    edit(sample, title("Other"))
    assert Itinerary.objects.get().state == "changed"
    restore(sample, 1)
    assert Itinerary.objects.get().state == "published"


def test_people_who_edit_are_told_of_a_restoration(sample):
    """A card that it changed is stale for its editor; one that it left alone is not."""
    publication(sample)
    changed, untouched = tree(sample).segments[1].key, tree(sample).segments[2].key
    edit(sample, lambda trip: editing.card_update(trip, changed, {"milestone": "Later"}))
    seen = {key: tree(sample).part_version(key) for key in (changed, untouched)}
    restore(sample, 1)
    with pytest.raises(StaleEdit):
        edit(
            sample,
            lambda trip: editing.card_update(trip, changed, {"milestone": "Mine"}),
            expected=Expected(changed, seen[changed]),
        )
    edit(
        sample,
        lambda trip: editing.card_update(trip, untouched, {"milestone": "Mine"}),
        expected=Expected(untouched, seen[untouched]),
    )


def test_a_removed_card_comes_back_as_another_one(sample):
    """Whoever still has it open is told that it is gone: his version of it is not the one that came back."""
    publication(sample)
    key = tree(sample).segments[1].key
    edit(sample, lambda trip: editing.card_remove(trip, key))
    restore(sample, 1)
    assert [card.type for card in tree(sample).segments] == [card["type"] for card in SAMPLE["segments"]]
    assert key not in {card.key for card in tree(sample).segments}


def test_a_draft_that_changed_meanwhile_is_not_replaced(sample):
    """The version that the page was shown with has to be the present one; nothing is lost or set aside."""
    publication(sample)
    seen = Itinerary.objects.get().version
    edit(sample, title("Other"))
    with pytest.raises(Stale):
        versions.restore(itinerary_id=sample.pk, number=1, user=None, expected_version=seen)
    assert tree(sample).title == "Other"
    assert SetAside.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_many_restorations_at_once_one_is_made():
    """Ten clicks on one page: one edit, one draft set aside, and the others are told."""
    itinerary = services.itinerary_create(user=None, document=wire("trip"))
    publication(itinerary)
    seen = edit(itinerary, title("Other")).version
    start = threading.Barrier(10)

    def click(_number):
        start.wait()
        try:
            versions.restore(itinerary_id=itinerary.pk, number=1, user=None, expected_version=seen)
            return "restored"
        except StaleEdit:
            return "stale"
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(click, range(10))) == ["restored", *["stale"] * 9]
    assert SetAside.objects.count() == 1


def test_drafts_that_were_set_aside_do_not_pile_up(sample):
    """The latest twenty are kept."""
    publication(sample)
    for number in range(versions.KEPT + 3):
        edit(sample, title(f"Title {number}"))
        restore(sample, 1)
    kept = [draft.document["title"] for draft in SetAside.objects.all()]
    assert kept == [f"Title {number}" for number in reversed(range(3, versions.KEPT + 3))]


# --- The pages ---------------------------------------------------------------------------------------------------


def test_the_list_tells_which_version_each_address_shows(client, sample):
    """Number, state, time, person and address of each attempt, the latest first; and which one the draft is."""
    publication(sample)
    edit(sample, title("Other"))
    publication(sample, "rejected", reason={"code": "refused", "arguments": {"status": 400}, "said": "No"})
    html = client.get(page("versions", sample)).content.decode()
    assert html.index("Version 2") < html.index("Version 1")
    assert 'href="http://a.example/1"' in html
    assert "Crusoe refused the trip (400). “No”" in html
    assert html.count("as the draft") == 1
    assert page("version_restore", sample, 1) in html
    assert page("version_restore", sample, 2) not in html


def test_the_list_takes_the_same_queries_however_many_versions(client, sample):
    """A constant number."""
    publication(sample)
    few = queries(client, page("versions", sample))
    for _number in range(20):
        publication(sample)
    assert queries(client, page("versions", sample)) == few


def test_a_version_shows_exactly_what_was_sent_and_answered(client, sample):
    """Both as they were, and the document as a file that imports again."""
    publication(sample)
    edit(sample, title("Other"))
    html = client.get(page("version", sample, 1)).content.decode()
    assert "&quot;title&quot;: &quot;Trip to Barcelona&quot;" in html
    assert "{&quot;success&quot;: true}" in html
    file = client.get(page("version_document", sample, 1))
    assert file.json() == SAMPLE
    assert 'filename="trip-to-barcelona-1.json"' in file["Content-Disposition"]


def test_two_versions_are_compared_in_words(client, sample):
    """Any two, and by default the latest publication with the draft."""
    publication(sample)
    edit(sample, title("Other"))
    publication(sample, "rejected")
    edit(sample, title("Third"))
    html = client.get(page("compare", sample)).content.decode()
    assert "Title: “Trip to Barcelona” → “Third”" in html
    html = client.get(page("compare", sample), {"from": "2", "to": "1"}).content.decode()
    assert "Title: “Other” → “Trip to Barcelona”" in html
    html = client.get(page("compare", sample), {"from": "1", "to": "1"}).content.decode()
    assert "both say the same" in html
    for wrong in ("0", "9", "x", "1e3", "99999999999999999999"):
        assert client.get(page("compare", sample), {"from": wrong}).status_code == 404


def test_the_comparison_of_a_trip_that_was_never_published_says_nothing(client, sample):
    """The draft with itself."""
    assert "both say the same" in client.get(page("compare", sample)).content.decode()


def test_restoring_asks_first_and_can_be_undone(client, sample):
    """The page says what would change, warns of changes that no address shows, and the replaced draft can be put back."""
    publication(sample)
    edit(sample, title("Other"))
    address = page("version_restore", sample, 1)
    html = client.get(address).content.decode()
    assert "Title: “Other” → “Trip to Barcelona”" in html
    assert "changes that no address shows" in html
    answer = client.post(address, {"version": Itinerary.objects.get().version}, follow=True)
    assert "The draft is now: Version 1." in answer.content.decode()
    assert tree(sample).title == "Trip to Barcelona"
    undo = page("put_back", sample, SetAside.objects.get().pk)
    assert undo in answer.content.decode()
    html = client.get(undo).content.decode()
    assert "changes that no address shows" not in html
    client.post(undo, {"version": Itinerary.objects.get().version})
    assert tree(sample).title == "Other"


def test_a_stale_confirmation_shows_the_new_state_first(client, sample):
    """Somebody edited meanwhile: nothing is restored, and the page is shown anew with what would change now."""
    publication(sample)
    edit(sample, title("Other"))
    address = page("version_restore", sample, 1)
    seen = Itinerary.objects.get().version
    edit(sample, title("Newer"))
    for version in (seen, "", "x", "-1"):
        answer = client.post(address, {"version": version})
        assert answer.status_code == 409
        assert "Title: “Newer” → “Trip to Barcelona”" in answer.content.decode()
    assert tree(sample).title == "Newer"


def test_restoring_takes_the_right_to_change(sample):
    """Who may only look compares, and is not offered to restore."""
    publication(sample)
    edit(sample, title("Other"))
    viewer = signed_in(person("marta", "view_itinerary"))
    html = viewer.get(page("versions", sample)).content.decode()
    assert page("version_restore", sample, 1) not in html
    assert viewer.get(page("version_restore", sample, 1)).status_code == 403
    assert viewer.get(page("compare", sample)).status_code == 200


def test_versions_of_other_trips_are_not_there(client, sample):
    """A number, or a draft that was set aside, belongs to its trip."""
    other = services.itinerary_create(user=None, document=SAMPLE)
    publication(other)
    aside = SetAside.objects.create(itinerary=other, document=store(tree(other)), at=timezone.now())
    for address in (
        page("version", sample, 1),
        page("version_document", sample, 1),
        page("version_restore", sample, 1),
        page("version_restore", sample, 10**30),
        page("put_back", sample, aside.pk),
    ):
        assert client.get(address).status_code == 404


def test_the_publish_page_says_what_changed_since(client, sample, settings):
    """Before anybody sends a second version, it is told in words how it differs from the first."""
    settings.CRUSOE_API_KEY = "a key"
    publication(sample)
    html = client.get(page("publish", sample)).content.decode()
    assert "What changed since" not in html
    edit(sample, title("Other"))
    html = client.get(page("publish", sample)).content.decode()
    assert "What changed since version 1" in html
    assert "Title: “Trip to Barcelona” → “Other”" in html
    assert posted(html)[page("publish", sample)]["after"] == "1"
