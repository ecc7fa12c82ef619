"""CityTrips, simulated: what it answers to a message, what it holds of an operator's fleet, and what it was sent.

Written from CityTrips' own specification alone; nothing of the project is imported, so that a misreading cannot stand on
both sides. What was received lives in this process's memory and goes with it. Safe for threads: messages come from the
event loop, and the console looks from a thread.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

KEPT = 200
_COUNTRIES = ("Chile", "Spain", "Australia")


@dataclass(frozen=True, slots=True)
class Held:
    """One vehicle, as the partner holds it."""

    id: str
    data: dict[str, Any]
    received_at: datetime

    def matches(self, word: str) -> bool:
        """Whether ``word``, in lower case, stands in the id, the plate or the city."""
        return any(word in str(self.data.get(name, "")).lower() for name in ("id", "plate", "city"))


@dataclass(frozen=True, slots=True)
class Received:
    """One message; ``size`` in characters, ``note`` what was wrong with it."""

    at: datetime
    command: str
    size: int
    note: str


@dataclass(eq=False, slots=True)
class Line:
    """One operator's connection. ``say`` sends a text, ``drop`` ends it; both may be called from any thread."""

    say: Callable[[str], None]
    drop: Callable[[], None]
    authenticated: bool = False


@dataclass(slots=True)
class Partner:
    """The simulated CityTrips."""

    refuses: bool = False
    vehicles: dict[str, Held] = field(default_factory=dict)
    received: deque[Received] = field(default_factory=lambda: deque(maxlen=KEPT))
    lines: list[Line] = field(default_factory=list)
    total: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- The wire ---

    def connect(self, line: Line) -> None:
        with self._lock:
            self.lines.append(line)

    def disconnect(self, line: Line) -> None:
        with self._lock:
            if line in self.lines:
                self.lines.remove(line)

    def receive(self, line: Line, text: str | bytes) -> list[str]:
        """Take one message; the messages to answer with, in order."""
        try:
            command, payload = _parse(text)
        except ValueError as wrong:
            self._remember("—", len(text), str(wrong))
            return [_message("s_ext/error", {"reason": str(wrong)})]
        with self._lock:
            if command == "s_ext/authenticate":
                return self._authenticate(line, payload, len(text))
            if not line.authenticated:
                self._remember(command, len(text), "not authenticated")
                return [_message("s_ext/must_authenticate", {"reason": "authenticate first"})]
            if command in ("s_vehicle/full", "s_vehicle/incremental"):
                return self._hold(command, payload, len(text))
            self._remember(command, len(text), "")
            return []

    def _authenticate(self, line: Line, payload: object, size: int) -> list[str]:
        credentials = payload if isinstance(payload, dict) else {}
        good = all(isinstance(credentials.get(name), str) and credentials[name] for name in ("clientId", "apiKey"))
        if not good or self.refuses:
            reason = "the key is refused" if good else "clientId and apiKey are needed"
            self._remember("s_ext/authenticate", size, reason)
            return [_message("s_ext/auth_error", {"reason": reason})]
        line.authenticated = True
        self._remember("s_ext/authenticate", size, "")
        return [
            _message("s_ext/auth_succesful", ""),
            _message("s_vehicle/full_request", {"reason": "authenticated"}),
        ]

    def _hold(self, command: str, payload: object, size: int) -> list[str]:
        rows = payload if isinstance(payload, list) else []
        problem = _vehicles_problem(rows) if isinstance(payload, list) else "payload: not an array"
        self._remember(command, size, problem)
        if problem:
            return [_message("s_ext/error", {"reason": problem})]
        now = timezone.now()
        new = {vehicle["id"]: Held(vehicle["id"], vehicle, now) for vehicle in rows}
        self.vehicles = new if command == "s_vehicle/full" else self.vehicles | new
        return []

    def _remember(self, command: str, size: int, note: str) -> None:
        with self._lock:
            self.total += 1
            self.received.appendleft(Received(timezone.now(), command[:80], size, note))

    # --- What staff make it do ---

    def say(self, command: str, payload: object) -> int:
        """Send a message down every line; to how many."""
        text = _message(command, payload)
        with self._lock:
            lines = list(self.lines)
        for line in lines:
            line.say(text)
        return len(lines)

    def ask_for_full(self) -> int:
        return self.say("s_vehicle/full_request", {"reason": "asked by staff"})

    def demand_authentication(self) -> int:
        with self._lock:
            for line in self.lines:
                line.authenticated = False
        return self.say("s_ext/must_authenticate", {"reason": "asked by staff"})

    def object(self) -> int:
        return self.say("s_ext/error", {"reason": "sent by staff"})

    def create_user(self) -> int:
        """A new person each time, with the fields of the specification."""
        number = secrets.randbelow(1_000_000)
        return self.say(
            "s_user/new",
            {
                "terms_accepted": True,
                "username": f"lucia{number:06}",
                "email": f"lucia{number:06}@example.com",
                "password": secrets.token_urlsafe(18),
                "firstname": "Lucía",
                "lastname": "Fuentes",
                "nif": "",
                "phone": 34600000000 + number,
                "birthdate": 631152000,
                "zipcode": "28004",
                "city": "Madrid",
                "country": "Spain",
                "address": "Calle de Fuencarral 45",
                "driver_license_number": f"{number:08}",
                "license_expiration": 1956528000,
                "nif_front_img": "",
                "nif_back_img": "",
                "license_front_img": "",
                "license_back_img": "",
            },
        )

    def drop_lines(self) -> int:
        with self._lock:
            lines = list(self.lines)
        for line in lines:
            line.drop()
        return len(lines)

    def refuse(self) -> int:
        """Refuse every key from now on, and say so to whoever is connected."""
        self.refuses = True
        return self.demand_authentication()

    def accept(self) -> int:
        self.refuses = False
        return len(self.lines)

    # --- What staff see ---

    def find(self, word: str) -> list[Held]:
        """The vehicles held that match ``word``, by id."""
        word = word.strip().lower()
        with self._lock:
            held = list(self.vehicles.values())
        return sorted((one for one in held if not word or one.matches(word)), key=lambda one: one.id)

    def messages(self) -> list[Received]:
        """The last messages, the newest first."""
        with self._lock:
            return list(self.received)


partner = Partner()


def _message(command: str, payload: object) -> str:
    return json.dumps({"command": command, "payload": payload}, ensure_ascii=False)


def _parse(text: str | bytes) -> tuple[str, object]:
    """:raises ValueError: with words for the operator."""
    if isinstance(text, bytes):
        raise ValueError("messages are text")
    try:
        root = json.loads(text)
        if "\\u" in text:
            # Half of a surrogate pair is valid JSON, and no text that a page could show.
            json.dumps(root, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("not valid JSON") from None
    if not isinstance(root, dict) or not isinstance(root.get("command"), str):
        raise ValueError("not an object with a command")
    return root["command"], root.get("payload")


def _vehicles_problem(rows: list[Any]) -> str:
    for position, vehicle in enumerate(rows):
        if problem := _vehicle_problem(vehicle):
            return f"payload[{position}]{problem}"
    return ""


def _vehicle_problem(vehicle: object) -> str:
    """What breaks the schema of a vehicle. Decimal degrees pass: the schema's ``integer`` cannot place a car."""
    if not isinstance(vehicle, dict):
        return ": not an object"
    for name in ("id", "plate", "city"):
        if not isinstance(vehicle.get(name), str):
            return f".{name}: not a string"
    battery = vehicle.get("battery")
    if not isinstance(battery, int) or isinstance(battery, bool) or not 0 <= battery <= 100:
        return ".battery: not an integer from 0 to 100"
    if vehicle.get("country") not in _COUNTRIES:
        return ".country: not one of " + ", ".join(_COUNTRIES)
    location = vehicle.get("location")
    for name in ("latitude", "longitude"):
        value = location.get(name) if isinstance(location, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            return f".location.{name}: not a number"
    return ""
