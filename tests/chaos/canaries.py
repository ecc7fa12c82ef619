"""A key, a password, a national id and an image, planted in the traffic, and looked for wherever somebody could read them."""

from __future__ import annotations

import base64
import random
import re
import signal
import struct
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests

from tests.bench.report import Row, Table
from tests.bench.running import Database, Line, Rig, kinds, run_program, until
from tests.chaos.deaths import answers, free_port

PAGES = 250
# Whose business a person's national id is; it is kept there, and the groups keep others from it.
ACCOUNTS = re.compile(r"users_")
_STAFF = """
import django
django.setup()
from django.contrib.auth.models import Group
from users.services import user_create
for name, superuser in (("viewer", False), ("chief", True)):
    user = user_create(username=name, email=f"{name}@example.com", is_staff=True, is_superuser=superuser)
    user.set_password("a password of the house, 4711")
    user.save()
user.groups.model.objects.get(name="Viewer").user_set.add(type(user).objects.get(username="viewer"))
"""


@dataclass(frozen=True, slots=True)
class Canaries:
    """Of the image: its bytes as text, and a comment inside it."""

    key: str
    password: str
    national_id: str
    image: str
    comment: str

    def needles(self) -> dict[str, list[str]]:
        # Base64 as it came, and of the comment at each of the three places that it can begin at.
        image = [self.image[40:100], self.comment]
        for shift in range(3):
            image.append(base64.b64encode(b"x" * shift + self.comment.encode()).decode()[4:-4])
        return {
            "key": [self.key],
            "password": [self.password],
            "national id": [self.national_id, self.national_id[:-1]],
            "image": image,
        }


def canaries(seed: int) -> Canaries:
    chance = random.Random(seed)
    number = chance.randint(10_000_000, 99_999_999)
    comment = f"canary{chance.getrandbits(64):016x}"
    return Canaries(
        key=f"key-{chance.getrandbits(96):024x}",
        password=f"Pw-{chance.getrandbits(96):024x}",
        national_id=f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}",
        image=base64.b64encode(_png(comment, chance)).decode(),
        comment=comment,
    )


def _png(comment: str, chance: random.Random) -> bytes:
    """A small picture of noise with a comment."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + chance.randbytes(48) for _row in range(16))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack("!IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
        + chunk(b"tEXt", b"Comment\0" + comment.encode())
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def count(needles: Mapping[str, Iterable[str]], text: str, found: dict[str, int]) -> None:
    """Add how often each canary occurs in a text."""
    for name, spellings in needles.items():
        found[name] = found.get(name, 0) + sum(text.count(one) for one in spellings)


def _person(planted: Canaries, **values: object) -> dict[str, object]:
    return {
        "terms_accepted": True,
        "username": "lucia",
        "email": "lucia@example.org",
        "password": planted.password,
        "firstname": "Lucía",
        "lastname": "Fuentes",
        "nif": planted.national_id,
        "phone": 600111222,
        "birthdate": 631152000,
        "zipcode": "28004",
        "city": "Madrid",
        "country": "Spain",
        "address": "Calle de Fuencarral 45",
        "driver_license_number": "00000000",
        "license_expiration": 1956528000,
        "nif_front_img": planted.image,
        "nif_back_img": f"data:image/png;base64,{planted.image}",
        "license_front_img": planted.image[:-40] + "====",
        "license_back_img": "",
        **values,
    }


def plant(line: Line, planted: Canaries) -> None:
    """What a partner may say, and what it should not."""
    everything = [planted.key, planted.password, planted.national_id, planted.image]
    say = line.ask
    say("say", command="s_user/new", payload=_person(planted))
    say("say", command="s_user/new", payload=_person(planted))
    say("say", command="s_user/new", payload=_person(planted, terms_accepted=False, email="no@example.org"))
    say("say", command="s_user/new", payload=_person(planted, email="", nif=[planted.national_id]))
    say("say", command="s_user/new", payload=_person(planted, email="odd@example.org", birthdate=planted.national_id))
    say("say", command="s_user/new", payload=everything)
    say("say", command="s_user/new", payload="; ".join(everything))
    say("say", command="s_user/reserve", payload=_person(planted, secrets=everything))
    say("say", command=f"s_user/{planted.password}", payload=None)
    say("say", command="s_ext/error", payload={"reason": f"the key {planted.key} is odd", "secrets": everything})
    say("say", command="s_vehicle/full_request", payload={"reason": f"for {planted.key}", "password": planted.password})
    say("say_raw", text='{"command": "s_user/new", "payload": ' + repr(_person(planted)))
    say("say_raw", text=repr(everything).replace("'", '"'))
    say("say", command="s_ext/must_authenticate", payload={"reason": f"the key {planted.key} has expired"})
    time.sleep(4)


def _crawl(url: str, name: str) -> dict[str, str]:
    """The pages that a member of staff gets to by following links: address → text."""
    session = requests.Session()
    session.trust_env = False
    form = session.get(f"{url}/login/", timeout=20).text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    answer = session.post(
        f"{url}/login/", timeout=20, headers={"Referer": f"{url}/login/"},
        data={
            "csrfmiddlewaretoken": token.group(1) if token else "",
            "username": name, "password": "a password of the house, 4711",
        },
    )  # fmt: skip
    if "login" in answer.url:
        raise RuntimeError(f"{name} could not log in")
    pages: dict[str, str] = {}
    waiting = [f"{url}/", f"{url}/admin/"]
    seen = set(waiting)
    while waiting and len(pages) < PAGES:
        # Where people and messages are shown goes first.
        page = next((one for one in waiting if "/users/" in one or "/citytrips/" in one), waiting[0])
        waiting.remove(page)
        answer = session.get(page, timeout=20)
        pages[page] = (
            answer.text if answer.headers.get("Content-Type", "").startswith("text/") else answer.content.hex()
        )
        for link in re.findall(r'(?:href|src|hx-get)="([^"#]+)', answer.text):
            target = urljoin(page, link.replace("&amp;", "&"))
            rest = urlsplit(target)
            apart = rest.path.startswith(("/static", "/logout", "/admin/logout", "/admin/jsi18n", "/language"))
            # One order of a list and one language are enough.
            if target.startswith(url) and target not in seen and not apart and "o=" not in rest.query:
                seen.add(target)
                waiting.append(target)
    return pages


def _rows_of(database: Database) -> dict[str, str]:
    """Each table's contents as one text."""
    if database.kind == "SQLite":
        names = database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        names = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        name: "\n".join(str(row) for row in database.rows(f'SELECT * FROM "{name}"'))
        for (name,) in names
    }  # fmt: skip


def _words(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())


def _row(where: str, kind: str, found: Mapping[str, int]) -> Row:
    return Row(f"occurrences in {where}", kind, _words(found), "0", not any(found.values()))


def measure(kind: str, seed: int) -> list[Row]:
    planted = canaries(seed)
    needles = planted.needles()
    loud = {"DJANGO_SETTINGS_MODULE": "tests.chaos.loud_settings"}
    with Rig() as rig:
        line = rig.line(kind, 20, CITYTRIPS_API_KEY=planted.key, CITYTRIPS_SETTLE="0.5", **loud)
        given = {name: value for name, value in line.environment.items() if name in ("DATABASE_URL", "VAR_DIR")}
        run_program("-c", _STAFF, **given)
        # One whose accounts break first, then one that is whole; each dies politely.
        for options in (["--without", "accounts"], []):
            worker = line.worker(*options)
            line.wait_live(worker)
            plant(line, planted)
            if not options:
                line.ask("say", command="s_ext/auth_error", payload={"reason": f"{planted.key} is no good"})
                time.sleep(2)
            worker.send(signal.SIGTERM)
            worker.end(signal.SIGTERM)
        port = free_port()
        line.start("-m", "daphne", "-v", "2", "-b", "127.0.0.1", "-p", str(port), "backoffice.asgi:application")
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url), 60)
        pages, seen_by_chief = _crawl(url, "viewer"), _crawl(url, "chief")
        rows = _report(kind, line, needles, pages, seen_by_chief)

        # The control: the same with the library's own log on.
        control = rig.line(kind, 20, CITYTRIPS_API_KEY=planted.key, **loud)
        worker = control.worker("--without", "quiet")
        control.wait_live(worker)
        plant(control, planted)
        found: dict[str, int] = {}
        count(needles, worker.log.read_text(), found)
        name = "control: the library's log not kept quiet (`--without quiet`), occurrences in the log"
        rows.append(Row(name, kind, _words(found), "0", found["key"] > 0, control=True))
    return rows


def _report(
    kind: str, line: Line, needles: Mapping[str, list[str]], pages: Mapping[str, str], by_chief: Mapping[str, str]
) -> list[Row]:
    logs = [process.log.read_text() for process in line.processes]
    tables = _rows_of(line.database)
    journal = tables["citytrips_journalentry"]
    heard = journal.count("s_user/new")
    tracebacks = sum(text.count("Traceback") + text.count('File "') for text in logs)
    places = {
        f"the logs of {len(logs)} processes at DEBUG, {sum(map(len, logs)):,} characters, {tracebacks} lines of tracebacks": logs,
        f"the journal, {heard} entries of s_user/new": [journal],
        "every other table but the accounts' own": [
            text for name, text in tables.items() if name != "citytrips_journalentry" and not ACCOUNTS.match(name)
        ],
        f"{len(pages)} pages that a Viewer gets to": pages.values(),
    }  # fmt: skip
    rows = []
    for where, texts in places.items():
        found: dict[str, int] = {}
        for text in texts:
            count(needles, text, found)
        rows.append(_row(where, kind, found))
    # The national id is there for whoever may see it.
    secret = {name: spellings for name, spellings in needles.items() if name != "national id"}
    found = {}
    for text in by_chief.values():
        count(secret, text, found)
    rows.append(_row(f"{len(by_chief)} pages that a superuser gets to", kind, found))
    found = {}
    for name, text in tables.items():
        if ACCOUNTS.match(name):
            count(secret, text, found)
    rows.append(_row("the accounts' own tables", kind, found))
    files = [path.read_bytes() for path in line.rig.folder.glob("identity/**/*") if path.is_file()]
    found = {}
    for data in files:
        count({"image": [needles["image"][1]]}, data.decode("latin-1"), found)
    rows.append(_row(f"{len(files)} stored images, which are encrypted", kind, found or {"image": 0}))
    return rows


def run(seed: int, number: int | None = None) -> Table:
    rows = [row for kind in kinds() for row in measure(kind, seed)]
    return Table("Canaries", rows)
