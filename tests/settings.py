"""The project's own settings, read without a ``.env`` file and with test values; the database and Redis by variable."""

import os
import tempfile
import uuid

_scratch = tempfile.mkdtemp(prefix="backoffice-test-")
os.mkdir(f"{_scratch}/static")  # where nothing was collected, the static files' middleware warns at each start

for _name in [name for name in os.environ if name.startswith(("CITYTRIPS_", "CRUSOE_", "OPERATOR_", "MAP_"))]:
    del os.environ[_name]

# Processes that test side by side get a Redis database each, so that none empties another's, and a key each, so that
# none hears another's messages; nor do two runs, which may share a Redis. Processes that a test starts have its key.
_redis = os.environ.get("TEST_REDIS_URL", "")
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
_run = os.environ.setdefault("TEST_RUN", uuid.uuid4().hex)
if _redis:
    _redis = _redis.rsplit("/", 1)[0] + f"/{1 + int(_worker.removeprefix('gw')) % 15}"

os.environ.update(
    ENV_FILE="",
    VAR_DIR=_scratch,
    SECRET_KEY=f"a key for tests of {_worker} of {_run} only",
    DEBUG="false",
    SANDBOX="true",
    SITE_URL="http://127.0.0.1:8000",
    ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
    DATABASE_URL=os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{_scratch}/unused.sqlite3",
    REDIS_URL=_redis,
    EMAIL_URL="memorymail://",
    TIME_ZONE="UTC",
    LANGUAGE_CODE="en",
)

from backoffice.settings import *  # noqa: E402, F403
from backoffice.settings import DATABASES, STORAGES  # noqa: E402

# A file, so that threads, other connections and live servers see the same data.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": f"{_scratch}/test.sqlite3"}
# Nothing is collected before a test run; names are served as they are.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
