"""Sign-ins and changes of a password that race with other requests of the same session."""

from __future__ import annotations

from tests.processes import Answer, Site
from tests.races.baselines import EVERY_ENGINE
from tests.races.browsers import Lane, Race, cookie_after

CLICKS = 8
NEW_PASSWORD = "new secret"


def cookie_of_browser(answers: list[Answer], cookie: str) -> str | None:
    """Return the cookie of a browser that got these answers in this order."""
    after: str | None = cookie
    for answer in answers:
        after = cookie_after(answer, after)
    return after


def double_click(lane: Lane, user: str) -> int:
    """Sign in many times at once with one anonymous session; return how many keys are not as they must be."""
    anonymous = lane.new_session()
    answers = list(lane.as_they_come([("/log_in_again/", anonymous, {"user": user})] * CLICKS).values())
    return wrong_keys(lane, user, answers, anonymous)


def slow_double_click(lane: Lane, user: str) -> int:
    """Sign in while another sign-in with the same anonymous session has loaded it, and waits."""
    anonymous = lane.new_session()
    with lane.hold("/held/log_in_again/", anonymous, user=user) as second:
        first = lane.get("/log_in_again/", anonymous, user=user)
    return wrong_keys(lane, user, [first, second.answer], anonymous)


def wrong_keys(lane: Lane, user: str, answers: list[Answer], anonymous: str) -> int:
    """Count answers whose key does not sign the user in, sessions that are not listed, and an old key that opens.

    Whichever answer arrives last, and whichever the browser has dropped, its key must work.
    """
    cookies = [cookie_after(answer, None) for answer in answers]
    dead = sum(lane.user(cookie) != user for cookie in cookies)
    unlisted = lane.names(cookies) ^ lane.sessions(user)
    opens = len(lane.names([anonymous])) + ("value" in lane.items(anonymous).values())
    lane.get("/revoke_all/", user=user)
    return dead + len(unlisted) + opens


def stale_after_password_change(lane: Lane, user: str) -> int:
    """Let a request that loaded the session before its owner changed the password look at its user after that."""
    cookie = lane.log_in(user)
    with lane.hold("/held/whoami/", cookie) as stale:
        changed = lane.get("/change_password/", cookie, password=NEW_PASSWORD)
    return lane.user(cookie_of_browser([changed, stale.answer], cookie)) != user


def reader_during_password_change(lane: Lane, user: str) -> int:
    """Let a request look at its user when the new password is stored and the session does not know (stock is right)."""
    cookie = lane.log_in(user)
    with lane.hold("/change_password/", cookie, password=NEW_PASSWORD) as change:
        between = lane.get("/whoami/", cookie)
    return lane.user(cookie_of_browser([between, change.answer], cookie)) != user


def crowd_and_password_change(lane: Lane, user: str) -> int:
    """Change a password among six requests of the same browser (stock is right)."""
    cookie = lane.log_in(user)
    crowd = [("/whoami/", cookie, {}), ("/read/", cookie, {}), ("/set/", cookie, {"key": "key", "value": 1})]
    answers = lane.as_they_come([*crowd, ("/change_password/", cookie, {"password": NEW_PASSWORD}), *crowd])
    # One of the crowd may end the session as stale and say so after this answer: that is the network's order.
    return lane.user(cookie_after(answers[len(crowd)], cookie)) != user


def test_each_of_parallel_first_logins_of_one_anonymous_session_holds_a_key_that_works(site: Site) -> None:
    assert Race(double_click, connections=CLICKS).faults(site, 45) == 0


def test_a_second_login_that_lost_the_race_holds_a_key_that_works(site: Site) -> None:
    assert Race(slow_double_click).faults(site, 30) == 0


def test_a_stale_request_after_a_password_change_does_not_sign_its_owner_out(site: Site) -> None:
    assert Race(stale_after_password_change).faults(site, 30) == 0


@EVERY_ENGINE
def test_a_stale_stock_request_after_a_password_change_signs_its_owner_out(stock_site: Site) -> None:
    assert Race(stale_after_password_change).shows(stock_site, 3)


def test_a_request_in_the_middle_of_a_password_change_does_not_sign_its_owner_out(site: Site) -> None:
    assert Race(reader_during_password_change).faults(site, 30) == 0


def test_requests_during_a_password_change_do_not_sign_its_owner_out(site: Site) -> None:
    assert Race(crowd_and_password_change).faults(site, 45) == 0
