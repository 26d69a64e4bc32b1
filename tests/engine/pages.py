"""A site whose pages are functions of the test at hand, and a browser that visits them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth import login as django_login
from django.contrib.auth import logout as django_logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

from tests.patience import patient

BACKEND = "django.contrib.auth.backends.ModelBackend"
STOCK = "django.contrib.sessions"
View = Callable[..., Any]

_views: dict[str, View] = {}


def _page(request: HttpRequest, name: str) -> Any:
    return _answered(_views[name](request))


async def _apage(request: HttpRequest, name: str) -> Any:
    return _answered(await _views[name](request))


def _answered(result: Any) -> HttpResponseBase:
    """Let views return whatever they want to show."""
    if isinstance(result, HttpResponseBase):
        return result
    return JsonResponse({"shown": result}, json_dumps_params={"default": repr})


urlpatterns = [path("a/<name>/", _apage), path("<name>/", _page)]


def url_of(view: View) -> str:
    """Put a view on the site and return its address."""
    name = f"{getattr(view, '__name__', 'view').strip('<>')}-{id(view)}"
    _views[name] = view
    return f"/a/{name}/" if iscoroutinefunction(view) else f"/{name}/"


class Browser:
    """Keep cookies as a browser does, over WSGI, or over ASGI with ``asgi=True``."""

    def __init__(self, cookie: str | None = None, asgi: bool = False) -> None:
        self._asgi = asgi
        self.client: Any = (AsyncClient if asgi else Client)(raise_request_exception=False)
        if cookie is not None:
            self.cookie = cookie

    @property
    def cookie(self) -> str | None:
        """The session cookie, or None."""
        morsel = self.client.cookies.get(settings.SESSION_COOKIE_NAME)
        return None if morsel is None else str(morsel.value)

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.client.cookies[settings.SESSION_COOKIE_NAME] = value

    def visit(self, view: View, method: str = "get", **extra: Any) -> Any:
        """Ask for the page of a view; what the test client knows as ``extra`` goes along."""
        ask = getattr(self.client, method)
        response = asyncio.run(ask(url_of(view), **extra)) if self._asgi else ask(url_of(view), **extra)
        self._drop_deleted()
        return response

    def show(self, view: View, **extra: Any) -> Any:
        """Visit a page that must work, and return what its view returned."""
        response = self.visit(view, **extra)
        assert response.status_code == 200, (response.status_code, response.content)
        return response.json()["shown"]

    def user(self) -> str:
        """Return the name that the site knows this browser's user by; empty for nobody."""
        return str(self.show(name_user))

    def copy(self) -> Browser:
        """Return another browser with the same cookie: a request that runs beside this one's."""
        return Browser(self.cookie, self._asgi)

    def _drop_deleted(self) -> None:
        cookies = self.client.cookies
        for name in [name for name, morsel in cookies.items() if morsel["max-age"] == 0]:
            del cookies[name]


def set_cookie(response: Any) -> Any:
    """Return what an answer says of the session cookie, or None when it says nothing."""
    return response.cookies.get(settings.SESSION_COOKIE_NAME)


def deletes_cookie(response: Any) -> bool:
    """Tell whether an answer deletes the session cookie."""
    morsel = set_cookie(response)
    return morsel is not None and morsel["max-age"] == 0 and morsel.value == ""


def varies(response: Any) -> bool:
    """Tell whether an answer says that it depends on the cookie."""
    return "Cookie" in response.headers.get("Vary", "")


def make_user(name: str = "ann", **fields: Any) -> Any:
    """Make a user whose password is ``secret``."""
    return get_user_model().objects.create_user(name, password="secret", **fields)


# Views.


def untouched(request: HttpRequest) -> str:
    return "nothing"


def name_user(request: HttpRequest) -> str:
    return str(request.user.get_username())


def read(request: HttpRequest) -> dict[str, Any]:
    return dict(request.session.items())


def sid(request: HttpRequest) -> Any:
    request.session.is_empty()
    request.session.get("x")
    return request.session.sid


def count_view(request: HttpRequest) -> int:
    request.session["views"] = request.session.get("views", 0) + 1
    return int(request.session["views"])


def rotate(request: HttpRequest) -> None:
    request.session.cycle_key()


def logout(request: HttpRequest) -> None:
    django_logout(request)


def flush(request: HttpRequest) -> None:
    request.session.flush()


def put(**values: Any) -> View:
    """Return a view that assigns values."""

    def put_values(request: HttpRequest) -> None:
        for name, value in values.items():
            request.session[name] = value

    return put_values


def login(user: Any) -> View:
    """Return a view that signs a user in."""

    def sign_in(request: HttpRequest) -> None:
        django_login(request, user, backend=BACKEND)

    return sign_in


def while_(first: View, other: Callable[[], object], then: View) -> View:
    """Return a view during which, between two parts, something else happens."""

    def interrupted(request: HttpRequest) -> Any:
        first(request)
        other()
        return then(request)

    return interrupted


def failing(view: View, status: int = 500) -> View:
    """Return a view that does what another does, and answers with an error."""

    def fail(request: HttpRequest) -> HttpResponse:
        view(request)
        return HttpResponse(status=status)

    return fail


def raising(view: View) -> View:
    """Return a view that does what another does, and raises."""

    def fail(request: HttpRequest) -> HttpResponse:
        view(request)
        raise ZeroDivisionError

    return fail


def at_once(actions: Iterable[Callable[[], Any]]) -> list[Any]:
    """Do all of it in threads of their own, and return the results in order; raises what the first failure raised."""
    actions = list(actions)
    results: list[Any] = [None] * len(actions)
    errors: list[BaseException] = []

    def do(index: int, action: Callable[[], Any]) -> None:
        from django.db import connections

        try:
            results[index] = action()
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread below.
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=do, args=job) for job in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(60))
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)
    return results
