"""The description of the REST API."""

from __future__ import annotations

from pathlib import Path

from django.core.management import call_command


def test_the_schema_is_valid_and_nothing_in_it_was_guessed(tmp_path: Path) -> None:
    """OpenAPI 3, without a warning: a warning means that the generator made something up."""
    file = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))
    text = file.read_text()
    for path in ("/api/v1/vehicles/", "/api/v1/vehicles/telemetry/", "/api/v1/itineraries/{itinerary_id}/publish/"):
        assert path in text
