"""How things are said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import translation

from fleet.wording import change_words, duration_words, fields_listed


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(seconds=-5), "less than a minute"),
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=1234), "1234 days"),
    ],
)
def test_durations(duration: timedelta, words: str) -> None:
    """A duration is said in the largest unit that still tells something."""
    assert duration_words(duration) == words


def test_changes_in_words() -> None:
    """Values are said as the pages say them, in the order of the form; a position is one thing."""
    values = {
        "note": ["", "x"],
        "longitude": [None, -3.7],
        "latitude": [None, 40.4],
        "battery": [None, 12],
        "state": ["on_trip", "no such state"],
        "last_signal_at": ["2026-11-01T12:00:00+00:00", "nonsense"],
        "unheard_of": [1, 2],
    }
    with translation.override("en"):
        assert [(line.label, line.old, line.new) for line in change_words(values)] == [
            ("State", "On trip", "no such state"),
            ("Battery", "", "12 %"),
            ("Position", "", "40.4, -3.7"),
            ("Last signal", "1 Nov 2026, 12:00", "nonsense"),
            ("Note", "", "x"),
            ("unheard_of", "1", "2"),
        ]
        assert [(line.label, line.new) for line in change_words({"latitude": [1.5, 2.5]})] == [("Latitude", "2.5")]
        assert fields_listed(["latitude", "battery", "longitude"]) == "position, battery"
