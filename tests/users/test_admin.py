"""People in the admin, and that nobody rises there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.core.mail import EmailMessage
from django.test import Client

from tests.users.conftest import PASSWORD
from users.models import ApiToken, User
from users.services import token_create, user_create, user_update

Posted = Callable[[int], list[EmailMessage]]
pytestmark = pytest.mark.django_db
LIST = "/admin/users/user/"
ADD = "/admin/users/user/add/"


def change_page(person: User) -> str:
    return f"{LIST}{person.pk}/change/"


def fields_of(person: User, **values: str) -> dict[str, str]:
    """What the change form sends back when nothing is changed, and then ``values``."""
    sent = {
        "username": person.username,
        "email": person.email,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "language": person.language,
        "time_zone": person.time_zone,
    }
    if person.is_active:
        sent["is_active"] = "on"
    return {**sent, **values}


@pytest.fixture
def by_people(people_staff: User) -> Client:
    client = Client()
    client.force_login(people_staff)
    return client


@pytest.fixture
def by_superuser(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser)
    return client


# --- What it is for --------------------------------------------------------------------------------------------------


def test_a_person_is_added_without_a_password_and_gets_a_link(by_people: Client, posted: Posted) -> None:
    """Staff type no password; the mail speaks of a new account."""
    page = by_people.get(ADD).content.decode()
    assert "password1" not in page
    assert 'type="password"' not in page
    answer = by_people.post(ADD, {"username": "nuria", "email": "Nuria@Example.org", "send_link": "on"})
    assert answer["Location"] == LIST
    nuria = User.objects.get(username="nuria")
    assert (nuria.email_key, nuria.has_usable_password(), nuria.is_staff) == ("nuria@example.org", False, False)
    (message,) = posted(1)
    assert "account was made for you" in str(message.body)


def test_without_the_tick_no_mail_is_sent(by_people: Client) -> None:
    """Staff may add people who are to learn of it later."""
    by_people.post(ADD, {"username": "nuria", "email": "nuria@example.org"})
    assert User.objects.filter(username="nuria").exists()
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"username": "nuria", "email": "CARLA@example.org"}, "Somebody else has this"),
        ({"username": "carla", "email": "x@example.org"}, "already exists"),
        ({"username": "nuria", "email": ""}, "required"),
        ({"username": "n n", "email": "x@example.org"}, "valid username"),
        ({"username": "nuria", "email": "x\x00@example.org"}, "ull characters"),
    ],
)
def test_a_mistake_is_shown_in_the_form(by_people: Client, person: User, values: dict[str, str], words: str) -> None:
    """The form comes back with the reason, and nobody is added."""
    before = User.objects.count()
    answer = by_people.post(ADD, values)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert User.objects.count() == before


def test_an_address_taken_in_the_same_moment_is_no_error_page(
    by_people: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form comes again, with words."""
    monkeypatch.setattr(User, "full_clean", lambda self, *args, **kwargs: None)
    answer = by_people.post(ADD, {"username": "late", "email": "CARLA@example.org"}, follow=True)
    assert answer.status_code == 200
    assert "Somebody else has this" in answer.content.decode()
    assert not User.objects.filter(username="late").exists()


def test_a_group_without_staff_status_is_pointed_out(by_superuser: Client, person: User) -> None:
    """A group's permissions are for staff; whoever forgets the tick is told, and the group is kept."""
    group = Group.objects.get(name="Itineraries")
    sent = fields_of(person, groups=str(group.pk))
    page = by_superuser.post(change_page(person), sent, follow=True).content.decode()
    assert "is in a group but is not staff" in page
    assert person.groups.get() == group
    page = by_superuser.post(change_page(person), {**sent, "is_staff": "on"}, follow=True).content.decode()
    assert "is in a group but is not staff" not in page


def test_people_staff_change_customers(by_people: Client, person: User, posted: Posted) -> None:
    """Names, address, zone and blocking; and a link to choose a new password."""
    assert by_people.get(change_page(person)).status_code == 200
    values = fields_of(person, email="new@example.org", first_name="Clara", time_zone="Europe/Madrid", send_link="on")
    assert by_people.post(change_page(person), values)["Location"] == LIST
    person.refresh_from_db()
    assert (person.email_key, person.first_name, person.time_zone) == ("new@example.org", "Clara", "Europe/Madrid")
    assert posted(1)[0].to == ["new@example.org"]
    assert person.check_password(PASSWORD)
    blocked = fields_of(person)
    del blocked["is_active"]
    by_people.post(change_page(person), blocked)
    person.refresh_from_db()
    assert not person.is_active


def test_saving_writes_only_what_was_changed(by_people: Client, person: User) -> None:
    """What happened since the form was opened (a login, say) is not undone."""
    by_people.post(change_page(person), fields_of(person, first_name="Clara"))
    person.refresh_from_db()
    assert (person.first_name, person.has_usable_password()) == ("Clara", True)


def opened(client: Client, person: User) -> dict[str, list[str]]:
    """All that the person's form holds when it is opened, hidden fields included, as a browser would send it."""
    form = client.get(change_page(person)).context["adminform"].form
    sent: dict[str, list[str]] = {}
    for field in form:
        html = str(field)
        for tag in re.findall(r"<input[^>]*>", html):
            attributes = dict(re.findall(r'(\S+?)="([^"]*)"', tag))
            if attributes["type"] == "checkbox" and not re.search(r"\schecked\b", tag):
                continue
            sent.setdefault(attributes["name"], []).append(attributes.get("value", "on" if "checkbox" in tag else ""))
        for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', html, re.DOTALL):
            sent.setdefault(name, []).extend(re.findall(r'<option value="([^"]*)" selected', options))
    return sent


def test_an_old_tab_does_not_unblock_an_account(by_people: Client, person: User) -> None:
    """Blocked in one tab, a name saved in an older one: the account stays blocked, and the name is written."""
    old_tab = opened(by_people, person)
    now = opened(by_people, person)
    del now["is_active"]
    assert by_people.post(change_page(person), now)["Location"] == LIST
    answer = by_people.post(change_page(person), {**old_tab, "first_name": "Clara"})
    assert answer["Location"] == LIST
    person.refresh_from_db()
    assert (person.is_active, person.first_name) == (False, "Clara")


def test_an_old_tab_undoes_nobody_s_work(by_superuser: Client, person: User) -> None:
    """Of a form that was opened before, only what was changed in it is written; rights and groups are left as well."""
    old_tab = opened(by_superuser, person)
    user_update(user=person, values={"email": "new@example.org", "time_zone": "Europe/Madrid", "is_staff": True})
    person.groups.set(Group.objects.filter(name__in=["Fleet", "Viewer"]))
    person.user_permissions.set(Permission.objects.filter(codename="view_user"))
    assert by_superuser.post(change_page(person), {**old_tab, "last_name": "Ríos"})["Location"] == LIST
    person.refresh_from_db()
    assert (person.email, person.time_zone, person.is_staff) == ("new@example.org", "Europe/Madrid", True)
    assert person.last_name == "Ríos"
    assert person.groups.count() == 2
    assert person.user_permissions.count() == 1


def test_what_both_have_changed_is_refused_once(by_superuser: Client, person: User) -> None:
    """The form comes back with what was typed and with what it is now; sent again, it is meant."""
    old_tab = opened(by_superuser, person)
    user_update(user=person, values={"first_name": "Carolina", "last_name": "Ríos"})
    viewer, fleet = Group.objects.get(name="Viewer"), Group.objects.get(name="Fleet")
    person.groups.set([viewer])
    sent = {**old_tab, "first_name": "Clara", "groups": [str(fleet.pk)]}
    answer = by_superuser.post(change_page(person), sent)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "it is now “Carolina”" in page
    assert "it is now “Viewer”" in page
    assert 'value="Clara"' in page
    person.refresh_from_db()
    assert (person.first_name, list(person.groups.all())) == ("Carolina", [viewer])
    form = answer.context["adminform"].form
    again = {
        **sent,
        "initial-first_name": form["first_name"].as_hidden(only_initial=True).split('value="')[1].split('"')[0],
    }
    again["initial-groups"] = re.findall(r'value="(\d+)"', form["groups"].as_hidden(only_initial=True))
    assert by_superuser.post(change_page(person), again)["Location"] == LIST
    person.refresh_from_db()
    assert (person.first_name, person.last_name, list(person.groups.all())) == ("Clara", "Ríos", [fleet])


def test_the_same_change_twice_is_no_quarrel(by_people: Client, person: User) -> None:
    """Two who type the same agree."""
    old_tab = opened(by_people, person)
    user_update(user=person, values={"first_name": "Clara"})
    assert by_people.post(change_page(person), {**old_tab, "first_name": "Clara"})["Location"] == LIST


def test_a_mistake_elsewhere_keeps_what_the_form_showed(by_superuser: Client, person: User) -> None:
    """A form that comes back for another reason still knows which groups it had shown: none."""
    fleet = Group.objects.get(name="Fleet")
    sent = {**opened(by_superuser, person), "email": "none", "groups": [str(fleet.pk)]}
    answer = by_superuser.post(change_page(person), sent)
    assert answer.status_code == 200
    assert str(answer.context["adminform"].form["groups"].as_hidden(only_initial=True)) == ""


@pytest.mark.parametrize("junk", ["junk", "", "\x00", "9" * 30])
def test_junk_where_the_form_says_what_it_showed_is_no_error(by_superuser: Client, person: User, junk: str) -> None:
    """It is refused or counts as a change of this form."""
    sent = opened(by_superuser, person)
    sent |= {name: [junk] for name in sent if name.startswith("initial-")} | {"initial-groups": [junk]}
    assert by_superuser.post(change_page(person), sent).status_code in (200, 302, 400)


def test_links_go_to_those_who_were_chosen(by_people: Client, person: User, superuser: User, posted: Posted) -> None:
    """The action sends to whom one may manage, and counts the others."""
    user_create(username="no-address")
    chosen = [str(pk) for pk in User.objects.exclude(username="paula").values_list("pk", flat=True)]
    page = by_people.post(LIST, {"action": "send_links", "_selected_action": chosen}, follow=True).content.decode()
    assert [message.to for message in posted(1)] == [["Carla@example.org"]]
    assert "1 link is on its way" in page
    assert "2 people got none" in page


def test_search_and_filters_work(by_superuser: Client, person: User) -> None:
    """By name and address; each filter answers."""
    assert "carla" in by_superuser.get(LIST, {"q": "example.org"}).content.decode()
    for query in (
        "is_staff__exact=1",
        "is_superuser__exact=0",
        "is_active__exact=1",
        "groups__id__exact=1",
        "is_demo__exact=0",
    ):
        assert by_superuser.get(f"{LIST}?{query}").status_code == 200


@pytest.mark.parametrize("count", [3, 30])
def test_the_list_asks_the_same_of_the_database_for_any_number_of_people(
    by_superuser: Client, count: int, django_assert_max_num_queries
) -> None:
    """Their groups come in one query for all."""
    for number in range(count):
        user_create(username=f"person{number}", groups=["Fleet", "Viewer"])
    with django_assert_max_num_queries(9):
        assert f"person{count - 1}" in by_superuser.get(LIST).content.decode()


def test_the_form_asks_the_database_a_fixed_number_of_times(
    by_superuser: Client, person: User, django_assert_max_num_queries
) -> None:
    """The hundred permissions to choose from come in one query."""
    with django_assert_max_num_queries(10):
        page = by_superuser.get(change_page(person)).content.decode()
    assert page.count("Can view") > 10


# --- Nobody rises ----------------------------------------------------------------------------------------------------

RIGHTS = {"is_staff": "on", "is_superuser": "on", "groups": "1", "user_permissions": "1"}


def test_people_staff_give_no_rights_when_adding(by_people: Client) -> None:
    """Rights that are smuggled into the form for adding are not taken."""
    by_people.post(ADD, {"username": "nuria", "email": "nuria@example.org", **RIGHTS})
    nuria = User.objects.get(username="nuria")
    assert not nuria.is_staff
    assert not nuria.is_superuser
    assert not nuria.groups.exists()
    assert not nuria.user_permissions.exists()


@pytest.mark.parametrize("whom", ["themselves", "a customer"])
def test_people_staff_give_no_rights_when_changing(
    by_people: Client, people_staff: User, person: User, whom: str
) -> None:
    """Nobody makes themselves, or anybody, a superuser or member of a group."""
    target = people_staff if whom == "themselves" else person
    before = (target.is_staff, list(target.groups.values_list("name", flat=True)))
    fleet = Group.objects.get(name="Fleet")
    by_people.post(change_page(target), fields_of(target, **{**RIGHTS, "groups": str(fleet.pk), "first_name": "Seen"}))
    target.refresh_from_db()
    assert target.first_name == "Seen"
    assert not target.is_superuser
    assert (target.is_staff, list(target.groups.values_list("name", flat=True))) == before
    assert not target.user_permissions.exists()


@pytest.mark.parametrize(
    "kind", ["superuser", "blocked superuser", "staff with other rights", "blocked staff", "with one permission"]
)
def test_people_staff_cannot_change_those_who_may_more(
    by_people: Client, superuser: User, staff: User, person: User, kind: str
) -> None:
    """Whoever could set the address of such a person could recover their password, and be them."""
    target = superuser if "superuser" in kind else staff
    if kind == "with one permission":
        target = person
        target.user_permissions.add(Permission.objects.get(codename="delete_user"))
    if kind.startswith("blocked"):
        user_update(user=target, values={"is_active": False})
    email = target.email
    assert by_people.get(change_page(target)).status_code == 200  # to look at
    assert "_save" not in by_people.get(change_page(target)).content.decode()
    answer = by_people.post(change_page(target), fields_of(target, email="mine@example.org", is_active="on"))
    assert answer.status_code == 403
    target.refresh_from_db()
    assert target.email == email
    assert target.is_active is not kind.startswith("blocked")


def test_people_staff_manage_their_equals(by_people: Client) -> None:
    """A person who may nothing that the actor may not can be managed, staff or not."""
    equal = user_create(username="equal", email="equal@example.org", is_staff=True, groups=["People"])
    assert by_people.post(change_page(equal), fields_of(equal, first_name="Eva"))["Location"] == LIST


def test_there_is_no_way_to_type_anybody_s_password(by_people: Client, by_superuser: Client, superuser: User) -> None:
    """Django's page for it does not exist here, for anybody."""
    for client in (by_people, by_superuser):
        for page in (f"{LIST}{superuser.pk}/password/", f"/admin/auth/user/{superuser.pk}/password/"):
            answer = client.post(page, {"password1": "abc-9-def", "password2": "abc-9-def"}, follow=True)
            assert 'type="password"' not in answer.content.decode()
    superuser.refresh_from_db()
    assert superuser.check_password(PASSWORD)


def test_people_staff_reach_neither_groups_nor_deletion(by_people: Client, person: User) -> None:
    """Rights of groups are for superusers, and accounts are blocked rather than deleted."""
    assert by_people.get("/admin/auth/group/").status_code == 403
    assert by_people.post(f"{LIST}{person.pk}/delete/", {"post": "yes"}).status_code == 403
    by_people.post(LIST, {"action": "delete_selected", "_selected_action": [str(person.pk)], "post": "yes"})
    assert User.objects.filter(pk=person.pk).exists()


@pytest.mark.logs_errors
@pytest.mark.parametrize("query", ["password__startswith=pbkdf2", "password=x", "api_tokens__digest__startswith=a"])
def test_the_address_bar_asks_for_no_hash(by_people: Client, query: str) -> None:
    """Filters by password or token are refused: they would tell them letter by letter."""
    assert by_people.get(f"{LIST}?{query}").status_code == 400


def test_the_password_s_hash_is_on_no_page(by_superuser: Client, person: User) -> None:
    """Not even a superuser sees it."""
    page = by_superuser.get(change_page(person)).content.decode()
    assert person.password not in page
    assert person.password.split("$")[-1] not in page


def test_nobody_locks_themselves_out(by_superuser: Client, superuser: User) -> None:
    """A superuser can neither block, demote nor delete themselves."""
    values = fields_of(superuser, first_name="Seen")
    del values["is_active"]
    by_superuser.post(change_page(superuser), values)
    superuser.refresh_from_db()
    assert (superuser.first_name, superuser.is_active, superuser.is_superuser) == ("Seen", True, True)
    by_superuser.post(f"{LIST}{superuser.pk}/delete/", {"post": "yes"})
    by_superuser.post(LIST, {"action": "delete_selected", "_selected_action": [str(superuser.pk)], "post": "yes"})
    assert User.objects.filter(pk=superuser.pk).exists()


def test_superusers_give_rights_and_delete(by_superuser: Client, person: User) -> None:
    """Rights and groups are theirs to give; a deleted person's tokens go along."""
    token_create(user=person, name="x")
    fleet = Group.objects.get(name="Fleet")
    by_superuser.post(change_page(person), {**fields_of(person, is_staff="on"), "groups": [str(fleet.pk)]})
    person.refresh_from_db()
    assert person.is_staff
    assert person.has_perm("fleet.change_vehicle")
    by_superuser.post(f"{LIST}{person.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=person.pk).exists()
    assert not ApiToken.objects.exists()


# --- Tokens ----------------------------------------------------------------------------------------------------------

TOKENS = "/admin/users/apitoken/"


def test_tokens_are_listed_and_revoked_by_superusers(by_superuser: Client, staff: User) -> None:
    """Neither the list nor the page shows a token's hash."""
    row, _token = token_create(user=staff, name="gateway")
    for page in (TOKENS, f"{TOKENS}{row.pk}/change/"):
        text = by_superuser.get(page).content.decode()
        assert "gateway" in text
        assert row.digest not in text
    by_superuser.post(TOKENS, {"action": "revoke", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.revoked_at is not None


def test_tokens_are_neither_made_nor_changed_nor_deleted_there(by_superuser: Client, staff: User) -> None:
    """A token is its person's own to make; a revoked one stays on record."""
    row, _token = token_create(user=staff, name="gateway")
    assert by_superuser.get(f"{TOKENS}add/").status_code == 403
    assert by_superuser.post(f"{TOKENS}{row.pk}/change/", {"scope": "all"}).status_code == 403
    assert by_superuser.post(f"{TOKENS}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_people_staff_see_tokens_and_revoke_none(by_people: Client, staff: User) -> None:
    """Revoking others' tokens is for superusers."""
    row, _token = token_create(user=staff, name="gateway")
    assert "gateway" in by_people.get(TOKENS).content.decode()
    by_people.post(TOKENS, {"action": "revoke", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.revoked_at is None


@pytest.mark.logs_errors
def test_the_address_bar_asks_for_no_token_s_hash(by_people: Client) -> None:
    """A filter by the hash is refused."""
    assert by_people.get(f"{TOKENS}?digest__startswith=a").status_code == 400


@pytest.mark.parametrize("count", [2, 30])
def test_the_list_of_tokens_asks_the_same_for_any_number(
    by_superuser: Client, staff: User, count: int, django_assert_max_num_queries
) -> None:
    """Their people come along in the same query."""
    for number in range(count):
        token_create(user=user_create(username=f"person{number}"), name=f"token {number}")
    with django_assert_max_num_queries(10):
        assert re.search(r"token \d", by_superuser.get(TOKENS).content.decode())


def test_the_list_of_people_leads_to_those_of_citytrips(client: Client, people_staff: User) -> None:
    """Who manages people finds CityTrips' accounts and requests there; who may not see those, no link to them."""
    client.force_login(people_staff)
    for page in ("citytripsaccount", "citytripsapplication"):
        assert f'href="/admin/users/{page}/"' in client.get(LIST).text
    people_staff.groups.clear()
    people_staff.user_permissions.set(Permission.objects.filter(codename="view_user"))
    client.force_login(User.objects.get(pk=people_staff.pk))
    assert "/admin/users/citytrips" not in client.get(LIST).text
