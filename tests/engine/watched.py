"""A store that notes what is asked of it, and can be told to be out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django_srvsession.records import Delta, Ending
from django_srvsession.store import Store, StoreUnavailableError

VERBS = ("create", "restore", "load", "update", "end", "end_many", "admit", "records", "records_from", "clear_expired")
KINDS = (*VERBS, "rotate", "expire")
"""What is noted: an update that changes the key is a "rotate", the end of a session whose time is up an "expire"."""


def kind_of(verb: str, args: tuple[Any, ...]) -> str:
    """Say what is asked for by a verb and its arguments."""
    if any(isinstance(argument, Delta) and argument.new_verifier is not None for argument in args):
        return "rotate"
    return "expire" if any(isinstance(argument, Ending) and argument.reason is None for argument in args) else verb


class Asked(NamedTuple):
    """Hold one call of a verb, of the store or of its face."""

    verb: str
    args: tuple[Any, ...]

    @property
    def delta(self) -> Delta:
        """The delta that the call brought."""
        return next(argument for argument in self.args if isinstance(argument, Delta))


class WatchedStore:
    """Stand in front of a store: note each call, and fail those verbs that are named in ``out`` or ``lost``.

    A verb in ``out`` is not done; one in ``lost`` is done, and its answer is lost. Both say "unavailable".
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.asked: list[Asked] = []
        self.out: set[str] = set()
        self.lost: set[str] = set()
        self.before: Callable[[str], object] = lambda verb: None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return self._watched(name, method) if name in VERBS else method

    def face(self) -> Any:
        """Return the inner store's face, watched too."""
        return WatchedFace(self)

    def go_out(self) -> None:
        """Answer nothing from now on."""
        self.out = set(KINDS)

    def come_back(self) -> None:
        """Answer again."""
        self.out, self.lost = set(), set()

    @property
    def verbs(self) -> list[str]:
        """The verbs that were asked for, in order."""
        return [asked.verb for asked in self.asked]

    def since(self, action: Callable[[], object]) -> list[Asked]:
        """Do something and return what it asked of the store."""
        count = len(self.asked)
        action()
        return self.asked[count:]

    def _watched(self, verb: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            kind = self.note(verb, args)
            answer = method(*args, **kwargs)
            self.lose(kind)
            return answer

        return call

    def note(self, verb: str, args: tuple[Any, ...]) -> str:
        """Note a call, and return what it asks for; fail if that is out."""
        kind = kind_of(verb, args)
        self.before(kind)
        self.asked.append(Asked(kind, args))
        if kind in self.out:
            raise StoreUnavailableError(f"The test switched {kind} off.")
        return kind

    def lose(self, kind: str) -> None:
        """Fail if the answer is to be lost."""
        if kind in self.lost:
            raise StoreUnavailableError(f"The test lost the answer of {kind}.")


class WatchedFace:
    """Stand in front of a store's face."""

    def __init__(self, watched: WatchedStore) -> None:
        self._watched = self.store = watched
        self._inner = watched.inner.face()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in VERBS:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            kind = self._watched.note(name, args)
            answer = await method(*args, **kwargs)
            self._watched.lose(kind)
            return answer

        return call
