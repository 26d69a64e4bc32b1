"""The session middleware: Django's contract, and what only an engine of ours can keep.

It subclasses Django's and replaces it in ``MIDDLEWARE``. With an engine that is not ours it does what Django's does.
What becomes of the session is the engine's (``engine/settling.py``); here is what the browser is told.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from functools import partial
from types import ModuleType
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions import middleware as django_middleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from django_srvsession import conf, services
from django_srvsession.accounts import current_request, new_devices
from django_srvsession.answers import in_json, named_twice, unavailable
from django_srvsession.clients import header
from django_srvsession.clients.address import client_of
from django_srvsession.engine import SessionStore, cookies
from django_srvsession.engine.knowledge import NotNowError
from django_srvsession.engine.settling import INTERRUPTED
from django_srvsession.escaping import escaped
from django_srvsession.store import StoreUnavailableError, UpdateError

log = logging.getLogger("django_srvsession")


class SessionMiddleware(django_middleware.SessionMiddleware):
    """Attach ``request.session``, and after the view save it, set or delete its cookie, or answer 503."""

    def __call__(self, request: HttpRequest) -> Any:
        """Answer a request; under ASGI, return the coroutine that does."""
        if self.async_mode:
            return self.__acall__(request)
        if (refusal := self.process_request(request)) is not None:
            return refusal
        if conf.is_moving():
            from django_srvsession.engine import bridging  # Most sites do not move.

            try:
                _attach(request, bridging.choose(request.session, partial(client_of, request), _guard(request)))
            except StoreUnavailableError as error:
                return _unavailable_while_moving(request, error)
        outer = current_request.enter(request)
        try:
            return self.process_response(request, self._answer(request))
        finally:
            current_request.leave(outer)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return cast(HttpResponseBase, self.get_response(request))
        except StoreUnavailableError:
            # Only where the error page needs the session too (with CSRF_USE_SESSIONS it does).
            return unavailable(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        # Django's would hop to a thread twice.
        if (refusal := self.process_request(request)) is not None:
            return refusal
        if conf.is_moving():
            from django_srvsession.engine import bridging

            try:
                _attach(request, await bridging.achoose(request.session, partial(client_of, request), _guard(request)))
            except StoreUnavailableError as error:
                return _unavailable_while_moving(request, error)
        outer = current_request.enter(request)
        try:
            return await self.aprocess_response(request, await self._aanswer(request))
        finally:
            current_request.leave(outer)

    async def _aanswer(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return await cast(Awaitable[HttpResponseBase], self.get_response(request))
        except StoreUnavailableError:
            return unavailable(request)

    def process_request(self, request: HttpRequest) -> HttpResponse | None:  # type: ignore[override]
        """Attach the session, without any I/O; refuse a request that names two."""
        if self._takes_header(request):
            return self._attach_by_header(request)
        if not issubclass(self.SessionStore, SessionStore):
            super().process_request(request)
            return None
        is_settled = cookies.settle(request)
        super().process_request(request)
        self._prepare(request, is_settled)
        return None

    def _takes_header(self, request: HttpRequest) -> bool:
        """Tell whether the header of a request counts: also for another engine's sessions, while the site moves."""
        has_ours = issubclass(self.SessionStore, SessionStore)
        return header.is_used(request) and (has_ours or conf.is_moving())

    def _attach_by_header(self, request: HttpRequest) -> HttpResponse | None:
        if header.is_contradicted(request):
            request.session = self.SessionStore()
            self._prepare(request, is_settled=False)
            return named_twice(request)
        request.session = self.SessionStore(header.key_text_of(request))
        self._prepare(request, is_settled=True)
        # As Django says it itself: no CSRF token is needed, since nothing that a browser adds stands for somebody.
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        return None

    def _prepare(self, request: HttpRequest, is_settled: bool) -> None:
        session: Any = request.session
        if not isinstance(session, SessionStore):
            return  # While the site moves.
        if not is_settled:
            session.stand_aside()
        session.note_client(partial(client_of, request))
        if conf.bind is not None:
            _binding().watch(request, session)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503 for an outage of the store and 400 for a session that ended meanwhile: neither is a bug."""
        if isinstance(exception, StoreUnavailableError):
            return unavailable(request)
        if isinstance(exception, UpdateError):
            raise SessionInterrupted(INTERRUPTED) from exception
        return None

    def process_response(  # type: ignore[override]
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Save the session, and tell the browser what it must know."""
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):
            return self._process_stock(request, response)
        try:
            if session.outage is None:
                _end_session_of_missing_user(request, session)
                if session.guard is not None:
                    _binding().note_use(session)
                tell_key(request, response, session, session.settle(response.status_code))
                new_devices.tell(request, session, response)
                if session.guard is not None:
                    _binding().answer(request, session, current_request.asks_for_key(session), response)
        except StoreUnavailableError as error:
            session.note_outage(error)
        if isinstance(session.outage, NotNowError):
            _binding().tell(request, session)
        return in_json(request, response) if session.outage is None else _unavailable_with_key(request, session)

    def _process_stock(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Do as Django's own with a session that is not ours; one that has just come from ours brings a new key."""
        try:
            answer = cast(HttpResponseBase, super().process_response(request, response))  # type: ignore[arg-type]
        except StoreUnavailableError as error:
            return _unavailable_while_moving(request, error)
        session: Any = getattr(request, "session", None)
        if getattr(session, "brings_key", False) and settings.SESSION_COOKIE_NAME not in answer.cookies:
            ends_with_browser = session.get_expire_at_browser_close()
            _put_cookie(answer, session.session_key, max_age=None if ends_with_browser else session.get_expiry_age())
            vary(answer)
        if self._takes_header(request):
            _tell_stock_key(request, answer, session)
        return answer

    async def aprocess_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Do as :meth:`process_response`, awaiting the store."""
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):
            return await sync_to_async(self._process_stock)(request, response)
        try:
            if session.outage is None:
                if _user_may_be_missing(request, session):
                    await sync_to_async(_end_session_of_missing_user)(request, session)
                if session.guard is not None:
                    _binding().note_use(session)
                tell_key(request, response, session, await session.asettle(response.status_code))
                await new_devices.atell(request, session, response)
                if session.guard is not None:
                    await _binding().aanswer(request, session, current_request.asks_for_key(session), response)
        except StoreUnavailableError as error:
            session.note_outage(error)
        if isinstance(session.outage, NotNowError):
            await _binding().atell(request, session)
        return in_json(request, response) if session.outage is None else _unavailable_with_key(request, session)


def tell_key(request: HttpRequest, response: HttpResponseBase, session: SessionStore, extended: bool) -> None:
    """Tell the client what it must know of its key, once the session is settled: the way that its own key came."""
    if header.is_used(request):
        put_header(request, response, session)
    else:
        put_cookie(request, response, session, extended)
    _clear_after_logout_of_admin(request, response)


def put_header(request: HttpRequest, response: HttpResponseBase, session: SessionStore) -> None:
    """Put a new key into the header, or nothing if the app's opens nothing any more; and let no cookie go out."""
    accessed = session.accessed
    if session.must_send_cookie:
        header.put(response, session.session_key or "")
        accessed = True
    elif session.must_drop_token and header.key_text_of(request) is not None:
        header.put(response, "")
        accessed = True
    if accessed:
        vary(response)
    _keep_csrf_cookie_back(request, response)


def _tell_stock_key(request: HttpRequest, response: HttpResponseBase, session: Any) -> None:
    """Put the key that Django has put into a cookie into the header, while the site moves; let no cookie go out."""
    cookie = response.cookies.pop(settings.SESSION_COOKIE_NAME, None)
    if cookie is not None:
        header.put(response, cookie.value)
    elif session.is_empty() and header.key_text_of(request) is not None:
        header.put(response, "")
    vary(response)
    _keep_csrf_cookie_back(request, response)


def _keep_csrf_cookie_back(request: HttpRequest, response: HttpResponseBase) -> None:
    # Also where the CSRF middleware stands before ours, and is still to set it.
    request.META.pop("CSRF_COOKIE_NEEDS_UPDATE", None)
    response.cookies.pop(settings.CSRF_COOKIE_NAME, None)


def _binding() -> ModuleType:
    """Return what binds sessions to devices: imported where ``SRVSESSION_BIND`` is set, and nowhere else."""
    from django_srvsession.binding import requests

    return requests


def _attach(request: HttpRequest, session: Any) -> None:
    """Have the session that was chosen, while the site moves."""
    if session is request.session:
        return
    request.session = session
    if isinstance(session, SessionStore):
        session.note_client(partial(client_of, request))
        if conf.bind is not None and session.guard is None:
            _binding().watch(request, session)


def _guard(request: HttpRequest) -> Any:
    """Return who judges whether a request may open a session; the one that its session has already, if any."""
    guard = getattr(request.session, "guard", None)
    return guard if guard is not None or conf.bind is None else _binding().DeviceGuard(request)


def _unavailable_while_moving(request: HttpRequest, error: StoreUnavailableError) -> HttpResponse:
    """Answer 503: it is not known which of two stores has the session."""
    log.error("A session store did not answer while the site moves: %s", escaped(error))
    return unavailable(request)


def put_cookie(request: HttpRequest, response: HttpResponseBase, session: SessionStore, extended: bool) -> None:
    """Set, keep or delete the session's cookie, once the session is settled; ``extended`` says that it is sent again.

    A cookie is set only for a session that the store has.
    """
    accessed = session.accessed
    if settings.SESSION_COOKIE_NAME in request.COOKIES and session.must_delete_cookie:
        _delete_cookie(response)
        if session.guard is not None:
            _binding().delete_cookie(request, response)
        accessed = True
    elif session.must_send_cookie or (extended and session.session_key is not None and session.is_live):
        _set_cookie(session, response)
        accessed = True
    if accessed:
        vary(response)


def vary(response: HttpResponseBase) -> None:
    """Say that the answer depends on all that may name a session."""
    patch_vary_headers(response, ("Cookie",) if conf.header is None else ("Cookie", conf.header))


def _set_cookie(session: SessionStore, response: HttpResponseBase) -> None:
    _put_cookie(response, session.session_key or "", max_age=session.cookie_age())


def _delete_cookie(response: HttpResponseBase) -> None:
    # With all attributes that it was set with, which Django's `delete_cookie()` does not repeat.
    _put_cookie(response, "", max_age=0, expires="Thu, 01 Jan 1970 00:00:00 GMT")


def _put_cookie(response: HttpResponseBase, value: str, **ends: Any) -> None:
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        value,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE or False,
        httponly=settings.SESSION_COOKIE_HTTPONLY or False,
        samesite=cast(Any, settings.SESSION_COOKIE_SAMESITE),
        **ends,
    )
    response.headers.setdefault("Cache-Control", "private")


def _clear_after_logout_of_admin(request: HttpRequest, response: HttpResponseBase) -> None:
    """Let the admin's own page that signs out do what ours does; it does so whenever it is posted to."""
    match = request.resolver_match
    is_its_answer = match is not None and (match.app_name, match.url_name) == ("admin", "logout")
    if is_its_answer and request.method == "POST" and response.status_code < 400:
        from django_srvsession.accounts.sign_in import (
            clear_site_data,  # Here, with the forms: a site that starts needs none.
        )

        clear_site_data(cast(HttpResponse, response))


def _user_may_be_missing(request: HttpRequest, session: SessionStore) -> bool:
    """Tell whether the request looked for its user and found none, though the session names one."""
    if session.record is None or session.record.user_id is None or not session.is_live:
        return False
    looked_up = [getattr(request, name, None) for name in ("_cached_user", "_acached_user")]
    return any(user is not None and not user.is_authenticated for user in looked_up)


def _end_session_of_missing_user(request: HttpRequest, session: SessionStore) -> None:
    """End, for good, the session of a user who is deactivated or gone; Django only shows an anonymous user."""
    record = session.record if _user_may_be_missing(request, session) else None
    if record is not None and services.end_if_user_is_gone(record) is not None:
        session.forget()


def _unavailable_with_key(request: HttpRequest, session: SessionStore) -> HttpResponse:
    """Answer 503 with no key but that of a rotation or a creation which the store acknowledged."""
    level = logging.INFO if isinstance(session.outage, NotNowError) else logging.ERROR
    log.log(level, "The session store did not answer: %s", escaped(session.outage))
    response = unavailable(request)
    if session.must_send_cookie and header.is_used(request):
        header.put(response, session.session_key or "")
    elif session.must_send_cookie:
        _set_cookie(session, response)
    vary(response)
    return response
