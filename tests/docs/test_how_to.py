"""The how-to pages, tried out: what they say happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_srvsession import services
from tests.docs.apart import run_apart
from tests.docs.blocks import blocks_of
from tests.docs.site import Site

How = Callable[[str], Site]


@pytest.fixture
def followed(site_of: How) -> How:
    """Return a page's site, after all that the page says was done."""

    def follow(page: str) -> Site:
        site = site_of(page)
        for block in blocks_of(page):
            if block.language == "python":
                site.do(block)
        return site

    return follow


def test_limits(followed: How, settings: Any, rf: Any) -> None:
    followed("how-to/limits")
    ann, boss = (get_user_model().objects.create_user(name, password="secret") for name in ("ann", "boss"))
    boss.is_staff = True
    boss.save()
    from mysite.limits import sessions_of
    from mysite.views import sign_in

    assert (sessions_of(ann), sessions_of(boss)) == (3, None)
    for _ in range(4):
        Client().force_login(boss)
    assert len(services.sessions_of(boss)) == 4
    for _ in range(3):
        Client().force_login(ann)
    with pytest.raises(services.SignInRefusedError):
        Client().force_login(ann)
    settings.SRVSESSION_LIMIT_POLICY = "end_oldest"
    Client().force_login(ann)
    assert len(services.sessions_of(ann)) == 3
    assert sign_in


@pytest.mark.parametrize(("page", "story"), [("how-to/store-database", "database_of_its_own")])
def test_a_story_on_a_page_that_needs_a_site_of_its_own(page: str, story: str) -> None:
    run_apart(page, story)
