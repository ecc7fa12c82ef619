"""The builder's posts, with htmx and without."""

from __future__ import annotations

# ruff: noqa: F811 (the fixtures)
import json
import re

import pytest

from itineraries import document, editing, services
from itineraries.models import Itinerary
from itineraries.services import Expected
from tests.itineraries.pages import (
    HTMX,
    SAMPLE,
    ana,  # noqa: F401
    blank,  # noqa: F401
    card_form,
    client,  # noqa: F401
    exported,
    field,
    page,
    person,
    posted,
    queries,
    sample,  # noqa: F401
    tree,
)

pytestmark = pytest.mark.django_db


# --- The builder: saving -----------------------------------------------------------------------------------------


def test_saving_an_untouched_page_changes_nothing(client, ana):
    """Every form of an imported trip posts back what it was shown, and the document stays equal, version and all."""
    odd = json.loads(json.dumps(SAMPLE))
    odd["introText"] = "one\r\ntwo\n\nthree "
    odd["title"] = " Trip\nto Barcelona "
    odd["dateInterval"]["from"] = "around Easter"
    odd["price"]["fixedPriceAmount"] = 0.0
    flight = odd["segments"][0]["options"][0]
    flight["flightSegments"][0]["pointA"]["time"] = "10:20"
    flight["flightSegments"][0]["pointB"]["time"] = "01:45 PM"
    flight["flightSegments"][1]["pointA"]["time"] = "noon"
    flight["duration"] = 12345.5
    flight["price"] = {"discounted": None, "currentAmount": 70.0}
    odd["segments"][1]["options"][0]["latitude"] = 41.37202503846180
    odd["segments"][1]["options"][0]["dateInterval"] = {"from": "31.02.2016", "to": ""}
    odd["segments"][3]["options"][0]["title"] = "<b>&amp;\"'"
    itinerary = services.itinerary_create(user=ana, document=odd)
    before = Itinerary.objects.get(pk=itinerary.pk)
    forms = posted(client.get(page("edit", itinerary)).content.decode())
    saved = [address for address in forms if "/cards/" in address and not address.endswith("/cards/")]
    assert len(saved) == 4
    for address in [page("trip", itinerary), *saved]:
        assert client.post(address, {**forms[address], "do": "save"}).status_code == 302
    after = Itinerary.objects.get(pk=itinerary.pk)
    assert json.dumps(after.document, sort_keys=True) == json.dumps(before.document, sort_keys=True)
    assert after.version == before.version


def test_the_trip_is_saved_with_dates_in_crusoes_spelling(client, blank):
    """Dates typed into the browser's control are written as DD.MM.YYYY; a dynamic price gets the sample's 0."""
    address = page("trip", blank)
    answer = client.post(
        address,
        {
            "version": 1, "trip-title": "Trip to Barcelona", "trip-starts": "2016-05-19", "trip-ends": "2016-05-26",
            "trip-currency": "EUR", "trip-price_type": "dynamic", "trip-milestone_start": "Trip starts",
            "trip-subtitle": "", "trip-intro": "Hello\r\nthere",
        },
    )  # fmt: skip
    assert answer["Location"] == page("edit", blank) + "#trip"
    assert exported(blank) == {
        "title": "Trip to Barcelona",
        "dateInterval": {"from": "19.05.2016", "to": "26.05.2016"},
        "introText": "Hello\nthere",
        "milestones": {"start": "Trip starts"},
        "price": {"currency": "EUR", "type": "dynamic", "fixedPriceAmount": 0},
    }


def test_an_emptied_field_leaves_no_property(client, sample):
    """Emptying a field removes its property, and an object that this leaves empty."""
    form = posted(client.get(page("edit", sample)).content.decode())[page("trip", sample)]
    client.post(page("trip", sample), {**form, "trip-milestone_start": "", "trip-milestone_end": ""})
    assert exported(sample) == {name: value for name, value in SAMPLE.items() if name != "milestones"}


@pytest.mark.parametrize("htmx", [True, False])
def test_a_bad_value_stays_on_the_screen_and_the_rest_is_saved(client, sample, htmx):
    """What cannot be read keeps its text with a message; other edits of the same card are saved all the same."""
    _key, address, form = card_form(client, sample)
    amount, title = field(form, "option", "amount"), field(form, "option", "title")
    answer = client.post(
        address, {**form, "do": "save", amount: "seventy <b>", title: "Direct"}, headers=HTMX if htmx else {}
    )
    assert answer.status_code == (200 if htmx else 422)
    html = answer.content.decode()
    assert 'value="seventy &lt;b&gt;"' in html
    assert "Write a number, such as 70 or 70.50." in html
    option = exported(sample)["segments"][0]["options"][0]
    assert option["title"] == "Direct"
    assert option["price"] == SAMPLE["segments"][0]["options"][0]["price"]
    # The form that came back can be mended and saved as it is.
    again = posted(html)[address]
    assert client.post(address, {**again, "do": "save", amount: "65,50"}).status_code == 302
    assert exported(sample)["segments"][0]["options"][0]["price"]["currentAmount"] == 65.5


def test_an_answer_by_htmx_holds_the_card_and_what_changed_beside_it(client, blank):
    """Saving by htmx answers with the card alone, and the state and the problems out of band."""
    client.post(page("card_add", blank), {"kind": "experience", "after": ""})
    _key, address, form = card_form(client, blank)
    html = client.post(
        address, {**form, "do": "save", field(form, "option", "image"): "https://x.example/y.jpg"}, headers=HTMX
    ).content.decode()
    assert "<html" not in html
    assert html.count('hx-swap-oob="true"') == 3
    assert 'id="problems"' in html
    assert "errors" in html


def test_a_problem_stands_at_its_field_and_in_the_panel(client, blank):
    """What Crusoe would refuse is said at the field, which the panel's link leads to."""
    client.post(page("card_add", blank), {"kind": "experience", "after": ""})
    html = client.get(page("edit", blank)).content.decode()
    option = tree(blank).segments[0].options[0].key
    anchor = f"id_option-{option}-image"
    assert f'<a href="#{anchor}">1. Experience: Address of the picture</a>' in html
    assert re.search(rf'<input[^>]*id="{anchor}"[^>]*>', html)
    at_field = re.search(rf'<div class="problems" id="{anchor}_problems">(.*?)</div>', html, re.S)
    assert '<p class="error">' in at_field[1]
    invalid = re.search(rf'<input[^>]*id="{anchor}"[^>]*>', html)[0]
    assert 'aria-invalid="true"' in invalid


# --- The builder: what is computed -------------------------------------------------------------------------------


def test_an_edited_leg_brings_durations_and_layovers_up_to_date(client, sample):
    """Landing half an hour later lengthens the leg and shortens the layover; the whole stays as long as it was."""
    _key, address, form = card_form(client, sample)
    arrival = field(form, "leg", "to_time")
    client.post(address, {**form, "do": "save", arrival: "15:45"})
    option = exported(sample)["segments"][0]["options"][0]
    legs = option["flightSegments"]
    assert legs[0]["pointB"]["time"] == "15:45 PM"
    assert (legs[0]["duration"], legs[1]["layoverTime"], option["duration"]) == (10800, 1200, 19200)


def test_a_typed_duration_is_kept_as_an_override_until_recomputed(client, sample):
    """A duration that differs from the computed one stays, is shown as such, and goes by "recompute"."""
    _key, address, form = card_form(client, sample)
    total = field(form, "option", "duration")
    html = client.post(address, {**form, "do": "save", total: "6:00"}, headers=HTMX).content.decode()
    assert "Overridden; computed: 5:20" in html
    assert exported(sample)["segments"][0]["options"][0]["duration"] == 21600
    form = posted(html)[address]
    form[field(form, "leg", "to_time")] = "15:25"
    client.post(address, {**form, "do": "save"})
    assert exported(sample)["segments"][0]["options"][0]["duration"] == 21600
    _key, address, form = card_form(client, sample)
    client.post(address, {**form, "do": f"recompute {tree(sample).segments[0].options[0].key}"})
    assert exported(sample)["segments"][0]["options"][0]["duration"] == 19200


def test_a_flight_typed_by_hand_is_the_specifications_sample(client, blank):
    """Codes, dates and times are enough: names, durations, stops and layovers are filled in as in the sample."""
    client.post(page("card_add", blank), {"kind": "flight", "after": ""})
    _key, address, form = card_form(client, blank)
    first = field(form, "leg", "code").removesuffix("-code")
    option = tree(blank).segments[0].options[0].key
    form |= {
        f"{first}-code": "LH 1419", f"{first}-service": "Lufthansa",
        f"{first}-from_code": "otp", f"{first}-from_date": "2016-05-19", f"{first}-from_time": "13:45",
        f"{first}-to_code": "FRA", f"{first}-to_name": "Frankfurt", f"{first}-to_date": "2016-05-19", f"{first}-to_time": "15:15",
        f"option-{option}-title": "Bucharest to Barcelona via Frankfurt",
        f"option-{option}-amount": "70", f"option-{option}-before": "90", f"option-{option}-discounted": "on",
        "do": f"leg_add {option}",
    }  # fmt: skip
    client.post(address, form)
    _key, address, form = card_form(client, blank)
    second = next(name for name in form if name.endswith("-from_code") and not name.startswith(first))
    second = second.removesuffix("-from_code")
    assert form[f"{second}-from_code"] == "FRA"
    form |= {
        f"{second}-code": "LH 1132", f"{second}-service": "Lufthansa", f"{second}-from_time": "16:05",
        f"{second}-to_code": "BCN", f"{second}-to_date": "2016-05-19", f"{second}-to_time": "18:05", "do": "save",
    }  # fmt: skip
    client.post(address, form)
    expected = json.loads(json.dumps(SAMPLE["segments"][0]))
    assert exported(blank)["segments"] == [expected]


# --- The builder: cards, options, legs ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", document.KINDS)
def test_a_card_of_each_kind_is_added_where_the_button_stood(client, sample, kind):
    """A new card stands behind the one whose button was pressed."""
    first = tree(sample).segments[0].key
    answer = client.post(page("card_add", sample), {"kind": kind, "after": first})
    card = tree(sample).segments[1]
    assert card.type == kind
    assert answer["Location"].endswith(f"#card-{card.key}")
    assert client.get(page("edit", sample)).status_code == 200


def test_adding_behind_a_removed_card_adds_at_the_end(client, sample):
    """A card added behind one that somebody removed is not lost: it stands last."""
    client.post(page("card_add", sample), {"kind": "carRide", "after": "000000000000"})
    assert [card.type for card in tree(sample).segments][-1] == "carRide"
    assert client.post(page("card_add", sample), {"kind": "boat", "after": ""}).status_code == 404


def test_cards_move_up_and_down_and_are_duplicated(client, sample):
    """The buttons move a card by one place, stop at the ends, and copy it behind itself."""

    def kinds():
        return [card.type for card in tree(sample).segments]

    for action, expected in (
        ("up", ["flight", "accommodation", "carRide", "experience"]),
        ("down", ["accommodation", "flight", "carRide", "experience"]),
        ("duplicate", ["accommodation", "flight", "flight", "carRide", "experience"]),
    ):
        key = next(card.key for card in tree(sample).segments if card.type == "flight")
        at = [card.key for card in tree(sample).segments].index(key)
        _key, address, form = card_form(client, sample, at)
        assert client.post(address, {**form, "do": action}).status_code == 302
        assert kinds() == expected


def test_a_moved_card_takes_its_typed_text_along(client, sample):
    """A button saves what was typed into its card before it does its work."""
    _key, address, form = card_form(client, sample, 1)
    client.post(address, {**form, "do": "up", field(form, "card", "milestone"): "Typed"})
    assert exported(sample)["segments"][0]["milestone"] == "Typed"


@pytest.mark.parametrize("htmx", [True, False])
def test_a_removed_card_comes_back_by_undo(client, sample, htmx):
    """The place of a removed card offers to put it back, with everything in it, where it was."""
    headers = HTMX if htmx else {}
    _key, address, form = card_form(client, sample, 1)
    html = client.post(address, {**form, "do": "remove"}, headers=headers).content.decode()
    assert [card["type"] for card in exported(sample)["segments"]] == ["flight", "carRide", "experience"]
    assert "Stay was removed." in html
    restore = page("restore", sample)
    client.post(restore, posted(html)[restore], headers=headers)
    assert exported(sample) == SAMPLE
    # Pressed twice, it is there once.
    client.post(restore, posted(html)[restore], headers=headers)
    assert exported(sample) == SAMPLE


def test_a_forged_undo_is_refused(client, sample, blank):
    """A token that this site did not make, or made for another trip, puts nothing back."""
    assert client.post(page("restore", sample), {"undo": "forged"}).status_code == 404
    _key, address, form = card_form(client, sample, 1)
    html = client.post(address, {**form, "do": "remove"}, headers=HTMX).content.decode()
    token = posted(html)[page("restore", sample)]
    assert client.post(page("restore", blank), token).status_code == 404
    assert not tree(blank).segments


def test_options_are_added_duplicated_removed_and_restored(client, sample):
    """Options of a card are handled by its buttons, and a removed one comes back by undo, also after a save."""
    key, address, form = card_form(client, sample, 2)
    option = tree(sample).segments[2].options[0].key
    client.post(address, {**form, "do": f"option_duplicate {option}"})
    _key, address, form = card_form(client, sample, 2)
    client.post(address, {**form, "do": "option_add"})
    assert len(tree(sample).segments[2].options) == 3
    _key, address, form = card_form(client, sample, 2)
    html = client.post(address, {**form, "do": f"option_remove {option}"}, headers=HTMX).content.decode()
    assert len(tree(sample).segments[2].options) == 2
    html = client.post(address, {**posted(html)[address], "do": "save"}, headers=HTMX).content.decode()
    undo = re.search(r'name="do" value="(restore [^"]+)"', html)[1]
    html = client.post(address, {**posted(html)[address], "do": undo}, headers=HTMX).content.decode()
    assert tree(sample).segments[2].options[0].key == option
    assert len(tree(sample).segments[2].options) == 3
    assert "restore " not in html
    assert key == tree(sample).segments[2].key


def test_options_change_places(client, sample):
    """The buttons move an option by one place; at the ends nothing happens, and nothing is lost."""
    option = tree(sample).segments[2].options[0].key
    _key, address, form = card_form(client, sample, 2)
    client.post(address, {**form, "do": f"option_duplicate {option}"})
    for action, place in (("down", 1), ("down", 1), ("up", 0), ("up", 0)):
        _key, address, form = card_form(client, sample, 2)
        assert client.post(address, {**form, "do": f"option_{action} {option}"}).status_code == 302
        keys = [one.key for one in tree(sample).segments[2].options]
        assert keys.index(option) == place
        assert len(keys) == 2


def test_legs_move_and_go_and_come_back(client, sample):
    """A leg removed takes its layover along; put back, the flight is as it was."""
    _key, address, form = card_form(client, sample)
    option = tree(sample).segments[0].options[0]
    second = option.flight_segments[1].key
    html = client.post(address, {**form, "do": f"leg_remove {option.key} {second}"}, headers=HTMX).content.decode()
    left = exported(sample)["segments"][0]["options"][0]
    assert (left["layovers"], left["duration"], len(left["flightSegments"])) == (0, 9000, 1)
    undo = re.search(r'name="do" value="(restore [^"]+)"', html)[1]
    client.post(address, {**posted(html)[address], "do": undo}, headers=HTMX)
    assert exported(sample) == SAMPLE
    _key, address, form = card_form(client, sample)
    client.post(address, {**form, "do": f"leg_up {option.key} {second}"})
    assert [leg["code"] for leg in exported(sample)["segments"][0]["options"][0]["flightSegments"]] == [
        "LH 1132",
        "LH 1419",
    ]


@pytest.mark.parametrize("action", ["nonsense", "option_remove", "leg_up x", "save 1", "restore forged", "restore"])
def test_a_button_that_does_not_exist_is_refused(client, sample, action):
    """An unknown action is a 404 and changes nothing, never a 500."""
    _key, address, form = card_form(client, sample)
    assert client.post(address, {**form, "do": action}).status_code == 404
    assert exported(sample) == SAMPLE


@pytest.mark.parametrize(
    "action", ["option_remove 0", "leg_remove 0 1", "option_duplicate 0", "option_up 0", "recompute 0"]
)
def test_a_button_for_a_part_that_is_gone_is_no_fault(client, sample, action):
    """A button for an option that somebody removed changes nothing and answers with a page."""
    _key, address, form = card_form(client, sample)
    assert client.post(address, {**form, "do": action}).status_code in (302, 409)
    assert exported(sample) == SAMPLE


# --- Two people --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("htmx", [True, False])
def test_a_stale_card_is_refused_and_keeps_what_was_typed(client, sample, htmx):
    """The later of two saves is told who saved first; its text and what is stored both stand on the screen."""
    key, address, form = card_form(client, sample, 2)
    bea = person("bea")
    services.itinerary_edit(
        itinerary_id=sample.pk,
        user=bea,
        edit=lambda trip: editing.card_update(trip, key, {"milestone": "From Bea"}),
        expected=Expected(key, 1),
    )
    milestone = field(form, "card", "milestone")
    answer = client.post(address, {**form, "do": "save", milestone: "From Ana"}, headers=HTMX if htmx else {})
    assert answer.status_code == (200 if htmx else 409)
    html = answer.content.decode()
    assert re.search(r"Bea changed this at \d\d:\d\d", html)
    assert 'value="From Ana"' in html
    assert "Stored now: From Bea" in html
    assert exported(sample)["segments"][2]["milestone"] == "From Bea"
    # Saved again, on what is now known, it is kept.
    client.post(address, {**posted(html)[address], "do": "save"})
    assert exported(sample)["segments"][2]["milestone"] == "From Ana"


def test_another_card_is_no_obstacle(client, sample):
    """Two people on two cards do not hinder each other."""
    key = tree(sample).segments[1].key
    _key, address, form = card_form(client, sample, 2)
    services.itinerary_edit(
        itinerary_id=sample.pk, user=None, edit=lambda trip: editing.card_update(trip, key, {"milestone": "Theirs"})
    )
    assert client.post(address, {**form, "do": "save", field(form, "card", "milestone"): "Mine"}).status_code == 302
    assert [card["milestone"] for card in exported(sample)["segments"][1:3]] == ["Theirs", "Mine"]


@pytest.mark.parametrize("htmx", [True, False])
def test_a_card_that_somebody_removed_gives_the_typed_text_back(client, sample, htmx):
    """A save of a removed card writes nothing, and what was typed can still be read."""
    key, address, form = card_form(client, sample, 2)
    services.itinerary_edit(itinerary_id=sample.pk, user=None, edit=lambda trip: editing.card_remove(trip, key))
    answer = client.post(
        address, {**form, "do": "save", field(form, "card", "milestone"): "Typed"}, headers=HTMX if htmx else {}
    )
    assert answer.status_code == (200 if htmx else 409)
    assert "Somebody removed this card" in answer.content.decode()
    assert "<dd>Typed</dd>" in answer.content.decode()


def test_a_stale_trip_form_is_refused(client, sample):
    """The trip's own properties are guarded like a card."""
    form = posted(client.get(page("edit", sample)).content.decode())[page("trip", sample)]
    services.itinerary_edit(
        itinerary_id=sample.pk, user=person("bea"), edit=lambda trip: editing.trip_update(trip, {"title": "Theirs"})
    )
    html = client.post(page("trip", sample), {**form, "trip-title": "Mine"}, headers=HTMX).content.decode()
    assert "Bea changed this" in html
    assert 'value="Mine"' in html
    assert exported(sample)["title"] == "Theirs"


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 50, "²"])
def test_a_version_that_is_none_counts_as_stale(client, sample, version):
    """A form whose version is missing or nonsense is refused like a stale one."""
    _key, address, form = card_form(client, sample)
    answer = client.post(address, {**form, "version": version, "do": "save", field(form, "option", "title"): "X"})
    assert answer.status_code == 409
    assert exported(sample) == SAMPLE


def test_the_builder_costs_the_same_however_many_cards(client, ana, blank):
    """The page takes as many queries for a blank trip as for one of twelve cards."""
    many = services.itinerary_create(user=ana, document={**SAMPLE, "segments": [SAMPLE["segments"][1]] * 12})
    assert queries(client, page("edit", many)) == queries(client, page("edit", blank))
