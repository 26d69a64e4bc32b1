"""Ask before sessions are ended: how many, whose, on which devices, and last used when.

Who is asked proves who they are, unless they have done so a short time ago.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_srvsession import services
from django_srvsession.admin import cells
from django_srvsession.admin.ending import MOST_REASON, may_end_of
from django_srvsession.admin.people import Viewer
from django_srvsession.admin.rows import name_of, rows_of, shown
from django_srvsession.escaping import escaped
from django_srvsession.models import LiveSession
from django_srvsession.records import SessionRecord

_MOST_SHOWN: Final = 50
_MOST_LOOKED_UP: Final = 50
"""Of how many users the sessions are looked up for a question; of more, their names are shown alone."""


def about_sessions(
    request: HttpRequest, model_admin: Any, rows: Sequence[LiveSession], hidden: Iterable[tuple[str, str]] = ()
) -> HttpResponseBase | None:
    """Return the page that asks whether to end these sessions; None once the answer is yes: see :func:`_ask`."""
    asked = [row for row in rows if not shown(row).is_for_superusers]
    count = len(asked)
    title = ngettext("Sign out %(count)d session?", "Sign out %(count)d sessions?", count) % {"count": count}
    text = _("Whoever uses it is signed out at once.") if count == 1 else _("Whoever uses them is signed out at once.")
    return _ask(request, model_admin, title, text, rows=asked, are_left=count < len(rows), hidden=hidden)


def about_users(
    request: HttpRequest, model_admin: Any, user_ids: Sequence[str], hidden: Iterable[tuple[str, str]] = ()
) -> HttpResponseBase | None:
    """Return the page that asks whether to end all sessions of these users, as :func:`about_sessions` does."""
    allowed = may_end_of(request, user_ids)
    asked = [user_id for user_id in user_ids if user_id in allowed]
    people = Viewer(request, model_admin.admin_site).people_of(asked)
    names = [escaped(people[user_id].get_username() if user_id in people else user_id) for user_id in asked]
    title = _("Sign out %(name)s everywhere?") % {"name": names[0]} if len(names) == 1 else _many_users(len(names))
    are_left = len(asked) < len(user_ids)
    if len(asked) > _MOST_LOOKED_UP:
        text = _("They are signed out on all their devices at once.")
        return _ask(request, model_admin, title, text, names=names, are_left=are_left, hidden=hidden)
    records, count = _latest_of(asked)
    text = ngettext("%(count)d session ends at once.", "%(count)d sessions end at once.", count) % {"count": count}
    rows, further = rows_of(request, model_admin.admin_site, records), count - len(records)
    named = names if count == 0 else ()
    return _ask(
        request, model_admin, title, text, rows=rows, further=further, names=named, are_left=are_left, hidden=hidden
    )


def _many_users(count: int) -> str:
    text = ngettext("Sign out %(count)d user everywhere?", "Sign out %(count)d users everywhere?", count)
    return text % {"count": count}


def _latest_of(user_ids: Iterable[str]) -> tuple[list[SessionRecord], int]:
    """Return the sessions of users that were used last, and how many they have; one look, or two, for each user."""
    records: list[SessionRecord] = []
    count = 0
    for user_id in user_ids:
        sessions = services.sessions_of(user_id)
        first = list(itertools.islice(sessions[: _MOST_SHOWN + 1], _MOST_SHOWN + 1))
        count += len(first) if len(first) <= _MOST_SHOWN else len(sessions)
        records += first
    records.sort(key=lambda record: record.last_seen_ms, reverse=True)
    return records[:_MOST_SHOWN], count


def _ask(
    request: HttpRequest, model_admin: Any, title: str, text: str, *, rows: Sequence[LiveSession] = (), **context: Any
) -> HttpResponseBase | None:
    """Return the page that asks whether to end, until the answer is yes and the last proof is recent; None then.

    The page asks for the password, too, where that is needed; it posts what ``hidden`` holds. Who has no password
    proves elsewhere who they are, and begins again from this page, or from the list.
    """
    from django_srvsession.accounts import reauthentication
    from django_srvsession.accounts.forms import ConfirmForm

    vars(request)["sensitive_post_parameters"] = ["password"]  # As Django's decorator does.
    is_proven, is_answer = reauthentication.is_recent(request), request.POST.get("post") == "yes"
    way_back = request.get_full_path()
    if not is_proven and not reauthentication.can_confirm(request):
        return reauthentication.ask(request, way_back)
    form = None if is_proven else ConfirmForm(request, request.POST if "password" in request.POST else None)
    if is_answer and (form is None or form.is_valid()):
        return None
    if not request.user.is_authenticated:  # Who guesses a password is signed out in the end.
        return redirect_to_login(way_back, f"{model_admin.admin_site.name}:login")
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(
        request,
        "admin/srvsession/end_confirmation.html",
        {
            **model_admin.admin_site.each_context(request),
            "title": title,
            "text": text,
            "lines": [_line(row) for row in rows],
            "opts": model_admin.opts,
            "preserved_filters": model_admin.get_preserved_filters(request),
            "form": form,
            "reason": request.POST.get("reason", ""),
            "most_reason": MOST_REASON,
            **context,
        },
    )


def _line(row: LiveSession) -> dict[str, str]:
    return {
        "user": name_of(row),
        "device": cells.device(shown(row).device, row.user_agent),
        "location": cells.labelled(_("IP address"), cells.location(row.ip)),
        "last_active": cells.labelled(_("Last active"), cells.ago(row.last_seen_ms)),
        "sid": cells.short(row.sid),
    }


def chosen(action: str, keys: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the hidden fields that send an action again."""
    return [("action", action), *((ACTION_CHECKBOX_NAME, str(key)) for key in keys)]
