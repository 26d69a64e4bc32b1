"""Stored values that cannot be trusted: the session reads as empty, says so once, and what is stored stays as it is."""

from __future__ import annotations

import contextlib
import logging
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.serializers import JSONSerializer
from django.http import HttpRequest
from django.template import engines

from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.seal import Sealer
from django_srvsession.records import AUTH_KEYS, Delta
from django_srvsession.store import CorruptSessionError, UpdateError
from tests.engine.pages import (
    Browser,
    View,
    count_view,
    deletes_cookie,
    login,
    logout,
    name_user,
    put,
    read,
    rotate,
    set_cookie,
    while_,
)
from tests.engine.watched import WatchedStore


class PickleLike:
    """Another ``SESSION_SERIALIZER`` than the one that the values were written with."""

    def dumps(self, obj: Any) -> bytes:
        return b"\x80" + JSONSerializer().dumps(obj)

    def loads(self, data: bytes) -> Any:
        return JSONSerializer().loads(data[1:])


def session_of(browser: Browser, store: WatchedStore) -> tuple[SessionKey, dict[str, bytes]]:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key, dict(store.inner.load(key.sid).values)  # type: ignore[union-attr]


def plant(browser: Browser, store: WatchedStore, **values: bytes) -> None:
    """Write bytes into the store, as somebody who can write there would."""
    key, _ = session_of(browser, store)
    store.inner.update(key.sid, key.verifier, Delta(changed=values))


def of_another_name(values: dict[str, bytes], sid: str) -> bytes:
    return values["b"]


def of_another_session(values: dict[str, bytes], sid: str) -> bytes:
    return Sealer("00" * 9, JSONSerializer()).seal("a", b'"moved"')


def of_another_site(values: dict[str, bytes], sid: str) -> bytes:
    return values["a"][:2] + b"site" + values["a"][6:]


def of_a_newer_version(values: dict[str, bytes], sid: str) -> bytes:
    return b"\x02" + values["a"][1:]


def of_an_unknown_flag(values: dict[str, bytes], sid: str) -> bytes:
    return values["a"][:1] + b"\x80" + values["a"][2:]


def truncated(values: dict[str, bytes], sid: str) -> bytes:
    return values["a"][:-1]


def cut_to_its_head(values: dict[str, bytes], sid: str) -> bytes:
    return values["a"][:21]


def lengthened(values: dict[str, bytes], sid: str) -> bytes:
    return values["a"] + b" "


def empty(values: dict[str, bytes], sid: str) -> bytes:
    return b""


def pickled(values: dict[str, bytes], sid: str) -> bytes:
    return b"\x80\x04\x95\x00.cos\nsystem\n(S'exit 1'\ntR."


def of_a_wrong_type(values: dict[str, bytes], sid: str) -> bytes:
    """Return a genuine seal on bytes that the serializer does not take."""
    return Sealer(sid, PickleLike()).seal("a", PickleLike().dumps("text"))


TAMPERED = [
    of_another_name,
    of_another_session,
    of_another_site,
    of_a_newer_version,
    of_an_unknown_flag,
    truncated,
    cut_to_its_head,
    lengthened,
    empty,
    pickled,
    of_a_wrong_type,
]


@pytest.fixture
def tampered(
    request: pytest.FixtureRequest, browser: Browser, ann: Any, store: WatchedStore
) -> Callable[[Callable[..., bytes]], Browser]:
    """A function that signs a browser in and replaces one value of its session."""

    def tamper(how: Callable[..., bytes]) -> Browser:
        browser.visit(login(ann))
        browser.visit(put(a="first", b="second", c=[3]))
        key, values = session_of(browser, store)
        plant(browser, store, a=how(values, key.sid))
        return browser

    return tamper


@pytest.mark.parametrize("how", TAMPERED)
def test_a_session_with_a_value_that_is_not_ours_reads_as_empty(
    how: Callable[..., bytes], tampered: Callable[..., Browser]
) -> None:
    browser = tampered(how)
    assert browser.show(read) == {}


@pytest.mark.parametrize("name", ["_auth_user_id", "_auth_user_backend", "_auth_user_hash"])
@pytest.mark.parametrize("how", TAMPERED)
def test_it_signs_nobody_in_where_it_says_who_is_signed_in(
    how: Callable[..., bytes], name: str, browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    browser.visit(put(a="first", b="second"))
    key, values = session_of(browser, store)
    plant(browser, store, **{name: how(values, key.sid)})
    assert browser.user() == ""


@pytest.mark.parametrize("how", TAMPERED)
def test_a_value_that_is_not_ours_is_in_nobodys_way_who_does_not_read_it(
    how: Callable[..., bytes], tampered: Callable[..., Browser], store: WatchedStore
) -> None:
    browser = tampered(how)
    _, values = session_of(browser, store)
    assert browser.user() == "ann"
    assert browser.show(count_view) == 1
    browser.visit(rotate)
    assert session_of(browser, store)[1]["a"] == values["a"], "somebody has sealed it"
    browser.visit(put(a="new"))
    assert browser.show(read)["a"] == "new"


def shown_in_a_template(session: Any) -> bool:
    template = engines["django"].from_string(
        "{% if session.sudo or 'sudo' in session or session.sudo_is %}yes{% endif %}"
    )
    return bool(template.render({"session": session}))


@pytest.mark.parametrize(
    "tells",
    [
        lambda session: "sudo" in session,
        lambda session: session.has_key("sudo"),
        lambda session: "sudo" in session.keys(),  # noqa: SIM118 - Django's own view of them.
        lambda session: "sudo" in session._session,
        lambda session: bool(session.keys()),
        lambda session: bool(session.items()),
        lambda session: len(session.keys()) > 0,
        lambda session: len(session._session) > 0,
        lambda session: bool(session._session),
        lambda session: len(session._session.copy()) > 0,
        lambda session: session.setdefault("sudo", False),
        lambda session: session.pop("sudo", False),
        lambda session: session.get("sudo", False),
        lambda session: session.get_expiry_age() and "sudo" in dict(session.items()),
        lambda session: session.change("sudo", bool, False) if "sudo" in session else False,
        shown_in_a_template,
    ],
)
@pytest.mark.parametrize("how", [of_another_session, of_another_name, of_another_site, truncated, empty, pickled])
def test_a_name_that_somebody_has_planted_is_not_there(
    how: Callable[..., bytes], tells: Callable[[Any], Any], browser: Browser, store: WatchedStore
) -> None:
    """Many a site asks only whether a name is there."""
    browser.visit(put(a="first", b="second"))
    key, values = session_of(browser, store)
    plant(browser, store, sudo=how(values, key.sid))
    assert not browser.show(lambda request: bool(tells(request.session)))
    assert not browser.show(read).get("sudo")


class Pickling:
    """A serializer that makes objects of any class, and so runs what it is given."""

    dumps = staticmethod(pickle.dumps)
    loads = staticmethod(pickle.loads)


has_run: list[str] = []


class Bomb:
    """Does something where it is made again."""

    def __reduce__(self) -> Any:
        return run, ("code",)


def run(what: str) -> None:
    has_run.append(what)


def change_a(request: HttpRequest) -> None:
    with contextlib.suppress(UpdateError):
        request.session.change("a", str)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_serializer_that_runs_code_is_never_given_what_was_not_sealed_here(
    is_compressed: bool, browser: Browser, ann: Any, store: WatchedStore, settings: Any
) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.Pickling"
    bomb = pickle.dumps(Bomb())
    for name in ("a", "_auth_user_id", "new", "views"):
        for view in (read, name_user, count_view, put(a=1), put(new=[1]), change_a, login(ann)):
            browser = Browser()
            browser.visit(login(ann))
            browser.visit(put(a="first"))
            assert browser.show(read)["a"] == "first"
            _, values = session_of(browser, store)
            forged = values["a"][:5] + (b"\x01" + zlib.compress(bomb) if is_compressed else b"\x00" + bomb) + bytes(16)
            plant(browser, store, **{name: forged})
            browser.visit(view)
    assert has_run == []
    pickle.loads(bomb)
    assert has_run.pop() == "code"


def after_reading(view: View) -> View:
    """Return a view that reads the value before."""

    def page(request: HttpRequest) -> Any:
        request.session.get("a")
        return view(request)

    return page


@pytest.mark.parametrize("view", [read, *map(after_reading, [name_user, count_view, put(a=1), logout, rotate])])
@pytest.mark.parametrize("how", [of_another_session, truncated, of_a_newer_version])
def test_the_stored_bytes_stay_as_they_are(
    how: Callable[..., bytes], view: View, tampered: Callable[..., Browser], store: WatchedStore
) -> None:
    browser = tampered(how)
    key, values = session_of(browser, store)
    assert browser.visit(view).status_code == 200
    assert store.inner.load(key.sid).values == values  # type: ignore[union-attr]


@pytest.mark.parametrize("how", TAMPERED)
def test_it_is_logged_by_sid_alone(
    how: Callable[..., bytes], tampered: Callable[..., Browser], store: WatchedStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = tampered(how)
    key, _ = session_of(browser, store)
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        browser.visit(read)
    (record,) = [record for record in caplog.records if record.name.startswith("django.security")]
    assert key.sid in record.getMessage()
    for secret in (key.text, key.verifier, "first", "second", "moved"):
        assert secret not in caplog.text


@pytest.mark.parametrize("how", [of_another_session, truncated])
def test_a_read_leaves_the_cookie_and_signing_in_works_again(
    how: Callable[..., bytes], tampered: Callable[..., Browser], ann: Any
) -> None:
    browser = tampered(how)
    old = browser.cookie
    assert set_cookie(browser.visit(read)) is None
    browser.visit(login(ann))
    assert browser.cookie != old
    assert browser.user() == "ann"
    assert browser.show(count_view) == 1


def test_a_value_of_another_serializer_empties_the_session_wherever_it_is_met(
    tampered: Callable[..., Browser],
) -> None:
    """Its seal is genuine, so only its use tells."""
    uses: list[Callable[[Any], Any]] = [
        lambda session: session.get("a"),
        lambda session: list(session.keys()),
        lambda session: list(session.values()),
        lambda session: dict(session.items()),
        lambda session: list(session._session),
        lambda session: session.cycle_key(),
    ]
    for use in uses:

        def page(request: HttpRequest, use: Callable[[Any], Any] = use) -> dict[str, Any]:
            use(request.session)
            return dict(request.session.items())

        assert tampered(of_a_wrong_type).show(page) == {}


def test_a_session_that_names_another_user_than_its_record_is_refused(
    browser: Browser, ann: Any, bob: Any, store: WatchedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A record's ``user_id`` is what lists and revocation go by: it must be the user who is signed in."""
    browser.visit(login(ann))
    _, values = session_of(browser, store)
    other = SessionKey.generate()
    sealer = Sealer(other.sid, JSONSerializer())
    moved = {name: sealer.seal(name, sealer.payload(sealed)) for name, sealed in values.items()}
    store.inner.create(other.sid, other.verifier, Delta(changed=moved, user_id=str(bob.pk), lifetime_ms=60_000))
    assert Browser(other.text).user() == ""
    assert other.sid in caplog.text


def test_who_changes_the_user_of_a_session_that_cannot_be_opened_ends_nothing(
    tampered: Callable[..., Browser], store: WatchedStore
) -> None:
    def drop_user(request: HttpRequest) -> None:
        del request.session["_auth_user_id"]

    browser = tampered(truncated)
    key, values = session_of(browser, store)
    assert browser.visit(drop_user).status_code == 200
    assert store.inner.load(key.sid).values == values  # type: ignore[union-attr]


def test_what_is_no_session_at_all_reads_as_empty_and_stays(
    browser: Browser, ann: Any, store: WatchedStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def corrupt(sid: str) -> None:
        raise CorruptSessionError(f"a list stands under {sid}")

    browser.visit(login(ann))
    old = browser.cookie
    with monkeypatch.context() as damage:
        damage.setattr(store.inner, "load", corrupt)
        assert browser.show(read) == {}
        assert set_cookie(browser.visit(read)) is None
        assert "django.security" in {record.name[:15] for record in caplog.records}
        browser.visit(put(a=1))
    assert browser.cookie != old


def test_an_unsealed_session_id_never_reaches_the_cookie_again(tampered: Callable[..., Browser]) -> None:
    browser = tampered(truncated)
    old = browser.cookie
    response = browser.visit(after_reading(put(a=1)))
    assert not deletes_cookie(response)
    assert set_cookie(response).value not in (old, "")


def test_a_forged_value_that_is_met_while_a_session_changes_its_owner_ends_nothing(
    browser: Browser, ann: Any, store: WatchedStore
) -> None:
    """The request had loaded the session before, and reads again what another one has left."""

    def signs_out_by_hand(request: HttpRequest) -> None:
        for name in AUTH_KEYS:
            request.session.pop(name, None)

    browser.visit(login(ann))
    browser.visit(put(a=1))
    before = session_of(browser, store)[0].sid
    answer = browser.visit(while_(read, lambda: plant(browser, store, b=b"forged"), signs_out_by_hand))
    assert (answer.status_code, set_cookie(answer)) == (200, None)
    key, values = session_of(browser, store)
    assert (key.sid, values["b"]) == (before, b"forged")
    assert store.inner.load(before).record.user_id == str(ann.pk)  # type: ignore[union-attr]
