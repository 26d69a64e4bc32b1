"""Several hosts that share the cookie: Chromium renews it for all of them, where the site's own host agrees."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.bound import BOUND, BoundSite, bound_browser, cookies
from tests.browser.browsers import Browser, Driver
from tests.browser.test_bound import is_signed_in, sign_in, whole

SITE, SHOP = "https://shop.test", "https://www.shop.test"


def lose(browser: Browser, domain: str) -> None:
    """Have the bound cookie run out."""
    browser.command("Network.deleteCookies", name=BOUND, domain=f".{domain}")
    assert BOUND not in cookies(browser)


@whole
@pytest.mark.parametrize(
    ("domain", "others"), [("shop.test", [SHOP, SITE]), ("eu.shop.test", ["https://www.eu.shop.test"])]
)
def test_a_browser_renews_on_each_host_of_the_site(driver: Driver, domain: str, others: list[str]) -> None:
    accounts = f"https://accounts.{domain}"
    settings: dict[str, Any] = {
        "SRVSESSION_BIND_SITE": SITE,
        "SESSION_COOKIE_DOMAIN": domain,
        "CSRF_COOKIE_DOMAIN": domain,
        "ALLOWED_HOSTS": [".shop.test", "localhost"],
        "TEST_REGISTERING_ORIGINS": [accounts],
    }
    with BoundSite(**settings) as site:
        to_it = f"127.0.0.1:{site.url.rpartition(':')[2]}"
        rules = f"--host-resolver-rules=MAP *.shop.test:443 {to_it}, MAP shop.test:443 {to_it}"
        with bound_browser(driver, None, rules) as browser:
            browser.site = accounts
            sign_in(browser)
            browser.until(lambda: BOUND in cookies(browser))
            for host in [*others, accounts]:
                assert is_signed_in(browser)
                lose(browser, domain)
                browser.site = host
                assert is_signed_in(browser), host
                assert BOUND in cookies(browser)
