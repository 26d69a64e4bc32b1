"""Settings of the demo: a site that signs people in, on the session store that the environment names.

``SRVSESSION_DEMO_ENGINE``    db (default), redis, cached_db (the one behind the other), mongodb, file or memory
``SRVSESSION_DEMO_REDIS``     where Redis answers, for redis and cached_db: redis://127.0.0.1:6379/0;
                              ``make demo`` without it starts a server of its own
``SRVSESSION_DEMO_MONGODB``   where MongoDB answers: mongodb://127.0.0.1:27017/demo; the engine is mongodb then
``SRVSESSION_DEMO_DATABASE``  another database than SQLite: an entry of Django's DATABASES, as JSON
``SRVSESSION_DEMO_BIND``      offer or require: sessions are bound to the device; over TLS alone, as with --bind
``SRVSESSION_DEMO_DATA``      the directory of the demo's files (default: .demo)
``SRVSESSION_DEMO_SECRET``    the SECRET_KEY
``SRVSESSION_DEMO_OUTAGE``    for how many seconds the button takes the store away: 15 (20 at most)
``SRVSESSION_DEMO_LOOK``      own (default), admin or bootstrap: the base that the account pages stand in
"""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SRVSESSION_DEMO_DATA", ROOT / ".demo"))
DATA.mkdir(mode=0o700, parents=True, exist_ok=True)

# A site of your own keeps its secret out of its source.
SECRET_KEY = os.environ.get("SRVSESSION_DEMO_SECRET", "not a secret: this is in the source of the demo, for everyone")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

# Sessions: these lines are what a site of your own needs, beside the app and the middleware below.

ENGINES = ("db", "redis", "cached_db", "mongodb", "file", "memory")
MONGODB = os.environ.get("SRVSESSION_DEMO_MONGODB", "")
ENGINE = os.environ.get("SRVSESSION_DEMO_ENGINE", "mongodb" if MONGODB else "db")
if ENGINE not in ENGINES:
    raise ImproperlyConfigured(f"SRVSESSION_DEMO_ENGINE is {ENGINE!r}; it must be one of {', '.join(ENGINES)}.")

SESSION_ENGINE = f"django_srvsession.backends.{ENGINE}"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

if ENGINE == "file":
    SESSION_FILE_PATH = str(DATA / "sessions")
    Path(SESSION_FILE_PATH).mkdir(mode=0o700, exist_ok=True)

if ENGINE in ("redis", "cached_db"):
    if not os.environ.get("SRVSESSION_DEMO_REDIS"):
        raise ImproperlyConfigured(
            f"SRVSESSION_DEMO_ENGINE is {ENGINE!r}, and nothing says where Redis answers. "
            "Set SRVSESSION_DEMO_REDIS, for example to redis://127.0.0.1:6379/0. "
            "Or install redis-server: `make demo` starts one then."
        )
    # An alias of its own, on a server or database number of its own: clearing a cache would end every session that is
    # in Redis alone.
    CACHES["sessions"] = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": os.environ["SRVSESSION_DEMO_REDIS"],
        # Seconds: without them, a request would wait for a Redis that hangs for as long as it hangs.
        "OPTIONS": {"SOCKET_TIMEOUT": 1, "SOCKET_CONNECT_TIMEOUT": 1},
    }
    SESSION_CACHE_ALIAS = "sessions"

if ENGINE == "mongodb":
    if not MONGODB:
        raise ImproperlyConfigured(
            "SRVSESSION_DEMO_ENGINE is 'mongodb', and nothing says where MongoDB answers. "
            "Set SRVSESSION_DEMO_MONGODB, for example to mongodb://127.0.0.1:27017/demo."
        )
    # The database is in the address, or "demo". The indexes are made by: manage.py doctorsessions_srv --repair
    has_name = bool(urlsplit(MONGODB).path.strip("/"))
    SRVSESSION_MONGODB = {"HOST": MONGODB} if has_name else {"HOST": MONGODB, "NAME": "demo"}

BIND = os.environ.get("SRVSESSION_DEMO_BIND", "")
if BIND:
    SRVSESSION_BIND = BIND
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

OUTAGE_SECONDS = min(int(os.environ.get("SRVSESSION_DEMO_OUTAGE", "15")), 20)

LOOKS = ("own", "admin", "bootstrap")
LOOK = os.environ.get("SRVSESSION_DEMO_LOOK", "own")
if LOOK not in LOOKS:
    raise ImproperlyConfigured(f"SRVSESSION_DEMO_LOOK is {LOOK!r}; it must be one of {', '.join(LOOKS)}.")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_srvsession",
    "example_project.demo",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django_srvsession.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

LOGIN_URL = "srvsession:login"
LOGIN_REDIRECT_URL = "home"
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
SRVSESSION_NOTIFY_NEW_DEVICE = True
SRVSESSION_EVENT_LOG = 30  # "Recent activity", for so many days.

# The rest is as in any project.

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": str(DATA / "db.sqlite3"),
    # Readers do not wait for the writer, and writers wait for each other (seconds) instead of failing at once.
    "OPTIONS": {"timeout": 2, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
}
DATABASES = {"default": json.loads(os.environ.get("SRVSESSION_DEMO_DATABASE", "null")) or SQLITE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"
STATIC_URL = "static/"
# For the look "bootstrap": put Bootstrap's bootstrap.min.css into .demo/static/bootstrap/.
STATICFILES_DIRS = [directory for directory in [DATA / "static"] if directory.is_dir()]
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ko", "한국어")]
LOCALE_PATHS = [ROOT / "example_project" / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # The first directory holds one template, "srvsession/base.html": all that another look of the pages needs.
        "DIRS": [ROOT / "example_project" / "looks" / LOOK, ROOT / "example_project" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
