"""The demo's own pages: what the session of this browser is, a view counter, a cart, and an outage by a button."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.sessions.backends.base import UpdateError
from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from django_srvsession import services
from example_project.demo import outage
from example_project.demo.people import NAMES, password_of

SHELVES = {
    "Fruit": {"Apples": _("Apples"), "Pears": _("Pears"), "Plums": _("Plums")},
    "Bread": {"Rye": _("Rye"), "Wheat": _("Wheat")},
}
SHELF_NAMES = {"Fruit": _("Fruit"), "Bread": _("Bread")}
AT_ONCE = 20


def home(request: HttpRequest) -> HttpResponse:
    """Show the counter, the cart, and the way to everything else."""
    views = count_view(request)
    context = {
        "views": views,
        "shelves": [(name, SHELF_NAMES[name], items.items()) for name, items in SHELVES.items()],
        "devices": len(services.sessions_of(request.user)) if request.user.is_authenticated else 0,
        "cart": _named(request.session.get("cart")),
        "people": [(name, password_of(name)) for name in NAMES],
        "kept_in": _kept_in(),
        "engine": settings.SESSION_ENGINE,
        "at_once": AT_ONCE,
        "can_take_away": outage.is_possible(request),
        "seconds": settings.OUTAGE_SECONDS,
        "was_away": outage.is_just_over(),
        "languages": settings.LANGUAGES,
    }
    return render(request, "demo/home.html", context)


def _named(cart: dict[str, list[str]] | None) -> list[tuple[Any, list[Any]]]:
    """Return what is in the cart, in the language of the page."""
    return [(SHELF_NAMES[shelf], [SHELVES[shelf][item] for item in items]) for shelf, items in (cart or {}).items()]


def _kept_in() -> str:
    names = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
    engine = settings.SESSION_ENGINE.rpartition(".")[2]
    if engine == "db":
        vendor = connections["default"].vendor
        return names.get(vendor, vendor)
    if engine == "cached_db":
        return f"{names[connections['default'].vendor]} + Redis"
    return {"redis": "Redis", "mongodb": "MongoDB", "file": gettext("files"), "memory": gettext("memory")}[engine]


def count_view(request: HttpRequest) -> int | None:
    """Count this view, exactly: parallel requests never count the same number twice. None if there is nothing to count.

    `UpdateError`: this session was ended, or its key replaced, by another request a moment ago. The next view counts.
    """
    try:
        return request.session.incr("views")
    except UpdateError:
        return None


@require_POST
def count_at_once(request: HttpRequest) -> HttpResponse:
    """Count from twenty threads at once, each with a session object of its own, as twenty requests would."""
    key = request.session.session_key
    if key is not None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            counted = [number for number in pool.map(_count_one, [key] * AT_ONCE) if number is not None]
        text = gettext("%(sent)d requests at once: the counter went up by %(counted)d, and gave no number twice.")
        if len(set(counted)) < len(counted):
            text = gettext("%(sent)d requests at once, and a number was given twice. This should never be seen.")
        messages.success(request, text % {"sent": AT_ONCE, "counted": len(counted)})
    return redirect("home")


def _count_one(key: str) -> int | None:
    try:
        return import_module(settings.SESSION_ENGINE).SessionStore(key).incr("views")
    except UpdateError:
        return None
    finally:
        connections.close_all()


@require_POST
def take_store_away(request: HttpRequest) -> HttpResponse:
    """Let the store of sessions answer nobody for a few seconds. The next page is 503, and nobody is signed out."""
    if not outage.is_possible(request):
        raise Http404
    if not outage.begin():
        messages.error(request, gettext("The store is busy, and could not be taken away. Try again."))
    return redirect("home")


@require_POST
def add_to_cart(request: HttpRequest) -> HttpResponse:
    """Put something into the cart: a list inside a dict is changed, and nothing says `modified = True`."""
    shelf, item = request.POST.get("shelf", ""), request.POST.get("item", "")
    if item not in SHELVES.get(shelf, {}):
        raise Http404
    cart = request.session.setdefault("cart", {})
    cart.setdefault(shelf, []).append(item)
    return redirect("home")


@require_POST
def empty_cart(request: HttpRequest) -> HttpResponse:
    """Take everything out."""
    request.session.pop("cart", None)
    return redirect("home")
