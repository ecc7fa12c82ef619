"""The site of Django's admin: behind it stand the settings, while each section has its own entry in the sidebar.

What stands in the address or in a selection is anybody's text. Here, for every model that is registered, only the
listed filters may ask the database, and what cannot be a value is refused in words instead of failing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR, ChangeList
from django.core.exceptions import BadRequest, FieldError, ValidationError
from django.db.models import Model, QuerySet
from django.db.models.base import ModelBase
from django.db.utils import DataError
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.views.defaults import bad_request

# The type checker's stubs know the class as generic; at run time it is not.
if TYPE_CHECKING:
    AnyAdmin = ModelAdmin[Model]
else:
    AnyAdmin = ModelAdmin

View = Callable[..., HttpResponseBase]

NUL = "\0"  # PostgreSQL keeps it in no text, and psycopg refuses to send it
LARGEST_KEY = 2**63 - 1
# What the database, its fields and the filters raise over a value that is none. Outside of the building of a list,
# ValueError and its like are rather a mistake of ours.
UNUSABLE = (ValueError, TypeError, OverflowError, FieldError, ValidationError, DataError)

# Its own name, "Authentication and Authorization", says more than what is left of it here: the groups.
apps.get_app_config("auth").verbose_name = _("Access")


class FilteredChangeList(ChangeList):
    """A list that is narrowed by its own filters only.

    Django lets the address ask for any lookup of any local field, so that whoever may see a list could guess values
    that it does not show, or occupy the process with a regular expression.
    """

    def get_filters(self, request: HttpRequest) -> tuple[Any, bool, dict[str, Any], bool, bool]:
        specs, has_specs, left, duplicates, active = super().get_filters(request)
        # The filters have taken theirs; of what is left, only the bounds are the list's own that Django makes of
        # the date hierarchy.
        asked = self.get_filters_params()
        bounds = {f"{self.date_hierarchy}__gte", f"{self.date_hierarchy}__lt"} - set(asked)
        if foreign := set(left) - bounds:
            raise IncorrectLookupParameters(f"no filter of this list: {', '.join(sorted(foreign))}")
        return specs, has_specs, left, duplicates, active


class GuardedAdmin(AnyAdmin):
    """What every registered admin is mixed with; see ``BackofficeAdminSite.register``."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FilteredChangeList

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list, counted already, so that a filter's unusable value shows here and leads back to the whole list."""
        try:
            return super().get_changelist_instance(request)
        except UNUSABLE as error:
            if set(request.GET) <= {ERROR_FLAG}:
                raise  # nobody asked for anything: the fault is ours
            raise IncorrectLookupParameters(str(error)) from error

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        """An empty ``_to_field`` means none. The admin's quoting ("_00") brings a NUL past the look at the address."""
        if NUL in object_id:
            raise Http404
        return super().get_object(request, object_id, from_field or None)

    def response_action(  # type: ignore[override]  # the stubs are a release ahead
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> HttpResponseBase | None:
        if not all(self._can_be_key(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("the selection names what cannot be a row of this list")
        return super().response_action(request, queryset)

    def _can_be_key(self, text: str) -> bool:
        try:
            key = self.opts.pk.to_python(text)
        except ValidationError:
            return False
        return abs(key) <= LARGEST_KEY if isinstance(key, int) else NUL not in text


class BackofficeAdminSite(AdminSite):
    site_header = settings.OPERATOR_NAME
    site_title = settings.OPERATOR_NAME
    index_title = _("Settings")
    empty_value_display = "–"
    enable_nav_sidebar = False

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Register as Django does, with the guard in front of the model's own admin: other packages' models too."""
        own: Any = admin_class or ModelAdmin
        guarded = type(own.__name__, (GuardedAdmin, own), {"__module__": own.__module__, "__doc__": own.__doc__})
        models = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else model_or_iterable
        super().register(models, guarded, **options)

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # type: ignore[override]
        """Every page of the admin: a NUL in the address, or a number that no database takes, is a wrong request."""

        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if NUL in request.path:
                raise Http404
            # In words searched for, the list's own form says it to the person.
            asked = [(name, *values) for name, values in request.GET.lists() if name != SEARCH_VAR]
            if any(NUL in text for texts in asked for text in texts):
                return bad_request(request, BadRequest())
            try:
                return view(request, *args, **kwargs)
            except (BadRequest, OverflowError, DataError) as error:
                return bad_request(request, error)  # raised, it would be logged with its traceback
            except ValidationError as error:  # "view on site" with an id that its model cannot have
                raise Http404 from error

        return super().admin_view(guarded, cacheable)
