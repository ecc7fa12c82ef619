"""CityTrips, simulated: what it answers to a message, what it holds of an operator's fleet, and what it was sent.

Written from CityTrips' own specification alone; nothing of the project is imported, so that a misreading cannot stand on
both sides. What was received lives in this process's memory and goes with it. Safe for threads: messages come from the
event loop, and the console looks from a thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from backoffice.sandbox.citytrips_contract import (
    AUTHENTICATE,
    ERROR,
    FULL,
    INCREMENTAL,
    USER,
    has_credentials,
    message,
    new_user,
    parse,
    vehicles_problem,
)

KEPT = 200
FLOOD = 20
"""How often one user is asked for at once."""


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
class Asked:
    """A user that was asked for: how often, and what the operator said. More than one id would be the operator's mistake."""

    at: datetime
    email: str
    times: int
    answers: int = 0
    ids: list[str] = field(default_factory=list)
    refusal: str = ""


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
    objects_next: bool = False
    vehicles: dict[str, Held] = field(default_factory=dict)
    received: deque[Received] = field(default_factory=lambda: deque(maxlen=KEPT))
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=KEPT))
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
            command, payload = parse(text)
        except ValueError as wrong:
            self._remember("—", len(text), str(wrong))
            return [message(ERROR, {"reason": str(wrong)})]
        with self._lock:
            if command == AUTHENTICATE:
                return self._authenticate(line, payload, len(text))
            if not line.authenticated:
                self._remember(command, len(text), "not authenticated")
                return [message("s_ext/must_authenticate", {"reason": "authenticate first"})]
            if command in (FULL, INCREMENTAL):
                return self._hold(command, payload, len(text))
            self._remember(command, len(text), self._hear(command, payload))
            return []

    def _authenticate(self, line: Line, payload: object, size: int) -> list[str]:
        good = has_credentials(payload)
        if not good or self.refuses:
            reason = "the key is refused" if good else "clientId and apiKey are needed"
            self._remember(AUTHENTICATE, size, reason)
            return [message("s_ext/auth_error", {"reason": reason})]
        line.authenticated = True
        self._remember(AUTHENTICATE, size, "")
        return [
            message("s_ext/auth_succesful", ""),
            message("s_vehicle/full_request", {"reason": "authenticated"}),
        ]

    def _hold(self, command: str, payload: Any, size: int) -> list[str]:
        problem = vehicles_problem(payload)
        if self.objects_next and not problem:
            problem = "staff wanted an error"
        self.objects_next = False
        self._remember(command, size, problem)
        if problem:
            return [message(ERROR, {"reason": problem})]
        now = timezone.now()
        new = {vehicle["id"]: Held(vehicle["id"], vehicle, now) for vehicle in payload}
        self.vehicles = new if command == FULL else self.vehicles | new
        return []

    def _hear(self, command: str, payload: object) -> str:
        """Take what the operator says of a user; a note where nobody asked for that one."""
        said = payload if isinstance(payload, dict) else {}
        if command == USER or (command == ERROR and "email" in said):
            for one in self.asked:
                if one.email == said.get("email"):
                    one.answers += 1
                    if command == ERROR:
                        one.refusal = str(said.get("reason", ""))[:200]
                    elif (found := str(said.get("id", ""))[:80]) not in one.ids:
                        one.ids.append(found)
                    return ""
            return "about a user that nobody asked for"
        return ""

    def _remember(self, command: str, size: int, note: str) -> None:
        with self._lock:
            self.total += 1
            self.received.appendleft(Received(timezone.now(), command[:80], size, note))

    # --- What staff make it do ---

    def say(self, command: str, payload: object) -> int:
        """Send a message down every line; to how many."""
        text = message(command, payload)
        with self._lock:
            lines = list(self.lines)
        for line in lines:
            line.say(text)
        return len(lines)

    def ask_for_full(self) -> int:
        return self.say("s_vehicle/full_request", {"reason": "asked by staff"})

    def demand_authentication(self) -> int:
        self.forget()
        return self.say("s_ext/must_authenticate", {"reason": "asked by staff"})

    def object(self) -> int:
        return self.say(ERROR, {"reason": "sent by staff"})

    def create_user(self, times: int = 1) -> int:
        """A new person each time, with the fields of the specification; asked for so many times."""
        person = new_user()
        with self._lock:
            self.asked.appendleft(Asked(timezone.now(), person["email"], times))
        reached = 0
        for _ in range(times):
            reached = self.say(USER, person)
        return reached

    def flood(self) -> int:
        """Ask for one and the same person again and again: the operator is to return one id."""
        return self.create_user(FLOOD)

    def forget(self) -> int:
        """Lose the session and say nothing: the next vehicles are answered with ``must_authenticate``."""
        with self._lock:
            for line in self.lines:
                line.authenticated = False
            return len(self.lines)

    def object_next(self) -> int:
        """Answer the next vehicles with an error instead of taking them."""
        self.objects_next = True
        return len(self.lines)

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

    def users(self) -> list[Asked]:
        """The last users asked for, the newest first."""
        with self._lock:
            return list(self.asked)

    def messages(self) -> list[Received]:
        """The last messages, the newest first."""
        with self._lock:
            return list(self.received)


partner = Partner()
