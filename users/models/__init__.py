"""People: who may log in, the tokens of their programs, what CityTrips sent about them, and the terms they accepted."""

from users.models.accounts import CityTripsAccount, ErasedIdentity, Origin
from users.models.applications import CityTripsApplication, Obstacle, Outcome, Review
from users.models.fields import NationalIdField, NullableText
from users.models.identity_images import IdentityImage, IdentityImageView, ImageKind
from users.models.people import (
    User,
    UserManager,
    UserQuerySet,
    email_key,
    email_taken,
    time_zones,
    validate_time_zone,
)
from users.models.terms import TermsVersion
from users.models.tokens import ApiToken, Scope

__all__ = [
    "ApiToken",
    "CityTripsAccount",
    "CityTripsApplication",
    "ErasedIdentity",
    "IdentityImage",
    "IdentityImageView",
    "ImageKind",
    "NationalIdField",
    "NullableText",
    "Obstacle",
    "Origin",
    "Outcome",
    "Review",
    "Scope",
    "TermsVersion",
    "User",
    "UserManager",
    "UserQuerySet",
    "email_key",
    "email_taken",
    "time_zones",
    "validate_time_zone",
]
