"""How vehicles and their changes look on every page of the admin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from fleet.models import FleetRules, RulesChange, Vehicle, VehicleChange
from fleet.selectors import Reason, withheld_reasons
from fleet.vocabulary import CityTripsStatus, Origin, State
from fleet.wording import change_words, duration_words, moment_words

STATE_TONES = {
    State.AVAILABLE: "ok",
    State.RESERVED: "info",
    State.ON_TRIP: "info",
    State.NON_OPERATIONAL: "bad",
    State.NON_CONTACTABLE: "warn",
    State.MISSING: "bad",
    State.ELSEWHERE: "warn",
}
STATUS_TONES = {
    CityTripsStatus.PENDING: "info",
    CityTripsStatus.SETTLED: "ok",
    CityTripsStatus.OBJECTED: "bad",
    CityTripsStatus.WITHHELD: "warn",
}
ORIGIN_TONES = {Origin.IMPORT: "info", Origin.API: "info", Origin.UNDO: "warn"}


def chip(tone: str, label: str) -> SafeString:
    return format_html('<span class="chip {}">{}</span>', tone, label)


def state_chip(vehicle: Vehicle) -> SafeString:
    return chip(STATE_TONES.get(State(vehicle.state), ""), vehicle.get_state_display())


def state_menu(vehicle: Vehicle) -> SafeString:
    """The chip as a way to another state: a page of its own, and a menu where the script has run."""
    words = gettext("Change the state of %(vehicle)s: %(state)s")
    return format_html(
        '<a class="chip {} state" href="{}" data-state="{}" aria-label="{}">{}</a>',
        STATE_TONES.get(State(vehicle.state), ""),
        reverse("admin:fleet_vehicle_state", args=[vehicle.pk]),
        vehicle.state,
        words % {"vehicle": vehicle.plate or vehicle.pk, "state": vehicle.get_state_display()},
        vehicle.get_state_display(),
    )


def citytrips_chip(vehicle: Vehicle) -> SafeString:
    """Where the vehicle stands with CityTrips, and if it is withheld, why."""
    status = CityTripsStatus(vehicle.citytrips_status)
    shown = chip(STATUS_TONES.get(status, ""), str(status.label))
    told = reasons(vehicle) if status == CityTripsStatus.WITHHELD else []
    return format_html('{} <span class="small mut">{}</span>', shown, reasons_words(told)) if told else shown


def reasons(vehicle: Vehicle) -> list[Reason]:
    """What keeps it back; the rules come with the row where a list has asked for them."""
    minimum = vehicle.__dict__.get("minimum_battery")
    return withheld_reasons(vehicle, None if minimum is None else FleetRules(minimum_battery=minimum))


def reasons_words(told: Sequence[Reason]) -> SafeString:
    """Reasons in a sentence, each with its exact time where it tells one by the clock."""
    parts = (
        (format_html('<span title="{}">{}</span>', one.detail, one.message) if one.detail else one.message,)
        for one in told
    )
    return format_html_join(", ", "{}", parts)


def availability_words(vehicle: Vehicle) -> SafeString:
    """Whether the vehicle is offered, as a sentence."""
    if vehicle.state != State.AVAILABLE:
        return format_html(
            "{}", gettext("Not offered: its state is “%(state)s”") % {"state": vehicle.get_state_display()}
        )
    told = reasons(vehicle)
    if not told:
        return format_html("{}", gettext("Offered to CityTrips"))
    return format_html(gettext("Withheld: {}"), reasons_words(told))


def heard_words(vehicle: Vehicle) -> SafeString | None:
    """How long ago the vehicle was heard of, with the exact time beside it."""
    if vehicle.last_signal_at is None:
        return None
    ago = gettext("%(duration)s ago") % {"duration": duration_words(timezone.now() - vehicle.last_signal_at)}
    return format_html('<span title="{}">{}</span>', moment_words(vehicle.last_signal_at), ago)


def change_lines(change: VehicleChange) -> SafeString:
    """A change in words: old → new, field by field."""
    if change.added:
        known = change_words(change.values)
        words = format_html_join(", ", "{}: {}", ((line.label, line.new) for line in known))
        return format_html('<b>{}</b> <span class="small mut">{}</span>', gettext("Added"), words)
    return values_lines(change.values)


def values_lines(values: Mapping[str, Sequence[Any]]) -> SafeString:
    nothing = format_html('<span class="mut">{}</span>', gettext("empty"))
    lines = ((line.label, line.old or nothing, line.new or nothing) for line in change_words(values))
    return format_html_join(
        "",
        '<span class="change"><span class="mut">{}:</span> {} <span aria-hidden="true">→</span>'
        '<span class="visually-hidden">{}</span> <b>{}</b></span>',
        ((label, old, gettext("becomes"), new) for label, old, new in lines),
    )


def origin_chip(change: VehicleChange) -> SafeString:
    """Where a change came from, leading to the import where that has a page."""
    origin = Origin(change.origin)
    tone = ORIGIN_TONES.get(origin, "")
    url = address("fleet:import_run", change.run_id) if change.run_id else None
    if url:
        return format_html('<a class="chip {}" href="{}">{}</a>', tone, url, origin.label)
    return chip(tone, str(origin.label))


def author_words(change: VehicleChange | RulesChange) -> str:
    """Who made a change; a program has no name here."""
    by: Any = change.by
    return gettext("a program") if by is None else (by.get_full_name() or by.get_username())


def address(name: str, *args: object) -> str | None:
    """The address of a page; None where there is none."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return None
