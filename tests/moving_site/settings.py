"""Its settings: both packages are installed; a test says which one the site comes from."""

from datetime import UTC, datetime, timedelta

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as THEIRS

INSTALLED_APPS = [*THEIRS, "user_sessions", "qsessions"]
ROOT_URLCONF = "tests.engine.pages"
SESSION_ENGINE = "django_srvsession.backends.db"
SRVSESSION_MIGRATE_UNTIL = datetime.now(UTC) + timedelta(days=30)
