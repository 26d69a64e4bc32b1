"""The list: Django's ``ChangeList`` over records instead of rows, by places instead of page numbers."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
from collections.abc import Sequence
from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_srvsession import services
from django_srvsession.admin.filters import SessionFilter
from django_srvsession.admin.people import Viewer
from django_srvsession.admin.rows import rows_of, with_end_urls
from django_srvsession.engine.details import is_bound
from django_srvsession.models import LiveSession
from django_srvsession.records import is_sid
from django_srvsession.store.listings import Filter, Portion

AFTER_VAR: Final = "after"
START_OF_SID: Final = re.compile(r"[0-9a-f]{8,17}")
"""What a list shows of a session's public name, or more of it."""

_START_OF_ADDRESS: Final = re.compile(r"\d{1,3}\.[\d.]{0,11}|[0-9a-f]{1,4}:[0-9a-f:.]{0,39}", re.IGNORECASE)


class LiveSessionList(ChangeList):
    """List live sessions from a place on; whatever parameter is not one of the list's own leads to ``?e=1``."""

    request: HttpRequest
    viewer: Viewer
    portion: Portion
    further: str | None
    after: str
    note: str
    all_filters: list[SessionFilter]

    def get_filters(self, request: HttpRequest) -> Any:
        """Return Django's five answers; a parameter that no filter takes is refused here, and goes no further."""
        params = self.get_filters_params()
        self.after = params.pop(AFTER_VAR, [""])[-1]
        offered = len(params)
        kinds: Sequence[type[SessionFilter]] = self.list_filter  # type: ignore[assignment]
        specs = [kind(request, params, self.model, self.model_admin) for kind in kinds]
        if params:
            raise IncorrectLookupParameters
        shown = [spec for spec in specs if spec.has_output()]
        self.all_filters = specs
        return shown, bool(shown), {}, False, bool(offered)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[LiveSession]:
        """Read the parameters; return the empty queryset that Django's own code may do with what it likes."""
        self.request, self.viewer = request, Viewer(request, self.model_admin.admin_site)
        if not self.viewer.sees_users:
            self.search_help_text = _("The id of a user, the beginning of an IP address, or a session's name.")
        self.filter_specs, self.has_filters, _remaining, _may_repeat, self.has_active_filters = self.get_filters(
            request
        )
        # A link to another choice begins at the top of the list.
        self.filter_params.pop(AFTER_VAR, None)
        self.params.pop(AFTER_VAR, None)
        self.clear_all_filters_qs = self.get_query_string(remove=list(self.get_filters_params()))
        return self.root_queryset

    def get_results(self, request: HttpRequest) -> None:
        """Fetch one portion; nothing is counted."""
        try:
            portion = self.portion = self._find()
        except ValueError as error:
            raise IncorrectLookupParameters from error
        self.result_count = self.full_result_count = len(portion.records)
        self.show_full_result_count = False
        self.show_admin_actions = bool(portion.records)
        self.can_show_all, self.show_all, self.multi_page = True, False, False
        self.paginator = Paginator(portion.records, self.list_per_page)
        self.further = portion.further
        if portion.further is not None and len(portion.records) < self.list_per_page:
            self.note = _("Only the next %(count)d sessions were looked at.") % {"count": portion.looked_at}
        else:
            self.note = ""

    @functools.cached_property
    def result_list(self) -> Any:
        """Return the rows, made when a page shows them: who asks for the digest alone asks about no user."""
        rows = rows_of(self.request, self.model_admin.admin_site, self.portion.records)
        with_end_urls(rows, self.request, self.model_admin)
        return rows

    @property
    def digest(self) -> str:
        """Return a text that is another one once other sessions are on this page, or somebody signed in in one."""
        shown = sorted(f"{record.sid} {record.user_id} {is_bound(record)}" for record in self.portion.records)
        text = "\n".join([*shown, str(self.further is None)])
        # A damaged row may hold any text.
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _find(self) -> Portion:
        wanted, users = Filter(), None
        for spec in self.all_filters:
            wanted = spec.narrowed(wanted)
            users = _both(users, spec.users())
        text = self.query.strip()
        if is_sid(text) and (one := self._one(text, wanted, users)).records:
            return one
        if _START_OF_ADDRESS.fullmatch(text):
            wanted = _from_address(wanted, text)
        elif text:
            people = _both(users, self.viewer.people_named(text))
            portion = self._portion_of(wanted, people)
            if portion.records or not START_OF_SID.fullmatch(text):
                return portion
            wanted = wanted.which(lambda record: record.sid.startswith(text))
        return self._portion_of(wanted, users)

    def _portion_of(self, wanted: Filter, users: list[Any] | None) -> Portion:
        return services.portion_of_sessions(wanted, count=self.list_per_page, after=self.after, users=users)

    def _one(self, sid: str, wanted: Filter, users: list[Any] | None) -> Portion:
        found = services.contents_of(sid)
        ids = None if users is None else {services.user_id_of(user) for user in users}
        if found is None or not wanted.holds(found.record) or (ids is not None and found.record.user_id not in ids):
            return Portion([])
        return Portion([found.record])

    @classmethod
    def is_as(cls, digest: str, model_admin: Any, request: HttpRequest) -> bool:
        """Tell whether the page that is asked for is still the one with this digest."""
        try:
            return bool(model_admin.get_changelist_instance(request).digest == digest)
        except IncorrectLookupParameters:
            return False  # The page itself answers that.

    def get_ordering_field_columns(self) -> dict[Any, Any]:
        """Say that the list cannot be sorted by a column."""
        return {}

    @property
    def newest_url(self) -> str:
        """Return the link to the list's top."""
        return self.get_query_string()

    @property
    def further_url(self) -> str:
        """Return the link to what comes next."""
        return self.get_query_string({AFTER_VAR: self.further})


def _both(first: list[Any] | None, second: list[Any] | None) -> list[Any] | None:
    """Return the users that are in both lists; None is everybody."""
    if first is None or second is None:
        return second if first is None else first
    ids = {services.user_id_of(user) for user in second}
    return [user for user in first if services.user_id_of(user) in ids]


def _from_address(wanted: Filter, text: str) -> Filter:
    """Return what is wanted, and comes from an address or one that begins so."""
    start = text.lower()
    if _is_address(start):
        return wanted._replace(ip=str(ipaddress.ip_address(start)))
    return wanted.which(lambda record: record.client.ip.startswith(start))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
