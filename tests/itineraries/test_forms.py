"""What the forms read, show and leave alone, and where problems belong in the page."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from django import forms as django_forms
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import given
from hypothesis import strategies as st

from itineraries import builder, card_actions, computed, document, editing, findings, forms, problems
from itineraries.editing import ABSENT
from itineraries.form_fields import (
    UNCHANGED,
    ChoiceField,
    DateField,
    FlagField,
    LengthField,
    LongTextField,
    NumberField,
    TextField,
    TimeField,
)

SAMPLE = json.loads((Path(__file__).parents[1] / "wire" / "crusoe_trip.json").read_text())


@pytest.fixture
def trip():
    return document.parse(SAMPLE)


def read(field, text, stored=None):
    """The value of a text typed into a field that showed ``stored``."""
    field.shown = field.show(stored)
    return field.clean(text)


def refuse(field, text):
    with pytest.raises(django_forms.ValidationError):
        read(field, text)


# --- Fields ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("70", 70), ("70.5", 70.5), ("70,50", 70.5), ("70.00", 70), ("+7", 7), ("0", 0), (" 70 ", 70), ("007", 7)],
)
def test_amounts_are_read_as_people_write_them(text, value):
    """A point or a comma before one or two decimals; whole numbers stay whole."""
    amount = read(NumberField("price.currentAmount", label="Price", least=0), text)
    assert (amount, type(amount)) == (value, type(value))


@pytest.mark.parametrize(
    "text", ["1,250", "seventy", "-1", "1e5", "NaN", "inf", "1.2.3", "٣", "0x10", "1_000", "9" * 25, "9" * 5000]
)
def test_what_is_no_amount_is_refused(text):
    """Words, negative and ambiguous numbers, and ones beyond double precision are messages, not guesses."""
    refuse(NumberField("price.currentAmount", label="Price", least=0), text)


def test_ranges_are_kept():
    """Latitudes end at the poles, and counts are whole."""
    latitude = NumberField("latitude", label="Latitude", least=-90, most=90)
    assert read(latitude, "-41.3720250384618") == -41.3720250384618
    refuse(latitude, "90.1")
    refuse(NumberField("stops", label="Stops", least=0, whole=True), "1.5")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2:30", 9000), ("0:50", 3000), ("2h30", 9000), ("2 h", 7200), ("45 min", 2700), ("1 h 5 m", 3900), ("61 s", 61)],
)
def test_lengths_are_read_as_hours_and_minutes(text, seconds):
    """Seconds in the document are hours and minutes on the screen, in a few spellings."""
    assert read(LengthField("duration", label="Duration"), text) == seconds


@pytest.mark.parametrize("text", ["90", "2:75", "-1:00", "soon", "h", "1:2:3"])
def test_a_length_that_could_mean_two_things_is_refused(text):
    """A bare number could be minutes, hours or seconds."""
    refuse(LengthField("duration", label="Duration"), text)


@pytest.mark.parametrize("seconds", [0, 60, 9000, 61, 9000.5, 35_999_940, 10**12, 7200.0])
def test_a_length_is_shown_so_that_it_reads_back(seconds):
    """What is shown of a stored length means that length."""
    field = LengthField("duration", label="Duration")
    assert read(field, field.show(seconds), stored=1) == seconds


def test_dates_and_times_are_written_in_crusoes_spelling():
    """The browser's spelling and Crusoe's are both read; Crusoe's is written."""
    for text in ("2016-05-19", "19.05.2016"):
        assert read(DateField("date", label="Date"), text) == "19.05.2016"
    for text, time in (("13:45", "13:45 PM"), ("09:15 AM", "09:15 AM"), ("00:05", "00:05 AM"), ("12:00", "12:00 PM")):
        assert read(TimeField("time", label="Time"), text) == time
    refuse(DateField("date", label="Date"), "2016-02-30")
    refuse(TimeField("time", label="Time"), "25:00")


@pytest.mark.parametrize(
    ("field", "stored", "shown", "kind"),
    [
        (DateField, "19.05.2016", "2016-05-19", "date"), (DateField, "around Easter", "around Easter", "text"),
        (DateField, "31.02.2016", "31.02.2016", "text"), (DateField, None, "", "date"),
        (TimeField, "13:45 PM", "13:45", "time"), (TimeField, "10:20", "10:20", "time"),
        (TimeField, "noon", "noon", "text"),
    ],
)  # fmt: skip
def test_what_a_control_cannot_hold_is_shown_as_text(field, stored, shown, kind):
    """A date or time that nobody can read keeps its text on the screen, in a plain input."""
    one = field("x", label="X")
    one.prepare(one.show(stored))
    assert (one.show(stored), one.widget.input_type) == (shown, kind)


@pytest.mark.parametrize(
    ("field", "stored"),
    [
        (TextField, "two\nlines"), (TextField, " spaces "), (TextField, "a\r\nb\rc"), (LongTextField, "a\r\nb\n\nc "),
        (LongTextField, "\nleading"), (DateField, "31.02.2016"), (TimeField, "01:45 PM"), (TimeField, "10:20"),
        (LengthField, 61.5), (TextField, ""),
    ],
)  # fmt: skip
def test_what_a_browser_posts_back_untouched_is_no_edit(field, stored):
    """Line breaks that a browser drops or rewrites, and values that no field can read, count as unchanged."""
    one = field("x", label="X")
    one.shown = one.show(stored)
    lines = one.shown.replace("\r\n", "\n").replace("\r", "\n")
    back = lines.replace("\n", "") if one.single_line else lines.replace("\n", "\r\n")
    assert one.clean(back) is UNCHANGED
    assert one.clean(None) is UNCHANGED


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_any_text_is_shown_and_posted_back_unchanged(text):
    """Whatever stands in a text property, showing and posting it is no edit."""
    for field in (TextField("x", label="X"), LongTextField("x", label="X")):
        field.shown = field.show(text)
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        assert (
            field.clean(lines.replace("\n", "\r\n") if not field.single_line else lines.replace("\n", "")) is UNCHANGED
        )


def test_an_emptied_field_is_absent_and_a_nul_is_refused():
    """Nothing, or only blanks, removes the property; a NUL cannot be stored."""
    assert read(TextField("x", label="X"), "  ", stored="text") is ABSENT
    refuse(TextField("x", label="X"), "a\0b")


def test_a_flag_left_alone_stays_absent():
    """An absent flag is not written as false; one that is ticked or unticked is."""
    assert read(FlagField("x", label="X"), False) is UNCHANGED
    assert read(FlagField("x", label="X"), True) is True
    assert read(FlagField("x", label="X"), False, stored=True) is False


def test_a_stored_word_outside_the_list_stays_a_choice():
    """A currency that the list does not have is still shown, and can be left."""
    field = ChoiceField("currency", label="Currency", choices=[("EUR", "EUR")])
    field.shown = "GBP"
    field.prepare("GBP")
    assert ("GBP", "GBP") in field.widget.choices
    assert field.clean("GBP") is UNCHANGED
    refuse(ChoiceField("currency", label="Currency", choices=[("EUR", "EUR")]), "GBP")


# --- Forms -------------------------------------------------------------------------------------------------------


def bound(form, part, **typed):
    """A form over a part, posted with everything as shown but what is typed."""
    shown = {name: field.shown for name, field in form(part, prefix="p").fields.items()}
    return form(part, prefix="p", data={f"p-{name}": text for name, text in {**shown, **typed}.items()})


def test_only_what_changed_is_written():
    """The changes of a form are the edited properties, by their paths."""
    part = SAMPLE["segments"][1]["options"][0]
    form = bound(forms.AccommodationOptionForm, part, amount="210", booking_id="", latitude="x")
    assert form.changes() == {"price.currentAmount": 210, "bookingId": ABSENT}
    assert set(form.errors) == {"latitude"}


def test_a_typed_price_is_whole_as_in_the_samples():
    """A new price says that it is no discount; one that is emptied leaves no empty price behind."""
    written = {"price.currentAmount": 15, "price.discounted": False}
    assert bound(forms.ExperienceOptionForm, {}, amount="15").changes() == written
    ticked = {"price.currentAmount": 15, "price.beforeAmount": 20, "price.discounted": True}
    assert bound(forms.ExperienceOptionForm, {}, amount="15", before="20", discounted=True).changes() == ticked
    imported = {"price": {"currentAmount": 15, "discounted": False, "beforeAmount": 0}}
    emptied = {"price.currentAmount": ABSENT, "price.discounted": ABSENT, "price.beforeAmount": ABSENT}
    assert bound(forms.ExperienceOptionForm, imported, amount="").changes() == emptied
    assert bound(forms.ExperienceOptionForm, imported, amount="16").changes() == {"price.currentAmount": 16}
    kept = {"price": {"currentAmount": 15, "discounted": False, "beforeAmount": 20}}
    assert bound(forms.ExperienceOptionForm, kept, amount="").changes() == {"price.currentAmount": ABSENT}


def test_every_property_of_the_specification_has_a_field():
    """Whatever the specification's samples and lists name can be typed."""
    leg = {"code", "serviceInfo", "duration", "stops", "layoverTime"} | {
        f"point{end}.{name}" for end in "AB" for name in ("name", "code", "date", "time")
    }
    ride = {"serviceInfo", "duration"} | {f"point{end}.{name}" for end in "AB" for name in ("name", "date", "time")}
    option = {"title", "info", "price.currentAmount", "price.discounted", "price.beforeAmount"}
    hotel = {"image", "description", "address", "latitude", "longitude", "bookingId", "tripadvisorId"}
    trip = {
        "title",
        "subtitle",
        "introText",
        "dateInterval.from",
        "dateInterval.to",
        "milestones.start",
        "milestones.end",
    }
    price = {"price.currency", "price.type", "price.fixedPriceAmount"}
    for form, paths in (
        (forms.TripForm, trip | price),
        (forms.CardForm, {"milestone"}),
        (forms.FlightOptionForm, option | {"duration", "stops", "layovers"}),
        (forms.LegForm, leg),
        (forms.AccommodationOptionForm, option | hotel | {"dateInterval.from", "dateInterval.to"}),
        (forms.CarRideOptionForm, option | ride),
        (forms.ExperienceOptionForm, option | {"image", "description"}),
    ):
        assert {field.path for field in form.base_fields.values()} == paths, form


def test_an_airports_name_follows_its_code_until_it_is_typed():
    """An empty name is filled in from the code, changes with the code, and stays once somebody typed another."""
    assert bound(forms.LegForm, {}, from_code="otp").changes() == {"pointA.code": "OTP", "pointA.name": "Bucharest"}
    filled = {"pointA": {"code": "OTP", "name": "Bucharest"}}
    assert bound(forms.LegForm, filled, from_code="BCN").changes()["pointA.name"] == "Barcelona"
    typed = {"pointA": {"code": "OTP", "name": "Otopeni"}}
    assert bound(forms.LegForm, typed, from_code="BCN").changes() == {"pointA.code": "BCN"}
    assert bound(forms.LegForm, {}, from_code="XXX").changes() == {"pointA.code": "XXX"}
    assert bound(forms.LegForm, {"pointA": {"code": "OTP"}}).changes() == {}


def test_after_a_save_only_unreadable_text_stays():
    """The form that follows a save shows what is stored, and unreadable text with its message."""
    form = bound(forms.TripForm, {}, title="New", starts="soon")
    after = form.after_save({"title": "New", "subtitle": "by somebody else"})
    assert after["starts"].value() == "soon"
    assert after.fields["starts"].widget.input_type == "text"
    assert set(after.errors) == {"starts"}
    assert after["subtitle"].value() == "by somebody else"


def test_an_import_takes_a_file_or_text_not_both():
    """Both at once is a question back, since one of them would be ignored."""
    file = SimpleUploadedFile("x.json", b"{}")
    assert not forms.ImportForm({"text": "{}"}, {"file": file}).is_valid()
    assert forms.ImportForm({}, {"file": SimpleUploadedFile("x.json", b"\xef\xbb\xbf{}")}).is_valid()


# --- Computed values ---------------------------------------------------------------------------------------------


def flight(trip):
    return document.export(trip)["segments"][0]["options"][0]


def keys(trip):
    option = trip.segments[0].options[0]
    return trip.segments[0].key, option.key, [leg.key for leg in option.flight_segments]


def test_the_samples_flight_is_what_its_airports_and_times_give(trip):
    """The specification's own durations, layover and counts are the computed ones, so none is an override."""
    assert computed.overrides(trip.segments[0].options[0]) == []
    assert computed.overrides(trip.segments[2].options[0]) == []


def test_an_edit_that_touches_no_time_fills_nothing_in():
    """An imported flight without durations gets none because somebody changed its title."""
    bare = copy.deepcopy(SAMPLE)
    del bare["segments"][0]["options"][0]["duration"]
    trip = document.parse(bare)
    card, option, _legs = keys(trip)
    after = editing.option_update(trip, card, option, {"title": "Another"})
    assert "duration" not in flight(computed.follow(trip, after, card))


def test_an_imported_value_that_differs_is_an_override():
    """It is told as one, and stays when the times change; its neighbours, which were the computed ones, follow."""
    data = copy.deepcopy(SAMPLE)
    data["segments"][0]["options"][0]["duration"] = 20000
    trip = document.parse(data)
    assert [(one.path, one.value) for one in computed.overrides(trip.segments[0].options[0])] == [("duration", 19200)]
    card, option, legs = keys(trip)
    after = editing.leg_update(trip, card, option, legs[1], {"pointB.time": "18:35 PM"})
    found = flight(computed.follow(trip, after, card))
    assert (found["duration"], found["flightSegments"][1]["duration"]) == (20000, 9000)
    assert flight(computed.recompute(after, card, option))["duration"] == 21000


def test_a_value_that_can_no_longer_be_computed_is_removed(trip):
    """Without a time there is no duration, rather than an old one; an override stays."""
    card, option, legs = keys(trip)
    trip = editing.leg_update(trip, card, option, legs[1], {"duration": 7000})
    after = editing.leg_update(trip, card, option, legs[1], {"pointB.time": ABSENT})
    found = flight(computed.follow(trip, after, card))
    assert "duration" not in found
    assert found["flightSegments"][1]["duration"] == 7000


def test_an_arrival_before_its_departure_has_no_duration(trip):
    """A negative length is never stored; the problem is told instead."""
    card, option, legs = keys(trip)
    after = editing.leg_update(trip, card, option, legs[0], {"pointB.time": "10:00 AM"})
    assert "duration" not in flight(computed.follow(trip, after, card))["flightSegments"][0]


# --- Where problems belong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "part", "field"),
    [
        ("title", "trip", "title"), ("dateInterval", "trip", "starts"), ("price", "trip", "currency"),
        ("segments[1].milestone", "card-1", "milestone"),
        ("segments[1].options[0].price.currentAmount", "option-1", "amount"),
        ("segments[0].options[0].flightSegments[1].pointB.code", "leg", "to_code"),
        ("segments[1].options[0].dateInterval.to", "option-1", "check_out"),
    ],
)  # fmt: skip
def test_a_path_leads_to_its_field(trip, path, part, field):
    """A problem's path is the id of an input, by keys, so that it holds when cards move."""
    names = {
        "trip": "trip", "card-1": f"card-{trip.segments[1].key}",
        "option-1": f"option-{trip.segments[1].options[0].key}", "leg": f"leg-{keys(trip)[2][1]}",
    }  # fmt: skip
    anchor, where = findings.locate(trip.data, path)
    assert anchor == f"id_{names[part]}-{field}"
    assert where


@pytest.mark.parametrize(
    ("path", "start"),
    [("", "trip"), ("segments", "cards"), ("segments[9]", "cards"), ("segments[0]", "card-"), ("mood.x[3]", "trip"),
     ("segments[0].options", "card-"), ("segments[0].options[7].title", "card-"), ("segments[1].options[0]", "option-"),
     ("segments[0].options[0].flightSegments", "option-"), ("segments[0].options[0].flightSegments[5]", "option-"),
     ("segments[x].y", "cards"), ("segments[3].options[0].flightSegments[0]", "option-")],
)  # fmt: skip
def test_a_path_without_a_field_leads_to_the_nearest_place(trip, path, start):
    """A problem of a whole card, of a list or of something that is not there still leads somewhere."""
    anchor, where = findings.locate(trip.data, path)
    assert anchor.startswith(start)
    assert where


def test_every_problem_of_an_empty_trip_of_all_kinds_has_a_field():
    """Each error that the contract can raise on blank cards points at an input, not at a whole card."""
    trip = document.parse({"price": {"type": "dynamic"}})
    for kind in document.KINDS:
        trip, _key = card_actions.new_card(trip, kind, trip.segments[-1].key if trip.segments else "")
    found = findings.findings(trip)
    assert {one.problem for one in found} == set(problems.find(trip))
    assert [one.problem.path for one in found if not one.anchor.startswith("id_") and one.is_error] == []


# --- Editors and actions -----------------------------------------------------------------------------------------


def test_an_untouched_editor_edits_nothing(trip):
    """Posting back what every card shows is the same tree."""
    for card in trip.segments:
        editor = builder.card_editor(trip, card.key)
        posted = builder.card_editor(trip, card.key, data=editor.shown())
        assert posted.apply(trip) is trip
        assert not posted.has_errors


def test_a_new_leg_starts_where_the_last_one_ends(trip):
    """Place and day are carried over; the time is not known."""
    card, option, _legs = keys(trip)
    legs = flight(card_actions.card_action(trip, card, "leg_add", option))["flightSegments"]
    assert legs[2] == {
        "stops": 0,
        "pointA": {"code": "BCN", "name": "Barcelona", "date": "19.05.2016"},
    }


def test_typed_texts_are_told_with_their_labels():
    """What was typed into a part that is gone is given back by label, without what is no field."""
    typed = {"card-0123456789ab-milestone": "Here", "leg-0123456789ab-code": "LH 1", "do": "save", "version": "1"}
    assert builder.typed_texts(typed) == [("Label before this card", "Here"), ("Flight", "LH 1")]
