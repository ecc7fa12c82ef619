"""The settings, as separate processes see them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from backoffice.environment import Environment, WrongVariable, read_variables

ROOT = Path(__file__).resolve().parents[2]

READ = """
import json, django
from django.conf import settings
names = {names}
print(json.dumps({{name: getattr(settings, name) for name in names}}, default=str))
"""


def settings_with(tmp_path: Path, names: list[str], env_file: str = "", **variables: str) -> dict[str, object]:
    done = _run(tmp_path, ["-c", READ.format(names=names)], env_file, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _run(
    tmp_path: Path, arguments: list[str], env_file: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "env"
    file.write_text(env_file)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
            "ENV_FILE": str(file),
            "VAR_DIR": str(tmp_path),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


PRODUCTION = {
    "SECRET_KEY": "p" * 40 + "0123456789abcdefghijklmnopqrstuvwxyz",
    "SITE_URL": "https://backoffice.example.com",
    "ALLOWED_HOSTS": "backoffice.example.com",
    "CRUSOE_API_URL": "https://crusoe.example.com/api",
    "CITYTRIPS_CLIENT_ID": "operator",
    "CITYTRIPS_API_KEY": "key",
    "CRUSOE_API_KEY": "key",
    "IDENTITY_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "DEFAULT_FROM_EMAIL": "backoffice@example.com",
}


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("DEBUG", "perhaps", "true or false"),
        ("SITE_URL", "backoffice.example.com", "http:// or https://"),
        ("SITE_URL", "http://host:port", "http:// or https://"),
        ("TRUSTED_PROXIES", "the proxy", "IP addresses"),
        ("FETCH_PRIVATE_ADDRESSES", "2", "true or false"),
        ("DATABASE_URL", "mysql://root@localhost/x", "sqlite:///path or postgres://"),
        ("REDIS_URL", "localhost:6379", "redis://"),
        ("CITYTRIPS_URL", "https://api.example.com", "wss://"),
        ("CITYTRIPS_COORDINATES", "degrees", "one of decimal, integer, microdegrees"),
        ("CITYTRIPS_TIMESTAMPS", "hours", "one of auto, seconds, milliseconds"),
        ("CITYTRIPS_LEASE", "0", "a number from 1 to 600"),
        ("CITYTRIPS_FULL_EVERY", "-1", "a number from 0"),
        ("CITYTRIPS_FLUSH_INTERVAL", "nan", "a number from 0.01"),
        ("CITYTRIPS_PING_INTERVAL", "ten", "a number from 0.1"),
        ("CITYTRIPS_PING_TIMEOUT", "1e9", "a number from 0.1"),
        ("CITYTRIPS_SETTLE", "x", "a number from 0"),
        ("CRUSOE_API_URL", "ftp://mycrusoe.com", "http:// or https://"),
        ("CRUSOE_TIMEOUT", "0", "a number from 1"),
        ("OPERATOR_TERMS_URL", "/terms/", "http:// or https://"),
        ("SANDBOX", "maybe", "true or false"),
        ("EMAIL_URL", "carrier://pigeon", "smtp://"),
        ("MAP_TILES_URL", "tiles", "https://"),
        ("MAP_TILES_URL", "https://tile.example.org/0/0/0.png", "{z}/{x}/{y}"),
        ("MAP_TILES_URL", "https://tile.example.org/{z}/{x}/{y}/{key}.png", "{z}/{x}/{y}"),
        ("MAP_TILES_URL", "https://{z}.example.org/{x}/{y}.png", "{z}/{x}/{y}"),
        ("MAP_TILES_URL", "https://tile.example.org;script-src/{z}/{x}/{y}.png", "{z}/{x}/{y}"),
        ("MAP_TILES_URL", "ftp://tile.example.org/{z}/{x}/{y}.png", "https://"),
        ("TIME_ZONE", "Madrid", "IANA time zone"),
        ("LANGUAGE_CODE", "fr", "one of en, es"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line_that_names_it(
    tmp_path: Path, name: str, value: str, takes: str
) -> None:
    """The line names the variable and what it takes, and leaves the value out."""
    done = _run(tmp_path, ["manage.py", "check"], **{"SECRET_KEY": "x", name: value})
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith(f"{name}: takes ")
    assert takes in done.stderr


def test_a_secret_key_is_demanded(tmp_path: Path) -> None:
    """Without SECRET_KEY, and without the file that ``make run`` writes, nothing starts."""
    done = _run(tmp_path, ["manage.py", "check"])
    assert done.returncode == 1
    assert done.stderr.startswith("SECRET_KEY: takes ")


def test_the_secret_key_in_var_is_used(tmp_path: Path) -> None:
    """The key that ``make run`` made is read from ``var/``."""
    (tmp_path / "secret_key").write_text("made for this machine\n")
    assert settings_with(tmp_path, ["SECRET_KEY"]) == {"SECRET_KEY": "made for this machine"}


def test_variables_beat_the_env_file(tmp_path: Path) -> None:
    """A variable of the process is stronger than the same name in ``.env``, and the process's own are left alone."""
    read = settings_with(
        tmp_path,
        ["OPERATOR_NAME", "TIME_ZONE", "SECRET_KEY"],
        env_file="SECRET_KEY=from-file\nOPERATOR_NAME=Ruta\nTIME_ZONE=Europe/Madrid\n",
        OPERATOR_NAME="Ruta Norte",
    )
    assert read == {"SECRET_KEY": "from-file", "OPERATOR_NAME": "Ruta Norte", "TIME_ZONE": "Europe/Madrid"}


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    """What is not set has the value that the documentation states."""
    names = {
        "DEBUG": False,
        "SITE_URL": "http://127.0.0.1:8000",
        "ALLOWED_HOSTS": ["localhost", "127.0.0.1"],
        "SANDBOX": False,
        "CITYTRIPS_URL": "wss://api-sandbox.gocitytrips.com/v1",
        "CITYTRIPS_COORDINATES": "decimal",
        "CITYTRIPS_LEASE": 10,
        "CITYTRIPS_USER_REFUSAL": "s_ext/error",
        "CITYTRIPS_USER_REPLY": "s_user/new",
        "CITYTRIPS_FULL_EVERY": 900,
        "CITYTRIPS_FLUSH_INTERVAL": 0.25,
        "CITYTRIPS_PING_INTERVAL": 10,
        "CITYTRIPS_PING_TIMEOUT": 10,
        "CITYTRIPS_SETTLE": 5,
        "CRUSOE_API_URL": "http://mycrusoe.com/api",
        "CRUSOE_TIMEOUT": 15,
        "OPERATOR_TERMS_URL": "http://127.0.0.1:8000/terms/",
        "MAP_TILES_URL": "https://tile.openstreetmap.org/{z}/{x}/{y}.png",
        "TIME_ZONE": "UTC",
        "LANGUAGE_CODE": "en",
    }
    assert settings_with(tmp_path, list(names), SECRET_KEY="x") == names


def test_the_simulators_are_the_partners_while_they_are_on(tmp_path: Path) -> None:
    """With SANDBOX and no partner named, both addresses are the site's own simulators."""
    read = settings_with(
        tmp_path, ["CITYTRIPS_URL", "CRUSOE_API_URL"], SECRET_KEY="x", SANDBOX="true", SITE_URL="http://127.0.0.1:8123"
    )
    assert read == {
        "CITYTRIPS_URL": "ws://127.0.0.1:8123/sandbox/citytrips/v1",
        "CRUSOE_API_URL": "http://127.0.0.1:8123/sandbox/crusoe/api",
    }


def test_an_empty_tile_address_means_no_tiles(tmp_path: Path) -> None:
    """MAP_TILES_URL set to nothing is a choice, not the default."""
    assert settings_with(tmp_path, ["MAP_TILES_URL"], SECRET_KEY="x", MAP_TILES_URL="") == {"MAP_TILES_URL": ""}


def test_https_turns_on_what_belongs_to_it(tmp_path: Path) -> None:
    """An https SITE_URL secures the cookies, redirects, sets HSTS and is the trusted origin."""
    names = [
        "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS",
        "CSRF_TRUSTED_ORIGINS",
    ]  # fmt: skip
    assert settings_with(tmp_path, names, **PRODUCTION) == {
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "CSRF_TRUSTED_ORIGINS": ["https://backoffice.example.com"],
    }


def test_the_deployment_check_is_silent_with_production_values(tmp_path: Path) -> None:
    """``check --deploy`` has nothing to say about a rightly configured installation."""
    compiled = _run(tmp_path, ["manage.py", "translations", "--compile-only"], SECRET_KEY="x")
    assert compiled.returncode == 0, compiled.stderr
    done = _run(tmp_path, ["manage.py", "check", "--deploy", "--fail-level", "WARNING"], **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


@pytest.mark.parametrize(
    ("change", "id_"),
    [
        ({"MAP_TILES_URL": "http://tiles.example.org/{z}/{x}/{y}.png"}, "backoffice.W006"),
        ({"SITE_URL": "http://backoffice.example.com"}, "backoffice.W005"),
        ({"SANDBOX": "true"}, "backoffice.W004"),
        ({"CRUSOE_API_URL": "http://mycrusoe.com/api"}, "backoffice.W003"),
        ({"CITYTRIPS_URL": "ws://citytrips.example.com"}, "backoffice.W002"),
        ({"IDENTITY_KEYS": ""}, "backoffice.E001"),
    ],
)
def test_the_deployment_check_speaks_of_what_is_dangerous(tmp_path: Path, change: dict[str, str], id_: str) -> None:
    """Each dangerous setting is named by its stable id."""
    done = _run(tmp_path, ["manage.py", "check", "--deploy", "--fail-level", "WARNING"], **{**PRODUCTION, **change})
    assert done.returncode == 1
    assert id_ in done.stderr


def test_reading_the_env_file_changes_no_variable(tmp_path: Path) -> None:
    """Reading has no side effect on the process."""
    file = tmp_path / ".env"
    file.write_text("A_NAME_OF_THIS_TEST=1\n")
    assert read_variables(file)["A_NAME_OF_THIS_TEST"] == "1"
    assert "A_NAME_OF_THIS_TEST" not in os.environ


def test_an_error_leaves_the_value_out() -> None:
    """A mistyped secret does not reach the log with its error."""
    with pytest.raises(WrongVariable) as caught:
        Environment({"DATABASE_URL": "postgre://user:hunter2@host/name"}).database("DATABASE_URL", "")
    assert "hunter2" not in str(caught.value)


ASKED_OF_POSTGRESQL = "-c jit=off -c idle_in_transaction_session_timeout=30000"


@pytest.mark.parametrize(
    ("query", "options"),
    [("", ASKED_OF_POSTGRESQL), ("?sslmode=require", ASKED_OF_POSTGRESQL), ("?options=-c%20jit%3Don", "-c jit=on")],
)
def test_what_is_asked_of_postgresql(tmp_path: Path, query: str, options: str) -> None:
    """Its compiler is off, as it takes longer than the queries that it judges dear, and it ends transactions of whom it
    does not hear for half a minute; an address may say otherwise.
    """
    url = f"postgres://user:word@host:5432/name{query}"
    found = settings_with(tmp_path, ["DATABASES"], SECRET_KEY="x", DATABASE_URL=url)["DATABASES"]
    given = found["default"]["OPTIONS"]  # type: ignore[index]
    assert given["options"] == options
    assert given.get("sslmode") == ("require" if "sslmode" in query else None)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no server that could vanish")
@pytest.mark.django_db
def test_a_server_that_vanishes_is_given_up() -> None:
    """The system itself ends a connection whose other side is silent for half a minute, whether or not anything is sent."""
    connection.ensure_connection()
    with socket.socket(fileno=os.dup(connection.connection.pgconn.socket)) as line:
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
