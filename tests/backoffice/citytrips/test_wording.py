"""What is stored in English is shown in the reader's language."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

import backoffice.citytrips
from backoffice.citytrips.wording import SENTENCES, in_words

FOLDER = Path(backoffice.citytrips.__file__).parent
SAYING = {"ConnectionLost", "ConnectionFailed", "Close"}


def said(node: ast.expr) -> str | None:
    """A text as the program would say it, with a 7 for whatever is put into it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "7" for part in parts)
    return None


def sentences_of_the_line() -> Iterator[str]:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SAYING and node.args:
                text = said(node.args[0])
                if text is not None and text.strip("7 "):
                    yield text


def test_the_sentences_of_the_line_are_found() -> None:
    """The search below sees something."""
    assert "no answer to a ping" in set(sentences_of_the_line())
    assert len(set(sentences_of_the_line())) > 8


@pytest.mark.parametrize("text", sorted(set(sentences_of_the_line())))
def test_every_reason_that_the_line_gives_has_its_words(text: str) -> None:
    """No reason is shown in English to somebody who reads Spanish."""
    with translation.override("es"):
        assert in_words(text) != text


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_is_put_into_a_sentence_comes_back(sentence: str) -> None:
    """In English a stored reason reads as it was stored."""
    parts = {name: "7" for name in ("variables", "seconds", "error", "status", "code", "address", "number", "reason")}
    stored = sentence % {**parts, "errors": "7"}
    with translation.override("en"):
        assert in_words(stored) == stored


def test_what_citytrips_says_is_shown_as_it_came() -> None:
    """The partner's own words are no sentence of ours."""
    with translation.override("es"):
        assert in_words("Vehicle ES-1: (battery) 100% [x]+*?") == "Vehicle ES-1: (battery) 100% [x]+*?"
        assert in_words("CityTrips objected: battery 100%").endswith(": battery 100%")
