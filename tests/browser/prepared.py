"""What the pages show that the demo data lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.browser.conftest import Site

SAMPLE = Path(__file__).parents[1] / "wire" / "crusoe_trip.json"
TRIPS = ("published", "unknown", "refused", "refused_key", "not_sent", "sending", "edited")
CITYTRIPS = ("their_account", "their_request", "their_conflict", "their_picture", "terms", "terms_earlier")
PREPARED = (*TRIPS, "blank", "recovery", "group", "attempt", "mistake", "away", "message", "reply", "alert", *CITYTRIPS)
_prepared: dict[str, dict[str, Any]] = {}


def prepared(site: Site) -> dict[str, Any]:
    """What the demo data lacks, made once for each site: trips to publish, a recovery link, our error page."""
    if site.url not in _prepared:
        said = site.manage("shell", "--no-imports", "-c", PREPARE.format(sample=str(SAMPLE), trips=TRIPS))
        _prepared[site.url] = json.loads(said.splitlines()[-1])
    return _prepared[site.url]


PREPARE = """
import json
from pathlib import Path
from urllib.parse import urlsplit
from axes.models import AccessAttempt
from django.contrib.auth.models import Group
from django.template.loader import render_to_string
from django.utils import timezone
from backoffice.citytrips import services
from backoffice.citytrips.journal import Direction, JournalRecord, Outcome, body
from backoffice.citytrips.models import Alert, JournalEntry
from itineraries.models import Publication
from itineraries.services import itinerary_create
from tests.users.payloads import data_uri, jpeg, payload
from users.accounts import link, read
from users.models import CityTripsAccount, CityTripsApplication, TermsVersion, User
from users.recovery import recovery_link
from users.services import user_update

ana, now = User.objects.get(username="ana"), timezone.now()
sample = json.loads(Path({sample!r}).read_text())
made = {{name: itinerary_create(user=ana, document={{**sample, "title": "A trip: " + name}}) for name in {trips}}}
for state in ("not_sent", "sending"):
    Publication.objects.create(
        itinerary=made[state], number=1, state=state, document={{}}, fingerprint=made[state].fingerprint, by=ana,
        started_at=now, ended_at=None if state == "sending" else now,
        reason={{"code": "name_not_found", "arguments": {{"host": "crusoe.invalid"}}}})
attempt = AccessAttempt.objects.create(
    username="somebody", ip_address="192.0.2.7", user_agent="A browser", path_info="/login/", failures_since_start=2)
replies = [
    services.reply_create(command="s_user/new", payload={{"id": ana.public_id.hex, "email": ana.email}}, about_id=ana.pk)
    for _number in range(3)]
services.replies_sent(ids=[reply.pk for reply in replies])
services.replies_settle(ids=[replies[0].pk])
services.replies_object(ids=[replies[1].pk])
application = json.loads((Path({sample!r}).parent / "citytrips_user_new.json").read_text())["payload"]
services.journal_add(entries=[
    JournalRecord(
        Direction.IN, "s_user/new", 48_213, Outcome.ANSWERED, now, body=body("s_user/new", application),
        account_id=ana.pk, reply_id=replies[1].pk),
    JournalRecord(Direction.OUT, "s_vehicle/full", 31_008, Outcome.SETTLED, now, body={{"vehicles": 240}}),
    JournalRecord(Direction.OUT, "s_vehicle/incremental", 133, Outcome.VOID, now, "the line broke", {{"vehicles": 1}}),
    JournalRecord(Direction.IN, "s_ext/error", 60, Outcome.HANDLED, now, "vehicle ES-1 has no plate", {{}}),
    JournalRecord(Direction.IN, "(unnamed)", 900_000, Outcome.UNREADABLE, now, "nested too deeply", {{}}),
    JournalRecord(Direction.IN, "s_user/reserve", 90, Outcome.UNKNOWN, now, "", {{"type": "object", "members": 3}}),
])
for _time in range(3):
    services.alert_raise(kind=Alert.Kind.USER_REFUSED, detail="An e-mail address and a national id of two people")
services.alert_raise(kind=Alert.Kind.UNKNOWN_COMMAND, detail="s_user/reserve")
done = Alert.objects.get(kind=Alert.Kind.UNKNOWN_COMMAND)
services.alert_resolve(alert=done, actor=ana)
text = "# Renting\\n\\nWhoever rents a vehicle is of age.\\n\\n- Helmets are worn.\\n- Dogs stay at home.\\n\\n" * 3
old, new = (
    TermsVersion.objects.create(in_force_from=now - timezone.timedelta(days=days), text_en=text) for days in (90, 1))
picture = data_uri(jpeg(640, 400))
odd = payload(phone="?", birthdate=1e308, nif_front_img=picture, license_front_img=picture, nif_back_img="back.png")
link(read(odd), received_at=now)
user_update(user=User.objects.get(username="javier"), values={{"national_id": "X1234567L"}})
link(read(payload(email="liam@operator.example", nif="X1234567L")), received_at=now)
print(json.dumps({{
    "their_account": CityTripsAccount.objects.get().pk,
    "their_picture": CityTripsAccount.objects.get().images.first().pk,
    "their_request": CityTripsApplication.objects.get(outcome="created").pk,
    "their_conflict": CityTripsApplication.objects.get(outcome="refused").pk,
    "terms": new.pk,
    "terms_earlier": old.pk,
    "message": JournalEntry.objects.get(account=ana, direction="in").pk,
    "reply": replies[1].pk,
    "alert": Alert.objects.filter(resolved_at=None).first().pk,
    **{{name: str(trip.pk) for name, trip in made.items()}},
    "blank": str(itinerary_create(user=ana).pk),
    "recovery": urlsplit(recovery_link(User.objects.get(username="matias"))).path,
    "group": Group.objects.order_by("pk").first().pk,
    "attempt": attempt.pk,
    "mistake": render_to_string("500.html"),
    "away": render_to_string("503.html"),
}}))
"""
