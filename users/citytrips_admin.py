"""CityTrips' people in the admin: who they are, what was asked, their pictures, and the terms. Read, hardly written.

Whoever may see requests but not people sees what became of each, and nobody's data.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import ModelAdmin
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, Q, QuerySet, Value
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from users import services
from users.applications import dates_in
from users.flags import flags_words, obstacle_advice, property_label
from users.identity_images import MIME_TYPES, StorageError, picture_open
from users.models import (
    CityTripsAccount,
    CityTripsApplication,
    IdentityImage,
    IdentityImageView,
    Obstacle,
    Origin,
    Outcome,
    Review,
    TermsVersion,
    User,
)
from users.national_ids import national_id_key
from users.selectors import terms_in_force

# The type checker's stubs know these classes as generic; at run time they are not.
if TYPE_CHECKING:
    AccountModelAdmin = ModelAdmin[CityTripsAccount]
    ApplicationModelAdmin = ModelAdmin[CityTripsApplication]
    TermsModelAdmin = ModelAdmin[TermsVersion]
    ImageModelInline = admin.TabularInline[IdentityImage, CityTripsAccount]
else:
    AccountModelAdmin = ApplicationModelAdmin = TermsModelAdmin = ModelAdmin
    ImageModelInline = admin.TabularInline

log = logging.getLogger(__name__)

OUTCOME_TONES = {
    Outcome.CREATED: "ok",
    Outcome.LINKED: "ok",
    Outcome.KNOWN: "",
    Outcome.REFUSED: "bad",
}
REQUESTS_SHOWN = 10
NONE = admin.site.empty_value_display
REVIEW_TONES = {Review.OPEN: "warn", Review.DONE: "ok"}


def chip(tone: str, label: object) -> SafeString:
    return format_html('<span class="chip {}">{}</span>', tone, label)


def _may_see_people(user: AbstractBaseUser | AnonymousUser) -> bool:
    return bool(user.has_perm("users.view_user"))  # type: ignore[union-attr]


def _link(name: str, pk: object, words: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{name}_change", args=[pk]), words)


def person_link(person: User | None) -> SafeString | str:
    return _link("users_user", person.pk, person.display_name) if person else NONE


def citytrips_links(person: User) -> SafeString | str:
    """For a person's own page: their CityTrips account, and the requests that named them."""
    links = []
    account = CityTripsAccount.objects.filter(user=person).first()
    if account is not None:
        since = date_format(localtime(account.linked_at), "DATE_FORMAT")
        words = gettext("CityTrips user since %(day)s") % {"day": since}
        links.append(_link("users_citytripsaccount", account.pk, words))
    named = CityTripsApplication.objects.filter(Q(user=person) | Q(other_user=person)).order_by("-last_at")
    links += [_request_link(row) for row in named[:REQUESTS_SHOWN]]
    return format_html_join("", "<div>{}</div>", ((one,) for one in links)) or gettext("Not a CityTrips user")


def _request_link(row: CityTripsApplication) -> SafeString:
    return format_html("{}: {}", _link("users_citytripsapplication", row.pk, row), row.get_outcome_display())


class ReadOnly:
    """Written by CityTrips' requests alone."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Along with a person (the page is then the person's) all of theirs may go; by itself nothing does.
        return request.user.has_perm("users.delete_user") and "/citytrips" not in request.path


class IdentityImageInline(ReadOnly, ImageModelInline):
    model = IdentityImage
    fields = ("look", "received_at", "measures", "looks")
    readonly_fields = fields
    extra = 0
    show_change_link = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("users.view_identityimage"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdentityImage]:
        return super().get_queryset(request).annotate(look_count=Count("views"))

    @admin.display(description=_("picture"))
    def look(self, image: IdentityImage) -> SafeString:
        url = reverse("admin:users_citytripsaccount_picture", args=[image.pk])
        return format_html('<a href="{}">{}</a>', url, image.get_kind_display())

    @admin.display(description=_("size"))
    def measures(self, image: IdentityImage) -> str:
        return f"{image.format}, {image.width} × {image.height}"

    @admin.display(description=_("looks"))
    def looks(self, image: IdentityImage) -> str:
        count: int = image.__dict__["look_count"]
        words = ngettext("looked at %(count)s time", "looked at %(count)s times", count)
        return words % {"count": count} if count else gettext("never looked at")


@admin.register(CityTripsAccount)
class CityTripsAccountAdmin(ReadOnly, AccountModelAdmin):
    list_display = ("name", "origin_chip", "email", "linked_at", "terms_version")
    list_filter = ("origin",)
    list_select_related = ("user", "terms_version")
    search_fields = ("email", "first_name", "last_name", "user__username", "user__email")
    search_help_text = _("Name, e-mail address or national id")
    date_hierarchy = "linked_at"
    readonly_fields = ("person", "requests", "last_looks")
    inlines = (IdentityImageInline,)
    fieldsets = (
        (None, {"fields": ("person", "origin", "linked_at", "requests")}),
        (
            _("What CityTrips sent"),
            {
                "fields": (
                    "email",
                    "first_name",
                    "last_name",
                    "national_id",
                    "phone",
                    "birth_date",
                    "address",
                    "zip_code",
                    "city",
                    "country",
                    "licence_number",
                    "licence_expires_on",
                ),
                "description": _("Beside what is held here, and never in its place."),
            },
        ),
        (_("Terms and conditions"), {"fields": ("terms_accepted_at", "terms_version", "terms_url")}),
    )
    looks_fieldset = (_("Looks at the pictures"), {"fields": ("last_looks",)})
    LOOKS_SHOWN = 20

    def get_fieldsets(self, request: HttpRequest, obj: CityTripsAccount | None = None) -> Any:
        if request.user.has_perm("users.view_identityimage"):
            return (*self.fieldsets, self.looks_fieldset)
        return self.fieldsets

    def get_urls(self) -> list[URLPattern]:
        page, file = map(self.admin_site.admin_view, (self.picture_view, self.picture_file_view))
        return [
            path("pictures/<int:image_id>/", page, name="users_citytripsaccount_picture"),
            path("pictures/<int:image_id>/file/", file, name="users_citytripsaccount_picture_file"),
            *super().get_urls(),
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CityTripsAccount], search_term: str
    ) -> tuple[QuerySet[CityTripsAccount], bool]:
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        if key := national_id_key(search_term):
            found = found | queryset.filter(national_id=key)
        return found, may_repeat

    @admin.display(description=_("person"), ordering="user__username")
    def name(self, account: CityTripsAccount) -> str:
        return account.user.display_name

    @admin.display(description=_("origin"), ordering="origin")
    def origin_chip(self, account: CityTripsAccount) -> SafeString:
        return chip("info" if account.origin == Origin.CREATED else "", account.get_origin_display())

    @admin.display(description=_("person"))
    def person(self, account: CityTripsAccount) -> SafeString | str:
        return person_link(account.user)

    @admin.display(description=_("requests"))
    def requests(self, account: CityTripsAccount) -> SafeString:
        rows = account.user.citytrips_applications.order_by("-last_at")[:REQUESTS_SHOWN]
        return format_html_join("", "<div>{}</div>", ((_request_link(row),) for row in rows))

    @admin.display(description=_("who, and when"))
    def last_looks(self, account: CityTripsAccount) -> SafeString | str:
        looks = IdentityImageView.objects.filter(image__account=account).select_related("image")
        lines = (
            (date_format(localtime(look.at), "SHORT_DATETIME_FORMAT"), look.by_name, look.image)
            for look in looks[: self.LOOKS_SHOWN]
        )
        return format_html_join("", "<div>{} · {} · {}</div>", lines) or gettext("Nobody has looked at them yet")

    def picture_view(self, request: HttpRequest, image_id: int) -> HttpResponse:
        """The page of one identity image."""
        image = self._image(request, image_id)
        try:
            picture_open(image.name, image.sha256)
        except StorageError as error:
            log.warning("Identity image %s cannot be shown: %s", image.pk, error)
            messages.error(request, gettext("This picture cannot be opened: look at IDENTITY_KEYS and at the disk."))
            return redirect("admin:users_citytripsaccount_change", image.account_id)
        return render(request, "users/identity_image.html", {**self.admin_site.each_context(request), "image": image})

    def picture_file_view(self, request: HttpRequest, image_id: int) -> HttpResponse:
        """One identity image, decrypted for whoever has the permission; that they looked is kept first."""
        image = self._image(request, image_id)
        try:
            data = picture_open(image.name, image.sha256)
        except StorageError as error:
            raise Http404 from error
        assert isinstance(request.user, User)  # noqa: S101  the admin admits nobody else
        services.image_view_note(image=image, actor=request.user)
        answer = HttpResponse(data, content_type=MIME_TYPES[image.format])
        answer["Content-Disposition"] = f'inline; filename="{image.kind}.{image.format.lower()}"'
        answer["Cache-Control"] = "no-store, private"
        answer["X-Content-Type-Options"] = "nosniff"
        answer["Cross-Origin-Resource-Policy"] = "same-origin"
        return answer

    @staticmethod
    def _image(request: HttpRequest, image_id: int) -> IdentityImage:
        if not request.user.has_perm("users.view_identityimage"):
            raise PermissionDenied
        if request.method != "GET":
            raise BadRequest
        image = IdentityImage.objects.select_related("account").filter(pk=image_id).first()
        if image is None:
            raise Http404
        return image


@admin.action(description=_("Mark as dealt with"), permissions=["change"])
def review(model_admin: CityTripsApplicationAdmin, request: HttpRequest, queryset: Any) -> None:
    assert isinstance(request.user, User)  # noqa: S101  the admin admits nobody else
    count = sum(services.application_review(application=row, actor=request.user) for row in queryset)
    words = ngettext("%(count)s request is dealt with.", "%(count)s requests are dealt with.", count)
    messages.success(request, words % {"count": count})


@admin.register(CityTripsApplication)
class CityTripsApplicationAdmin(ReadOnly, ApplicationModelAdmin):
    list_display = ("last_at", "outcome_chip", "what", "review_chip", "times")
    list_filter = ("outcome", "review", "obstacle")
    date_hierarchy = "last_at"
    actions = (review,)

    class Media:
        css = {"all": ["users/admin.css"]}

    # --- Who may do what -----------------------------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: CityTripsApplication | None = None) -> bool:
        """For the action on the list; a request itself is never changed, so its page has no fields to fill in."""
        return obj is None and bool(request.user.has_perm("users.change_citytripsapplication"))

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        first, *rest = self.list_display
        return (first, "who", *rest) if _may_see_people(request.user) else self.list_display

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        # Who may not see an address may not find out by searching whether there is one.
        return ("email", "user__username", "user__email") if _may_see_people(request.user) else ()

    def get_fieldsets(self, request: HttpRequest, obj: CityTripsApplication | None = None) -> Any:
        rest = ("received_at", "last_at", "times", "terms_version")
        if not _may_see_people(request.user):
            return (
                (None, {"fields": ("outcome_chip", "why", "odd", *rest)}),
                (_("Review"), {"fields": ("review_chip", "reviewed_at")}),
            )
        return (
            (None, {"fields": ("outcome_chip", "why", "person", "other", "odd", *rest)}),
            (_("Review"), {"fields": ("review_chip", "reviewed_by", "reviewed_at")}),
            (_("What CityTrips sent"), {"fields": ("sent_values",)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: CityTripsApplication | None = None) -> Any:
        return [name for _title, options in self.get_fieldsets(request, obj) for name in options["fields"]]

    # --- Pages ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.review_view)
        return [path("<int:pk>/review/", view, name="users_citytripsapplication_review"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        open_one = row is not None and row.review == Review.OPEN
        may_review = open_one and request.user.has_perm("users.change_citytripsapplication")
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "may_review": may_review})

    def review_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm("users.change_citytripsapplication"):
            raise PermissionDenied
        row = CityTripsApplication.objects.filter(pk=pk).first()
        if row is None:
            raise Http404
        assert isinstance(request.user, User)  # noqa: S101  the admin admits nobody else
        if services.application_review(application=row, actor=request.user):
            self.log_change(request, row, [{"changed": {"fields": ["review"]}}])
            messages.success(request, gettext("The request is dealt with."))
        return redirect("admin:users_citytripsapplication_change", pk)

    # --- Columns and read-only fields ----------------------------------------------------------------------------

    @admin.display(description=_("e-mail address"), ordering="email")
    def who(self, row: CityTripsApplication) -> str:
        return row.email

    @admin.display(description=_("outcome"), ordering="outcome")
    def outcome_chip(self, row: CityTripsApplication) -> SafeString:
        return chip(OUTCOME_TONES[Outcome(row.outcome)], row.get_outcome_display())

    @admin.display(description=_("review"), ordering="review")
    def review_chip(self, row: CityTripsApplication) -> SafeString | str:
        if row.review == Review.NOTHING:
            return format_html('<span class="mut">{}</span>', row.get_review_display())
        return chip(REVIEW_TONES[Review(row.review)], row.get_review_display())

    @admin.display(description=_("remarks"))
    def what(self, row: CityTripsApplication) -> str | None:
        if row.obstacle:
            return str(Obstacle(row.obstacle).label)
        words = flags_words(row.flags)
        if len(words) > 1:
            return gettext("%(count)s odd values") % {"count": len(words)}
        return words[0] if words else None

    @admin.display(description=_("reason"))
    def why(self, row: CityTripsApplication) -> SafeString | str:
        if not row.obstacle:
            return NONE
        return format_html("<div>{}</div><div>{}</div>", Obstacle(row.obstacle).label, obstacle_advice(row.obstacle))

    @admin.display(description=_("odd values"))
    def odd(self, row: CityTripsApplication) -> SafeString | str:
        return format_html_join("", "<div>{}</div>", ((words,) for words in flags_words(row.flags))) or NONE

    @admin.display(description=_("person"))
    def person(self, row: CityTripsApplication) -> SafeString | str:
        return person_link(row.user)

    @admin.display(description=_("the other person"))
    def other(self, row: CityTripsApplication) -> SafeString | str:
        return person_link(row.other_user)

    @admin.display(description=_("values"))
    def sent_values(self, row: CityTripsApplication) -> SafeString:
        """As they came; beside a timestamp the date that it was understood as."""
        dates = dates_in(row.sent, today=row.received_at.date())
        shown = []
        for name, value in row.sent.items():
            day = dates.get(name)
            words = gettext("%(sent)s, that is %(day)s")
            text = words % {"sent": value, "day": date_format(day, "DATE_FORMAT")} if day else value
            shown.append((property_label(name), text))
        return format_html('<dl class="facts">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", shown))


@admin.register(TermsVersion)
class TermsVersionAdmin(TermsModelAdmin):
    """A version is written before it begins; from then on it stands as it is."""

    list_display = ("__str__", "in_force_from", "state", "languages")
    fields = ("in_force_from", "text_en", "text_es")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TermsVersion]:
        current = terms_in_force(timezone.now())
        return super().get_queryset(request).annotate(current=Value(current.pk if current else 0))

    @admin.display(description=_("state"))
    def state(self, version: TermsVersion) -> SafeString:
        if not version.has_begun:
            return chip("info", gettext("To come"))
        if version.pk == version.__dict__["current"]:
            return chip("ok", gettext("In force"))
        return chip("", gettext("Earlier"))

    @admin.display(description=_("languages"))
    def languages(self, version: TermsVersion) -> str:
        texts = ((gettext("English"), version.text_en), (gettext("Spanish"), version.text_es))
        return ", ".join(name for name, text in texts if text.strip())

    def has_change_permission(self, request: HttpRequest, obj: TermsVersion | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or not obj.has_begun)

    def has_delete_permission(self, request: HttpRequest, obj: TermsVersion | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or not obj.has_begun)

    def view_on_site(self, version: TermsVersion) -> str | None:
        return reverse("users:terms_version", args=[version.pk]) if version.has_begun else None

    def save_model(self, request: HttpRequest, obj: TermsVersion, form: ModelForm[TermsVersion], change: bool) -> None:
        services.terms_save(version=obj)
