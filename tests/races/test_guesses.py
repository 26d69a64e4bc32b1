"""A hundred guesses of a password at once, by who holds somebody's cookie, in several processes."""

from __future__ import annotations

from tests.processes import Site
from tests.races.browsers import Lane, Race, cookie_after

GUESSES = 100
MOST = 5


def guess(lane: Lane, user: str) -> int:
    """Guess with one cookie; return how far the number of guesses that were judged, and of live sessions, is off."""
    lane.get("/revoke_all/", user=user)  # Other races leave sessions of theirs.
    cookie = lane.log_in(user)
    answers = lane.together([("/guess/", cookie, {"password": "wrong"})] * GUESSES)
    judged = sum(answer.json()["was_refused"] for answer in answers if answer.status == 200)
    return abs(judged - MOST) + len(lane.names([cookie])) + len(lane.sessions(user))


def guess_beside_the_owner(lane: Lane, user: str) -> int:
    """Let the owner confirm among guesses; return how often the owner is neither confirmed nor signed out."""
    lane.get("/revoke_all/", user=user)  # Other races leave sessions of theirs.
    cookie = lane.log_in(user)
    guesses = [("/guess/", cookie, {"password": "wrong"})] * (GUESSES // 4)
    answers = lane.together([*guesses[:2], ("/guess/", cookie, {"password": "secret"}), *guesses[2:]])
    owner = answers[2].json()
    judged = sum(answer.json()["was_refused"] for answer in answers if answer.status == 200)
    is_alive = bool(lane.names([cookie_after(answers[2], cookie)]))
    faults = (judged >= MOST and is_alive) + (is_alive != bool(lane.sessions(user))) + bool(lane.names([cookie]))
    lane.get("/revoke_all/", user=user)
    return faults + (is_alive and not owner["right"])


def test_of_a_hundred_guesses_at_once_five_are_judged_and_the_session_is_over(site: Site) -> None:
    assert Race(guess, connections=GUESSES).faults(site, 20, lanes=1) == 0


def test_the_owner_among_guesses_keeps_the_session_with_a_new_key_or_loses_it(site: Site) -> None:
    assert Race(guess_beside_the_owner, connections=GUESSES // 4 + 1).faults(site, 50, lanes=2) == 0
