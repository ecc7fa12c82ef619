"""The command that makes a token."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from users.models import ApiToken, User
from users.services import token_digest, user_update

pytestmark = pytest.mark.django_db


def create_token(*words: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("create_token", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("name", ["carla", "CARLA@example.org"])
def test_standard_output_is_the_token_alone(person: User, name: str) -> None:
    """A script can read it; what is said about it goes to standard error."""
    out, err = create_token(name)
    row = ApiToken.objects.get()
    assert row.digest == token_digest(out.strip())
    assert (row.user, row.scope, row.expires_at) == (person, "all", None)
    assert "not shown again" in err
    assert out.strip() not in err


def test_scope_and_expiry_are_taken(person: User) -> None:
    """--scope and --expires."""
    create_token("carla", "--scope", "telemetry", "--expires", "7")
    row = ApiToken.objects.get()
    assert row.scope == "telemetry"
    assert timedelta(days=6, hours=23) < row.expires_at - timezone.now() <= timedelta(days=7)


@pytest.mark.parametrize(
    "words",
    [
        ["nobody"],
        ["carla", "--scope", "root"],
        ["carla", "--expires", "0"],
        ["carla", "--expires", "99999"],
        ["carla", "--expires", "soon"],
    ],
)
def test_what_cannot_be_is_refused_in_one_line(person: User, words: list[str]) -> None:
    """Nothing is made, and the reason is said."""
    with pytest.raises(CommandError) as refused:
        create_token(*words)
    assert "\n" not in str(refused.value)
    assert not ApiToken.objects.exists()


def test_a_blocked_account_gets_none(person: User) -> None:
    """A token that would not work is not made."""
    user_update(user=person, values={"is_active": False})
    with pytest.raises(CommandError, match="blocked"):
        create_token("carla")
