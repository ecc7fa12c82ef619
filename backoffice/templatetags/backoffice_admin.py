"""Tags of the admin's templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_urls import admin_urlname, admin_urlquote
from django.db.models.options import Options
from django.template.context import RequestContext
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from backoffice.navigation import place_of

register = template.Library()


@register.filter
def without_colon(label: str) -> SafeString:
    """A field's label without the colon that Django's admin ends it with."""
    return mark_safe(label.replace(":</label>", "</label>"))  # noqa: S308  Django's own markup, less one character


@register.inclusion_tag("backoffice/_crumbs.html", takes_context=True)
def model_crumbs(
    context: RequestContext, opts: Options[Any] | None = None, can_list: bool = False, object: Any = None
) -> dict[str, object]:
    """The way to a page of the admin: its section, its list (unless that is the section's own page), the row.

    The page itself is not in it: its heading says it.
    """
    crumbs: list[tuple[str, str]] = []
    list_url = reverse(admin_urlname(opts, SafeString("changelist"))) if opts is not None else reverse("admin:index")
    place, section_url = place_of(list_url, context["request"].user)
    if opts is None or section_url != list_url:
        crumbs.append((section_url, str(place.label)))
    if opts is not None and (can_list or object is not None):
        crumbs.append((list_url, capfirst(str(opts.verbose_name_plural))))
    if opts is not None and object is not None:
        crumbs.append(
            (reverse(admin_urlname(opts, SafeString("change")), args=[admin_urlquote(object.pk)]), str(object))
        )
    return {"crumbs": crumbs}
