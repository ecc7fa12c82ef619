"""What can go wrong with an itinerary.

ItineraryError
├── DocumentError       a document, or a value in it, cannot be kept: its type, range, size, depth or characters
├── Gone                the card, option or leg that an edit names is not there any more
├── Stale               an edit was made on an older version than the present one
│   └── StaleEdit       the same, with who changed it and when
├── NotPublishable      problems of level "error" are left
│   └── DemoStaysHere   an invented trip is not sent to a real partner
├── NotConfigured       the settings for Crusoe are incomplete
├── AttemptUnderWay     an attempt to publish is being sent, or its outcome is unknown
├── NotAgain            publishing might repeat what the caller does not know of
│   ├── AlreadyPublished    exactly this document is published
│   └── Overtaken       another attempt was made since the one that the caller names
└── NothingToResolve    no attempt has an unknown outcome
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.utils.translation import gettext as _

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One finding about a document.

    ``path`` is written ``segments[1].options[0].price.currentAmount``; an empty one means the whole document.
    ``code`` is stable and for programs; ``message`` is for people.
    """

    path: str
    level: Level
    code: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"path": self.path, "level": self.level, "code": self.code, "message": self.message}


class ItineraryError(Exception):
    """Any of the errors of this module; its text is for people."""


class DocumentError(ItineraryError):
    """``problems`` say where and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.message}".lstrip(": ") for problem in problems))
        self.problems = list(problems)


class Gone(ItineraryError):
    def __init__(self, key: str) -> None:
        super().__init__(_("This part of the trip is not there any more: somebody removed it."))
        self.key = key


class Stale(ItineraryError):
    """``part`` is "trip", "order", "itinerary" or a card's key; ``version`` is its present version."""

    def __init__(self, part: str, version: int, message: str = "") -> None:
        super().__init__(message or _("This was changed in the meantime."))
        self.part = part
        self.version = version


class StaleEdit(Stale):
    """``who`` is a name, or empty where it is not known; ``when`` is aware."""

    def __init__(self, part: str, version: int, *, who: str, when: datetime | None) -> None:
        message = _("%(who)s changed this in the meantime.") % {"who": who} if who else ""
        super().__init__(part, version, message)
        self.who = who
        self.when = when


class NotPublishable(ItineraryError):
    """``problems`` are those of level "error"."""

    def __init__(self, problems: Sequence[Problem], message: str = "") -> None:
        super().__init__(message or _("The trip has errors; it can be published once they are mended."))
        self.problems = list(problems)


class DemoStaysHere(NotPublishable):
    def __init__(self) -> None:
        message = _("This is an invented trip of the demonstration; it is sent to the local sandbox only.")
        super().__init__([Problem("", "error", "demo", message)], message)


class NotConfigured(ItineraryError):
    pass


class AttemptUnderWay(ItineraryError):
    """``publication`` is the attempt that stands in the way (a models.Publication), where it is known."""

    def __init__(self, publication: Any = None) -> None:
        unknown = publication is not None and publication.state == "unknown"
        super().__init__(
            _("It is not known whether the last attempt reached Crusoe; somebody has to say first what became of it.")
            if unknown
            else _("An attempt to publish this trip is under way.")
        )
        self.publication = publication


class NotAgain(ItineraryError):
    """``publication`` is the latest attempt (a models.Publication; None before the first), ``url`` the present address."""

    def __init__(self, publication: Any, url: str) -> None:
        super().__init__(self._said())
        self.publication = publication
        self.url = url

    @property
    def number(self) -> int:
        """That of the latest attempt: who publishes after this one knows of all that were made."""
        return self.publication.number if self.publication else 0

    def _said(self) -> str:
        raise NotImplementedError


class AlreadyPublished(NotAgain):
    def _said(self) -> str:
        return _("This trip is published already as it is now; nothing was sent. Once more would make a second page.")


class Overtaken(NotAgain):
    def _said(self) -> str:
        return _("Nothing was sent this time: another attempt to publish this trip was made in the meantime.")


class NothingToResolve(ItineraryError):
    def __init__(self) -> None:
        super().__init__(_("No attempt of this trip has an unknown outcome."))
