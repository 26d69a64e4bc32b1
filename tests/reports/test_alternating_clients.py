"""A client whose address, or whose browser's name, is another one at each request.

Reported of session libraries that compare the client with the one that signed in, and sign out whoever moves from Wi-Fi
to a mobile network, or is behind several proxies: CodeIgniter 5638, InvoicePlane 978 (the form that was being sent was
lost, too), Bonfire 520. Elsewhere each change of the client is a write of the session.

Right: nobody is signed out, and nothing is written but what is due anyway. The list shows one session, with the address
and the browser of one and the same request.
"""

from __future__ import annotations

from tests.processes import Visitor
from tests.reports.sites import Sites

CLIENTS = [
    ("198.51.100.7", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (
        "203.0.113.9",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Safari/604.1",
    ),
    ("2001:db8::1", "okhttp/4.12.0"),
]
REQUESTS = 30


def come_from(number: int) -> dict[str, str]:
    ip, agent = CLIENTS[number % len(CLIENTS)]
    return {"X-Forwarded-For": ip, "User-Agent": agent}


def test_a_client_that_alternates_address_and_browser_stays_signed_in_and_writes_nothing(
    sites: Sites, store_name: str
) -> None:
    visitor = Visitor(sites.of(store_name).url)
    visitor.get("/login/", user="user1", headers=come_from(0))
    first = visitor.get("/state/", headers=come_from(0)).json()
    for number in range(REQUESTS):
        seen = visitor.get("/state/", headers=come_from(number)).json()
        assert seen["user"] == "user1"
    assert seen["version"] <= first["version"] + 1, "a use is noted once a minute, whoever seems to come"
    assert len(visitor.get("/sessions/", user="user1").json()["keys"]) == 1


def test_the_list_shows_address_and_browser_of_one_request(sites: Sites, store_name: str) -> None:
    visitor = Visitor(sites.of(store_name, SRVSESSION_TOUCH_INTERVAL=0).url)
    visitor.get("/login/", user="user2", headers=come_from(0))
    for number in range(1, 7):
        visitor.get("/whoami/", headers=come_from(number))
        # What is shown is what the request before has noted.
        shown = visitor.get("/state/", headers=come_from(number)).json()
        assert (shown["ip"], shown["agent"]) == CLIENTS[number % len(CLIENTS)]
    assert len(visitor.get("/sessions/", user="user2").json()["keys"]) == 1
