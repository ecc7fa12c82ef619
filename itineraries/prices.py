"""What the cards of a trip cost, reckoned in Decimal: binary fractions would not add up to what people add up."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from itineraries.document import Card, ExperienceCard, Trip


@dataclass(frozen=True)
class Total:
    """The cheapest and the dearest choice of options; ``is_complete`` unless a flight, stay or ride has no price."""

    least: Decimal
    most: Decimal
    is_complete: bool


def exact(amount: int | float) -> Decimal:
    """The number as it is written: 0.1 is a tenth."""
    return Decimal(repr(amount))


def total(trip: Trip) -> Total | None:
    """The sum over the cards; None where no option has a price. An option without one adds nothing."""
    least = most = Decimal(0)
    known, complete = False, True
    for card in trip.segments:
        amounts = _amounts(card)
        priced = [amount for amount in amounts if amount is not None]
        # A walk may be free; what moves people and puts them up is not.
        complete = complete and (len(priced) == len(amounts) or isinstance(card, ExperienceCard))
        if priced:
            known = True
            most += max(priced)
            least += min(priced) if len(priced) == len(amounts) else Decimal(0)
    return Total(least, most, complete) if known else None


def _amounts(card: Card) -> list[Decimal | None]:
    prices = [option.price.current_amount if option.price else None for option in card.options]
    return [None if price is None else exact(price) for price in prices]
