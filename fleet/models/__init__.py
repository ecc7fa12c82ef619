"""The fleet: vehicles, the operator's rules for offering them, what changed of them, and imports under way."""

from fleet.models.filters import LONGEST_QUERY, SavedFilter
from fleet.models.history import RulesChange, VehicleChange
from fleet.models.imports import ImportProblem, ImportRun, ImportState, Outcome, StagedVehicle
from fleet.models.vehicles import (
    CLOCK_TOLERANCE,
    DEFAULT_MINIMUM_BATTERY,
    EARLIEST_SIGNAL,
    LATEST_SIGNAL,
    FleetRules,
    Vehicle,
    VehicleQuerySet,
    is_offered,
    lock_vehicles,
    minimum_battery,
    moment_problem,
    offerable,
    search_id,
    search_plate,
    search_vin,
)

__all__ = [
    "CLOCK_TOLERANCE",
    "DEFAULT_MINIMUM_BATTERY",
    "EARLIEST_SIGNAL",
    "LATEST_SIGNAL",
    "LONGEST_QUERY",
    "FleetRules",
    "ImportProblem",
    "ImportRun",
    "ImportState",
    "Outcome",
    "RulesChange",
    "SavedFilter",
    "StagedVehicle",
    "Vehicle",
    "VehicleChange",
    "VehicleQuerySet",
    "is_offered",
    "lock_vehicles",
    "minimum_battery",
    "moment_problem",
    "offerable",
    "search_id",
    "search_plate",
    "search_vin",
]
