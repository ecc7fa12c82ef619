"""What became of the line and of requests, in the reader's language.

The reasons are stored as they arise, in English: logs, exit texts and the database say the same, and the protocol knows
no languages. They are put into other words when they are shown. What is none of these sentences, such as what CityTrips
itself said, is shown as it came.
"""

from __future__ import annotations

import re
from functools import cache

from django.utils.translation import gettext, gettext_noop

SENTENCES = (
    gettext_noop("Not set: %(variables)s"),
    gettext_noop("No worker is running."),
    gettext_noop("the worker ended"),
    gettext_noop("the lease is lost: %(reason)s"),
    gettext_noop("it could not be renewed in time, or another worker has taken it"),
    gettext_noop("it has run out"),
    gettext_noop("another worker has taken the line over"),
    # The connection
    gettext_noop("ended"),
    gettext_noop("no answer to a ping"),
    gettext_noop("no answer within %(seconds)s s"),
    gettext_noop("no WebSocket handshake (%(error)s)"),
    gettext_noop("redirected with HTTP %(status)s; redirects are not followed"),
    gettext_noop("the connection broke"),
    gettext_noop("CityTrips closed with %(code)s"),
    gettext_noop("we closed with %(code)s"),
    gettext_noop("Connect call failed %(address)s"),
    gettext_noop("Connection refused"),
    gettext_noop("Connection reset by peer"),
    gettext_noop("Name or service not known"),
    gettext_noop("Temporary failure in name resolution"),
    gettext_noop("No route to host"),
    gettext_noop("Network is unreachable"),
    gettext_noop("Multiple exceptions: %(errors)s"),
    gettext_noop("the database failed in the midst of a full (%(error)s)"),
    gettext_noop("ten connections were opened within a minute"),
    # The protocol
    gettext_noop("no answer to the authentication within %(seconds)s s"),
    gettext_noop("the credentials were refused"),
    gettext_noop("more than %(number)s unreadable or unknown messages within a minute"),
    gettext_noop("asked to authenticate in the midst of a full list"),
    gettext_noop("asked to authenticate more than %(number)s times within a minute"),
    # Requests to send now
    gettext_noop("CityTrips takes no full list as large as this fleet's"),
    gettext_noop("CityTrips objected: %(reason)s"),
    gettext_noop("%(number)s vehicles to send"),
    gettext_noop("%(number)s vehicles to send, with a full"),
    gettext_noop("sending is paused: %(reason)s"),
    gettext_noop("without %(number)s vehicles that wait because of a pause"),
    # Handlers
    gettext_noop("the handler failed with %(error)s"),
    gettext_noop("internal error; the request may be sent again"),
)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    # The one with the most words first: "%(number)s vehicles to send" would otherwise hold for a longer sentence.
    longest = sorted(SENTENCES, key=len, reverse=True)
    return tuple((re.compile(_PLACE.sub(_group, re.escape(sentence))), sentence) for sentence in longest)


_PLACE = re.compile(r"%\\\((\w+)\\\)s")


def _group(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>.+)"


def in_words(reason: str) -> str:
    """A stored reason in the language in use.

    >>> in_words("no answer within 10 s")
    'no answer within 10 s'
    """
    for pattern, sentence in _patterns():
        if found := pattern.fullmatch(reason):
            parts = {name: in_words(part) if name == "reason" else part for name, part in found.groupdict().items()}
            return gettext(sentence) % parts
    return reason
