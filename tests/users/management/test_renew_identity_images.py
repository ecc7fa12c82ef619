"""``manage.py renew_identity_images``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command

from tests.users.payloads import NOW, data_uri, jpeg, payload, png
from users.accounts import link, read
from users.applications import Application
from users.identity_images import Picture, folder, picture_keep, picture_open
from users.models import IdentityImage

pytestmark = pytest.mark.django_db


@pytest.fixture
def keys(settings: Any, tmp_path: Path) -> list[str]:
    settings.VAR_DIR = tmp_path
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode()]
    application = read(payload(nif_front_img=data_uri(png()), nif_back_img=data_uri(jpeg())))
    assert isinstance(application, Application)
    link(application, received_at=NOW)
    return settings.IDENTITY_KEYS


def test_an_old_key_can_be_dropped_afterwards(
    keys: list[str], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything opens with the new key alone; run again, there is nothing to do."""
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode(), *keys]
    call_command("renew_identity_images")
    call_command("renew_identity_images")
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "2 encrypted anew, 0 were so already, 0 files of nobody deleted",
        "0 encrypted anew, 2 were so already, 0 files of nobody deleted",
    ]
    settings.IDENTITY_KEYS = settings.IDENTITY_KEYS[:1]
    for image in IdentityImage.objects.all():
        assert picture_open(image.name, image.sha256)


def test_files_of_nobody_go_after_a_day(keys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A file without a row is deleted, unless it may belong to an account that is just being made."""
    fresh, old = picture_keep(Picture("PNG", 1, 1, b"fresh")), picture_keep(Picture("PNG", 1, 1, b"old"))
    (path,) = folder().glob(f"??/{old}")
    os.utime(path, (0, 0))
    call_command("renew_identity_images")
    assert "1 files of nobody deleted" in capsys.readouterr().out
    assert not path.exists()
    assert list(folder().glob(f"??/{fresh}"))
    assert len(list(folder().glob("??/*"))) == 3


def test_what_no_key_opens_is_counted(keys: list[str], settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It stays as it is, and the status says so."""
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SystemExit) as ended:
        call_command("renew_identity_images")
    assert ended.value.code == 1
    assert "2 cannot be opened" in capsys.readouterr().err
    assert len(list(folder().glob("??/*"))) == 2
