"""The list of vehicles: its filters are those of `fleet.filters`, shown as menus, as chips, and kept under names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from fleet.filters import FILTERS, SEARCH, Filter, filter_named, values_of
from fleet.models import SavedFilter, Vehicle

if TYPE_CHECKING:
    from django.contrib.admin.options import ModelAdmin

# What of an address is kept with a filter: what it shows and in which order, not which page of it.
ORDER = "o"
KEPT = (SEARCH, *(one.name for one in FILTERS), ORDER)


class ParameterFilter(admin.ListFilter):
    """One filter of the list; subclasses say which."""

    definition: Filter
    title = ""

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[Vehicle], model_admin: ModelAdmin[Any]
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.values = [value for value in dict.fromkeys(params.pop(self.definition.name, [])) if value]
        self.offered = self.definition.choices()

    def has_output(self) -> bool:
        return bool(self.offered or self.values)

    def expected_parameters(self) -> list[str | None]:
        return [self.definition.name]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> QuerySet[Vehicle]:
        return queryset.filter(self.definition.condition(self.values)) if self.values else queryset

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        name = self.definition.name
        unknown = [(value, value) for value in self.values if value not in dict(self.offered)]
        yield {
            "selected": not self.values,
            "query_string": changelist.get_query_string(remove=[name]),
            "display": _("All"),
        }
        for value, label in (*self.offered, *unknown):
            yield {
                "selected": value in self.values,
                "query_string": changelist.get_query_string({name: value}),
                "display": label,
            }


def _list_filter(one: Filter) -> type[ParameterFilter]:
    return type(f"{one.name.title()}Filter", (ParameterFilter,), {"definition": one, "title": one.title})


LIST_FILTERS = tuple(_list_filter(one) for one in FILTERS)


@dataclass(frozen=True)
class ActiveFilter:
    """A filter that is set: what it is, what it says, and the query without it."""

    label: str
    value: str
    without: str


def active_filters(params: QueryDict) -> list[ActiveFilter]:
    """The filters that an address sets, each of its values by itself."""
    active = []
    for name in KEPT[:-1]:
        one = filter_named(name)
        for value in values_of(params, name):
            left = kept(params)
            left[name] = [other for other in left[name] if other != value]
            words = (str(one.title), one.label(value)) if one else (gettext("search"), value)
            active.append(ActiveFilter(*words, without=f"?{urlencode(left, doseq=True)}"))
    return active


def kept(params: QueryDict) -> dict[str, list[str]]:
    """What of an address says which vehicles are shown and in which order, in one spelling."""
    return {name: values for name in KEPT if (values := values_of(params, name))}


def query_of(params: QueryDict, *, order: bool = True) -> str:
    """The same as the query of an address."""
    names = kept(params)
    if not order:
        names.pop(ORDER, None)
    return urlencode(names, doseq=True)


def saved_filters(user: Any) -> Sequence[SavedFilter]:
    """A person's own filters and the ones that others share, in one order."""
    return list(SavedFilter.objects.filter(Q(owner=user) | Q(shared=True)).select_related("owner")[:100])
