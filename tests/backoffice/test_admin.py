"""The admin's guard, over every model that is registered: anybody's text in the address and in a selection."""

from __future__ import annotations

import time

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fleet.models import FleetRules, Vehicle
from itineraries.models import Itinerary
from users.models import ApiToken, User
from users.services import token_create, user_create

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
# These lead on to the page of their only row.
LISTED = [model for model in MODELS if model not in (FleetRules,) and model._meta.label != "citytrips.LinkState"]
HUGE = "9" * 22


@pytest.fixture
def superuser() -> User:
    return user_create(username="root", email="root@example.org", is_staff=True, is_superuser=True)


@pytest.fixture
def client(superuser: User) -> Client:
    Vehicle.objects.create(id="ES-1", city="Madrid")
    Itinerary.objects.create(title="Canarias", document={}, starts_on="2026-11-20", updated_at=timezone.now())
    token_create(user=superuser, name="gateway")
    client = Client()
    client.force_login(superuser)
    return client


def address(model: type[Model], page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def refused(answer) -> bool:
    """Back to the whole list, or a wrong request, or nothing there."""
    return answer.status_code in (400, 404) or (
        answer.status_code == 302 and (answer["Location"].endswith("?e=1") or answer["Location"] == "/admin/")
    )


def lookups(model: type[Model]) -> list[str]:
    """What nobody's filter is, for each column: patterns, lists, ranges, parts of dates, parts of documents."""
    asked = []
    for field in model._meta.concrete_fields:
        for lookup, value in (
            ("regex", "["), ("in", HUGE), ("range", ""), ("range", "abc"), ("year", "0"), ("contains", "a"),
            ("gt", HUGE), ("startswith", "a"), ("nonsense", "1"),
        ):  # fmt: skip
            asked.append(f"{field.name}__{lookup}={value}")
        asked.append(f"{field.name}__contains=%00")
    return asked


@pytest.mark.logs_errors  # Django's own refusals are logged as suspicious
@pytest.mark.parametrize("model", LISTED, ids=lambda model: model._meta.label)
def test_only_the_lists_own_filters_ask_the_database(client: Client, model: type[Model]) -> None:
    """Any other lookup, of whichever column, is refused."""
    taken = [query for query in lookups(model) if not refused(client.get(f"{address(model)}?{query}"))]
    assert taken == []


def test_a_pattern_in_the_address_does_not_occupy_the_process(client: Client) -> None:
    """A regular expression that backtracks for minutes is not even tried."""
    Itinerary.objects.create(title="a" * 60, document={}, updated_at=timezone.now())
    began = time.monotonic()
    assert refused(client.get(address(Itinerary), {"title__regex": "^(([A-Za-z ])+)+!$"}))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("model", "query", "found"),
    [
        (Vehicle, "state=available", True),
        (Vehicle, "state=missing", False),
        (Vehicle, "city=Madrid", True),
        (Vehicle, "city=-", False),
        (Vehicle, "charge=unknown", True),
        (Vehicle, "citytrips=pending&o=1.-2&_facets=1", None),
        (Vehicle, "q=ES-1&p=1&all=&_popup=1&_to_field=id", True),
        (Itinerary, "state=draft&is_demo__exact=0", None),
        (Itinerary, "starts_on__year=2026", True),
        (Itinerary, "starts_on__year=2025", False),
        (Itinerary, "starts_on__year=2026&starts_on__month=11&starts_on__day=20", True),
        (User, "groups__id__exact=1", None),
        (User, "is_staff__exact=1&e=1", True),
        (ApiToken, "scope__exact=all", None),
    ],
)
def test_the_lists_own_filters_search_and_order_work(
    client: Client, model: type[Model], query: str, found: bool | None
) -> None:
    """Each way that the list itself offers is still open, and tells rows apart."""
    answer = client.get(f"{address(model)}?{query}")
    assert answer.status_code == 200
    if found is not None:
        assert (answer.context["cl"].result_count > 0) is found


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (model, f"{name}{part}")
        for model, name in ((Itinerary, "starts_on"), (ApiToken, "created_at"))
        for part in (
            "__year=0", "__year=-1", f"__year={HUGE}", "__year=abc", "__year=9999", "__year=2026&NAME__month=13",
            f"__year=2026&NAME__month={HUGE}", "__month=2", "__day=1", "__gte=2026-01-01", "__lt=junk",
        )
    ],
)  # fmt: skip
def test_a_date_that_is_none_leads_back_to_the_whole_list(client: Client, model: type[Model], query: str) -> None:
    """The hierarchy of dates takes years, months and days that exist."""
    answer = client.get(f"{address(model)}?{query.replace('NAME', query.split('__')[0])}")
    assert answer.status_code == 302
    assert answer["Location"] == f"{address(model)}?e=1"


@pytest.mark.parametrize("query", ["groups__id__exact=abc", f"groups__id__exact={HUGE}", "is_staff__exact=junk"])
def test_an_unusable_value_of_a_filter_is_no_error(client: Client, query: str) -> None:
    """It finds nothing, or leads back to the whole list."""
    answer = client.get(f"{address(User)}?{query}")
    assert answer.status_code == 200 or refused(answer)


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model._meta.label)
def test_a_nul_in_the_address_is_refused(client: Client, model: type[Model]) -> None:
    """PostgreSQL takes none; on every database the answer is the same."""
    assert client.get(f"{address(model)}?q=a%00").status_code == 200  # said in words, by the form
    for query in ("state=%00", "city=%00", "citytrips=%00", "%00=1", "kind=%00"):
        assert client.get(f"{address(model)}?{query}").status_code == 400, query


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_a_row_that_cannot_be_is_not_there(client: Client, model: type[Model], page: str) -> None:
    """Whatever stands where a row's key belongs."""
    for key in ("%00", "a%00", "_00", "abc", "-1", HUGE, "9" * 400, "9" * 5000):
        answer = client.get(address(model, page, "KEY").replace("KEY", key))
        assert refused(answer) or answer.status_code == 403, key


@pytest.mark.parametrize("page", ["change", "delete"])
@pytest.mark.parametrize("model", [Vehicle, Itinerary, User, ApiToken], ids=lambda model: model._meta.label)
def test_an_empty_to_field_means_none(client: Client, model: type[Model], page: str) -> None:
    """As if it were not there, in the address and in the form."""
    row = model._default_manager.get() if model is not User else User.objects.get(username="root")
    target = address(model, page, row.pk)
    assert client.get(f"{target}?_to_field=").status_code == client.get(target).status_code
    assert client.post(f"{target}?_to_field=", {"_to_field": ""}).status_code in (200, 302, 403)


@pytest.mark.logs_errors
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("name", ["password", "%00", "nonsense"])
def test_a_to_field_that_nothing_refers_to_is_refused(client: Client, model: type[Model], name: str) -> None:
    """Neither hidden columns nor those that do not exist."""
    assert refused(client.get(f"{address(model, 'change', 1)}?_to_field={name}"))


NO_NUMBERS = ["\0", "a\0", "9" * 5000, "abc", "", HUGE, f"-{HUGE}", "9" * 400]


@pytest.mark.parametrize("action", ["send_links", "revoke", "delete_selected"])
@pytest.mark.parametrize("index", [{}, {"index": "0"}])
def test_a_selection_that_cannot_be_is_refused(client: Client, action: str, index: dict[str, str]) -> None:
    """Nothing is done, for the good ones of the selection neither."""
    model = {"send_links": User, "revoke": ApiToken, "delete_selected": Itinerary}[action]
    good = str(model._default_manager.first().pk)  # type: ignore[union-attr]
    before = list(model._default_manager.values())
    for key in NO_NUMBERS:
        sent = {"action": action, "_selected_action": [good, key], "post": "yes", **index}
        assert client.post(address(model), sent).status_code == 400, key
    assert list(model._default_manager.values()) == before


@pytest.mark.parametrize("key", ["\0", "ES\0-1"])
def test_a_selection_of_vehicles_with_a_nul_is_refused(client: Client, key: str) -> None:
    """Their keys are text, and any other may be one."""
    assert client.post(address(Vehicle), {"action": "resend", "_selected_action": [key]}).status_code == 400
    assert client.post(address(Vehicle), {"action": "resend", "_selected_action": ["-1"]}).status_code == 302


def test_a_row_that_is_not_there_any_more_is_passed_over(client: Client) -> None:
    """Keys that could be rows and are none leave the action with the others."""
    answer = client.post(address(User), {"action": "send_links", "_selected_action": ["-1", str(2**62)]})
    assert answer.status_code == 302


@pytest.mark.parametrize("name", ["groups", "user_permissions"])
@pytest.mark.parametrize("key", [HUGE, "abc", "\0", "-1"])
def test_a_choice_that_cannot_be_is_no_error(client: Client, superuser: User, name: str, key: str) -> None:
    """In a person's form: said in the form, or refused."""
    sent = {"username": "root", "email": "root@example.org", name: [key]}
    assert client.post(address(User, "change", superuser.pk), sent).status_code in (200, 400)


@pytest.mark.parametrize(
    "page",
    [
        "r/1/%00/",
        "r/abc/1/",
        f"r/{HUGE}/1/",
        "autocomplete/?term=%00",
        "autocomplete/?app_label=users",
        "nonsense/%00/",
    ],
)
def test_the_other_pages_take_anything_too(client: Client, page: str) -> None:
    """The admin's helpers answer that there is nothing, or nothing for this person."""
    assert client.get(f"/admin/{page}").status_code in (400, 403, 404)


def test_view_on_site_with_an_id_that_cannot_be(client: Client) -> None:
    """An itinerary's id is no word."""
    kind = ContentType.objects.get_for_model(Itinerary)
    assert client.get(f"/admin/r/{kind.pk}/abc/").status_code == 404


@pytest.mark.logs_errors
def test_a_fault_of_ours_is_still_an_error(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody asked for anything, nothing is hidden behind a refusal."""

    def broken(self: object, request: object) -> None:
        raise ValueError("ours")

    monkeypatch.setattr(admin.site._registry[Vehicle], "get_ordering", broken.__get__(object()))
    with pytest.raises(ValueError, match="ours"):
        client.get(address(Vehicle))
