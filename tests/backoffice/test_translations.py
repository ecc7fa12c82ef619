"""Every string a person reads is translated, and nothing a person reads bypasses translation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.db.models import Field
from django.template import engines
from django.template.base import Lexer, Template, TokenType
from django.utils.functional import Promise

from backoffice import translations

PLACEHOLDER = re.compile(r"%\((\w+)\)[a-z]|%[sd]|\{(\w*)[^{}]*\}")


def words(text: str) -> set[str]:
    return {match.group(0) for match in PLACEHOLDER.finditer(text)}


def test_the_spanish_catalogue_is_complete() -> None:
    """Each string that the sources hand to gettext has a Spanish text."""
    spanish = translations.read("es")
    missing = []
    for message in translations.collect():
        if not message.id:
            continue
        known = spanish.get(message.id, context=message.context)
        texts = known.string if known and isinstance(known.string, tuple) else (known.string,) if known else ()
        if not texts or not all(texts) or known.fuzzy:
            missing.append(message.id)
    assert not missing, f"{len(missing)} strings (run `make translations`, then translate them): {missing[:20]}"


def test_the_catalogue_holds_nothing_that_is_gone() -> None:
    """A string that no source holds any more leaves the catalogue."""
    collected = {(message.id, message.context) for message in translations.collect()}
    stale = [m.id for m in translations.read("es") if m.id and (m.id, m.context) not in collected]
    assert not stale, f"run `make translations`: {stale[:20]}"


def test_translations_keep_their_placeholders() -> None:
    """A translated string names the same variables as its source."""
    for message in translations.read("es"):
        sources = message.id if isinstance(message.id, tuple) else (message.id,)
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        wanted = set().union(*(words(source) for source in sources))
        for text in filter(None, texts):
            # A singular may leave the number out ("one vehicle"), but may not invent a name.
            assert words(text) <= wanted, message.id
            if len(sources) == 1:
                assert words(text) == wanted, message.id


def test_strings_in_code_and_templates_are_found(tmp_path: Path) -> None:
    """The collector sees each way in which a template or a module names a string."""
    template = Template(
        "{% load i18n %}{% translate 'plain' %}{% if a %}{% translate 'inside' as b %}{% else %}{{ b|default:_('arg') }}"
        "{% endif %}{% blocktranslate trimmed count n=n %}one\n  {{ n }}{% plural %}many {{ n }}{% endblocktranslate %}"
        "{% translate 'May' context 'verb' %}{% translate '100 %' %}",
        engine=engines["django"].engine,
    )
    assert set(translations._of_template(template)) == {
        ("plain", None),
        ("inside", None),
        ("arg", None),
        (("one %(n)s", "many %(n)s"), None),
        ("May", "verb"),
        ("100 %%", None),
    }
    module = tmp_path / "module.py"
    module.write_text(
        "_('a'); gettext('b' 'c'); ngettext('one', 'many', n); pgettext('verb', 'May'); other('not this'); _(name)\n"
        "f'{_(\"in an f-string\")}: {x}'\n"
    )
    assert set(translations._of_python(module)) == {
        ("a", None),
        ("bc", None),
        ("in an f-string", None),
        (("one", "many"), None),
        ("May", "verb"),
    }


# What is the same in every language: names, and letters that are no words.
UNTRANSLATED = {
    "CityTrips", "Crusoe", "JSON", "REST", "API", "OpenAPI", "HTTP", "UTC", "id", "VIN", "km", "CSV", "GBFS", "Booking.com",
}  # fmt: skip
# Translated, or a list of CSS classes.
UNREAD = ("blocktrans", "comment", "block bodyclass")
# Markup; an attribute may stand alone where a template cuts a tag in two.
TAG = re.compile(r"\sdata-[\w-]+=\"[^\"]*\"|<(script|style|code|pre)\b.*?</\1>|<[^>]*>|&\w+;|&#\d+;", re.DOTALL)
READ_ATTRIBUTE = re.compile(r'\b(?:title|placeholder|alt|aria-label|aria-description)="([^"]*)"')


@pytest.mark.parametrize(
    "path", translations.template_paths(), ids=lambda path: str(path.relative_to(settings.BASE_DIR / "templates"))
)
def test_templates_hold_no_text_outside_translation(path: Path) -> None:
    """The text and the read-out attributes of a template stand inside translate tags."""
    skeleton, inside = [], False
    for token in Lexer(path.read_text()).tokenize():
        if token.token_type is TokenType.BLOCK and token.contents.startswith(UNREAD):
            inside = True
        elif token.token_type is TokenType.BLOCK and inside and token.contents.startswith("end"):
            inside = False
        elif token.token_type is TokenType.TEXT and not inside:
            skeleton.append(token.contents)
    text = "".join(skeleton)  # without its template tags, so that a class list made by them stays one attribute
    read = [*TAG.sub("\x00", text).split("\x00"), *READ_ATTRIBUTE.findall(text)]
    bare = [piece.strip() for piece in read if re.search(r"[^\W\d_]{2,}", piece)]
    bare = [piece for piece in bare if not set(re.findall(r"[^\W\d_][\w.]+", piece)) <= UNTRANSLATED]
    assert not bare


def test_models_and_fields_have_translated_names() -> None:
    """The admin's headings and labels are lazy strings, not names that Django derived from the code."""
    bare = []
    shown = {*admin.site._registry, *(inline.model for one in admin.site._registry.values() for inline in one.inlines)}
    for model in shown:
        if (Path(settings.BASE_DIR) / model._meta.app_config.name.replace(".", "/")).is_dir():
            bare += [
                f"{model._meta.label}.{name}"
                for name in ("verbose_name", "verbose_name_plural")
                if not isinstance(getattr(model._meta, name), Promise)
            ]
            bare += [
                str(field)
                for field in model._meta.get_fields()
                if isinstance(field, Field)
                and not field.auto_created
                and field.editable
                and not isinstance(field.verbose_name, Promise)
            ]
    assert not bare
