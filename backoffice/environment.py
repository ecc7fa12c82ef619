"""Typed reading of environment variables and of the ``.env`` file.

Each reader takes the variable's name and its default, and returns a value of one type. A value that cannot be read
raises :class:`WrongVariable`, whose text is one line: the variable, what was wrong, and what it takes. The value itself
is left out, because a mistyped secret is still a secret.
"""

from __future__ import annotations

import ipaddress
import os
import re
import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_TILE_HOST = re.compile(r"[A-Za-z0-9.-]*(\{s\}[A-Za-z0-9-]*\.)?[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")


class WrongVariable(Exception):
    """A variable's value cannot be used; the message names the variable and what it takes."""

    def __init__(self, name: str, takes: str) -> None:
        super().__init__(f"{name}: takes {takes}")
        self.name = name


def read_variables(env_file: Path | None) -> dict[str, str]:
    """The process's variables over those of ``env_file`` (which may be missing); neither is changed."""

    class Reader(environ.Env):
        ENVIRON = dict(os.environ)

    if env_file is not None and env_file.is_file():
        Reader.read_env(env_file)
    return dict(Reader.ENVIRON)


class Environment:
    """Readers over one set of variables; an empty value counts as unset."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str = "") -> str:
        return self._variables.get(name, "").strip() or default

    def is_set(self, name: str) -> bool:
        return bool(self.text(name))

    def mentions(self, name: str) -> bool:
        """Whether the variable is there at all, be it empty."""
        return name in self._variables

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name).lower()
        if not value:
            return default
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise WrongVariable(name, "true or false")

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number within ``least`` and ``most``, both included."""
        value = self.text(name)
        if not value:
            return default
        takes = f"a number from {least:g} to {most:g}"
        try:
            number = float(value)
        except ValueError:
            raise WrongVariable(name, takes) from None
        if not least <= number <= most:  # also refuses NaN, which compares as false
            raise WrongVariable(name, takes)
        return number

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise WrongVariable(name, "one of " + ", ".join(choices))
        return value

    def items(self, name: str, default: str = "") -> list[str]:
        """A comma-separated list; blanks around and empty items are dropped."""
        return [item.strip() for item in self.text(name, default).split(",") if item.strip()]

    def addresses(self, name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """A comma-separated list of IP addresses or networks."""
        try:
            return [ipaddress.ip_network(item) for item in self.items(name)]
        except ValueError:
            raise WrongVariable(name, "IP addresses or networks, separated by commas") from None

    def url(self, name: str, default: str, schemes: Sequence[str]) -> str:
        """An absolute address with one of ``schemes`` and a host."""
        value = self.text(name, default)
        takes = "an address that begins with " + " or ".join(f"{scheme}://" for scheme in schemes)
        try:
            parts = urlsplit(value)
            usable = parts.scheme in schemes and bool(parts.hostname)
            parts.port  # noqa: B018  a port that is no number raises only when it is read
        except ValueError:
            usable = False
        if not usable:
            raise WrongVariable(name, takes)
        return value

    def tiles(self, name: str, default: str) -> str:
        """The address of a map's tiles, in which ``{z}``, ``{x}`` and ``{y}`` stand for a tile; empty where it is set to nothing.

        ``{s}`` may stand for one of the server's hosts and ``{r}`` for sharper pictures, as Leaflet has them.
        """
        if self.mentions(name) and not self.is_set(name):
            return ""
        value = self.text(name, default)
        takes = "an address such as https://tile.example.org/{z}/{x}/{y}.png, or nothing for a map without tiles"
        try:
            parts = urlsplit(value)
            # Named in a header, so nothing may stand in it that a header or the policy would read otherwise.
            usable = parts.scheme in ("http", "https") and bool(_TILE_HOST.fullmatch(parts.netloc))
            parts.port  # noqa: B018  a port that is no number raises only when it is read
        except ValueError:
            usable = False
        named = re.findall(r"\{([^{}]*)\}", value.removeprefix(parts.scheme + "://" + parts.netloc)) if usable else []
        if not {"z", "x"} <= set(named) or not {"y", "-y"} & set(named) or set(named) - {"z", "x", "y", "-y", "s", "r"}:
            raise WrongVariable(name, takes)
        return value

    def database(self, name: str, default: str) -> dict[str, Any]:
        """The entry for Django's ``DATABASES`` of a ``sqlite:///…`` or ``postgres://…`` address."""
        value = self.text(name, default)
        takes = "sqlite:///path or postgres://user:password@host:port/name"
        if not value.startswith(("sqlite:///", "postgres://", "postgresql://")):
            raise WrongVariable(name, takes)
        try:
            return dict(environ.Env.db_url_config(value))
        except Exception:
            raise WrongVariable(name, takes) from None

    def email(self, name: str, default: str) -> dict[str, Any]:
        """Django's ``EMAIL_…`` settings of ``console``, ``smtp+tls://user:password@host:port`` and the like."""
        value = self.text(name, default)
        takes = "console, smtp://host:port, smtp+tls://user:password@host:587 or smtp+ssl://…"
        if value == "console":
            value = "consolemail://"
        if urlsplit(value).scheme not in environ.Env.EMAIL_SCHEMES:
            raise WrongVariable(name, takes)
        try:
            return dict(environ.Env.email_url_config(value))
        except Exception:
            raise WrongVariable(name, takes) from None

    def time_zone(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if value not in zoneinfo.available_timezones():
            raise WrongVariable(name, "an IANA time zone, such as Europe/Madrid")
        return value
