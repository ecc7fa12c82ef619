"""CityTrips with faults, for tests, benchmarks and fault schedules: it does to the line what a partner or a network may do,
and keeps the truth of what reached it.

In a program's own event loop::

    async with FaultyServer() as partner:
        ...connect to partner.url...
        partner.script.read_rate = 400_000
        partner.add_rule(command="s_vehicle/full", drops=True, then={"do": "forget"})
        partner.reset()
        partner.truth.vehicles

In a process of its own::

    python -m backoffice.sandbox.faulty_server [--port N] [--control N] [--receive-buffer BYTES]

It prints one line of JSON, ``{"url": "ws://127.0.0.1:N/v1", "port": N, "control": N or null}``, and then answers each line of
JSON on its standard input with one line of JSON on its standard output. With ``--control N`` (0: any free port) it answers
the same lines on that port of 127.0.0.1, to any number of connections, and standard input may be closed; without it, the
end of standard input ends the program. A request names what to ``do``; a bare word means ``{"do": word}``. Each answer
holds ``"ok"``: true, or false with ``"error"``. All times are ``time.monotonic()``, which processes of one machine share.

Questions:

``{"do": "state"}``
    ``at``, ``held`` (number of vehicles), ``open``, ``authenticated`` (sockets now), ``most_authenticated`` (ever at once),
    ``connections`` (accepted), ``authentications``, ``messages`` ({command: count}), ``dropped`` (messages thrown away),
    ``bytes``, ``pings``, ``replies`` (number), ``script``, ``rules`` (number), and ``vehicles`` ({id: vehicle}) unless
    ``"vehicles": false``.
``{"do": "arrivals"}``
    ``arrivals``: ``[id, battery, at]`` for each vehicle of each message since the last time this was asked, in order. The first
    time it is empty: from then on arrivals are kept.
``{"do": "events", "after": 0}``
    ``events`` with a ``number`` above ``after``: ``{number, at, connection, kind, command, size, vehicles, began, fragments,
    note}``. ``kind`` is connected, authenticated, rejected, message, dropped, objected, unreadable or closed; ``began``
    is when a message's first byte was read and ``at`` when its last was; ``note`` says why. The last 100,000 are kept.
``{"do": "replies"}``
    ``replies``: ``{at, connection, command, payload}`` for each ``s_user/new`` and ``s_ext/error`` that was received.

Lasting faults, by ``{"do": "fault", NAME: VALUE, …}``; ``{"do": "calm"}`` takes all back, with the rules and stalls: the names
are the fields of :class:`Script`.

Rules, by ``{"do": "rule", …}`` with the fields of :class:`Rule`: what happens as the n-th message arrives.

Faults at once, which take effect on every open connection, and answer with ``reached``, how many these are:

=====================================================  =============================================================
``reset``                                              break off with RST
``close`` (``code`` 1000, ``reason``)                  close politely
``stall``, ``resume``                                  neither read, write nor end; and go on
``forget`` (``tell`` true)                             forget the authentication, and say ``must_authenticate``
``error`` (``reason``)                                 send ``s_ext/error``
``ask`` (``times`` 1)                                  send ``s_vehicle/full_request`` so many times
``user`` (``times`` 1, ``number``, ``images`` 0,       send ``s_user/new`` so many times: the person ``number``, or a new
``fields`` {})                                         one each time; with images of so many bytes; with other fields
``garbage`` (``kind``, ``times`` 1)                    send what is no message: one of ``GARBAGE``
``oversize`` (``size`` 12 MiB + 1)                     send one message of so many bytes
``say`` (``command``, ``payload``)                     send any message
``say_raw`` (``text``)                                 send any text
=====================================================  =============================================================

``{"do": "down"}`` stops listening and resets every connection, ``{"do": "up"}`` listens again on the same port;
``{"do": "clear"}`` empties events, arrivals, replies and counts, but not the vehicles; ``{"do": "quit"}`` ends the program.
"""

from backoffice.sandbox.faulty_server.script import Rule, Script
from backoffice.sandbox.faulty_server.server import AT_ONCE, GARBAGE, FaultyServer

__all__ = ["AT_ONCE", "GARBAGE", "FaultyServer", "Rule", "Script"]
