"""What people fill in: login, recovery, their account, and their tokens; and what staff fill in about others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from users.models import ApiToken, Scope, User, time_zones

# The type checker's stubs know these classes as generic; at run time they are not.
if TYPE_CHECKING:
    UserForm = forms.ModelForm[User]
    ApiTokenForm = forms.ModelForm[ApiToken]
else:
    UserForm = ApiTokenForm = forms.ModelForm

PASSWORD_WAIT = timedelta(hours=settings.AXES_COOLOFF_TIME)


class LoginForm(AuthenticationForm):
    """By user name or e-mail address, for this visit or for two weeks."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": _("That name and password do not fit. Mind upper and lower case."),
    }
    remember = forms.BooleanField(label=_("Stay logged in on this device for two weeks"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = self.fields["username"]
        name.label = _("User name or e-mail address")
        # An e-mail address may be longer than a user name.
        name.max_length = 254  # type: ignore[attr-defined]
        name.widget.attrs["maxlength"] = 254
        name.validators = [one for one in name.validators if getattr(one, "code", "") != "max_length"]


class OwnPasswordForm(PasswordChangeForm):
    """A new password against the old one, which may be guessed as often as at the login.

    Whoever sits at another's open session could else try passwords without end. Counted per account.
    """

    def clean_old_password(self) -> str:
        key = f"users.wrong-passwords.{self.user.pk}"
        # Counted before it is looked at, so that guesses side by side count each.
        cache.add(key, 0, PASSWORD_WAIT.total_seconds())
        try:
            tries = cache.incr(key)
        except ValueError:  # its time has just run out
            tries = 1
        if tries > settings.AXES_FAILURE_LIMIT:
            minutes = int(PASSWORD_WAIT.total_seconds() // 60)
            text = ngettext(
                "The old password was wrong too often. Wait %(minutes)d minute, then try again.",
                "The old password was wrong too often. Wait %(minutes)d minutes, then try again.",
                minutes,
            )
            raise forms.ValidationError(text % {"minutes": minutes}, code="too_often")
        password: str = super().clean_old_password()
        cache.delete(key)
        return password


class RecoveryForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


def _zone_choices(current: str) -> list[tuple[str, Any]]:
    """Zones as Region/City; the names of old times are left out, but not the one that was chosen already."""
    names = {name for name in time_zones() if "/" in name and not name.startswith(("Etc/", "US/", "SystemV/"))}
    shown = sorted(names | {"UTC"} | ({current} if current else set()))
    return [("", _("The site's own")), *((name, name.replace("_", " ")) for name in shown)]


class PreferencesForm(UserForm):
    """What a person may change about their own account by themselves."""

    time_zone = forms.ChoiceField(label=_("Time zone"), required=False, help_text=_("Times are shown in it."))

    class Meta:
        model = User
        fields = ["first_name", "last_name", "language", "time_zone"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["language"].help_text = ""  # the first choice says it
        self.fields["time_zone"].choices = _zone_choices(self.instance.time_zone)  # type: ignore[attr-defined]
        self.fields["language"].choices = [  # type: ignore[attr-defined]
            ("", _("As the browser")),
            *[choice for choice in User._meta.get_field("language").choices or [] if choice[0]],
        ]


class TokenForm(ApiTokenForm):
    DAYS = (("30", _("30 days")), ("90", _("90 days")), ("365", _("A year")), ("", _("Until it is revoked")))

    expires = forms.ChoiceField(label=_("Good for"), choices=DAYS, required=False, initial="365")

    class Meta:
        model = ApiToken
        fields = ["name", "scope"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope"].label = _("May be used for")
        self.fields["scope"].choices = Scope.choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        days = cleaned.get("expires")
        cleaned["expires_at"] = timezone.now() + timedelta(days=int(days)) if days else None
        return cleaned


class PersonAddForm(UserForm):
    """A new person, who chooses the password: staff neither type nor know it."""

    send_link = forms.BooleanField(
        label=_("Send a mail with a link to choose a password"), required=False, initial=True
    )

    class Meta:
        model = User
        fields = ["username", "email", "first_name", "last_name", "national_id"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = True
        self.instance.set_unusable_password()


class PersonChangeForm(UserForm):
    """Without a password: the person chooses it by the link.

    Only what was changed in this form counts, against what the form showed: it carries that along in hidden fields.
    Of what others have changed since it was opened, the rest is left as it is, and what both have changed is refused,
    so that an old tab neither undoes another's work nor opens a blocked account again.
    """

    data: Any  # a QueryDict, where the form was sent

    send_link = forms.BooleanField(label=_("Send a mail with a link to choose a new password"), required=False)
    time_zone = forms.ChoiceField(
        label=_("Time zone"), required=False, help_text=_("Times are shown in it. Empty: the site's own zone.")
    )

    class Meta:
        model = User
        fields = ["username", "email", "first_name", "last_name"]  # the admin's field sets name the rest

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "time_zone" in self.fields:  # not where it is only shown
            self.fields["time_zone"].choices = _zone_choices(self.instance.time_zone)  # type: ignore[attr-defined]
        self._kept = [name for name in self.fields if name != "send_link"]
        # A program that posts without having been shown a form has changed what differs from today's row.
        self._tells_what_it_showed = not self.is_bound or self.add_initial_prefix("username") in self.data
        for name in self._kept:
            self.fields[name].show_hidden_initial = self._tells_what_it_showed
        if self.is_bound and self._tells_what_it_showed:
            self.data = self.data.copy()
            for name in self._kept:
                self.data.setlistdefault(self.add_initial_prefix(name), [])  # an empty choice sends nothing

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self._tells_what_it_showed:
            return cleaned
        # Locked until this form's transaction ends; the row that the page was built from may be older.
        today = User.objects.select_for_update().get(pk=self.instance.pk)
        present = forms.model_to_dict(today, self._kept)
        for name in self._kept:
            field, key = self.fields[name], self.add_initial_prefix(name)
            if name not in cleaned or not field.has_changed(present[name], self._shown(name)):
                continue
            if name not in self.changed_data:
                cleaned[name] = getattr(today, name).all() if isinstance(present[name], list) else present[name]
            elif field.has_changed(present[name], self[name].data):
                self.add_error(name, _changed_meanwhile(today, name))
                # From here on it is known: the same form sent again is meant.
                values = field.prepare_value(present[name])
                self.data.setlist(key, values if isinstance(values, list) else [values])
        return cleaned

    def _shown(self, name: str) -> Any:
        return self._widget_data_value(self.fields[name].hidden_widget(), self.add_initial_prefix(name))  # type: ignore[attr-defined]


def _changed_meanwhile(person: User, name: str) -> str:
    value = getattr(person, name)
    if hasattr(value, "all"):
        shown = ", ".join(str(one) for one in value.all())
    else:
        display = getattr(person, f"get_{name}_display", None)
        shown = str(display() if display else value)
    return gettext(
        "Somebody else has changed this since you opened the form; it is now “%(value)s”. What you typed is kept: "
        "save again to put it in its place."
    ) % {"value": shown or "–"}
