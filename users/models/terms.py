"""The operator's terms and conditions."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class TermsVersion(models.Model):
    """The operator's terms and conditions as they read from a moment on; the newest that has begun is in force."""

    in_force_from = models.DateTimeField(
        _("in force from"),
        default=timezone.now,
        unique=True,
        help_text=_("From then on it can no longer be changed; a later version takes its place."),
    )
    text_en = models.TextField(
        _("text in English"),
        blank=True,
        help_text=_("Paragraphs are parted by an empty line; a line that begins with “# ” is a heading, “- ” a list."),
    )
    text_es = models.TextField(_("text in Spanish"), blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("version of the terms")
        verbose_name_plural = _("terms and conditions")
        ordering = ["-in_force_from"]
        constraints = [
            models.CheckConstraint(
                name="users_termsversion_has_text",
                condition=~models.Q(text_en="") | ~models.Q(text_es=""),
                violation_error_message=_("Write the terms in at least one language."),
            ),
        ]

    def __str__(self) -> str:
        day = date_format(timezone.localtime(self.in_force_from), "DATE_FORMAT")
        return gettext("Terms of %(day)s") % {"day": day}

    def clean(self) -> None:
        super().clean()
        self.text_en, self.text_es = self.text_en.strip(), self.text_es.strip()

    def text_for(self, language: str) -> tuple[str, str]:
        """The language's code and the text in it; in the other one where it was not written in this."""
        texts = {"en": self.text_en, "es": self.text_es}
        order = sorted(texts, key=lambda code: not language.startswith(code))
        return next((code, texts[code]) for code in order if texts[code].strip())

    @property
    def has_begun(self) -> bool:
        return self.in_force_from <= timezone.now()
