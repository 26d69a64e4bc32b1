"""Which sessions of ours belong to which of a provider's, and what the provider has ended: two tables of digests.

The digests are keyed by ``SECRET_KEY``: a copy of the tables names nobody at the provider. They stand in the database
whatever store the sessions are in.

A logout may overtake the sign-in that it is about. So a logout writes its mark and then reads the links, and a sign-in
writes its link and then, when all is committed, reads the marks: one of the two sees the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.utils.encoding import force_bytes

from django_srvsession import conf
from django_srvsession.engine import current_store
from django_srvsession.models import ProviderLink, ProviderMark
from django_srvsession.store import StoreUnavailableError

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from django_srvsession.oidc.tokens import LogoutToken

KEPT_MS: Final = 86_400_000
"""How long marks are kept, in milliseconds: far longer than any token is valid, or a sign-in takes."""
_SALT: Final = b"django_srvsession.oidc.index:"
_PORTION: Final = 500


class Identity(NamedTuple):
    """Say who signed in at a provider, and in which session there (None: it does not say); ``issued_s`` is when."""

    issuer: str
    subject: str
    provider_sid: str | None
    issued_s: int


def add(sid: str, identity: Identity) -> None:
    """Keep that a session of ours belongs to this user, and session, of the provider."""
    told = [("user", identity.subject), ("session", identity.provider_sid)]
    digests = [_digests(kind, identity.issuer, value)[0] for kind, value in told if value is not None]
    rows = [ProviderLink(digest=digest, sid=sid, created_ms=_now_ms()) for digest in digests]
    using = router.db_for_write(ProviderLink)
    with _answering():
        ProviderLink.objects.using(using).bulk_create(rows, ignore_conflicts=True)  # Signed in again, in one session.


def sids_of(token: LogoutToken) -> list[str]:
    """Return the sessions that a token ends; with a session and a user, only those that belong to both."""
    told = [("user", token.subject), ("session", token.provider_sid)]
    links = ProviderLink.objects.using(router.db_for_write(ProviderLink))  # Never a copy that lags behind.
    with _answering():
        found = [
            set(links.filter(digest__in=_digests(kind, token.issuer, value)).values_list("sid", flat=True))
            for kind, value in told
            if value is not None
        ]
    return sorted(set.intersection(*found))


def mark_ended(token: LogoutToken) -> None:
    """Keep what the provider has ended, for sign-ins that are still under way; it is committed when this returns."""
    _mark("ended", token.issued_s, token.issuer, token.subject, token.provider_sid)


def is_ended(identity: Identity) -> bool:
    """Tell whether the provider has ended this session since it told us of it."""
    issuer, subject, provider_sid, issued_s = identity
    with _answering():
        if _marks("ended", issuer, subject, None).filter(at_s__gte=issued_s).exists():
            return True
        if provider_sid is None:
            return False
        return any(_marks("ended", issuer, who, provider_sid).exists() for who in (None, subject))


def mark_used(token: LogoutToken) -> None:
    """Keep that a token has done what it does."""
    _mark("used", token.issued_s, token.issuer, token.jti)


def is_used(token: LogoutToken) -> bool:
    """Tell whether a token has done already what it does."""
    with _answering():
        return _marks("used", token.issuer, token.jti).exists()


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
    using, before_ms = router.db_for_write(ProviderLink), _now_ms() - KEPT_MS
    links, marks = ProviderLink.objects.using(using), ProviderMark.objects.using(using)
    purged = marks.filter(created_ms__lt=before_ms).delete()[0]
    remaining = links.order_by("pk")
    while batch := list(remaining.values_list("pk", "sid", "created_ms")[:_PORTION]):
        remaining = links.filter(pk__gt=batch[-1][0]).order_by("pk")  # No number, where models are in MongoDB.
        alive = current_store().alive(sorted({sid for _, sid, _ in batch}))
        # A link may be newer than what the store has committed.
        gone = [pk for pk, sid, created_ms in batch if sid not in alive and created_ms < before_ms]
        purged += links.filter(pk__in=gone).delete()[0]
        on_batch()
    return purged


def _mark(kind: str, at_s: int, *told: str | None) -> None:
    using = router.db_for_write(ProviderMark)
    # Durable: inside of somebody's transaction no other process would see it when the links are read.
    with _answering(), transaction.atomic(using=using, durable=True):
        row = ProviderMark(digest=_digests(kind, *told)[0], at_s=at_s, created_ms=_now_ms())
        ProviderMark.objects.using(using).bulk_create([row])


def _marks(kind: str, *told: str | None) -> QuerySet[ProviderMark]:
    marks = ProviderMark.objects.using(router.db_for_write(ProviderMark))
    return marks.filter(digest__in=_digests(kind, *told))


def _digests(*told: str | None) -> list[str]:
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
