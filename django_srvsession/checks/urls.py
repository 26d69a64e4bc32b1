"""Where people sign in, and go from there: Django's defaults are no pages of a new project. What our API shadows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.urls import URLPattern, URLResolver, get_resolver

from django_srvsession.accounts import destinations

_API: Final = "srvsession_api"


def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """Report a default of Django's that leads nowhere, where our pages are included and stand in for it."""
    if not hasattr(settings, "ROOT_URLCONF"):
        return []  # No pages: workers, commands.
    return [
        Warning(
            f"{name} is {getattr(settings, name)!r}, Django's default, and no URL pattern answers there. "
            f"Pages of django-srvsession lead to {path} instead; all other code leads to a 404.",
            hint=f'Set {name} = "{destinations.OURS[name]}", or to a page of yours.',
            id="srvsession.W019",
        )
        for name in destinations.OURS
        if (path := destinations.instead_of(name))
    ]


def check_order_of_urls(**kwargs: Any) -> list[CheckMessage]:
    """Report patterns that are never reached, because our API before them answers all that is below its address."""
    if not hasattr(settings, "ROOT_URLCONF"):
        return []
    routes = list(_routes(get_resolver().url_patterns))
    ours = next((place for place, (_, is_ours) in enumerate(routes) if is_ours), len(routes))
    prefix = routes[ours][0] if ours < len(routes) else ""
    shadowed = [route for route, _ in routes[ours + 1 :] if route.startswith(prefix)]
    if not shadowed:
        return []
    text = f"django_srvsession.api.urls answers everything below {prefix!r} that comes after it: {shadowed[0]!r}"
    more = f" and {len(shadowed) - 1} more" if len(shadowed) > 1 else ""
    hint = "Include it last of what is below that address, or at an address of its own."
    return [Warning(f"{text}{more} can never be reached.", hint=hint, id="srvsession.W022")]


def _routes(patterns: Iterable[URLPattern | URLResolver], before: str = "") -> Iterator[tuple[str, bool]]:
    """Yield all routes in order, and whether each is that of our API, whose own are left out."""
    for pattern in patterns:
        route = before + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLPattern):
            yield route, False
        elif pattern.app_name == _API:
            yield route, True
        else:
            yield from _routes(pattern.url_patterns, route)
