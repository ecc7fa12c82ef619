"""Identity images, and who looked at them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from users.models.accounts import CityTripsAccount


class ImageKind(models.TextChoices):
    """The identity images by their names in CityTrips' specification."""

    ID_FRONT = "nif_front_img", _("Identity document, front")
    ID_BACK = "nif_back_img", _("Identity document, back")
    LICENCE_FRONT = "license_front_img", _("Driving licence, front")
    LICENCE_BACK = "license_back_img", _("Driving licence, back")


class IdentityImage(models.Model):
    """An identity image of a person. The picture lies encrypted in the file ``name`` (``users.identity_images``).

    ``sha256`` and ``size`` are those of the picture itself.
    """

    account = models.ForeignKey(
        CityTripsAccount, on_delete=models.CASCADE, related_name="images", verbose_name=_("CityTrips account")
    )
    kind = models.CharField(_("picture"), max_length=20, choices=ImageKind)
    format = models.CharField(_("format"), max_length=4, choices=[("PNG", "PNG"), ("JPEG", "JPEG")])
    name = models.CharField(max_length=32, unique=True, editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    size = models.PositiveIntegerField(_("bytes"))
    width = models.PositiveIntegerField(_("width"))
    height = models.PositiveIntegerField(_("height"))
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("identity image")
        verbose_name_plural = _("identity images")
        ordering = ["kind", "-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(name="users_identityimage_once", fields=["account", "kind", "sha256"]),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()


class IdentityImageView(models.Model):
    """That somebody looked at an identity image. The name stays when the person is gone."""

    image = models.ForeignKey(IdentityImage, on_delete=models.CASCADE, related_name="views")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    by_name = models.CharField(_("user name"), max_length=150)
    at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("look at an identity image")
        verbose_name_plural = _("looks at identity images")
        ordering = ["-at", "-id"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.by_name
