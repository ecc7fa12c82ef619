"""A world without I/O around the real session: a clock, a database, workers that drive the session as the line does, a
network that breaks, and a partner that loses things.

Everything follows from a seed and a list of actions, so that what goes wrong once goes wrong again, and a long history can be
cut down to the few actions that matter. A thousand simulated seconds take milliseconds.

What the partner may do: refuse a message with ``s_ext/error``, or half of it, or object out of the blue; forget the session
and ignore all until it is authenticated again, with or without its list; ask for fulls; say yes twice; answer nothing; find a
full too large; break the connection at any moment, with what is under way lost; drop a message that it has ponged without a
word (a *silent drop*). What it doesn't do: act on messages in another order than they arrived in, or speak up about a message
later than the settling time after its pong. That would be a silent drop, and counts as one.

``world`` is driven by a schedule, and ``ending`` judges how it ends. ``clock``, ``database``, ``network``, ``partner`` and
``worker`` with its ``tasks`` are what it consists of; ``safeguards`` are what a control switches off.

The database's rules are those of ``fleet.services`` and ``backoffice.citytrips.bridge``; ``test_convergence`` holds them
against the real ones.
"""
