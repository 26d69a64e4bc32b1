"""The demo's own pages: a view counter, and a cart in the session."""

from __future__ import annotations

from django.contrib.sessions.backends.base import UpdateError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

SHELVES = {"Fruit": ["Apples", "Pears", "Plums"], "Bread": ["Rye", "Wheat"]}


def home(request: HttpRequest) -> HttpResponse:
    """Show the counter, the cart, and the way to everything else."""
    views = count_view(request)
    return render(request, "demo/home.html", {"views": views, "shelves": SHELVES, "cart": request.session.get("cart")})


def count_view(request: HttpRequest) -> int | None:
    """Count this view, exactly: parallel requests never count the same number twice. None if there is nothing to count.

    `UpdateError`: this session was ended, or its key replaced, by another request a moment ago. The next view counts.
    """
    try:
        return request.session.incr("views")
    except UpdateError:
        return None


@require_POST
def add_to_cart(request: HttpRequest) -> HttpResponse:
    """Put something into the cart: a list inside a dict is changed, and nothing says `modified = True`."""
    shelf, item = request.POST.get("shelf", ""), request.POST.get("item", "")
    if item not in SHELVES.get(shelf, []):
        raise Http404
    cart = request.session.setdefault("cart", {})
    cart.setdefault(shelf, []).append(item)
    return redirect("home")


@require_POST
def empty_cart(request: HttpRequest) -> HttpResponse:
    """Take everything out."""
    request.session.pop("cart", None)
    return redirect("home")
