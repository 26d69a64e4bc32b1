"""A store that notes what is asked of it, and can be told to be out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django_srvsession.records import Delta
from django_srvsession.store import Store, StoreUnavailableError

VERBS = (
    *("create", "load", "update", "rotate", "end", "end_many", "expire", "admit"),
    *("records", "records_from", "clear_expired"),
)


class Asked(NamedTuple):
    """Hold one call of a verb; the async twin counts as the verb."""

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
        if name in VERBS:
            return self._watched(name, method)
        if name[0] == "a" and name[1:] in VERBS:
            return self._awatched(name[1:], method)
        return method

    def go_out(self) -> None:
        """Answer nothing from now on."""
        self.out = set(VERBS)

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
            self._note(verb, args)
            answer = method(*args, **kwargs)
            self._lose(verb)
            return answer

        return call

    def _awatched(self, verb: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._note(verb, args)
            answer = await method(*args, **kwargs)
            self._lose(verb)
            return answer

        return call

    def _note(self, verb: str, args: tuple[Any, ...]) -> None:
        self.before(verb)
        self.asked.append(Asked(verb, args))
        if verb in self.out:
            raise StoreUnavailableError(f"The test switched {verb} off.")

    def _lose(self, verb: str) -> None:
        if verb in self.lost:
            raise StoreUnavailableError(f"The test lost the answer of {verb}.")
