"""End sessions from the admin: ask first, end, write it in the log, say how many it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_srvsession import services
from django_srvsession.escaping import escaped
from django_srvsession.models import LiveSession
from django_srvsession.records import SessionRecord
from django_srvsession.users import users_of

PERMISSION = "srvsession.delete_livesession"


def may_end(request: HttpRequest) -> bool:
    """Tell whether who asks may end sessions."""
    user = request.user
    return user.is_active and user.has_perm(PERMISSION)


def end_sessions(request: HttpRequest, sids: Iterable[str]) -> list[SessionRecord]:
    """End sessions, log and tell it; those that had ended before are passed over.

    Raises ``StoreUnavailableError`` when the store stops answering: what had ended by then is in the log.
    """
    ended: list[SessionRecord] = []
    try:
        for sid in sids:
            record = services.revoke(sid, by=request.user)
            ended += [] if record is None else [record]
    finally:
        _log(request, ended)
    _tell(request, len(ended))
    return ended


def end_sessions_of(request: HttpRequest, user_ids: Iterable[str]) -> list[SessionRecord]:
    """End all sessions of users, as :func:`end_sessions` does."""
    return end_sessions(request, (record.sid for user_id in user_ids for record in services.all_sessions_of(user_id)))


def _tell(request: HttpRequest, count: int) -> None:
    if count:
        messages.success(
            request, ngettext("Ended %(count)d session.", "Ended %(count)d sessions.", count) % {"count": count}
        )
    else:
        messages.warning(request, _("There was no session to end any more."))


def _log(request: HttpRequest, ended: Sequence[SessionRecord]) -> None:
    """Write an entry for each session: its sid, its user, and who ended it."""
    people, actor = users_of(record.user_id for record in ended), cast(Any, request.user.pk)
    kind = ContentType.objects.get_for_model(LiveSession, for_concrete_model=False)
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=actor,
            content_type=kind,
            object_id=record.sid,
            object_repr=_repr(record, people)[:200],
            action_flag=DELETION,
            change_message="Ended.",
        )
        for record in ended
    )


def _repr(record: SessionRecord, people: Mapping[str, Any]) -> str:
    """Name a session in the log, which people of any language read: no translation."""
    if record.user_id is None:
        return f"{record.sid}: anonymous"
    user = people.get(record.user_id)
    name = "" if user is None else f"{user.get_username()}, "
    return escaped(f"{record.sid}: {name}user {record.user_id}")


def ask(
    request: HttpRequest, model_admin: Any, question: str, items: Sequence[str], **context: Any
) -> TemplateResponse:
    """Return the page that asks whether to end; it posts what ``hidden`` holds, or the action and what was chosen."""
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(
        request,
        "admin/srvsession/end_confirmation.html",
        {
            **model_admin.admin_site.each_context(request),
            "title": _("End sessions"),
            "question": question,
            "items": items,
            "opts": model_admin.opts,
            "media": model_admin.media,
            "hidden": [],
            **context,
        },
    )


def chosen(request: HttpRequest, action: str, keys: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the hidden fields that send an action again, confirmed."""
    return [("action", action), ("post", "yes"), *((ACTION_CHECKBOX_NAME, str(key)) for key in keys)]
