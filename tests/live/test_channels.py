"""The recipe for Channels, as the page has it, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.conftest import Users
from tests.live.listening import Socket, all_of
from tests.live.servers import Daphne, LiveSite, Uvicorn
from tests.live.test_ends import closed, end_by_a_new_password, end_by_logout, end_by_revoking
from tests.patience import patient
from tests.processes import Visitor
from tests.trust import WHOLE

WITHIN_SECONDS = 5.0
"""How often the page lets the store be asked."""


class OfChannels(LiveSite):
    """The page's application instead of ours."""

    def command(self, descriptor: int) -> list[str]:
        return [word.replace("tests.live.site", "tests.live.channels_site") for word in super().command(descriptor)]


class DaphneWithChannels(OfChannels, Daphne):
    """Daphne, which Channels comes with."""


class UvicornWithChannels(OfChannels, Uvicorn):
    """Uvicorn."""


SITES = {"daphne-redis": (DaphneWithChannels, "redis")}
if WHOLE:
    SITES |= {"daphne-sqlite": (DaphneWithChannels, "sqlite"), "uvicorn-redis": (UvicornWithChannels, "redis")}


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, live_settings: Any) -> Iterator[LiveSite]:
    """The page's site, with views that end sessions."""
    kind, store = SITES[request.param]
    apps = ["django.contrib.auth", "django.contrib.contenttypes", "django_srvsession", "channels"]
    with kind(**live_settings(store, INSTALLED_APPS=apps, ALLOWED_HOSTS=["127.0.0.1"])) as site:
        yield site


def test_the_recipe_closes_what_a_session_opened_when_it_ends(site: LiveSite, users: Users) -> None:
    ends = [end_by_logout, end_by_revoking, end_by_a_new_password]
    visitors = [(site.visitor(user), user) for user in users(len(ends) + 1)]
    with all_of(*(Socket(visitor, "/news/") for visitor, _ in visitors)) as opened:
        assert all(one.is_open for one in opened)
        reasons = [end(site, *of) for end, of in zip(ends, visitors[:-1], strict=True)]
        assert [one.ended(WITHIN_SECONDS + 2) for one in opened[:-1]] == [closed(site, reason) for reason in reasons]
        assert opened[-1].listen(patient(0.1)) is None
    for visitor in (visitors[0][0], Visitor(site.url)):
        with all_of(Socket(visitor, "/news/")) as (again,):
            assert not again.is_open, "nobody is signed in there"
    assert "Traceback" not in site.log
