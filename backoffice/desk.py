"""What the desk shows: what is to be done first, the figures, and where the line to CityTrips stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

from django.conf import settings
from django.db.models import OuterRef, Q, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backoffice.citytrips.exchange import State
from backoffice.citytrips.models import Alert
from backoffice.citytrips.selectors import LinkSummary, PauseNow, alerts_open, link_summary, missing_credentials
from fleet.models import Vehicle
from fleet.selectors import FleetCounts, Tally, fleet_counts, low_batteries, objected_count
from fleet.vocabulary import State as VehicleState
from itineraries.models import Itinerary, ItineraryState, Publication, PublicationState
from itineraries.selectors import credentials_refused, itineraries_for_lists, itinerary_counts, recent_itineraries
from users.models import User

ROWS = 5
_LINE_CHIPS = {State.LIVE: "ok", State.REFUSED: "bad", State.UNCONFIGURED: "warn", State.WAITING: "warn"}
_ALERT_WORDS = {
    Alert.Kind.INBOUND_TOO_LARGE: gettext_lazy("sent a message that was too large to be read"),
    Alert.Kind.FULLS_BLOCKED: gettext_lazy(
        "closed the line over a full list: what is no longer offered stays on show there"
    ),
    Alert.Kind.FULL_OBJECTED: gettext_lazy(
        "does not accept a full list, so what is no longer offered stays on show there; the next is tried by itself"
    ),
    Alert.Kind.USER_REFUSED: gettext_lazy("registered a person whom we refused"),
    Alert.Kind.REPLY_OBJECTED: gettext_lazy("does not accept a reply"),
    Alert.Kind.UNKNOWN_COMMAND: gettext_lazy("sent a command that nothing here handles"),
    Alert.Kind.LINE_DOWN: gettext_lazy("has been out of reach for ten minutes or more, and hears of no change"),
}
_PASSING = (Alert.Kind.FULLS_BLOCKED, Alert.Kind.FULL_OBJECTED, Alert.Kind.LINE_DOWN)
_TROUBLE = (ItineraryState.UNKNOWN, ItineraryState.REJECTED, ItineraryState.NOT_SENT)


@dataclass(frozen=True)
class Task:
    """Something that waits for a person: a chip, what it is about, what is the matter, and where to go.

    ``done_url`` is where to say that it is done, for who may.
    """

    kind: str  # the class of the chip: bad or warn
    label: str
    subject: str
    words: str
    action: str = ""
    url: str | None = None
    done_url: str | None = None


@dataclass(frozen=True)
class Line:
    """The line to CityTrips, with the class of its chip."""

    summary: LinkSummary
    chip: str

    @property
    def live_for(self) -> str:
        """How long it has been live, in words; empty in the first minute, and while it is not."""
        since = self.summary.since
        if self.summary.state != State.LIVE or since is None or timezone.now() - since < timedelta(minutes=1):
            return ""
        return timesince(since)


@dataclass(frozen=True)
class Fleet:
    """The figures of the fleet; CityTrips offers a vehicle only while the line is live (``is_live``)."""

    counts: FleetCounts
    removed: int
    low: Sequence[Vehicle]
    is_live: bool

    @property
    def not_offered(self) -> list[Tally]:
        """Why the others are not offered: what keeps available ones back, then the other states."""
        others = [tally for tally in self.counts.by_state if tally.code != VehicleState.AVAILABLE]
        return [*self.counts.withheld_by_reason, *others]


@dataclass(frozen=True)
class Itineraries:
    total: int
    published_this_week: int
    drafts: int
    recent: Sequence[Itinerary]


@dataclass(frozen=True)
class Desk:
    """A part that the person may not see is None."""

    greeting: str
    tasks: Sequence[Task] = field(default_factory=list)
    line: Line | None = None
    fleet: Fleet | None = None
    itineraries: Itineraries | None = None
    pauses: Sequence[PauseNow] = ()
    may_resume: bool = False


def desk_for(user: User) -> Desk:
    """The desk of a member of staff, in a number of queries that does not grow with the data."""
    tasks: list[Task] = []
    line = fleet = itineraries = None
    summary = link_summary()
    if user.has_perm("citytrips.view_linkstate"):
        line = Line(summary, _LINE_CHIPS.get(summary.state, "info"))
        tasks += _line_tasks(summary)
    if user.has_perm("citytrips.view_alert"):
        tasks += _alert_tasks(user)
    if user.has_perm("fleet.view_vehicle"):
        removed = Vehicle.objects.filter(state=VehicleState.REMOVED).count()
        fleet = Fleet(fleet_counts(), removed, low_batteries(ROWS), summary.state == State.LIVE)
        tasks += _fleet_tasks(objected_count())
    if user.has_perm("itineraries.view_itinerary"):
        counts = itinerary_counts()
        itineraries = Itineraries(
            total=sum(counts.values()),
            published_this_week=_published_this_week(),
            drafts=counts[ItineraryState.DRAFT],
            recent=recent_itineraries(ROWS),
        )
        tasks += _itinerary_tasks(user, sum(counts[state] for state in _TROUBLE))
    tasks.sort(key=lambda task: task.kind != "bad")
    concerned = line is not None or fleet is not None
    return Desk(
        greeting(user),
        tasks,
        line,
        fleet,
        itineraries,
        pauses=summary.pauses if concerned else (),
        may_resume=user.has_perm("citytrips.pause_sending"),
    )


def greeting(user: User) -> str:
    """By the hour where the person is."""
    words = {"name": user.first_name or user.get_username()}
    hour = timezone.localtime().hour
    if 5 <= hour < 12:
        return _("Good morning, %(name)s") % words
    if 12 <= hour < 19:
        return _("Good afternoon, %(name)s") % words
    return _("Good evening, %(name)s") % words


def _line_tasks(summary: LinkSummary) -> list[Task]:
    if missing := missing_credentials():
        words = _("is not connected. Set these variables and start again: %(variables)s") % {
            "variables": ", ".join(missing)
        }
        return [Task("warn", _("Set up"), "CityTrips", words)]
    if not summary.worker_alive:
        words = _("hears nothing: no worker is running. Start one by %(command)s") % {
            "command": "manage.py runworker citytrips" if settings.REDIS_URL else "manage.py serve"
        }
        return [Task("bad", _("No worker"), "CityTrips", words)]
    if summary.state == State.REFUSED:
        url = reverse("admin:citytrips_linkstate_changelist")
        words = _("does not accept our credentials, so no vehicle is offered there. It says: %(reason)s") % {
            "reason": summary.reason
        }
        return [Task("bad", _("Refused"), "CityTrips", words, _("See the line"), url)]
    return []


def _alert_tasks(user: User) -> list[Task]:
    """What the line put before people; only who looks after the fleet says that it is done."""
    alerts = list(alerts_open()[: ROWS + 1])
    may_act = user.has_perm("fleet.change_vehicle")
    tasks = []
    for alert in alerts[:ROWS]:
        words = str(_ALERT_WORDS.get(Alert.Kind(alert.kind), ""))
        if alert.detail:
            words = f"{words}: {alert.detail}"
        if alert.count > 1:
            times = ngettext("%(count)d time", "%(count)d times", alert.count) % {"count": alert.count}
            words = f"{words} ({times})"
        url = reverse("admin:citytrips_alert_change", args=[alert.pk])
        done_url = reverse("admin:citytrips_alert_done", args=[alert.pk]) if may_act else None
        if alert.kind in _PASSING:  # they end with what they are about
            url, done_url = reverse("admin:citytrips_linkstate_changelist"), None
        tasks.append(Task("warn", _("Alert"), "CityTrips", words, _("Look"), url, done_url))
    if len(alerts) > ROWS:
        url = reverse("admin:citytrips_alert_changelist") + "?state=open"
        tasks.append(Task("warn", _("And"), "CityTrips", _("has more alerts"), _("Open list"), url))
    return tasks


def _fleet_tasks(objected: int) -> list[Task]:
    if not objected:
        return []
    words = ngettext(
        "objects to %(count)d vehicle as it was sent", "objects to %(count)d vehicles as they were sent", objected
    ) % {"count": objected}
    url = reverse("admin:fleet_vehicle_changelist") + "?citytrips=objected"
    return [Task("bad", _("Objected"), "CityTrips", words, _("Show them"), url)]


def _itinerary_tasks(user: User, count: int) -> list[Task]:
    tasks = []
    if not settings.CRUSOE_API_KEY:
        words = _("cannot be reached, so nothing can be published. Set this variable and start again: %(variable)s") % {
            "variable": "CRUSOE_API_KEY"
        }
        tasks.append(Task("warn", _("Set up"), "Crusoe", words))
    elif refusal := credentials_refused():
        words = _("does not accept our credentials, so nothing can be published. It says: %(reason)s") % {
            "reason": refusal
        }
        tasks.append(Task("bad", _("Refused"), "Crusoe", words))
    latest = Publication.objects.filter(itinerary=OuterRef("pk")).order_by("-number")
    rows = (
        itineraries_for_lists()
        .filter(Q(("current_state__in", _TROUBLE)))
        .annotate(
            tried_at=Subquery(latest.values("started_at")[:1]),
            tried_status=Subquery(latest.values("http_status")[:1]),
        )
        .order_by("-tried_at")[:ROWS]
    )
    tasks += [_itinerary_task(itinerary, user) for itinerary in rows]
    if count > ROWS:
        more = count - ROWS
        words = ngettext("%(count)d more itinerary", "%(count)d more itineraries", more) % {"count": more}
        tasks.append(Task("warn", _("And"), words, "", _("Open list"), reverse("itineraries:list")))
    return tasks


def _itinerary_task(itinerary: Itinerary, user: User) -> Task:
    url = reverse("itineraries:edit", args=[itinerary.pk])
    may_publish = user.has_perm("itineraries.publish_itinerary")
    if itinerary.state == ItineraryState.UNKNOWN:
        words = _("may or may not have reached Crusoe at %(time)s") % {"time": _when(itinerary.__dict__["tried_at"])}
        action = _("Resolve") if may_publish else _("Open")
        return Task("bad", _("Unknown"), str(itinerary), words, action, url)
    if itinerary.state == ItineraryState.REJECTED and itinerary.__dict__["tried_status"] == HTTPStatus.UNAUTHORIZED:
        # Nothing in the itinerary is wrong, so nothing in it can be corrected.
        action = _("Try again") if may_publish else _("Open")
        words = _("was not published, as Crusoe did not accept our credentials")
        return Task("warn", _("Not sent"), str(itinerary), words, action, url)
    if itinerary.state == ItineraryState.REJECTED:
        action = _("Correct") if user.has_perm("itineraries.change_itinerary") else _("Open")
        return Task("bad", _("Rejected"), str(itinerary), _("was not accepted by Crusoe"), action, url)
    action = _("Try again") if may_publish else _("Open")
    return Task("warn", _("Not sent"), str(itinerary), _("did not get as far as Crusoe"), action, url)


def _when(moment: datetime) -> str:
    """The time alone where it was today."""
    local = timezone.localtime(moment)
    today = local.date() == timezone.localdate()
    return date_format(local, "TIME_FORMAT" if today else "SHORT_DATETIME_FORMAT")


def _published_this_week() -> int:
    week = timezone.now() - timedelta(days=7)
    published = Publication.objects.filter(state=PublicationState.PUBLISHED, ended_at__gte=week)
    return published.values("itinerary").distinct().count()
