"""``python -m tests.bench.publisher URL COUNT``: publish, and post the same with nothing around it, in turns.

Prints one line of JSON: for each size of document the seconds of each attempt and of each bare request.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import django
import requests

SAMPLE = Path(__file__).parents[1] / "wire" / "crusoe_trip.json"
WARM_UP = 3


def large(sample: dict[str, Any]) -> dict[str, Any]:
    """50 cards of 3 options each."""
    cards = [copy.deepcopy(sample["segments"][number % 4]) for number in range(50)]
    for number, card in enumerate(cards):
        card["milestone"] = f"Stop {number}"
        card["options"] = [copy.deepcopy(card["options"][0]) for _option in range(3)]
    return {**sample, "segments": cards}


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    django.setup()
    from django.conf import settings

    from itineraries import services
    from itineraries.json_values import as_bytes
    from itineraries.publishing import publish

    settings.CRUSOE_API_URL, settings.CRUSOE_API_KEY = url, "a key"
    sample = json.loads(SAMPLE.read_text())
    found = {}
    for name, document in (("4 cards", sample), ("50 cards × 3 options", large(sample))):
        body = as_bytes(document)
        taken: list[float] = []
        floor: list[float] = []
        for number in range(count + WARM_UP):
            itinerary = services.itinerary_create(user=None, document=document)
            began = time.perf_counter()
            requests.post(
                f"{url}/itinerary/create", data=body, timeout=15,
                headers={"api-key": "a key", "Content-Type": "application/json"},
            ).json()  # fmt: skip
            between = time.perf_counter()
            made = publish(itinerary_id=itinerary.pk, user=None)
            ended = time.perf_counter()
            if made.state != "published":
                raise RuntimeError(f"{made.state}: {made.detail}")
            if number >= WARM_UP:
                floor.append(between - began)
                taken.append(ended - between)
        found[name] = {"taken": taken, "floor": floor, "bytes": len(body)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
