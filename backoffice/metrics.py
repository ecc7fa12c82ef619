"""``GET /metrics``: the operation in numbers, for Prometheus.

What the database knows (the fleet, the line to CityTrips, publications) is asked when Prometheus asks, in a handful of
queries, and is the same whichever process answers. What a process alone knows (its requests, memory and files) carries the
label ``process`` or is about the one that answers: where there are several, each is to be asked by its own address.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from backoffice.citytrips.exchange import State as LinkState
from backoffice.citytrips.journal import Outcome
from backoffice.citytrips.lease import NAME
from backoffice.citytrips.models import Alert, JournalEntry, Lease, Reply
from backoffice.citytrips.selectors import alerts_open, link_summary, replies_in
from fleet.selectors import fleet_counts
from itineraries.models import Publication, PublicationState
from users.models import ApiToken, Scope
from users.tokens import TokenAuthentication

logger = logging.getLogger(__name__)

PROCESS: Final = f"{platform.node()}:{os.getpid()}"
JOURNAL_WINDOW: Final = timedelta(hours=1)

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

REQUESTS: Final = Histogram(
    "backoffice_request_seconds",
    "What requests took in one process, by view, method and class of the answer.",
    ["process", "view", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetricsMiddleware:
    """Notes how long each request took; stands before all that may answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        answer = self.get_response(request)
        method = request.method if request.method in _METHODS else "other"
        noted = REQUESTS.labels(PROCESS, view_name(request), method, f"{answer.status_code // 100}xx")
        noted.observe(time.perf_counter() - began)
        return answer


def view_name(request: HttpRequest) -> str:
    """The view that answered, of which there are as many as routes; the admin's count as one, and addresses as none."""
    match = request.resolver_match
    if match is None:
        return "static" if request.path_info.startswith(settings.STATIC_URL) else "none"
    if match.app_names and match.app_names[0] == "admin":
        return "admin"
    return match.view_name or "unnamed"


# --- What the database knows -------------------------------------------------------------------------------------


class DatabaseCollector(Collector):
    """Asked for at each scrape. While the database is away, ``backoffice_database_up`` is 0 and the rest is missing."""

    def describe(self) -> Iterable[Metric]:
        return []  # else the registry would collect, and ask the database, as the module is loaded

    def collect(self) -> Iterator[Metric]:
        try:
            found = [*_fleet(), *_line(), *_traffic(), *_publications()]
        except DatabaseError as wrong:
            logger.warning("The database does not answer (%s)", type(wrong).__name__)
            found = []
        yield _number("database_up", "Whether the database answers.", 1 if found else 0)
        yield from found


REGISTRY.register(DatabaseCollector())


def _number(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"backoffice_{name}", words, value=value)


def _by(name: str, words: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"backoffice_{name}", words, labels=[label])
    for one, value in values:
        family.add_metric([one], value)
    return family


def _moment(name: str, words: str, at: datetime | None) -> Iterator[Metric]:
    """A time since 1970; left out where there is none, for 0 would be one."""
    if at is not None:
        yield _number(name, words, at.timestamp())


def _fleet() -> Iterator[Metric]:
    counts = fleet_counts()
    yield _by(
        "vehicles",
        "Vehicles by the state that was reported, without removed ones.",
        "state",
        [(tally.code, tally.count) for tally in counts.by_state],
    )
    yield _number("vehicles_offered", "Vehicles that CityTrips is to hold.", counts.offered)
    yield _number("vehicles_withheld", "Vehicles that are available and not offered.", counts.withheld)
    yield _by(
        "vehicles_withheld_for",
        "Vehicles that are available and not offered, under each of their reasons.",
        "reason",
        [(tally.code, tally.count) for tally in counts.withheld_by_reason],
    )


def _line() -> Iterator[Metric]:
    line = link_summary()
    yield _by(
        "citytrips_state",
        "1 for the state that the line to CityTrips is in.",
        "state",
        [(state.value, 1 if state == line.state else 0) for state in LinkState],
    )
    yield _number("citytrips_worker_alive", "Whether a worker holds the line.", 1 if line.worker_alive else 0)
    yield _number("citytrips_standbys", "Workers that stand by.", len(line.standbys))
    yield _number("citytrips_attempts", "Connections opened since the line was last live.", line.attempts)
    yield _number("citytrips_pending", "Vehicles that CityTrips is still to hear of.", line.pending)
    held_back = sum(one.waiting for one in line.pauses)
    yield _number("citytrips_paused", "Vehicles that wait because of a pause.", held_back)
    oldest = line.oldest_pending_age.total_seconds() if line.oldest_pending_age else 0
    yield _number("citytrips_oldest_pending_seconds", "How long the first of them has waited.", oldest)
    renewed = Lease.objects.filter(name=NAME).values_list("renewed_at", flat=True).first()
    yield from _moment("citytrips_lease_timestamp_seconds", "When the holder last renewed its lease.", renewed)
    yield from _moment("citytrips_last_full_timestamp_seconds", "When the last full left.", line.last_full_at)
    yield from _moment(
        "citytrips_last_incremental_timestamp_seconds", "When the last incremental left.", line.last_incremental_at
    )


def _traffic() -> Iterator[Metric]:
    recent = JournalEntry.objects.filter(at__gte=timezone.now() - JOURNAL_WINDOW).order_by()
    outcomes = dict(recent.values_list("outcome").annotate(number=Count("pk")))
    yield _by(
        "citytrips_messages_last_hour",
        "Messages in the journal's last hour, by what became of them.",
        "outcome",
        [(outcome.value, outcomes.get(outcome.value, 0)) for outcome in Outcome],
    )
    waiting = [(state.value, replies_in(replies=Reply.objects.all(), state=state).count()) for state in _WAITING]
    yield _by("citytrips_replies", "Replies that are not settled.", "state", waiting)
    open_alerts = Counter(alerts_open().values_list("kind", flat=True))
    yield _by(
        "citytrips_alerts",
        "Alerts that nobody has seen to.",
        "kind",
        [(kind.value, open_alerts[kind.value]) for kind in Alert.Kind],
    )


_WAITING: Final = (Reply.State.DUE, Reply.State.SENT, Reply.State.OBJECTED)


def _publications() -> Iterator[Metric]:
    states = dict(Publication.objects.order_by().values_list("state").annotate(number=Count("pk")))
    yield _by(
        "publications",
        "Attempts to publish an itinerary, by state.",
        "state",
        [(state.value, states.get(state.value, 0)) for state in PublicationState],
    )


# --- The page ----------------------------------------------------------------------------------------------------

_FORWARDING: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip")


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """For programs on this machine, and for tokens of the scope ``all``.

    Prometheus sends a token by ``authorization: {type: Token, credentials: opb_…}``. A request that a proxy passed on
    comes from this machine only seemingly, and needs one too.
    """
    if not _is_local(request):
        refused = _refusal(request)
        if refused is not None:
            return refused
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(REGISTRY), content_type=content_type)


def _is_local(request: HttpRequest) -> bool:
    if any(request.headers.get(name) is not None for name in _FORWARDING):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _refusal(request: HttpRequest) -> HttpResponse | None:
    authentication = TokenAuthentication()
    wrong = "Needed: Authorization: Token …, of the scope “all”."
    try:
        known = authentication.authenticate(Request(request))
    except AuthenticationFailed as failed:
        known, wrong = None, str(failed.detail)
    except DatabaseError:
        return _words("The database does not answer, so no token can be looked up.", 503)
    if known is None:
        answer = _words(wrong, 401)
        answer["WWW-Authenticate"] = authentication.keyword
        return answer
    _person, token = known
    if not isinstance(token, ApiToken) or token.scope != Scope.ALL:
        return _words(wrong, 403)
    return None


def _words(text: str, code: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=code, content_type="text/plain; charset=utf-8")
