"""Days, amounts and lists of options as they stand in the messages of problems, in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal
from django.utils.translation import get_language, ngettext, to_locale
from django.utils.translation import gettext as _

# A sentence that names more than these says less.
MAX_NAMED = 12


def _locale() -> str:
    return to_locale(get_language() or "en")


def day_in_words(day: date) -> str:
    """``20 May 2016``: with the month by its name, so that no reader takes it for another day."""
    return format_date(day, "d MMM y", locale=_locale())


def weekday_in_words(day: date) -> str:
    return format_date(day, "EEEE", locale=_locale())


def amount_in_words(amount: Decimal) -> str:
    whole = amount == amount.to_integral_value()
    return format_decimal(amount, "#,##0" if whole else "#,##0.00", locale=_locale())


def options_in_words(card: int, options: Sequence[int]) -> str:
    """``options 1 and 3 of card 2``; both are counted from 1."""
    named = format_list([*map(str, options[:MAX_NAMED]), *["…"][: len(options) > MAX_NAMED]], locale=_locale())
    text = ngettext("option %(options)s of card %(card)d", "options %(options)s of card %(card)d", len(options))
    return text % {"options": named, "card": card}


def with_options(message: str, choices: Iterable[tuple[int, Sequence[int]]]) -> str:
    """The message, and the choices (card and its options, counted from 1) that it is about; none means any choice."""
    named = [options_in_words(card, options) for card, options in choices]
    if not named:
        return message
    return f"{message} {_('This is so with %(options)s.') % {'options': format_list(named, locale=_locale())}}"
