"""What others may want to hear of."""

from __future__ import annotations

from django.dispatch import Signal

# Sent after the commit of whatever may have changed what CityTrips sees. It is a hint and carries nothing: the
# database says what is pending, and a receiver that misses the hint (another process, a crash) finds it there.
vehicles_changed = Signal()
