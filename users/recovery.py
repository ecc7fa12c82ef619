"""The mail with which a person chooses a password: after forgetting one, or for the first time.

It is written and sent in a thread of its own, so that the page answers as fast for an address that nobody has as for
one that somebody has; and it goes to the address on record, never to the one that was typed.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from users.models import User

log = logging.getLogger(__name__)

# Seconds between two mails to one person: a stranger must not fill somebody's mailbox.
PAUSE = 60
_postmen = ThreadPoolExecutor(max_workers=2, thread_name_prefix="recovery-mail")


def recovery_link(user: User) -> str:
    """The address at which this person, and nobody else, may choose a password; good for PASSWORD_RESET_TIMEOUT.

    Made from SITE_URL: the Host header is whatever the sender of the request wrote.
    """
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("users:password_reset_confirm", args=[uid, default_token_generator.make_token(user)])
    return f"{settings.SITE_URL}{path}"


def recovery_send(*, user: User, language: str = "", is_new: bool = False) -> Future[None] | None:
    """Send the mail soon, in the person's language, else in ``language``, else in the site's.

    ``is_new`` words it for an account that was just made. None where nothing is sent: the person is blocked, has no
    address, or had a mail within the last minute. What the mail server refuses is logged.
    """
    if not user.is_active or not user.email or not cache.add(f"users.recovery.{user.pk}", True, PAUSE):
        return None
    return _postmen.submit(_deliver, user, user.language or language or settings.LANGUAGE_CODE, is_new)


def _deliver(user: User, language: str, is_new: bool) -> None:
    try:
        with translation.override(language):
            context = {
                "person": user,
                "link": recovery_link(user),
                "hours": settings.PASSWORD_RESET_TIMEOUT // 3600,
                "operator_name": settings.OPERATOR_NAME,
                "again": f"{settings.SITE_URL}{reverse('users:password_reset')}",
                "is_new": is_new,
            }
            subject = " ".join(render_to_string("users/recovery_subject.txt", context).split())
            EmailMessage(subject, render_to_string("users/recovery_mail.txt", context), to=[user.email]).send()
    except Exception:
        # Without the traceback: the text of a mail server's refusal may hold the address.
        log.error("The recovery mail for account %s could not be sent", user.public_id)
