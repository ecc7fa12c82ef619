"""How generated tests run here."""

from __future__ import annotations

import hypothesis

# What takes long on a busy machine is no mistake; pytest's own limit stands.
hypothesis.settings.register_profile("itineraries", deadline=None)
hypothesis.settings.load_profile("itineraries")
