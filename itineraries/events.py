"""What others may want to hear of."""

from __future__ import annotations

from django.dispatch import Signal

# Sent after the commit of whatever became of an attempt to publish. It is a hint and carries nothing.
publications_changed = Signal()
