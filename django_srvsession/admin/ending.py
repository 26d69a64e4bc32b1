"""End sessions from the admin, once that was asked (``questions``): end, write it in the log, say how many it was.

Only a superuser ends the sessions of superusers, and of accounts that are not found. Accounts and sessions change while
a password is hashed: who may be ended is decided after that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_srvsession import services
from django_srvsession.admin.people import Viewer, ordinary_of
from django_srvsession.clients import address as client_address
from django_srvsession.escaping import escaped
from django_srvsession.models import LiveSession
from django_srvsession.records import SessionRecord

PERMISSION = "srvsession.delete_livesession"
MOST_REASON = 200
"""How many letters of the reason that is typed go into the log."""


def may_end(request: HttpRequest) -> bool:
    """Tell whether who asks may end sessions."""
    user = request.user
    return user.is_active and user.has_perm(PERMISSION)


def may_end_of(request: HttpRequest, user_ids: Iterable[str | None]) -> set[str | None]:
    """Return those of the users whose sessions the asker may end: for who is no superuser, the ordinary ones."""
    return set(user_ids) if _is_superuser(request) else ordinary_of(user_ids)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def end_sessions(
    request: HttpRequest, site: AdminSite, sessions: Iterable[SessionRecord | LiveSession], what: str
) -> None:
    """End sessions, log and tell it; those that had ended before, and those for superusers to end, are passed over.

    ``what`` says in the log which sessions these were, for people of any language. Raises ``StoreUnavailableError``
    when the store stops answering: what had ended by then is in the log.
    """
    sids = [session.sid for session in sessions]
    is_superuser = _is_superuser(request)
    ending = services.revoke_many(sids, by=request.user) if is_superuser else _end_ordinary(request, sids)
    _end(request, site, ending, what)


def _end_ordinary(request: HttpRequest, sids: Iterable[str]) -> Iterator[SessionRecord]:
    """End those of the sessions that who is no superuser may end, as they are now, and yield their records."""
    found = [services.contents_of(sid) for sid in sids]
    records = [contents.record for contents in found if contents is not None]
    allowed = may_end_of(request, (record.user_id for record in records))
    _tell_of_superusers(request, any(record.user_id not in allowed for record in records))
    # A session that is signed in is its user's for ever; an anonymous one may become anybody's at any time.
    signed_in = [record.sid for record in records if record.user_id is not None and record.user_id in allowed]
    yield from services.revoke_many(signed_in, by=request.user)
    for record in records:
        ended = services.revoke_if_anonymous(record, by=request.user)
        if ended is not None:
            yield ended


def end_sessions_of(request: HttpRequest, site: AdminSite, user_ids: Iterable[str], what: str) -> None:
    """End all sessions of users, as :func:`end_sessions` does."""
    user_ids = list(user_ids)
    allowed = may_end_of(request, user_ids)
    _tell_of_superusers(request, any(user_id not in allowed for user_id in user_ids))
    _end(request, site, _end_of([user_id for user_id in user_ids if user_id in allowed], request.user), what)


def _end_of(user_ids: Collection[str], by: Any) -> Iterator[SessionRecord]:
    """End all sessions of users, as many in each step as suits the store, and yield their records."""
    for user_id in user_ids:
        yield from services.end_waiting(user_id, by=by)
    records = (record for user_id in user_ids for record in services.all_sessions_of(user_id))
    yield from services.revoke_many((record.sid for record in records), by=by)


def _end(request: HttpRequest, site: AdminSite, ending: Iterable[SessionRecord], what: str) -> None:
    """Go through sessions that end as one does, log and tell it."""
    ended: list[SessionRecord] = []
    try:
        for record in ending:
            ended.append(record)
    finally:
        _log(request, site, ended, what)
    if ended:
        count = len(ended)
        text = ngettext("Signed out %(count)d session.", "Signed out %(count)d sessions.", count) % {"count": count}
        messages.success(request, text)
    else:
        messages.warning(request, _("Already signed out: there was no session to end any more."))


def _tell_of_superusers(request: HttpRequest, are_some: bool) -> None:
    if are_some:
        text = _("Only superusers sign out superusers, and accounts that are not found. These are left alone.")
        messages.warning(request, text)


def _log(request: HttpRequest, site: AdminSite, ended: Sequence[SessionRecord], what: str) -> None:
    """Write an entry for each session: its sid, its user, who ended it, from which address, and why."""
    people = Viewer(request, site).people_of({record.user_id for record in ended})
    actor, kind = cast(Any, request.user.pk), ContentType.objects.get_for_model(LiveSession, for_concrete_model=False)
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=actor,
            content_type=kind,
            object_id=record.sid,
            object_repr=_repr(record, people.get(record.user_id))[:200],
            action_flag=DELETION,
            change_message=_why(request, what),
        )
        for record in ended
    )


def _repr(record: SessionRecord, user: Any) -> str:
    """Name a session in the log, which people of any language read: no translation."""
    if record.user_id is None:
        return f"{record.sid}: anonymous"
    name = "" if user is None else f"{user.get_username()}, "
    return escaped(f"{record.sid}: {name}user {record.user_id}")


def _why(request: HttpRequest, what: str) -> str:
    """Say from where a session was ended, and why; an address that the site does not keep is not kept here either."""
    address, reason = client_address.client_of(request).ip, request.POST.get("reason", "").strip()[:MOST_REASON]
    where = f" from {address}" if address else ""
    return escaped(f"Ended{where} ({what})" + (f": {reason}" if reason else "."))
