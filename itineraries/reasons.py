"""Why an attempt to publish ended as it did: codes with arguments that are stored, and words made when they are shown.

Words that were stored would keep the language of whoever happened to publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from itineraries.errors import Problem

# %-arguments of each are those that the code is stored with.
_WORDS = {
    # Nothing was sent.
    "name_not_found": gettext_lazy("The name %(host)s was not found."),
    "connection_refused": gettext_lazy("%(host)s refused the connection."),
    "no_connection": gettext_lazy("No connection to %(host)s could be made."),
    "tls": gettext_lazy("No secure connection to %(host)s: %(reason)s"),
    "unusable_settings": gettext_lazy(
        "The settings for Crusoe cannot be used: its address, or a sign in the key or password."
    ),
    # It may have arrived.
    "deadline": gettext_lazy("Crusoe did not answer within %(seconds)g seconds."),
    "broken": gettext_lazy("The connection to Crusoe broke before its answer was complete."),
    "failed": gettext_lazy("Crusoe failed (%(status)d); the trip may be there nevertheless."),
    "broke_off": gettext_lazy("Crusoe's answer broke off, or was longer than 1 MiB."),
    "unreadable": gettext_lazy("Crusoe's answer is empty or cannot be read."),
    "unexplained": gettext_lazy("Crusoe does not say that it worked, nor why not."),
    "no_address": gettext_lazy("Crusoe says that it worked, but gives no address."),
    "interrupted": gettext_lazy("The backoffice was interrupted while it was sending; the trip may have arrived."),
    "own_failure": gettext_lazy("The backoffice failed while it was sending; its log says how."),
    # It was refused.
    "redirect": gettext_lazy("Crusoe redirects to another address, which is not followed: the key would go along."),
    "key_missing": gettext_lazy("Crusoe misses the API key: set CRUSOE_API_KEY."),
    "key_unknown": gettext_lazy("Crusoe does not know the API key: check CRUSOE_API_KEY."),
    "password": gettext_lazy(
        "Crusoe's server asks for a user and password, or takes them for wrong: "
        "check CRUSOE_API_USER and CRUSOE_API_PASSWORD."
    ),
    "refused": gettext_lazy("Crusoe refused the trip (%(status)d)."),
    # Attempts of before reasons were kept as codes.
    "earlier": gettext_lazy("%(text)s"),
}


@dataclass(frozen=True)
class Reason:
    """``code`` is one of those above; ``said`` is what Crusoe said, in its own words. Neither holds a secret."""

    code: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""

    def __str__(self) -> str:
        """Our words in the reader's language, and Crusoe's in quotation marks."""
        ours = str(_WORDS[self.code]) % self.arguments if self.code in _WORDS else ""
        return f"{ours} “{self.said}”".strip() if self.said else ours

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "arguments": dict(self.arguments), "said": self.said} if self.code else {}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Reason:
        return cls(stored.get("code", ""), stored.get("arguments") or {}, stored.get("said", ""))


@dataclass(frozen=True)
class Refusal:
    """One of Crusoe's ``validationErrors``, at a place of the trip that it fits.

    ``violation`` is Crusoe's word for the validation, ``name`` the property as Crusoe names it. ``places`` tells how
    many places that name can mean: 0 where the trip has none, 1 where it is this one.
    """

    path: str
    violation: str
    name: str = ""
    places: int = 1

    @property
    def message(self) -> str:
        message = (
            _("Crusoe requires this.")
            if self.violation == "required"
            else _("Crusoe refuses this value (%(violation)s).") % {"violation": self.violation or "?"}
        )
        if self.places == 1:
            return message
        more = (
            _("Crusoe names “%(name)s”, which is not in the trip.")
            if self.places == 0
            else _("Crusoe names “%(name)s” only, and there are %(count)d places that it can mean.")
        )
        return f"{message} {more % {'name': self.name, 'count': self.places}}"

    def as_problem(self) -> Problem:
        return Problem(self.path, "error", "refused", self.message)

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "violation": self.violation, "name": self.name, "places": self.places}


def refusal_problems(stored: list[Mapping[str, Any]]) -> list[Problem]:
    """What :meth:`Refusal.as_json` gave, as problems in the reader's language."""
    return [
        Problem(one["path"], "error", "refused", one["message"])  # of before refusals were kept as codes
        if "message" in one
        else Refusal(one["path"], one["violation"], one["name"], one["places"]).as_problem()
        for one in stored
    ]
