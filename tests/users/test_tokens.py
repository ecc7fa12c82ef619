"""The REST API's login: tokens, scopes, permissions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import path
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from users.models import ApiToken, User
from users.services import token_create, token_revoke, user_create, user_update


class People(APIView):
    """A view over a model that the test's people have permissions for."""

    required_scope = "fleet"
    queryset = User.objects.all()

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.username})

    post = put = patch = delete = get


class Telemetry(People):
    required_scope = "telemetry"
    required_permissions = {"POST": ["users.change_user"]}


class Unscoped(People):
    required_scope = None


urlpatterns = [
    path("people/", People.as_view()),
    path("telemetry/", Telemetry.as_view()),
    path("unscoped/", Unscoped.as_view()),
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def clerk() -> User:
    """May view, add and change people, but not delete them."""
    return user_create(username="clerk", is_staff=True, groups=["People"])


def ask(client: Client, token: str | None, address: str = "/people/", method: str = "get") -> Response:
    headers = {} if token is None else {"Authorization": token if " " in token else f"Token {token}"}
    return getattr(client, method)(address, headers=headers)


def test_a_token_logs_its_person_in(client: Client, clerk: User) -> None:
    """The view sees the token's person."""
    _row, token = token_create(user=clerk, name="x")
    answer = ask(client, token)
    assert (answer.status_code, answer.json()) == (200, {"user": "clerk"})
    assert ask(client, f"token {token}").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Token",
        "Token ",
        "Token a b",
        "Token opb_wrong",
        "Token \xff\xfe",
        "Bearer x",
        "Basic eDp5",
        "Token " + "x" * 9000,
    ],
)
def test_whoever_brings_no_good_token_is_told_how(client: Client, clerk: User, header: str | None) -> None:
    """401 with WWW-Authenticate, never 500, whatever the header says."""
    headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
    answer = client.get("/people/", **headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"
    assert answer.json()["detail"]


def test_expired_revoked_and_blocked_are_refused(client: Client, clerk: User) -> None:
    """Each says which of the three it is."""
    row, token = token_create(user=clerk, name="x", expires_at=timezone.now() + timedelta(days=1))
    assert ask(client, token).status_code == 200
    user_update(user=clerk, values={"is_active": False})
    answer = ask(client, token)
    assert (answer.status_code, "blocked" in answer.json()["detail"]) == (401, True)
    user_update(user=clerk, values={"is_active": True})
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = ask(client, token)
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)
    ApiToken.objects.update(expires_at=None)
    token_revoke(token=row, actor=clerk)
    answer = ask(client, token)
    assert (answer.status_code, "revoked" in answer.json()["detail"]) == (401, True)


def test_the_time_of_use_is_written_once_a_minute(client: Client, clerk: User, django_assert_num_queries) -> None:
    """A busy token costs a write a minute: a second request within it only reads."""
    row, token = token_create(user=clerk, name="x")
    ask(client, token)
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    with django_assert_num_queries(3):  # the token with its person, and the person's and the groups' permissions
        ask(client, token)
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(seconds=61))
    ask(client, token)
    row.refresh_from_db()
    assert row.last_used_at >= first


@pytest.mark.parametrize(
    ("scope", "address", "status"),
    [
        ("all", "/people/", 200),
        ("all", "/telemetry/", 200),
        ("all", "/unscoped/", 200),
        ("fleet", "/people/", 200),
        ("fleet", "/telemetry/", 200),
        ("fleet", "/unscoped/", 403),
        ("telemetry", "/people/", 403),
        ("telemetry", "/telemetry/", 200),
        ("itineraries", "/people/", 403),
        ("itineraries", "/telemetry/", 403),
    ],
)
def test_a_scope_bounds_its_token(client: Client, clerk: User, scope: str, address: str, status: int) -> None:
    """A token works where its scope is asked for; the fleet's includes telemetry; refusals name what is needed."""
    _row, token = token_create(user=clerk, name="x", scope=scope)
    answer = ask(client, token, address)
    assert answer.status_code == status
    if status == 403:
        assert scope in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("get", 200),
        ("head", 200),
        ("options", 200),
        ("post", 200),
        ("put", 200),
        ("patch", 200),
        ("delete", 403),
        ("trace", 405),
    ],
)
def test_a_token_can_do_no_more_than_its_person(client: Client, clerk: User, method: str, status: int) -> None:
    """Model permissions hold beneath the scope."""
    _row, token = token_create(user=clerk, name="x")
    assert ask(client, token, method=method).status_code == status


def test_reading_needs_the_permission_to_view(client: Client, staff: User) -> None:
    """Staff without permissions read nothing, by token or by session."""
    _row, token = token_create(user=staff, name="x")
    assert ask(client, token).status_code == 403
    client.force_login(staff)
    assert ask(client, None).status_code == 403


@pytest.mark.parametrize("address", ["/people/", "/telemetry/", "/unscoped/"])
@pytest.mark.parametrize("method", ["get", "options", "post", "delete"])
def test_whoever_is_staff_no_more_has_no_rights_left(client: Client, clerk: User, address: str, method: str) -> None:
    """Whatever permissions and groups they kept, neither their tokens nor their sessions work; a token says why."""
    _row, token = token_create(user=clerk, name="x")
    clerk.user_permissions.set(Permission.objects.all())
    user_update(user=clerk, values={"is_staff": False})
    answer = ask(client, token, address, method)
    assert (answer.status_code, "no longer staff" in answer.json()["detail"]) == (401, True)
    client.force_login(clerk)
    assert ask(client, None, address, method).status_code == 403


def test_a_view_may_name_other_permissions(client: Client) -> None:
    """POST to telemetry changes vehicles rather than adding any: the view says so."""
    changer = user_create(username="changer", is_staff=True)
    changer.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    _row, token = token_create(user=changer, name="x")
    assert ask(client, token, "/telemetry/", "post").status_code == 200
    assert ask(client, token, "/people/", "post").status_code == 403


def test_sessions_need_permissions_and_the_csrf_token_only(clerk: User) -> None:
    """A session has no scope; what it writes is checked against forgery."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(clerk)
    assert ask(client, None, "/unscoped/").status_code == 200
    assert ask(client, None, method="post").status_code == 403


def test_the_openapi_description_names_the_token() -> None:
    """The scheme is in the schema, and each operation asks for it."""
    schema = SchemaGenerator(patterns=urlpatterns).get_schema(request=None, public=True)
    assert schema["components"]["securitySchemes"]["token"]["name"] == "Authorization"
    assert {"token": []} in schema["paths"]["/people/"]["get"]["security"]
