"""Where a person changes or resets a password: pages of the site's, under the names that Django or allauth gives."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.urls import NoReverseMatch, reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext

PAGES: Final = {
    "change": ("password_change", "account_change_password"),
    "reset": ("password_reset", "account_reset_password"),
}
"""The names of URLs that lead there; the first that the site has counts."""


class Link(NamedTuple):
    """Hold a link for the middle of a sentence: its URL, and the markup around its words. All empty: there is none."""

    url: str = ""
    start: str = ""
    end: str = ""


def url_of(page: str) -> str:
    """Return the path of a page, "change" or "reset"; empty where the site has none."""
    for name in PAGES.get(page, ()):
        try:
            return reverse(name)
        except NoReverseMatch:
            continue
    return ""


def link_to(page: str) -> Link:
    """Return a link to a page, "change" or "reset"."""
    url = url_of(page)
    return Link(url, format_html('<a href="{}">', url), mark_safe("</a>")) if url else Link()


def with_advice(text: str) -> str:
    """Add to a text about a device that was signed out what to do if one did not know it, where the site has a page."""
    link = link_to("change")
    if not link.url:
        return text
    advice = conditional_escape(gettext("Didn't recognise it? %(start)sChange your password%(end)s."))
    return format_html("{} {}", text, mark_safe(advice % {"start": link.start, "end": link.end}))  # noqa: S308
