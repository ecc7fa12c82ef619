"""The one place that writes vehicles.

Each service tells `events.vehicles_changed` after the commit; what CityTrips must hear follows from the database's
triggers, not from that. Who did it (`by`: a person, or nobody) and from where (`origin`, a value of
`vocabulary.Origin`) is written down in the same transaction; without either it was a program's doing.
"""

from fleet.services.bulk import (
    BulkOutcome,
    Skipped,
    vehicles_move,
    vehicles_resend,
    vehicles_retire,
    vehicles_set_state,
)
from fleet.services.line import (
    vehicles_list,
    vehicles_object,
    vehicles_settle,
    vehicles_tell_again,
    vehicles_unlist,
)
from fleet.services.rules import rules_update, silence_update
from fleet.services.vehicles import (
    VALUES,
    VehicleValues,
    announce,
    demo_vehicles_remove,
    is_silent,
    vehicle_create,
    vehicle_update,
)

__all__ = [
    "VALUES",
    "BulkOutcome",
    "Skipped",
    "VehicleValues",
    "announce",
    "demo_vehicles_remove",
    "is_silent",
    "rules_update",
    "silence_update",
    "vehicle_create",
    "vehicle_update",
    "vehicles_list",
    "vehicles_move",
    "vehicles_object",
    "vehicles_resend",
    "vehicles_retire",
    "vehicles_set_state",
    "vehicles_settle",
    "vehicles_tell_again",
    "vehicles_unlist",
]
