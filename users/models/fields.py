"""The field of national ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from users.national_ids import LONGEST, national_id_key

# The type checker's stubs know the class as generic; at run time it is not.
if TYPE_CHECKING:
    NullableText = models.CharField[str | None, str | None]
else:
    NullableText = models.CharField


class NationalIdField(NullableText):
    """A national id in the form it is compared in, however it is written; null for none, of which there may be many."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"max_length": LONGEST, "null": True, "blank": True, "unique": True, **options})

    def to_python(self, value: Any) -> str | None:
        text = super().to_python(value)
        if not text:
            return None
        if (key := national_id_key(text)) is None:
            raise ValidationError(_("This cannot be a national id."), code="national_id")
        return key

    def pre_save(self, model_instance: models.Model, add: bool) -> str | None:
        value = self.get_prep_value(getattr(model_instance, self.attname))
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> str | None:
        value = super().get_prep_value(value)
        return national_id_key(value) if isinstance(value, str) else value
