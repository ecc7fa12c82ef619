"""Databases that go away while the site runs: real ones, really."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection


@contextmanager
def no_writing() -> Iterator[None]:
    """SQLite's file is locked by somebody else for longer than anybody waits; PostgreSQL has ended the connection."""
    if connection.vendor != "sqlite":
        with _ended():
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 100")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()
        connection.close()


@contextmanager
def no_database() -> Iterator[None]:
    """SQLite's file cannot be opened; PostgreSQL has ended the connection."""
    if connection.vendor != "sqlite":
        with _ended():
            yield
        return
    connection.close()
    name = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = "/nowhere/nothing.sqlite3"
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name


@contextmanager
def _ended() -> Iterator[None]:
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    given = connection.settings_dict
    with psycopg.connect(
        host=given["HOST"], port=given["PORT"], user=given["USER"], password=given["PASSWORD"], dbname="postgres",
        autocommit=True,
    ) as other:  # fmt: skip
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    try:
        yield
    finally:
        connection.close()
