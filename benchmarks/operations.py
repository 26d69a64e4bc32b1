"""What a request does with its session: each operation starts from a cookie and a new ``SessionStore``."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any, ClassVar

from benchmarks import contents

Engine = Any
_numbers = itertools.count()


def new_session(engine: Engine, values: dict[str, Any]) -> str:
    """Store a session and return its key."""
    session: Any = engine()
    session.update(values)
    if "_auth_user_id" in values and hasattr(session, "note_sign_in"):
        session.note_sign_in(values["_auth_user_id"])  # As login() does; a sign-in by hand leaves a mark.
    session.save()
    return str(session.session_key)


def look_at_user(session: Any) -> None:
    """Read what ``django.contrib.auth`` reads in every request of a signed-in user."""
    for name in contents.AUTH:
        session[name]


class Operation(ABC):
    """One operation: ``prepare`` and ``clean`` are not timed."""

    title: ClassVar[str]

    def __init__(self, size_bytes: int) -> None:
        self.signed_in = contents.signed_in(size_bytes)
        self.anonymous = contents.anonymous(size_bytes)

    def prepare(self, engine: Engine) -> Any:
        """Return what one ``run`` needs."""
        return new_session(engine, self.signed_in)

    @abstractmethod
    def run(self, engine: Engine, prepared: Any) -> Any:
        """Do it; what is returned goes to ``clean``."""

    def clean(self, engine: Engine, key: Any) -> None:
        """Remove the session again."""
        engine(key).delete()


class Load(Operation):
    """Read the session and look at the user."""

    title = "load"

    def run(self, engine: Engine, prepared: str) -> str:
        look_at_user(engine(prepared))
        return prepared


class LoadAll(Operation):
    """Read the session and use all its values."""

    title = "load, use all"

    def run(self, engine: Engine, prepared: str) -> str:
        dict(engine(prepared).items())
        return prepared


class Save(Operation):
    """Read the session, look at the user, change one value, save."""

    title = "save"

    def run(self, engine: Engine, prepared: str) -> str:
        session = engine(prepared)
        look_at_user(session)
        session["page"] = next(_numbers)
        session.save()
        return prepared


class Create(Operation):
    """Store the first session of an anonymous visitor."""

    title = "create"

    def prepare(self, engine: Engine) -> dict[str, Any]:
        return self.anonymous

    def run(self, engine: Engine, prepared: dict[str, Any]) -> str:
        return new_session(engine, prepared)


class CreateSignedIn(Create):
    """Store the new session of a user (ours is then in the user's list)."""

    title = "create, signed in"

    def prepare(self, engine: Engine) -> dict[str, Any]:
        # As many users as sessions: a site has no user with thousands of sessions.
        return self.signed_in | {"_auth_user_id": str(next(_numbers))}


class Delete(Operation):
    """End a session whose user was looked at, as a logout does."""

    title = "delete"

    def prepare(self, engine: Engine) -> Any:
        session = engine(super().prepare(engine))
        look_at_user(session)
        return session

    def run(self, engine: Engine, prepared: Any) -> None:
        prepared.flush()

    def clean(self, engine: Engine, key: Any) -> None:
        """There is nothing left."""


class LogOut(Delete):
    """Read the session and look at the user, as ``logout()`` does, and end it."""

    title = "load, delete"

    def prepare(self, engine: Engine) -> str:
        return new_session(engine, self.signed_in)

    def run(self, engine: Engine, prepared: str) -> None:
        session = engine(prepared)
        look_at_user(session)
        session.flush()


class ListOfUser(Operation):
    """List the ten sessions of one user among many: where Django can at all, by decoding every session there is."""

    title = "list of a user"
    listed = 10

    def __init__(self, size_bytes: int, others: int) -> None:
        super().__init__(size_bytes)
        self.user_id = f"lister-{next(_numbers)}"
        self.users = [f"other-{number // 3}" for number in range(others)] + [self.user_id] * self.listed

    def fill(self, engine: Engine) -> list[str]:
        """Store the user's sessions and those of all others, once; return their keys."""
        return [new_session(engine, self.signed_in | {"_auth_user_id": user}) for user in self.users]

    def prepare(self, engine: Engine) -> None:
        """There is nothing to do each time."""

    def run(self, engine: Engine, prepared: None) -> None:
        found = self._list_ours(engine) if hasattr(engine, "store") else self._list_stock(engine)
        if len(found) != self.listed:
            raise AssertionError(f"{engine} lists {len(found)} sessions instead of {self.listed}")

    def clean(self, engine: Engine, key: Any) -> None:
        """Leave the sessions for the next time."""

    def _list_ours(self, engine: Engine) -> list[Any]:
        return list(engine.store().records(self.user_id))

    def _list_stock(self, engine: Engine) -> list[Any]:
        live = engine.get_model_class().objects.filter(expire_date__gt=datetime.now(UTC))
        return [session for session in live.iterator() if session.get_decoded().get("_auth_user_id") == self.user_id]


EACH: tuple[type[Operation], ...] = (Load, LoadAll, Save, Create, CreateSignedIn, Delete, LogOut)
