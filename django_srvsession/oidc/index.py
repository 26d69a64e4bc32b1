"""Which sessions of ours belong to which of a provider's, and what the provider has ended: two tables of digests.

The digests are keyed by ``SECRET_KEY``: a copy of the tables names nobody at the provider. They stand in the database
whatever store the sessions are in.

A logout may overtake the sign-in that it is about. So a logout writes its mark and then reads the links, and a sign-in
writes its link and then, when all is committed, reads the marks: one of the two sees the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.utils.encoding import force_bytes

from django_srvsession import conf
from django_srvsession.engine import current_store
from django_srvsession.models import ProviderLink, ProviderMark
from django_srvsession.store import StoreUnavailableError

if TYPE_CHECKING:
    from django.db.models import QuerySet

KEPT_MS: Final = 8 * 86_400_000
"""How long marks are kept, in milliseconds: longer than any token is valid, or a sign-in takes."""
USER: Final = "user"
SESSION: Final = "session"
EMAIL: Final = "email"
_LINKS_KEPT_MS: Final = 86_400_000
_SALT: Final = b"django_srvsession.oidc.index:"
_PORTION: Final = 500
_CLOCKS_DIFFER_S: Final = 60
"""By how much clocks of a provider's machines may differ, in seconds: a sign-in just before must not seem later."""

Name = tuple[str, str]
"""By what a provider names somebody: the kind (``USER``, ``SESSION``, ``EMAIL``), and the value."""


class Identity(NamedTuple):
    """Say who signed in at a provider, by which names it may tell of them; ``issued_s`` is when."""

    issuer: str
    names: tuple[Name, ...]
    issued_s: int


class Revocation(NamedTuple):
    """Hold what a genuine token ends.

    Each entry of ``whom`` is about the sessions to which all of its names belong. ``at_s`` is when the provider ended
    them; ``signer`` and ``jti`` name the token.
    """

    issuer: str
    signer: str
    jti: str
    at_s: int
    whom: Sequence[tuple[Name, ...]]


def add(sid: str, identity: Identity) -> None:
    """Keep that a session of ours belongs to this user, and session, of the provider."""
    digests = [_digests(identity.issuer, *name) for name in identity.names]
    rows = [
        ProviderLink(digest=digest, sid=sid, issued_s=identity.issued_s, created_ms=_now_ms()) for digest, *_ in digests
    ]
    links = ProviderLink.objects.using(router.db_for_write(ProviderLink))
    with _answering():
        links.bulk_create(rows, ignore_conflicts=True)
        # Signed in again, in one session: what the provider has ended before is no longer this.
        before = links.filter(digest__in=itertools.chain(*digests), sid=sid, issued_s__lt=identity.issued_s)
        before.update(issued_s=identity.issued_s)


def sids_of(revocation: Revocation) -> list[str]:
    """Return the sessions that it ends; of those that a name of the user alone stands for, no later sign-in."""
    links = ProviderLink.objects.using(router.db_for_write(ProviderLink))  # Never a copy that lags behind.
    found: set[str] = set()
    with _answering():
        for names in revocation.whom:
            before = links if _has_session(names) else links.filter(issued_s__lte=revocation.at_s + _CLOCKS_DIFFER_S)
            matching = [before.filter(digest__in=_digests(revocation.issuer, *name)) for name in names]
            found |= set.intersection(*(set(each.values_list("sid", flat=True)) for each in matching))
    return sorted(found)


def mark_ended(revocation: Revocation) -> None:
    """Keep what the provider has ended, for sign-ins that are still under way; it is committed when this returns."""
    _mark(revocation.at_s, *(_digests_of_ended(revocation.issuer, names)[0] for names in revocation.whom))


def is_ended(identity: Identity) -> bool:
    """Tell whether the provider has ended this session since it told us of it."""
    alone = [(name,) for name in identity.names]
    pairs = [pair for pair in itertools.combinations(identity.names, 2) if _has_session(pair)]
    with _answering():
        for names in [*alone, *pairs]:
            marks = _marks(_digests_of_ended(identity.issuer, names))
            if (marks if _has_session(names) else marks.filter(at_s__gte=identity.issued_s)).exists():
                return True
    return False


def mark_used(revocation: Revocation) -> None:
    """Keep that a token has done what it does."""
    _mark(revocation.at_s, _digests("used", revocation.signer, revocation.jti)[0])


def is_used(revocation: Revocation) -> bool:
    """Tell whether a token has done already what it does."""
    with _answering():
        return _marks(_digests("used", revocation.signer, revocation.jti)).exists()


def after_all_commits(function: Callable[[], None]) -> None:
    """Call a function when every transaction that is open in this thread is committed; at once where none is."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            transaction.on_commit(lambda: after_all_commits(function), using=connection.alias)
            return
    function()


def purge(on_batch: Callable[[], object]) -> int:
    """Delete the links of sessions that have ended, and old marks; return how many rows that were.

    Goes through all links in batches, and asks the store once for each.
    """
    using, now_ms = router.db_for_write(ProviderLink), _now_ms()
    links, marks = ProviderLink.objects.using(using), ProviderMark.objects.using(using)
    purged = marks.filter(created_ms__lt=now_ms - KEPT_MS).delete()[0]
    remaining = links.order_by("pk")
    while batch := list(remaining.values_list("pk", "sid", "created_ms")[:_PORTION]):
        remaining = links.filter(pk__gt=batch[-1][0]).order_by("pk")  # No number, where models are in MongoDB.
        alive = current_store().alive(sorted({sid for _, sid, _ in batch}))
        # A link may be newer than what the store has committed.
        gone = [pk for pk, sid, created_ms in batch if sid not in alive and created_ms < now_ms - _LINKS_KEPT_MS]
        purged += links.filter(pk__in=gone).delete()[0]
        on_batch()
    return purged


def _has_session(names: tuple[Name, ...]) -> bool:
    """Tell whether a session of the provider is named: one that has ended does not begin anew."""
    return any(kind == SESSION for kind, _ in names)


def _mark(at_s: int, *digests: str) -> None:
    using = router.db_for_write(ProviderMark)
    # Durable: inside of somebody's transaction no other process would see it when the links are read.
    with _answering(), transaction.atomic(using=using, durable=True):
        rows = [ProviderMark(digest=digest, at_s=at_s, created_ms=_now_ms()) for digest in digests]
        ProviderMark.objects.using(using).bulk_create(rows)


def _marks(digests: list[str]) -> QuerySet[ProviderMark]:
    return ProviderMark.objects.using(router.db_for_write(ProviderMark)).filter(digest__in=digests)


def _digests_of_ended(issuer: str, names: tuple[Name, ...]) -> list[str]:
    return _digests("ended", issuer, *itertools.chain(*sorted(names)))


def _digests(*told: str) -> list[str]:
    """Return the digest of some texts, and after it what it was under ``SECRET_KEY_FALLBACKS``; in hexadecimal."""
    text = json.dumps([current_store().namespace, *told]).encode()
    keys = [hashlib.sha512(_SALT + force_bytes(secret)).digest()[:32] for secret in conf.secrets()]
    return [hashlib.blake2b(text, key=key, digest_size=32).hexdigest() for key in keys]


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Make an outage of the database what it is for the sessions: nothing is known."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailableError("The database of the provider's sessions does not answer.") from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
