"""Whatever ends a session ends its WebSockets and event streams, on real servers; and nothing else does."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest

from django_srvsession.engine.keys import SessionKey
from tests.every_store import DATABASES
from tests.live.conftest import PAIRS, Users
from tests.live.listening import Listener, Socket, Stream, all_of, wait_for
from tests.live.servers import LiveSite
from tests.processes import Visitor

WITHIN = 5  # Of a poll every 0.1 s, on a busy machine.


def only_on(*stores: str) -> pytest.MarkDecorator:
    """Run a test on some stores."""
    return pytest.mark.parametrize("site", [pair for pair in PAIRS if pair[1] in stores], ids="-".join, indirect=True)


def sid_of(visitor: Visitor) -> str:
    key = SessionKey.parse(visitor.cookies["sessionid"])
    assert key is not None
    return key.sid


def connections_of(visitor: Visitor) -> list[Listener]:
    """Open a socket and both kinds of streams."""
    return [Socket(visitor), Stream(visitor), Stream(visitor, "/guarded/")]


def all_go_on(opened: Iterable[Listener]) -> bool:
    return [one for one in opened if not one.goes_on()] == []


def how_ends(site: LiveSite, reason: str) -> list[Any]:
    """Return how those three end."""
    last = ("session-ended", json.dumps({"reason": reason}))
    return [closed(site, reason), last, last]


def closed(site: LiveSite, reason: str) -> tuple[int, str]:
    return 4401, reason if site.tells_reason else ""


def end_by_logout(site: LiveSite, visitor: Visitor, user: str) -> str:
    assert visitor.get("/logout/").status == 200
    return "logout"


def end_by_revoking(site: LiveSite, visitor: Visitor, user: str) -> str:
    assert site.visitor().get("/revoke/", sid=sid_of(visitor)).json()["ended"]
    return "revoked"


def end_by_a_new_password(site: LiveSite, visitor: Visitor, user: str) -> str:
    assert site.visitor().get("/change_password/", user=user).status == 200
    return "password_changed"


def end_by_deactivating(site: LiveSite, visitor: Visitor, user: str) -> str:
    assert site.visitor().get("/deactivate/", user=user).status == 200
    return "user_deactivated"


def end_by_expiry(site: LiveSite, visitor: Visitor, user: str) -> str:
    assert visitor.get("/expire_soon/").status == 200
    return "expired_idle"


def end_by_a_violation(site: LiveSite, visitor: Visitor, user: str) -> str:
    assert visitor.get("/bind/").status == 200
    assert site.visitor().get("/set_violation/", value="end").status == 200
    thief = Visitor(site.url, {"sessionid": visitor.cookies["sessionid"]})
    assert thief.get("/whoami/").json()["user"] == ""
    return "unbound"


ENDS = [
    end_by_logout,
    end_by_revoking,
    end_by_a_new_password,
    end_by_deactivating,
    end_by_expiry,
    end_by_a_violation,
]


def test_every_end_closes_what_is_open(site: LiveSite, users: Users) -> None:
    ended, reasons = [(site.visitor(user), user) for user in users(len(ENDS))], []
    other = site.visitor()
    groups = [connections_of(visitor) for visitor, _ in ended]
    with all_of(*itertools.chain(*groups), Socket(other), Stream(other)) as opened:
        assert all_go_on(opened)
        reasons = [end(site, *of) for end, of in zip(ENDS, ended, strict=True)]
        ends = {reason: [one.ended(WITHIN) for one in group] for reason, group in zip(reasons, groups, strict=True)}
        assert ends == {reason: how_ends(site, reason) for reason in reasons}
        assert all_go_on(opened[-2:])


def test_a_thief_who_is_refused_cannot_close_the_owner_s_connections(site: LiveSite, users: Users) -> None:
    owner, other = (site.visitor(user) for user in users(2))
    with all_of(Socket(other), *connections_of(owner)) as opened:
        assert owner.get("/bind/").status == 200
        assert site.visitor().get("/set_violation/", value="refuse").status == 200
        thief = Visitor(site.url, {"sessionid": owner.cookies["sessionid"]})
        for path in ("/whoami/", "/logout/", "/rotate/", "/set/?key=a&value=b"):
            thief.get(path)
        thieves = Socket(thief), Stream(thief)
        end_by_revoking(site, other, "")
        assert opened[0].ended(WITHIN) == closed(site, "revoked")
        assert all_go_on(opened[1:])
        for one in thieves:
            one.close()


def test_a_key_that_was_replaced_ends_what_it_opened_and_what_the_new_one_opens_goes_on(
    site: LiveSite, users: Users
) -> None:
    owner, other = (site.visitor(user) for user in users(2))
    thief = Visitor(site.url, dict(owner.cookies))
    with all_of(Socket(other), *connections_of(owner), *connections_of(thief)) as opened:
        assert owner.get("/rotate/").status == 200
        with all_of(*connections_of(owner)) as anew:
            assert [one.ended(WITHIN) for one in opened[1:]] == how_ends(site, "key_changed") * 2
            assert all_go_on([opened[0], *anew])
            end_by_revoking(site, owner, "")
            assert [one.ended(WITHIN) for one in anew] == how_ends(site, "revoked")


def test_sign_out_everywhere_else_keeps_the_own_connections(site: LiveSite, users: Users) -> None:
    (user,) = users(1)
    own, other = site.visitor(user), site.visitor(user)
    with all_of(*connections_of(own), *connections_of(other)) as opened:
        assert own.get("/revoke_all/", user=user, keep=sid_of(own)).json()["ended"] == 1
        assert [one.ended(WITHIN) for one in opened[3:]] == how_ends(site, "revoked")
        assert all_go_on(opened[:3])


def test_what_is_for_everybody_or_has_no_genuine_cookie_is_left_alone(site: LiveSite, users: Users) -> None:
    (user,) = users(1)
    visitor = site.visitor(user)
    forged = Visitor(site.url, {"sessionid": visitor.cookies["sessionid"][::-1]})
    none = Visitor(site.url)
    public = Socket(visitor, "/public/"), Stream(visitor, "/news/")
    with all_of(Socket(visitor), *public, Socket(forged), Stream(forged), Socket(none), Stream(none)) as opened:
        end_by_revoking(site, visitor, user)
        assert opened[0].ended(WITHIN) == closed(site, "revoked")
        assert all_go_on(opened[1:])


def test_the_site_is_told_of_each_end_and_nothing_is_logged(site: LiveSite, users: Users) -> None:
    logged = len(site.log)
    (user,) = users(1)
    visitor = site.visitor(user)
    before = len(visitor.get("/told/").json()["noted"])
    with all_of(*connections_of(visitor), Stream(visitor, "/news/")) as opened:
        end_by_revoking(site, visitor, user)
        for one in opened[:3]:
            one.ended(WITHIN)
    noted = visitor.get("/told/").json()["noted"][before:]
    assert sorted(noted) == [["http", "revoked"], ["websocket", "revoked"]]
    assert site.log[logged:] == ""


@only_on(*DATABASES)
def test_an_end_that_is_rolled_back_closes_nothing(site: LiveSite, users: Users) -> None:
    visitor = site.visitor(*users(1))
    with all_of(*connections_of(visitor)) as opened:
        assert site.visitor().get("/roll_back/", sid=sid_of(visitor)).json()["ended"]
        assert all_go_on(opened)
        end_by_revoking(site, visitor, "")
        assert [one.ended(WITHIN) for one in opened] == how_ends(site, "revoked")


@only_on("redis", "postgresql", "mariadb")
def test_an_outage_closes_nothing(site: LiveSite, users: Users, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(f"{site.store}_server")
    visitor = site.visitor(*users(1))
    with all_of(*connections_of(visitor)) as opened:
        with server.frozen():
            # A server hangs up on a client that answers no ping: they are listened to all the time.
            wait_for(lambda: all_go_on(opened) and "Live connections stay open" in site.log)
            assert all_go_on(opened)
        end_by_revoking(site, visitor, "")
        assert [one.ended(WITHIN) for one in opened] == how_ends(site, "revoked")
