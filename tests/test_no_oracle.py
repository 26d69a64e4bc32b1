"""All pages at once, on every store: GET changes nothing, a POST needs its CSRF token, and no answer tells of others.

The pages are those of ``urls.py``: one that is added there is tested here without a line more.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver, include, path, reverse
from django.utils.http import urlsafe_base64_decode as b64_decode

from django_srvsession import services
from django_srvsession import urls as pages
from django_srvsession.accounts.disowning import Claim
from django_srvsession.engine import current_store, registry
from django_srvsession.engine.keys import SessionKey
from django_srvsession.records import Loaded
from tests.engine.watched import WatchedStore
from tests.every_store import STORES, lasting_store
from tests.questions import shown_to
from tests.trust import WHOLE

urlpatterns = [path("account/", include("django_srvsession.urls"))]


def named(patterns: Any, prefix: str = "srvsession:") -> Iterator[tuple[str, frozenset[str]]]:
    """Yield name and arguments of each page, those of included URL modules too."""
    for entry in patterns:
        if isinstance(entry, URLResolver):
            inner = f"{prefix}{entry.namespace}:" if entry.namespace else prefix
            yield from named(entry.url_patterns, inner)
        elif isinstance(entry, URLPattern):
            assert entry.name, f"{entry} needs a name."
            yield prefix + entry.name, frozenset(argument_names(entry))


def argument_names(entry: URLPattern) -> list[str]:
    regex = getattr(entry.pattern, "regex", None)
    return [*entry.pattern.converters, *(regex.groupindex if regex else ())]


PAGES = dict(named(pages.urlpatterns))
WITH_SID = [name for name, arguments in PAGES.items() if "sid" in arguments]


def url(name: str, sid: str) -> str:
    """Return the address of a page; a new kind of argument needs a value here."""
    values = {"sid": lambda: sid, "token": lambda: token_for(sid)}
    return reverse(name, kwargs={argument: values[argument]() for argument in PAGES[name]})


def token_for(sid: str) -> str:
    """Return what the mail about a session's sign-in holds."""
    found = current_store().load(sid)
    return Claim(sid, str(found.record.user_id) if isinstance(found, Loaded) else "0").token


class People:
    """Ann, who is signed in twice and was a third time; Bob, who is signed in once and was twice; a visitor.

    Cid has an account, for what does change something.
    """

    def __init__(self) -> None:
        for name in ("ann", "bob", "cid"):
            get_user_model().objects.create_user(name, password="secret")
        self.ann, self.anns_other, anns_ended = (signed_in("ann") for _ in range(3))
        self.bob, bobs_ended = signed_in("bob"), signed_in("bob")
        self.visitor = Client()
        session = self.visitor.session
        session["basket"] = ["tea"]
        session.save()
        self.visitor.cookies[django_settings.SESSION_COOKIE_NAME] = session.session_key
        self.sids = {
            "bob's": sid_of(self.bob),
            "bob's, ended": sid_of(bobs_ended),
            "ann's, ended": sid_of(anns_ended),
            "a visitor's": sid_of(self.visitor),
            "nobody's": secrets.token_hex(9),
            "all zeros": "0" * 18,
        }
        self.holder_of_ended = Client()
        self.holder_of_ended.cookies = anns_ended.cookies.copy()
        for name in ("ann's, ended", "bob's, ended"):
            assert services.revoke(self.sids[name])

    def all(self) -> dict[str, Client]:
        """Return the browsers by name, and one without cookies."""
        return {
            "nobody": Client(),
            "visitor": self.visitor,
            "ann": self.ann,
            "holder of an ended key": self.holder_of_ended,
        }


def signed_in(name: str) -> Client:
    browser = Client()
    answer = browser.post(reverse("srvsession:login"), {"username": name, "password": "secret"})
    assert answer.status_code == 302
    return browser


def sid_of(browser: Client) -> str:
    key = SessionKey.parse(browser.cookies[django_settings.SESSION_COOKIE_NAME].value)
    assert key is not None
    return key.sid


@pytest.fixture(scope="module", params=[name for name in STORES if WHOLE or name != "mariadb"])
def people(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[People]:
    """The site's people, on each store: one set for all tests, as none of these changes anything of theirs."""
    site = {"ROOT_URLCONF": __name__, "LOGIN_URL": "srvsession:login", "LOGIN_REDIRECT_URL": "srvsession:sessions"}
    with lasting_store(request.param, request), override_settings(**site):
        yield People()


# All but when it was last seen, and how often it was written: a page that is read may note that.
OF_RECORD = attrgetter(
    *"sid verifier user_id client created_ms signed_in_ms lifetime_ms expires_ms deadline_ms".split(),
    *"previous_verifier rotated_ms rotation_final".split(),
)
OF_TOMBSTONE = attrgetter("sid", "verifiers", "reason", "by", "ended_ms", "user_id")


def contents(people: People) -> dict[str, Any]:
    """Return all that the store holds of sessions: records, values and tombstones, but for when they were last seen."""
    store = current_store()
    sids = {record.sid for record in services.live_sessions()} | set(people.sids.values())
    return {sid: _comparable(store.load(sid)) for sid in sids}


def _comparable(stored: Any) -> Any:
    if isinstance(stored, Loaded):
        return OF_RECORD(stored.record), dict(stored.values)
    return None if stored is None else OF_TOMBSTONE(stored)


# GET changes nothing.


def test_reading_any_page_changes_nothing(people: People) -> None:
    before = contents(people)
    assert len(before) > 6
    for name, method in itertools.product(PAGES, ["get", "head", "options", "trace"]):
        for who, browser in people.all().items():
            for sid in (sid_of(people.anns_other), people.sids["nobody's"]):
                answer = getattr(browser, method)(url(name, sid))
                assert answer.status_code < 500, (name, who)
                assert django_settings.SESSION_COOKIE_NAME not in answer.cookies, (name, who)
        assert contents(people) == before, name


# Every change needs a CSRF token.

FORM = "application/x-www-form-urlencoded"


# Django judges the token before any store is asked.
@pytest.mark.parametrize("people", STORES if WHOLE else ["sqlite", "redis"], indirect=True, scope="module")
def test_no_page_changes_anything_without_its_csrf_token(people: People) -> None:
    before = contents(people)
    for name, method, token in itertools.product(PAGES, ["post", "put", "patch", "delete"], ["", "A" * 32, "A" * 64]):
        fields = urlencode({"username": "bob", "password": "secret", "csrfmiddlewaretoken": token})
        for who, browser in people.all().items():
            ask = getattr(with_csrf_checks(browser), method)
            answer = ask(url(name, sid_of(people.anns_other)), fields, content_type=FORM)
            # Who is signed in already is led on from a sign-in page that was open in another tab.
            is_led_on = (name, method, who) == ("srvsession:login", "post", "ann")
            assert answer.status_code == (302 if is_led_on else 403), (name, method, who)
            assert django_settings.SESSION_COOKIE_NAME not in answer.cookies, (name, method, who)
        assert contents(people) == before, name


def test_pages_guard_themselves_on_a_site_without_the_middleware(people: People, settings: Any) -> None:
    csrf = "django.middleware.csrf.CsrfViewMiddleware"
    settings.MIDDLEWARE = [entry for entry in django_settings.MIDDLEWARE if entry != csrf]
    settings.SRVSESSION_EVENT_LOG = 30  # Or there is no page of recent activity.
    before = contents(people)
    for name in PAGES:
        for who, browser in people.all().items():
            answer = with_csrf_checks(browser).post(
                url(name, sid_of(people.anns_other)), {"username": "bob", "password": "secret"}
            )
            is_led_on = (name, who) == ("srvsession:login", "ann")
            assert answer.status_code in ([302] if is_led_on else [403, 405]), (name, who)
    assert contents(people) == before


def test_another_sites_form_changes_nothing_though_it_knows_a_token(people: People) -> None:
    guarded, token = with_token(people.ann)
    before = contents(people)
    for name in PAGES:
        fields = {"username": "bob", "password": "secret", "csrfmiddlewaretoken": token}
        address = url(name, sid_of(people.anns_other))
        status = guarded.post(address, fields, HTTP_ORIGIN="https://evil.example").status_code
        assert status == (302 if name == "srvsession:login" else 403), name
    assert contents(people) == before


def test_with_its_token_the_same_request_changes_something(people: People) -> None:
    guarded, token = with_token(signed_in("cid"))
    for name in ("srvsession:end", "srvsession:end_others", "srvsession:disown", "srvsession:logout"):
        other = signed_in("cid")
        before = contents(people)
        fields = shown_to(guarded) if name == "srvsession:end_others" else {}
        answer = guarded.post(url(name, sid_of(other)), {**fields, "csrfmiddlewaretoken": token})
        assert answer.status_code == 302, name
        assert contents(people) != before, name


def with_csrf_checks(browser: Client) -> Client:
    guarded = Client(enforce_csrf_checks=True)
    guarded.cookies = browser.cookies.copy()
    return guarded


def with_token(browser: Client) -> tuple[Client, str]:
    guarded = with_csrf_checks(browser)
    page = guarded.get(reverse("srvsession:sessions"))
    return guarded, str(page.context["csrf_token"])


# One answer.

MALFORMED = [
    "0" * 17,
    "0" * 19,
    "A" * 18,
    "g" * 18,
    "0" * 18 + "%0A",
    "%00" * 18,
    "%EF%BC%90" * 18,
    "0" * 17 + ".",
    "-1",
]


def said_to(browser: Client, method: str, name: str, sid: str) -> tuple[Any, ...]:
    """Return all that an answer tells: status, headers, cookies and body, with the sid that was asked for left out.

    The browser has read all messages before.
    """
    browser.cookies.pop("messages", None)
    answer = getattr(browser, method)(url(name, sid))
    headers = {name: value.replace(sid, "SID") for name, value in answer.headers.items()}
    headers.pop("Expires", None)  # The time of day.
    cookies = {name: morsel.OutputString() for name, morsel in answer.cookies.items() if name != "csrftoken"}
    if "messages" in cookies:
        cookies["messages"] = str(b64_decode(cookies["messages"].removeprefix("messages=").split(":")[0]))
    return answer.status_code, headers, cookies, answer.content.decode().replace(sid, "SID")


def odd_ones(answers: dict[str, Any]) -> list[str]:
    """Return for which sids the answer is not the one for a sid that never was."""
    return [kind for kind, answer in answers.items() if answer != answers["nobody's"]]


def test_of_a_session_that_is_not_ones_own_one_thing_is_said_whatever_became_of_it(people: People) -> None:
    assert WITH_SID
    before = contents(people)
    for name in WITH_SID:
        answers = {kind: said_to(people.ann, "post", name, sid) for kind, sid in people.sids.items()}
        status, headers, cookies, body = answers["nobody's"]
        assert (status, headers["Location"]) == (302, f"{reverse('srvsession:sessions')}?ended=")
        assert "That device was already signed out." in cookies["messages"]
        assert "SID" not in body + str(headers)
        assert odd_ones(answers) == [], name
    assert contents(people) == before


def test_a_malformed_sid_is_no_page(people: People) -> None:
    before = contents(people)
    sid = people.sids["nobody's"]
    for name, text in itertools.product(WITH_SID, MALFORMED):
        assert people.ann.post(url(name, sid).replace(sid, text)).status_code == 404, (name, text)
    assert contents(people) == before


@pytest.mark.parametrize("proof_age", [0, 900])
def test_no_method_and_no_person_gets_an_answer_that_depends_on_what_became_of_a_session(
    people: People, proof_age: int, settings: Any
) -> None:
    settings.SRVSESSION_REAUTH_AGE = proof_age  # 0: the password is asked for again, and must not tell anything either.
    for name, method in itertools.product(WITH_SID, ["get", "head", "options", "post", "put", "patch", "delete"]):
        for who, browser in people.all().items():
            answers = {kind: said_to(browser, method, name, sid) for kind, sid in people.sids.items()}
            assert odd_ones(answers) == [], (name, method, who)


def test_the_store_is_asked_the_same_whatever_became_of_a_session(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = current_store()
    watched = WatchedStore(store)
    monkeypatch.setitem(registry._stores, type(store), watched)  # type: ignore[arg-type]
    for name in WITH_SID:
        asked = {}
        for kind, sid in people.sids.items():
            calls = watched.since(lambda name=name, sid=sid: people.ann.post(url(name, sid)))  # type: ignore[misc]
            asked[kind] = [(call.verb, [argument for argument in call.args if argument != sid]) for call in calls]
        assert asked["nobody's"]
        assert odd_ones(asked) == [], name


def test_the_pages_under_test_are_those_of_the_site(people: People) -> None:
    assert len(PAGES) >= 6
    resolver = get_resolver()
    for name in PAGES:
        assert resolver.resolve(url(name, "0" * 18)).view_name == name
