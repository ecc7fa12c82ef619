"""Settings, read once from environment variables and the ``.env`` file at the root; no side effects.

The variables, their defaults and what they take are described in ``docs/settings.md``. ``ENV_FILE`` names another
file, or none when it is empty.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from backoffice.environment import Environment, WrongVariable, read_variables

BASE_DIR = Path(__file__).resolve().parent.parent

_env_file = os.environ.get("ENV_FILE", str(BASE_DIR / ".env"))
_env = Environment(read_variables(Path(_env_file) if _env_file else None))

# What the program keeps on disk: the embedded database, secrets that were made for this machine, collected files.
VAR_DIR = Path(_env.text("VAR_DIR", str(BASE_DIR / "var")))


def _secret_key(debug: bool) -> str:
    """SECRET_KEY, else what ``make run`` wrote into ``var/``, else (only while debugging) one for this process."""
    if key := _env.text("SECRET_KEY"):
        return key
    made = VAR_DIR / "secret_key"
    if made.is_file():
        return made.read_text().strip()
    if debug:
        return secrets.token_urlsafe(64)
    raise WrongVariable("SECRET_KEY", "a long random text; it is required while DEBUG is off")


def _identity_keys() -> list[str]:
    if keys := _env.items("IDENTITY_KEYS"):
        return keys
    made = VAR_DIR / "identity_keys"
    return made.read_text().split() if made.is_file() else []


try:
    DEBUG = _env.flag("DEBUG", False)
    SECRET_KEY = _secret_key(DEBUG)
    IDENTITY_KEYS = _identity_keys()
    ALLOWED_HOSTS = _env.items("ALLOWED_HOSTS", "localhost,127.0.0.1")
    SITE_URL = _env.url("SITE_URL", "http://127.0.0.1:8000", ["http", "https"]).rstrip("/")
    TRUSTED_PROXIES = _env.addresses("TRUSTED_PROXIES")
    FETCH_PRIVATE_ADDRESSES = _env.flag("FETCH_PRIVATE_ADDRESSES", False)
    SANDBOX = _env.flag("SANDBOX", False)

    _database = _env.database("DATABASE_URL", f"sqlite:///{VAR_DIR}/backoffice.sqlite3")
    REDIS_URL = _env.url("REDIS_URL", "redis://unset", ["redis", "rediss"]) if _env.is_set("REDIS_URL") else ""

    # While the simulators are served, they are the partners unless a variable names others.
    CITYTRIPS_URL = _env.url(
        "CITYTRIPS_URL",
        f"ws{SITE_URL.removeprefix('http')}/sandbox/citytrips/v1"
        if SANDBOX
        else "wss://api-sandbox.gocitytrips.com/v1",
        ["wss", "ws"],
    )
    CITYTRIPS_CLIENT_ID = _env.text("CITYTRIPS_CLIENT_ID")
    CITYTRIPS_API_KEY = _env.text("CITYTRIPS_API_KEY")
    CITYTRIPS_COORDINATES = _env.choice("CITYTRIPS_COORDINATES", "decimal", ["decimal", "integer", "microdegrees"])
    CITYTRIPS_TIMESTAMPS = _env.choice("CITYTRIPS_TIMESTAMPS", "auto", ["auto", "seconds", "milliseconds"])
    CITYTRIPS_LEASE = _env.number("CITYTRIPS_LEASE", 10, least=1, most=600)
    CITYTRIPS_USER_REFUSAL = _env.text("CITYTRIPS_USER_REFUSAL", "s_ext/error")
    CITYTRIPS_USER_REPLY = _env.text("CITYTRIPS_USER_REPLY", "s_user/new")
    CITYTRIPS_FULL_EVERY = _env.number("CITYTRIPS_FULL_EVERY", 900, least=0, most=86_400)
    CITYTRIPS_FLUSH_INTERVAL = _env.number("CITYTRIPS_FLUSH_INTERVAL", 0.25, least=0.01, most=60)
    CITYTRIPS_PING_INTERVAL = _env.number("CITYTRIPS_PING_INTERVAL", 10, least=0.1, most=600)
    CITYTRIPS_PING_TIMEOUT = _env.number("CITYTRIPS_PING_TIMEOUT", 10, least=0.1, most=600)
    CITYTRIPS_SETTLE = _env.number("CITYTRIPS_SETTLE", 5, least=0, most=600)

    CRUSOE_API_URL = _env.url(
        "CRUSOE_API_URL",
        f"{SITE_URL}/sandbox/crusoe/api" if SANDBOX else "http://mycrusoe.com/api",
        ["http", "https"],
    ).rstrip("/")
    CRUSOE_API_USER = _env.text("CRUSOE_API_USER")
    CRUSOE_API_PASSWORD = _env.text("CRUSOE_API_PASSWORD")
    CRUSOE_API_KEY = _env.text("CRUSOE_API_KEY")
    CRUSOE_TIMEOUT = _env.number("CRUSOE_TIMEOUT", 15, least=1, most=600)

    OPERATOR_NAME = _env.text("OPERATOR_NAME", "Operator")
    OPERATOR_TERMS_URL = _env.url("OPERATOR_TERMS_URL", f"{SITE_URL}/terms/", ["http", "https"])

    _email = _env.email("EMAIL_URL", "console")
    DEFAULT_FROM_EMAIL = _env.text("DEFAULT_FROM_EMAIL", "backoffice@localhost")

    MAP_TILES_URL = _env.tiles("MAP_TILES_URL", "https://tile.openstreetmap.org/{z}/{x}/{y}.png")
    MAP_TILES_ATTRIBUTION = _env.text("MAP_TILES_ATTRIBUTION", "© OpenStreetMap contributors")

    TIME_ZONE = _env.time_zone("TIME_ZONE", "UTC")
    LANGUAGE_CODE = _env.choice("LANGUAGE_CODE", "en", ["en", "es"])
except WrongVariable as wrong:
    raise SystemExit(str(wrong)) from None

# --- What the site is made of ------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",  # first: its runserver speaks WebSocket
    "backoffice",
    "backoffice.citytrips",
    "fleet",
    "users",
    "itineraries",
    "backoffice.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",  # its templates, which FORM_RENDERER looks for among ours
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "js_lib_leaflet",  # the script and style of maps, as static files
    "backoffice.apps.LoginAttemptsConfig",
]
if SANDBOX:
    INSTALLED_APPS.append("backoffice.sandbox")

MIDDLEWARE = [
    "backoffice.health.HealthMiddleware",
    "backoffice.metrics.RequestMetricsMiddleware",
    "backoffice.middleware.TrustedProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "backoffice.api.BodyMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "backoffice.middleware.PersonalPreferencesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it answers for a login that was locked out
]

ROOT_URLCONF = "backoffice.urls"
ASGI_APPLICATION = "backoffice.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "backoffice.navigation.navigation",
            ],
        },
    }
]

# Widgets are looked up like every template, so that ours (with labels in them) go before Django's.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- Data --------------------------------------------------------------------------------------------------------

if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"] = {
        # Deferred transactions that begin by reading fail with "database is locked" when two of them write;
        # an immediate one waits for its turn.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # The log is written back every 40 MB rather than every 4: in a large fleet a thousand changes lie on so many pages
        # that each settling waited for that.
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=10000;"
        ),
    }
else:
    _database["OPTIONS"] = {
        # PostgreSQL takes a third of the fleet to be pending, and compiled the question for 0.3 s that it answers in 2 ms.
        # And what a process has locked that was stopped amid a transaction, or whose machine is gone, is free soon after.
        "options": "-c jit=off -c idle_in_transaction_session_timeout=30000",
        # A server that vanishes without a word, as in a failover, is given up after half a minute and not after a quarter
        # of an hour: until then the line's threads would wait for it, though its successor answered.
        "connect_timeout": 5,
        "tcp_user_timeout": 30_000,  # milliseconds
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        **_database.get("OPTIONS", {}),
        "pool": {"min_size": 1, "max_size": 10, "timeout": 8},
    }
    _database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}

# An idle listener waits 5 s for a message in Redis itself. The client's own limit on an answer is 5 s too, unless told:
# the two then race, and an idle WebSocket or worker is cut off now and then.
_LAYER_ANSWER_TIMEOUT = 20
# What this site keeps in Redis has a name that follows from its key: another site on the same Redis neither takes its
# worker's wake-ups nor hears what its pages are told.
_REDIS_PREFIX = "backoffice-" + salted_hmac("backoffice.redis", "", SECRET_KEY).hexdigest()[:16]
CHANNEL_LAYERS = {
    "default": (
        {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {
                "hosts": [{"address": REDIS_URL, "socket_timeout": _LAYER_ANSWER_TIMEOUT}],
                "prefix": _REDIS_PREFIX,
            },
        }
        if REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    )
}

CACHES = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": _REDIS_PREFIX,
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# --- People ------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
LOGIN_URL = "users:login"
LOGIN_REDIRECT_URL = "desk"
LOGOUT_REDIRECT_URL = "users:login"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "users.backends.UsernameOrEmailBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
PASSWORD_RESET_TIMEOUT = 60 * 60 * 4

AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
# Per account and address: a stranger who guesses locks out himself, not the person whose name he tries.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "users.backends.attempted_account"  # all spellings of one account count together
AXES_RESET_ON_SUCCESS = True
# People type a password where the name belongs, so names stay out of its log as well.
AXES_SENSITIVE_PARAMETERS = ["password", "username"]
AXES_LOCKOUT_TEMPLATE = "users/locked_out.html"
AXES_VERBOSE = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["users.tokens.ScopedModelPermissions"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "backoffice.api.answer_error",
    "DEFAULT_THROTTLE_CLASSES": ["users.throttling.TokenThrottle"],
    # Requests a minute, by what a view asks of a token's scope.
    "DEFAULT_THROTTLE_RATES": {"telemetry": 3000, "fleet": 1200, "itineraries": 600},
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Operator backoffice",
    "DESCRIPTION": "The fleet and the itineraries of an operator of shared vehicles.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "backoffice.api_schema.common_answers",
        "fleet.api.telemetry.limit_of_a_batch",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # With links into the page, Swagger writes an error of its own to the console.
    "SWAGGER_UI_SETTINGS": {"deepLinking": False},
    # Several components have a property "state"; without names of their own they would be numbered by accident.
    "ENUM_NAME_OVERRIDES": {
        "ItineraryState": "itineraries.models.ItineraryState",
        "VehicleState": "fleet.vocabulary.State",
        "VehicleKind": "fleet.vocabulary.Kind",
        "CityTripsStatus": "fleet.vocabulary.CityTripsStatus",
    },
}

# --- Security ----------------------------------------------------------------------------------------------------

_secure = urlsplit(SITE_URL).scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _secure
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = _secure
SECURE_HSTS_SECONDS = 31_536_000 if _secure else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _secure
# TrustedProxyMiddleware removes the header from whoever is not a trusted proxy.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
CSRF_TRUSTED_ORIGINS = [SITE_URL] if _secure else []
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],  # data: for the arrows that the admin's own stylesheets draw
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# --- Languages and times -----------------------------------------------------------------------------------------

USE_I18N = True
USE_TZ = True
LANGUAGES = [("en", _("English")), ("es", _("Spanish"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["backoffice.formats"]

# --- Files -------------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "backoffice.static_files.ForgivingManifestStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# --- Mail and log ------------------------------------------------------------------------------------------------

EMAIL_TIMEOUT = 10
for _name, _value in _email.items():
    if _name.startswith("EMAIL_"):
        globals()[_name] = _value

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # Their debug output carries whole messages, and with them the API key.
        "websockets": {"level": "INFO"},
        "urllib3": {"level": "INFO"},
        "daphne": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
    },
}
