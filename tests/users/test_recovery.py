"""Recovery of a password by mail, over Django's client."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from django.utils import translation

from tests.users.conftest import PASSWORD
from users import recovery
from users.models import User
from users.recovery import recovery_send
from users.services import user_create, user_update

Posted = Callable[[int], list[EmailMessage]]
pytestmark = pytest.mark.django_db
ASK = "/password-reset/"
NEW = "otra-clave-larga-8"


def link_in(message: EmailMessage) -> str:
    (link,) = re.findall(r"http\S+/password-reset/\S+/\S+/", str(message.body))
    return link


def choose(client: Client, link: str, password: str = NEW) -> str:
    """Follow the link and set the password; the address of the page that answers."""
    page = client.get(link.removeprefix("http://127.0.0.1:8000"))
    assert page.status_code == 302, page.content.decode()
    return client.post(page["Location"], {"new_password1": password, "new_password2": password})["Location"]


def test_the_whole_way_from_forgetting_to_logging_in(client: Client, person: User, posted: Posted) -> None:
    """Ask, follow the link of the mail, choose, log in with it; the old password is gone."""
    answer = client.post(ASK, {"email": "CARLA@example.ORG"})
    assert answer["Location"] == "/password-reset/done/"
    (message,) = posted(1)
    assert message.to == ["Carla@example.org"]
    assert choose(client, link_in(message)) == "/login/"
    assert client.post("/login/", {"username": "carla", "password": PASSWORD}).status_code == 200
    assert client.post("/login/", {"username": "carla", "password": NEW})["Location"] == "/account/"


def test_an_account_that_never_had_a_password_gets_one(client: Client, posted: Posted) -> None:
    """People whom CityTrips brought have no password of their own, and recover it all the same."""
    user_create(username="brought", email="brought@example.org")
    client.post(ASK, {"email": "brought@example.org"})
    choose(client, link_in(posted(1)[0]))
    assert client.post("/login/", {"username": "brought", "password": NEW})["Location"] == "/account/"


def test_a_link_works_once_and_dies_with_a_new_address(client: Client, person: User, posted: Posted) -> None:
    """A used link says so, with a way to a new one; so does one sent before the address changed."""
    client.post(ASK, {"email": person.email})
    link = link_in(posted(1)[0]).removeprefix("http://127.0.0.1:8000")
    user_update(user=person, values={"email": "moved@example.org"})
    assert "used already" in client.get(link).content.decode()
    user_update(user=person, values={"email": "Carla@example.org"})
    choose(client, link)
    again = client.get(link)
    assert again.status_code == 200
    assert "used already" in again.content.decode()


@pytest.mark.parametrize(
    "path", ["/password-reset/x/y/", "/password-reset/MQ/set-password/", "/password-reset/%FF/%00/"]
)
def test_a_made_up_link_is_answered_in_words(client: Client, path: str) -> None:
    """Whatever stands in a link, the page says that it does not work."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert "used already" in answer.content.decode()


def test_a_look_alike_address_gets_nothing(client: Client, posted: Posted) -> None:
    """The mail goes to the address on record, and a look-alike of it is nobody's."""
    user_create(username="mike", email="mike@example.org")
    client.post(ASK, {"email": "mıke@example.org"})
    assert mail.outbox == []
    client.post(ASK, {"email": "miKe@example.org"})  # the Kelvin sign, which folds to k
    (message,) = posted(1)
    assert message.to == ["mike@example.org"]


def test_no_answer_tells_whether_an_account_exists(client: Client, person: User, posted: Posted) -> None:
    """Known, unknown and blocked addresses get the same page, headers and status; only the known one gets mail."""
    user_create(username="blocked", email="blocked@example.org")
    User.objects.filter(username="blocked").update(is_active=False)
    pages = []
    for address in ("carla@example.org", "nobody@example.org", "blocked@example.org"):
        asked = client.post(ASK, {"email": address})
        page = client.get(asked["Location"])
        pages.append(
            (asked.status_code, asked["Location"], asked.content, re.sub(rb'value="\w{64}"', b"", page.content))
        )
    assert pages[0] == pages[1] == pages[2]
    assert [message.to for message in posted(1)] == [["Carla@example.org"]]


def test_the_mail_is_not_sent_while_the_page_waits(
    client: Client, person: User, monkeypatch: pytest.MonkeyPatch, posted: Posted
) -> None:
    """A slow mail server does not make the page slower for addresses that exist."""
    go = threading.Event()
    send = EmailMessage.send

    def slow(self: EmailMessage, *args: object, **kwargs: object) -> int:
        assert go.wait(60)
        return send(self)

    monkeypatch.setattr(EmailMessage, "send", slow)
    assert client.post(ASK, {"email": person.email}).status_code == 302
    assert mail.outbox == []
    go.set()
    posted(1)


@pytest.mark.logs_errors
def test_a_mail_server_that_refuses_harms_nobody(
    client: Client, person: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal is logged, without the address."""

    def refuse(self: EmailMessage) -> int:
        raise OSError(f"550 no such user {self.to}")

    monkeypatch.setattr(EmailMessage, "send", refuse)
    sent = recovery_send(user=person)
    assert sent is not None
    sent.result(timeout=30)
    assert str(person.public_id) in caplog.text
    assert "carla" not in caplog.text.lower()


def test_the_link_is_made_from_the_site_s_own_address(client: Client, person: User, posted: Posted, settings) -> None:
    """The Host header, which a stranger writes, is in no link."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.SITE_URL = "https://desk.operator.example"
    client.post(ASK, {"email": person.email}, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    (message,) = posted(1)
    assert link_in(message).startswith("https://desk.operator.example/password-reset/")
    assert "evil" not in message.subject + str(message.body)


def test_the_mail_is_in_the_person_s_language(client: Client, person: User, posted: Posted) -> None:
    """The person's own language goes first, then the page's; the thread's language is put back."""
    seen: list[str] = []
    real = recovery.render_to_string

    def spy(name: str, context: dict[str, object]) -> str:
        seen.append(translation.get_language())
        return real(name, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "render_to_string", spy)
        for language, expected in (("es", "es"), ("en", "en"), ("", "es")):
            User.objects.filter(pk=person.pk).update(language=language)
            cache.clear()
            seen.clear()
            mail.outbox.clear()
            client.post(ASK, {"email": person.email}, headers={"Accept-Language": "es"})
            posted(1)
            assert set(seen) == {expected}


def test_one_person_gets_one_mail_a_minute(client: Client, person: User, posted: Posted) -> None:
    """A stranger cannot fill somebody's mailbox, and the page does not tell."""
    answers = {client.post(ASK, {"email": person.email})["Location"] for _ in range(4)}
    assert answers == {"/password-reset/done/"}
    assert len(posted(1)) == 1


def test_a_weak_password_is_refused_with_the_reason(client: Client, person: User, posted: Posted) -> None:
    """The rules are shown, and the link stays good."""
    client.post(ASK, {"email": person.email})
    link = link_in(posted(1)[0]).removeprefix("http://127.0.0.1:8000")
    page = client.get(link)
    weak = client.post(page["Location"], {"new_password1": "carla1", "new_password2": "carla1"})
    assert weak.status_code == 200
    assert "too short" in weak.content.decode()
    choose(client, link)


def test_a_new_password_ends_the_lock_out(client: Client, person: User, posted: Posted) -> None:
    """Whoever opened their mailbox need not wait until the attempts of others are forgotten."""
    for _ in range(5):
        last = client.post("/login/", {"username": "carla", "password": "wrong"})
    assert last.status_code == 429
    client.post(ASK, {"email": person.email})
    choose(client, link_in(posted(1)[0]))
    assert client.post("/login/", {"username": "carla", "password": NEW})["Location"] == "/account/"


@pytest.mark.parametrize("address", ["", "no address", "a@b", "x" * 300 + "@example.org", "a@example.org\x00"])
def test_what_is_no_address_is_said_so(client: Client, address: str) -> None:
    """The form names the mistake."""
    answer = client.post(ASK, {"email": address})
    assert answer.status_code == 200
    assert 'class="field err"' in answer.content.decode()


def test_a_mail_is_plain_text_with_nothing_escaped(person: User, posted: Posted) -> None:
    """A name with a quote is written as it is, and no line break gets into the subject."""
    user_update(user=person, values={"first_name": "Liam\nBcc: x@example.org", "last_name": "O'Brien & <b>"})
    recovery_send(user=person, is_new=True)
    (message,) = posted(1)
    assert "O'Brien & <b>" in str(message.body)
    assert "\n" not in message.subject
    assert message.recipients() == ["Carla@example.org"]
    assert reverse("users:password_reset") in str(message.body)
