"""Beginning and ending pauses."""

from __future__ import annotations

from backoffice.citytrips import pauses
from backoffice.citytrips.models import Pause
from users.models import User

MADRID = {"country": "Spain", "city": "Madrid"}
EVERYTHING = {"country": "", "city": ""}


def begin(**place: str) -> Pause:
    pause = pauses.pause_begin(**{**place, "reason": "road works", "actor": User.objects.get(username="ana")})
    assert pause is not None
    return pause


def end() -> None:
    for pause in pauses.pauses_open():
        assert pauses.pause_end(pause=pause, actor=User.objects.get(username="ana"))
