"""People who use a site while it moves: what each of them must see, and what must not come back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.processes import Site, Visitor

COOKIE, OUR_KEY_LENGTH = "sessionid", 40


class Person:
    """A visitor who knows whether they are signed in, and how often they have been here."""

    def __init__(self, cookie: str, name: str, is_kept: bool) -> None:
        self.cookie, self.name, self.visits = cookie, name, 0
        self.is_kept = is_kept
        self.is_in = True
        self.former: list[str] = []
        """Keys that the browser had, all of which must open nothing after a logout."""

    def visit(self, sites: Sequence[Site], chance: random.Random) -> list[str]:
        """Visit two servers, from two tabs at the same time; return what is wrong.

        Who has the session in a signed cookie has one tab: of two, the engine of before loses what one of them does.
        """
        one, other = chance.choice(sites), chance.choice(sites)
        if self.is_kept or self._has_session_of_ours(sites):
            cookie = self.cookie
            with ThreadPoolExecutor(1) as tab:
                looking = tab.submit(self._get, other, "/see/", cookie)
                (counted, after), (seen, after_look) = self._get(one, "/bump/", cookie), looking.result()
            # The browser keeps the cookie of the answer that comes last.
            self.cookie = chance.choice([new for new in (after, after_look) if new != cookie] or [cookie])
        else:
            counted, self.cookie = self._get(one, "/bump/", self.cookie)
            seen, self.cookie = self._get(other, "/see/", self.cookie)
        before, self.visits = self.visits, self.visits + 1
        wrong = [] if counted == self._what(self.visits) else [f"{self.name} saw {counted} at visit {self.visits}"]
        if seen not in (self._what(self.visits), self._what(before)):
            wrong.append(f"{self.name} saw {seen} beside visit {self.visits}")
        return wrong

    def _has_session_of_ours(self, sites: Sequence[Site]) -> bool:
        """Tell whether these servers all keep the session in ours, or will from the first request on."""
        engines = [site.settings["SESSION_ENGINE"] for site in sites]
        if all(engine.startswith("django_srvsession") for engine in engines):
            return True
        return len(self.cookie) == OUR_KEY_LENGTH and all("SRVSESSION_MIGRATE_TO" in site.settings for site in sites)

    def _what(self, visits: int) -> dict[str, object]:
        return {"user": self.name, "n": visits}

    def sign_out(self, sites: Sequence[Site], chance: random.Random) -> None:
        """Sign out on one of the servers."""
        self._get(chance.choice(sites), "/out/", self.cookie)
        self.is_in = False

    def try_old_keys(self, sites: Sequence[Site], chance: random.Random) -> list[str]:
        """Come back with each key that there was before the logout; return those that open something.

        A server of before opens any signed cookie, ended or not.
        """
        if not self.is_kept:
            sites = [site for site in sites if not site.settings["MIDDLEWARE"][0].startswith("django.contrib")]
        return [
            f"{self.name} came back by {key} on {site.settings['SESSION_ENGINE']}"
            for key in dict.fromkeys(self.former[-6:])
            for site in chance.sample(sites, min(len(sites), 1))
            if Visitor(site.url, {COOKIE: key}).get("/see/").json()["user"]
        ]

    def _get(self, site: Site, path: str, cookie: str) -> tuple[object, str]:
        """Return what a page shows, and the cookie after it."""
        visitor = Visitor(site.url, {COOKIE: cookie})
        answer = visitor.get(path)
        after = visitor.cookies.get(COOKIE, "")
        if not self.is_kept and len(after) != len(cookie):
            self.former.clear()  # A signed cookie that was exchanged for another one is good for as long as it likes.
        self.former.append(cookie)
        return answer.json() if answer.status == 200 else f"{answer.status} {answer.body[:200]!r}", after


def all_visit(people: Sequence[Person], sites: Sequence[Site], seed: int, threads: int = 8) -> list[str]:
    """Let everybody who is in visit once, many at a time, and everybody who is out try to come back."""

    def act(numbered: tuple[int, Person]) -> list[str]:
        number, person = numbered
        chance = random.Random(seed * 1_000_003 + number)
        return person.visit(sites, chance) if person.is_in else person.try_old_keys(sites, chance)

    with ThreadPoolExecutor(threads) as pool:
        return [wrong for found in pool.map(act, enumerate(people)) for wrong in found]
