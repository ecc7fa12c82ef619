"""Where PostgreSQL and Redis answer: at the addresses that variables name, else at the usual local ports."""

from __future__ import annotations

import os

import psycopg
import redis as redis_client

LOCAL_POSTGRESQL = "postgres://postgres@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"


def postgresql() -> str | None:
    """An address whose server answers, or None."""
    url = os.environ.get("TEST_DATABASE_URL") or LOCAL_POSTGRESQL
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error:
        return None
    return url


def redis() -> str | None:
    """An address whose server answers, or None."""
    url = os.environ.get("TEST_REDIS_URL") or LOCAL_REDIS
    try:
        redis_client.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3).ping()
    except redis_client.RedisError:
        return None
    return url
