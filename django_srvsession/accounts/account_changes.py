"""What a change of a user's account means: ``SRVSESSION_END_OTHERS_AFTER``, and a row under recent activity.

A change is noticed by comparing what is about to be saved with what the database has: one query, and only where a saved
field tells of a change that matters (a sign-in, which saves ``last_login`` alone, pays none). Remembering the values
when a user is loaded would charge every user of every list, and miss what is saved without having been loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import transaction
from django.db.models import Field

from django_srvsession import conf, services
from django_srvsession.accounts import current_request
from django_srvsession.clients.address import client_of
from django_srvsession.engine import current_store
from django_srvsession.events import log as event_log
from django_srvsession.records import NO_CLIENT, Client

_NOTE: Final = "_srvsession_reasons"

HASH_BEFORE: Final = "_srvsession_hash_before"
"""The attribute of a user that holds the hash of the same password by another hasher, which a sign-in has replaced."""


def note_change(user: Any, *, using: str, update_fields: Collection[str] | None) -> None:
    """Note on a user who is about to be saved what is being changed, for :func:`follow`."""
    user.__dict__.pop(_NOTE, None)  # Of a save that failed.
    fields = _watched_fields(user, update_fields)
    if not fields or _is_new(user) or not _uses_our_engine():
        return
    rows = type(user)._base_manager.using(using).filter(pk=user.pk)
    stored = rows.values_list(*(field.attname for field in fields.values())).first()
    if stored is None:
        return
    reasons = []
    for (reason, field), before in zip(fields.items(), stored, strict=True):
        after = field.value_from_object(user)
        if after == before or not (after or before):
            continue
        if _is_upgrade(user, reason, before, update_fields):
            user.__dict__[HASH_BEFORE] = before
        else:
            reasons.append(reason)
            user.__dict__.pop(HASH_BEFORE, None)
    if reasons:
        user.__dict__[_NOTE] = reasons


def follow(user: Any, *, using: str) -> None:
    """After commit, write down what was noted of a user who was saved, and end the other sessions if it says so."""
    reasons = user.__dict__.pop(_NOTE, ())
    if reasons:
        visit = current_request.current()
        transaction.on_commit(functools.partial(_follow, services.user_id_of(user), reasons, visit), using=using)


def end_all(user: Any, reason: str, *, using: str) -> None:
    """End all sessions of a user, after commit; the id is taken now, since a deleted user loses it."""
    if _uses_our_engine():
        revoke_all = functools.partial(services.revoke_all, services.user_id_of(user), reason=reason)
        transaction.on_commit(revoke_all, using=using)


def note_deletion(user: Any, *, using: str) -> None:
    """Write down, after commit, that a user was deleted: a later one with the same key is told nothing of it."""
    transaction.on_commit(functools.partial(event_log.note_deletion, services.user_id_of(user)), using=using)


def _follow(user_id: str, reasons: Collection[str], visit: current_request.Visit | None) -> None:
    sid, by, client = _who(user_id, visit)
    for reason in reasons:
        event_log.note_change(user_id, reason, client, by=by, sid=sid)
    ending = [reason for reason in reasons if reason in conf.end_others_after]
    if ending:
        _end_others(user_id, ending[0], visit)


def _who(user_id: str, visit: current_request.Visit | None) -> tuple[str, str | None, Client]:
    """Return in which session of the user's an account is being changed, by whom and from where, as far as is known.

    Where somebody else does it, an administrator perhaps, from where is not the user's business.
    """
    if visit is None:
        return "", None, NO_CLIENT
    by = visit.user_id
    return visit.sid_of(user_id) or "", by, client_of(visit.request) if by in (None, user_id) else NO_CLIENT


def _end_others(user_id: str, reason: str, visit: current_request.Visit | None) -> None:
    # Which session stays is asked now: a password reset may have signed its user in since the save. The session is
    # read for it: its cookie alone may hold a key that was replaced long ago.
    keep, by = (None, None) if visit is None else (visit.sid_of(user_id), visit.user_id)
    if visit is None and _may_be_elsewhere():
        # A session of the other engine has no sid to keep it by. A new password ends all others there by its hash.
        list(services.revoke_many((record.sid for record in services.all_sessions_of(user_id)), reason=reason))
    else:
        services.revoke_all(user_id, keep=keep, by=by, reason=reason)


def _may_be_elsewhere() -> bool:
    """Tell whether requests may have sessions of an engine that is not ours, and change an account in one."""
    if not conf.is_moving():
        return False
    from django_srvsession import migrating  # Most sites do not move.

    return not migrating.is_ours(migrating.engine_at(settings.SESSION_ENGINE))


def _watched_fields(user: Any, update_fields: Collection[str] | None) -> dict[str, Field[Any, Any]]:
    """Return, by the reason that a change of it is, the fields that are being saved and matter to the settings."""
    names = {"password_changed": password_field_name(user), "email_changed": _email_field_name(user)}
    chosen = conf.end_others_after if event_log.days_kept() is None else tuple(names)
    fields = {reason: _field(user, name) for reason, name in names.items() if reason in chosen}
    saved = None if update_fields is None else set(update_fields)
    return {
        reason: field
        for reason, field in fields.items()
        if field is not None and (saved is None or not saved.isdisjoint((field.name, field.attname)))
    }


def password_field_name(user: Any) -> str:
    """Return the name of the field that holds the hash."""
    return getattr(user, "PASSWORD_FIELD", "password")


def _email_field_name(user: Any) -> str:
    name_of = getattr(user, "get_email_field_name", None)
    return str(getattr(user, "EMAIL_FIELD", "email") if name_of is None else name_of())


def _field(user: Any, name: str) -> Field[Any, Any] | None:
    try:
        field = user._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if getattr(field, "concrete", False) else None


def _is_new(user: Any) -> bool:
    """Tell whether the save inserts a row, as Django decides it; one that was made with a known id may replace one."""
    return user.pk is None or (user._state.adding and user._meta.pk.has_default())


def _is_upgrade(user: Any, reason: str, before: str, update_fields: Collection[str] | None) -> bool:
    """Tell whether a password is only hashed anew, as ``check_password()`` does at a sign-in when hashers changed.

    It saves the password alone, says so by ``_password`` (which ``set_password()`` fills), and does it only to a hash
    that is out of date.
    """
    if reason != "password_changed" or update_fields is None or len(update_fields) != 1:
        return False
    usable = getattr(user, "has_usable_password", None)  # A base of a custom user has no such method, and checks none.
    if getattr(user, "_password", None) is not None or usable is None or not usable():
        return False
    try:
        hasher, preferred = identify_hasher(before), get_hasher("default")
    except ValueError:
        return False
    return hasher.algorithm != preferred.algorithm or preferred.must_update(before)


def _uses_our_engine() -> bool:
    """Tell whether there is a store to end sessions in; if not, the checks say so."""
    try:
        current_store()
    except (ImproperlyConfigured, ImportError):
        return False
    return True
