"""One session of another engine at a time: whether a key may be one of its keys, what it stands for, and its end."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.module_loading import import_string

from django_srvsession import conf
from django_srvsession.records import NO_CLIENT, Client
from django_srvsession.store import StoreUnavailableError

_KEY: Final = re.compile(r"[0-9a-z]{8,40}")
"""What Django's engines make keys of. In a database that does not tell capitals apart another spelling would find the
same session, and stand for another one here."""


class Found(NamedTuple):
    """Hold a live session of another engine; instants are milliseconds since 1970 UTC, None where not known."""

    contents: Mapping[Any, Any]
    expires_ms: int
    client: Client = NO_CLIENT
    created_ms: int | None = None


class Source(ABC):
    """Read the sessions of an engine by its own class, ``engine``, as the site has done until now.

    Raises ``ImproperlyConfigured`` where ``SESSION_SERIALIZER`` makes objects of any class, as pickle does, and
    ``SRVSESSION_MIGRATE_SERIALIZER`` does not say that this is meant.
    """

    pattern: ClassVar[re.Pattern[str]] = _KEY
    """What its keys look like."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.serializer = _serializer()

    @property
    def can_list(self) -> bool:
        """Tell whether there is a way to go through all of its sessions."""
        return True

    def is_key(self, text: str) -> bool:
        """Tell whether a text looks like one of this engine's keys; no I/O."""
        return self.pattern.fullmatch(text) is not None

    def is_one_visitor_s(self, contents: Mapping[Any, Any]) -> bool:
        """Tell whether nobody but one visitor can have the key of a session with these contents."""
        return True

    @abstractmethod
    def read(self, key: str) -> Found | None:
        """Return the live session of a key, or None.

        Raises ``StoreUnavailableError`` where the engine cannot tell: such a session is not gone.
        """

    def end(self, key: str) -> None:
        """End a session for good, where the engine can; raises as :meth:`read`."""
        self._open(key).delete(key)

    def walk(self) -> Iterator[str]:
        """Yield the keys of all live sessions, a bounded number of them in memory at a time; raises as :meth:`read`."""
        return iter(())

    def _open(self, key: str) -> Any:
        """Return a session object of the engine for a key, which makes no new session where it finds none."""
        session = self.engine(key)
        session.create = _make_nothing  # As Django's own clear_expired() does.
        session.serializer = self.serializer
        return session


def _make_nothing() -> None:
    """Make no session in place of one that is gone."""


def expiry_of(session: Any, contents: Mapping[Any, Any], saved: datetime | None = None) -> int:
    """Return when a session expires that was saved then (None: that is not known, so now), in milliseconds."""
    session._session_cache = dict(contents)
    return instant_ms(session.get_expiry_date(modification=saved or timezone.now()))


def instant_ms(moment: datetime) -> int:
    """Return an instant in milliseconds; a naive one is in the default time zone."""
    if timezone.is_naive(moment):
        moment = moment.replace(tzinfo=timezone.get_default_timezone())
    return int(moment.timestamp() * 1000)


def is_live(expires_ms: int) -> bool:
    """Tell whether an instant is still to come, by this machine's clock."""
    return time.time_ns() < expires_ms * 1_000_000


def unavailable(what: str, error: Exception) -> StoreUnavailableError:
    """Return the outage that an error of the other engine is."""
    return StoreUnavailableError(f"The sessions that the site moves from cannot be {what}: {error}")


def unusable(path: str, error: Exception) -> ImproperlyConfigured:
    """Return the error of an engine that cannot be imported, or whose app is not installed."""
    text = f"{path} cannot be used as a session engine: {str(error).removesuffix('.')}."
    if isinstance(error, RuntimeError):
        text = f"{text} Leave the app of the old sessions in INSTALLED_APPS while the site moves."
    return ImproperlyConfigured(text)


def _serializer() -> type[Any]:
    if conf.migrate_serializer is not None:
        return conf.migrate_serializer
    serializer: type[Any] = import_string(settings.SESSION_SERIALIZER)
    if makes_objects(serializer()):
        raise ImproperlyConfigured(
            f"SESSION_SERIALIZER is {settings.SESSION_SERIALIZER}, which makes objects of any class, as pickle does. "
            "Who can write the old sessions, or has learnt SECRET_KEY, can run code here. If you mean it, set "
            "SRVSESSION_MIGRATE_SERIALIZER to it."
        )
    return serializer


class _Object:
    """Be what only a serializer of objects brings back."""


def makes_objects(serializer: Any) -> bool:
    """Tell whether a serializer makes objects of any class, as pickle does."""
    try:
        return isinstance(serializer.loads(serializer.dumps(_Object())), _Object)
    except Exception:  # noqa: BLE001 - the site's own code; it does not take objects: good.
        return False
