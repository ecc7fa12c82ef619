"""``manage.py renew_identity_images``: after a new key was put first, the others can be dropped."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from users import services


class Command(BaseCommand):
    help = (
        "Encrypts every identity image with the first of IDENTITY_KEYS, so that the others can be dropped, and deletes "
        "files that belong to nobody. Ends with status 1 where an image cannot be opened."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = services.images_renew()
        self.stdout.write(
            f"{done.renewed} encrypted anew, {done.kept} were so already, {done.removed} files of nobody deleted"
        )
        if done.unreadable:
            self.stderr.write(f"{done.unreadable} cannot be opened with any of IDENTITY_KEYS; keep the old keys")
            sys.exit(1)
