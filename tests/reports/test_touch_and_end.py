"""A session that is touched and ended by one and the same request.

Reported of express-session: "a destroyed session is still touched" (957), and what the store's touch then makes again
opens for whoever has the cookie. The same goes for a session that is marked as changed after its end.

Right: whatever the order, the session has ended, its cookie goes, and a copy of the cookie opens nothing.
"""

from __future__ import annotations

import pytest

from tests.processes import Visitor
from tests.reports.sites import Sites


@pytest.mark.parametrize("end", ["logout", "flush"])
@pytest.mark.parametrize("way", ["touch", "modified", "expiry"])
@pytest.mark.parametrize("order", ["before", "after", "both"])
def test_what_one_request_touches_and_ends_stays_ended_and_its_cookie_goes(
    sites: Sites, store_name: str, order: str, way: str, end: str
) -> None:
    visitor = Visitor(sites.of(store_name).url)
    visitor.get("/login/", user="user4")
    copy = visitor.twin()
    answer = visitor.get("/touch_and_end/", order=order, way=way, end=end)
    assert answer.status == 200
    assert "sessionid" not in visitor.cookies, "its cookie goes"
    assert copy.get("/whoami/").json()["user"] == ""
    assert copy.get("/read/").json()["items"] == {}
    assert visitor.get("/sessions/", user="user4").json()["keys"] == []
