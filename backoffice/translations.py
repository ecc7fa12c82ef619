"""The catalogues of translated strings: collected from the code and templates, updated, and compiled.

Django's own commands call GNU gettext, which a machine may lack; this does the same work with Babel alone. Template
strings are found by compiling each template, so whatever Django would translate is what is collected.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.template import Context, Engine
from django.template.base import Lexer, Node, Template, TokenType
from django.templatetags.i18n import BlockTranslateNode, TranslateNode

Message = str | tuple[str, str]

SOURCES = ("backoffice", "fleet", "users", "itineraries")
KEYWORDS = {
    "_": "plain",
    "gettext": "plain",
    "gettext_lazy": "plain",
    "gettext_noop": "plain",
    "ngettext": "plural",
    "ngettext_lazy": "plural",
    "pgettext": "context",
    "pgettext_lazy": "context",
}


def catalogue_path(language: str) -> Path:
    """The ``.po`` file of a language; its ``.mo`` stands beside it."""
    return Path(settings.BASE_DIR) / "locale" / language / "LC_MESSAGES" / "django.po"


def _of_python(path: Path) -> Iterator[tuple[Message, str | None]]:
    """Calls with literal strings, wherever they stand: inside an f-string too, which token-based extractors skip."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        values = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        texts = [value for value in values if isinstance(value, str) and value]
        if name not in KEYWORDS or not texts or len(texts) != len(values):
            continue
        match KEYWORDS[name], texts:
            case "plural", [singular, plural, *_]:
                yield (singular, plural), None
            case "context", [context, text, *_]:
                yield text, context
            case "plain", [text, *_]:
                yield text, None


def _nodes(nodelist: Any) -> Iterator[Node]:
    for node in nodelist:
        yield node
        # A node keeps what it holds in attributes of its own naming; these cover Django's and ours.
        for attribute in {*node.child_nodelists, "nodelist", "nodelist_true", "nodelist_false"}:
            children = getattr(node, attribute, None)
            if children:
                yield from _nodes(children)
        for _condition, children in getattr(node, "conditions_nodelists", ()):
            yield from _nodes(children)


# ``_("…")`` as the argument of a tag or a filter: it is resolved while the template is compiled, so no node keeps it.
_ARGUMENT = re.compile(r"""_\((?:"([^"]*)"|'([^']*)')\)""")


def _doubled(text: str) -> str:
    """Django looks a template's string up with its percent signs doubled."""
    return text.replace("%", "%%")


def _of_template(template: Template) -> Iterator[tuple[Message, str | None]]:
    for node in _nodes(template.nodelist):
        if isinstance(node, TranslateNode):
            literal = getattr(node.filter_expression.var, "literal", node.filter_expression.var)
            if isinstance(literal, str):
                context = node.message_context.resolve(Context()) if node.message_context else None
                yield _doubled(literal), context
        elif isinstance(node, BlockTranslateNode):
            singular, _variables = node.render_token_list(node.singular)
            context = node.message_context.resolve(Context()) if node.message_context else None
            if node.plural:
                plural, _variables = node.render_token_list(node.plural)
                yield (singular, plural), context
            else:
                yield singular, context
    for token in Lexer(template.source).tokenize():
        if token.token_type in (TokenType.BLOCK, TokenType.VAR):
            for double_quoted, single_quoted in _ARGUMENT.findall(token.contents):
                yield _doubled(double_quoted or single_quoted), None


def template_paths() -> list[Path]:
    """Every template of the project's own."""
    return sorted((Path(settings.BASE_DIR) / "templates").rglob("*.*"))


def collect() -> Catalog:
    """Every string that the code and the templates hand to gettext."""
    root = Path(settings.BASE_DIR)
    catalogue = Catalog(charset="utf-8")
    for source in SOURCES:
        for path in sorted((root / source).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            for message, context in _of_python(path):
                catalogue.add(message, locations=[(str(path.relative_to(root)), 0)], context=context)
    engine = Engine.get_default()
    for path in template_paths():
        template = Template(path.read_text(), engine=engine)
        for message, context in _of_template(template):
            catalogue.add(message, locations=[(str(path.relative_to(root)), 0)], context=context)
    return catalogue


def read(language: str) -> Catalog:
    path = catalogue_path(language)
    if not path.exists():
        return Catalog(locale=language, charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> Catalog:
    """Bring a language's ``.po`` file up to what the sources hold; strings that are gone are dropped."""
    catalogue = read(language)
    catalogue.update(collect(), no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    catalogue.header_comment = "# The translations of the operator backoffice."
    catalogue.project, catalogue.version = "Operator backoffice", "1"
    catalogue.msgid_bugs_address = catalogue.last_translator = ""
    catalogue.language_team = language
    catalogue.fuzzy = False
    path = catalogue_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        # Neither line numbers nor dates: they change with every edit and mean nothing here.
        write_po(file, catalogue, width=110, no_location=True, sort_output=True)
    return catalogue


def compile_catalogues() -> list[Path]:
    """Compile each ``.po`` whose ``.mo`` is missing or older; returns those that were written."""
    written = []
    for path in sorted((Path(settings.BASE_DIR) / "locale").glob("*/LC_MESSAGES/django.po")):
        compiled = path.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime >= path.stat().st_mtime:
            continue
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.parent.parent.name)
        partial = compiled.with_suffix(".mo.part")
        with partial.open("wb") as file:
            write_mo(file, catalogue)
        partial.replace(compiled)
        written.append(compiled)
    return written
