"""The rules for offering vehicles, and the silence that time alone brings about."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from fleet.history import Author, author_id
from fleet.models import FleetRules, RulesChange, Vehicle, lock_vehicles, offerable
from fleet.selectors import fleet_rules
from fleet.services.vehicles import announce
from fleet.vocabulary import State


def rules_update(*, minimum_battery: int, silence_limit: int | None, by: Author = None) -> FleetRules:
    """Change the rules (per cent, minutes), write that down, and make the vehicles pending that it decides anew.

    Nobody writes a vehicle meanwhile. This would not see one that changes just now, which the line still judges by the rules
    of before: it would be offered by the new ones, and not be pending.
    """
    rules = FleetRules(id=1, minimum_battery=minimum_battery, silence_limit=silence_limit)
    rules.full_clean(validate_unique=False, validate_constraints=False)
    with transaction.atomic():
        lock_vehicles()
        before = FleetRules.objects.select_for_update().filter(id=1).first() or FleetRules()
        FleetRules.objects.update_or_create(
            id=1, defaults={"minimum_battery": minimum_battery, "silence_limit": silence_limit}
        )
        told = {"minimum_battery": minimum_battery, "silence_limit": silence_limit}
        values = {name: [getattr(before, name), new] for name, new in told.items() if getattr(before, name) != new}
        if values:
            RulesChange.objects.create(by_id=author_id(by), values=values)
        low, high = sorted((before.minimum_battery, minimum_battery))
        # Only those that are offered by one of the two: of the others CityTrips hears nothing new.
        decided = Vehicle.objects.filter(offerable(), battery__gte=low, battery__lt=high, silent=False)
        decided.update(touched=F("touched") + 1)
        announce()
        silence_update(now=timezone.now())
    return rules


def silence_update(*, now: datetime) -> int:
    """Mark the vehicles that fell silent and unmark those that were heard again; returns how many changed.

    Silence comes with time alone, so somebody has to look: whoever holds the line calls this every few seconds.
    """
    limit = fleet_rules().silence
    quiet = Q(pk__in=[]) if limit is None else Q(last_signal_at__isnull=True) | Q(last_signal_at__lt=now - limit)
    fallen = Vehicle.objects.filter(quiet, silent=False).exclude(state=State.REMOVED)
    returned = Vehicle.objects.filter(~quiet, silent=True)
    # Asked before anything is locked, since there is seldom anything to do.
    if not (fallen.exists() or returned.exists()):
        return 0
    with transaction.atomic():
        changed = fallen.update(silent=True) + returned.update(silent=False)
        if changed:
            announce()
    return changed
