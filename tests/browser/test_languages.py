"""The pages in every language of ours: nothing is too wide or cut, and nothing is left in English."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin
from tests.browser.test_activity import ACTIVITY
from tests.browser.test_admin import CUT, LIST
from tests.browser.test_pages import CONFIRM, LOGGED_OUT, LOGIN, PHONE_WIDTH, SESSIONS
from tests.test_translations import LANGUAGES, entries

OTHERS, NAME = "/account/sessions/end-others/", "/account/sessions/name/"
EVENTS = "/admin/srvsession/sessionevent/"
WIDTHS = (PHONE_WIDTH, 390)
FULLEST = (SESSIONS, ACTIVITY, LIST)
PAGES = {
    "de": (*FULLEST, OTHERS, CONFIRM, NAME, LOGIN, LOGGED_OUT, "/outage/", EVENTS),  # The longest words.
    **dict.fromkeys(set(LANGUAGES) - {"de"}, FULLEST),
}
# What a page is too wide by, and what is cut in it or stands over its neighbours.
TOO_WIDE = """
const page = document.documentElement, wide = [];
if (page.scrollWidth > innerWidth) wide.push(`page: ${page.scrollWidth - innerWidth}`);
for (const one of document.querySelectorAll(".srvsession :is(a, button, h1, h2, h3, dt, dd, p, label)")) {
  if (one.closest(".unseen, .skip")) continue;
  if (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline") wide.push(one.outerHTML);
}
return wide;
"""


@pytest.fixture
def browser(laptop: Browser, site: DemoSite) -> Iterator[Browser]:
    """A browser of the administrator's, who is signed in on four devices more and did all that there is."""
    laptop.prefer()
    begin(laptop, site, "/elsewhere/4/", "/again/2/", "/past/24/", name="admin")
    yield laptop
    laptop.prefer()


def test_every_page_fits_its_screen_in_every_language_and_speaks_it_wholly(browser: Browser) -> None:
    found: dict[str, object] = {}
    for language, paths in PAGES.items():
        for path in paths:
            browser.prefer(language=language, width=WIDTHS[-1])
            browser.go(path)
            words = browser.run("return document.querySelector('main').innerText + document.title")
            found[f"{language} {path} lang"] = browser.run("return document.documentElement.lang") != language
            found[f"{language} {path} English"] = english_in(words)
            for width in WIDTHS:
                browser.prefer(language=language, width=width)
                found[f"{language} {path} {width}"] = browser.run(TOO_WIDE)
            for width in (1280, 1366) if path in (LIST, EVENTS) else ():
                browser.prefer(language=language, width=width)
                found[f"{language} {path} {width}"] = browser.run(CUT)
    assert len(found) == (10 + 4 * 3) * 4 + (2 + 4) * 2
    assert {where: what for where, what in found.items() if what} == {}


def test_the_test_would_notice_what_is_too_wide_or_in_english(browser: Browser) -> None:
    browser.prefer(language="de", width=PHONE_WIDTH)
    browser.go(SESSIONS)
    browser.run("document.querySelector('h1').textContent = 'Recent activity: ' + 'Donaudampfschifffahrt'.repeat(3)")
    assert len(browser.run(TOO_WIDE)) == 2
    assert english_in(browser.find("main").text) == ["Recent activity"]


def english_in(words: str) -> list[str]:
    """Return the texts of the source that stand there; those of one word may be the same in two languages."""
    return [text for text in entries() if re.search(r"\w \w", text) and "%" not in text and text in words]
