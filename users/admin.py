"""People and tokens in the admin. Nobody rises here: what decides over rights is for superusers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import ModelAdmin
from django.contrib.auth.models import Permission
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import translation
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from users import recovery, services
from users.citytrips_admin import citytrips_links
from users.forms import PersonAddForm, PersonChangeForm
from users.models import ApiToken, Origin, User
from users.national_ids import national_id_key
from users.selectors import may_manage

# The type checker's stubs know the class as generic; at run time it is not.
if TYPE_CHECKING:
    PersonAdmin = ModelAdmin[User]
    TokenAdmin = ModelAdmin[ApiToken]
else:
    PersonAdmin = TokenAdmin = ModelAdmin

# Who sets these decides who may do what.
RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101  the admin admits nobody else
    return request.user


class CityTripsFilter(admin.SimpleListFilter):
    title = _("CityTrips")
    parameter_name = "citytrips"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((origin.value, str(origin.label)) for origin in Origin), ("no", gettext("Not a CityTrips user"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        if self.value() == "no":
            return queryset.filter(citytrips_account=None)
        return queryset.filter(citytrips_account__origin=self.value()) if self.value() else queryset


@admin.register(User)
class UserAdmin(PersonAdmin):
    """Without passwords: a person gets a link to choose one."""

    list_display = ("username", "full_name", "email", "role", "state", "group_names", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active", CityTripsFilter, "groups", "is_demo")
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    filter_horizontal = ("user_permissions",)
    readonly_fields = ("citytrips", "public_id", "last_login", "date_joined", "is_demo")
    actions = ("send_links",)
    fieldsets = (
        (None, {"fields": ("username", "email", "first_name", "last_name", "national_id", "send_link")}),
        (_("CityTrips"), {"fields": ("citytrips",)}),
        (_("Shown to them in"), {"fields": ("language", "time_zone")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Rights of this person alone"), {"fields": ("user_permissions",), "classes": ("collapse",)}),
        (_("On record"), {"fields": ("public_id", "last_login", "date_joined", "is_demo")}),
    )

    @admin.display(description=_("name"), ordering="last_name")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    @admin.display(description=_("role"), ordering="is_staff")
    def role(self, person: User) -> str:
        if person.is_superuser:
            return gettext("Superuser")
        return gettext("Staff") if person.is_staff else gettext("Customer")

    @admin.display(description=_("account"), ordering="is_active")
    def state(self, person: User) -> str:
        kind, word = ("ok", gettext("Active")) if person.is_active else ("bad", gettext("Blocked"))
        return format_html('<span class="chip {}">{}</span>', kind, word)

    @admin.display(description=_("groups"))
    def group_names(self, person: User) -> str:
        return ", ".join(group.name for group in person.groups.all())

    @admin.display(description=_("CityTrips"))
    def citytrips(self, person: User) -> str:
        return citytrips_links(person)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """A national id is found however it is spelled."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        if key := national_id_key(search_term):
            found = found | queryset.filter(national_id=key)
        return found, may_repeat

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is not None:
            head, citytrips, *rest = self.fieldsets
            if not self.has_change_permission(request, obj):
                # Whoever only looks has no box to tick.
                head = (None, {"fields": ("username", "email", "first_name", "last_name", "national_id")})
            may_see = request.user.has_perms(["users.view_citytripsaccount", "users.view_citytripsapplication"])
            return (head, citytrips, *rest) if may_see else (head, *rest)
        fields = ["username", "email", "first_name", "last_name", "national_id", "send_link"]
        if _actor(request).is_superuser:
            fields += ["is_staff", "groups"]
        return ((None, {"fields": fields}),)

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[User]]:
        form = PersonAddForm if obj is None else PersonChangeForm
        return super().get_form(request, obj, change, **{"form": form, **kwargs})

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        if not _actor(request).is_superuser:
            fields += RIGHTS
        if obj is not None and obj.pk == request.user.pk:
            fields += ["is_active", "is_staff", "is_superuser"]  # nobody locks themselves out
        return fields

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["widget"] = CheckboxSelectMultiple()
        elif db_field.name == "user_permissions":
            # Each permission's name tells its model, which would be a query each.
            kwargs["queryset"] = Permission.objects.select_related("content_type")
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name == "groups":
            field.help_text = _("What a group may do is decided in the settings, for all its people.")
        return field

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or may_manage(actor=_actor(request), person=obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and (obj.pk == request.user.pk or not may_manage(actor=_actor(request), person=obj)):
            return False
        return super().has_delete_permission(request, obj)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Filters in the address may not ask for password hashes letter by letter."""
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:  # somebody took the name or the address since the form was checked
            messages.error(request, " ".join(error.messages))
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        if not change:
            services.user_save(user=obj)
        elif fields := [name for name in form.changed_data if _is_column(name)]:
            services.user_save(user=obj, fields=fields)

    def save_related(self, request: HttpRequest, form: ModelForm[User], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not form.instance.is_staff and form.instance.groups.exists():
            text = gettext(
                "%(person)s is in a group but is not staff, so its permissions have no effect. Tick “Staff status”."
            )
            messages.warning(request, text % {"person": form.instance})
        if not form.cleaned_data.get("send_link"):
            return
        language = translation.get_language() if form.instance.pk == request.user.pk else ""
        if recovery.recovery_send(user=form.instance, language=language or "", is_new=not change) is not None:
            messages.info(request, gettext("The link to choose a password is on its way."))
        else:
            messages.warning(request, NO_LINK)

    @admin.action(description=_("Send a link to choose a new password"), permissions=["change"])
    def send_links(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        people = [person for person in queryset if may_manage(actor=_actor(request), person=person)]
        sent = sum(recovery.recovery_send(user=person) is not None for person in people)
        if sent:
            text = ngettext("%(count)d link is on its way.", "%(count)d links are on their way.", sent)
            messages.info(request, text % {"count": sent})
        if left := queryset.count() - sent:
            text = ngettext("%(count)d person got none.", "%(count)d people got none.", left)
            messages.warning(request, text % {"count": left} + " " + str(NO_LINK))


NO_LINK = _(
    "A link needs an active account with an e-mail address that you may manage, and goes out once a minute at most."
)


def _is_column(name: str) -> bool:
    try:
        return bool(User._meta.get_field(name).concrete) and not User._meta.get_field(name).many_to_many
    except FieldDoesNotExist:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(TokenAdmin):
    """To look at and to revoke; a token is made on its person's account page, where only they see it."""

    list_display = ("name", "hint", "user", "scope", "is_usable", "created_at", "expires_at", "last_used_at")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "user__email", "hint")
    date_hierarchy = "created_at"
    fields = ("name", "hint", "user", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    @admin.display(description=_("good"), boolean=True)
    def is_usable(self, token: ApiToken) -> bool:
        return token.is_usable

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        # Along with a person (obj is then one of theirs) a token may go; by itself it is revoked and stays on record.
        return request.user.has_perm("users.delete_user") and "/apitoken/" not in request.path

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(_actor(request).is_superuser)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return not lookup.startswith("digest") and super().lookup_allowed(lookup, value, request)

    @admin.action(description=_("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            services.token_revoke(token=token, actor=_actor(request))
        messages.success(request, gettext("They are revoked: programs that use them are refused from now on."))
