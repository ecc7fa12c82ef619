"""What ``make run`` makes on a new machine."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from backoffice import first_run


@pytest.fixture(autouse=True)
def no_partners(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in first_run.PARTNER_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    """A second run keeps what the first one made, and nobody else may read it."""
    first_run.prepare(tmp_path, tmp_path / "var")
    files = [tmp_path / "var" / "secret_key", tmp_path / "var" / "identity_keys", tmp_path / ".env"]
    before = [file.read_text() for file in files]
    assert all(before)
    assert first_run.prepare(tmp_path, tmp_path / "var") == []
    assert [file.read_text() for file in files] == before
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3


def test_two_machines_get_different_secrets(tmp_path: Path) -> None:
    """Nothing secret is the same on two machines."""
    first_run.prepare(tmp_path / "a", tmp_path / "a" / "var")
    first_run.prepare(tmp_path / "b", tmp_path / "b" / "var")
    for name in ("var/secret_key", "var/identity_keys", ".env"):
        assert (tmp_path / "a" / name).read_text() != (tmp_path / "b" / name).read_text()


@pytest.mark.parametrize("name", first_run.PARTNER_VARIABLES)
def test_whoever_names_a_partner_gets_no_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable that sets a partner keeps the demo's settings away."""
    monkeypatch.setenv(name, "wss://partner.example.com")
    first_run.prepare(tmp_path, tmp_path / "var")
    assert not (tmp_path / ".env").exists()
