"""The contract of ``details``: what the engine keeps beside the record, and no store looks into."""

from __future__ import annotations

import os

import pytest

from django_srvsession.records import EXPIRED, MOST_DETAILS_BYTES, TOUCH, Client, Delta, Ending, Tombstone
from django_srvsession.store import ConflictError, Store, UpdateError
from django_srvsession.testing.sessions import (
    HOUR_MS,
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    snapshot,
    stored,
)

HOSTILE_DETAILS = {
    "one byte": b"\0",
    "every byte": bytes(range(256)),
    "not utf-8": b"\xff\xfe\x80",
    "quotes": b"'\"\\`; DROP TABLE srvsession_session; --",
    "braces": b"%s %(a)s {0} $1 ? \\x00",
    "crlf": b"\r\n\r\n",
    "as many as there may be": os.urandom(MOST_DETAILS_BYTES),
    "as many, all alike": b"\xff" * MOST_DETAILS_BYTES,
}
WITH_DETAILS = {
    "alone": Delta(details=b"new"),
    "dropped": Delta(details=b""),
    "and a value": Delta(details=b"new", changed={"a": b"A"}),
    "without extension": Delta(details=b"new", extend=False),
    "and a new key": Delta(details=b"new", new_verifier=new_verifier(), final=False),
    "and a sign-in": Delta(details=b"new", user_id="123", new_verifier=new_verifier(), changed={"a": b"A"}),
}
WITHOUT_DETAILS = {
    "touch": TOUCH,
    "a value": Delta(changed={"a": b"A"}),
    "everything dropped": Delta(cleared=True),
    "the client": Delta(client=Client("192.0.2.1", "agent")),
    "a lifetime": Delta(lifetime_ms=2 * HOUR_MS, deadline_ms=4_102_444_800_000),
    "a new key": Delta(new_verifier=new_verifier()),
    "a sign-in": Delta(user_id="123", new_verifier=new_verifier()),
}


class DetailsContract:
    """Details are kept and listed with the record, and change only where a delta names them."""

    @pytest.mark.parametrize("details", HOSTILE_DETAILS.values(), ids=HOSTILE_DETAILS)
    def test_details_are_bytes_of_any_kind(self, store: Store, details: bytes) -> None:
        user_id = new_user()
        created = create(store, user_id=user_id, details=details, changed={"a": b"a"})
        record = created.record
        assert record.details == details
        assert snapshot(store, record.sid) == (record, {"a": b"a"})
        assert list(store.records(user_id)) == [record]
        after = store.update(record.sid, record.verifier, Delta(details=details[::-1]), created).record
        assert after.details == details[::-1]
        assert snapshot(store, record.sid) == (after, {"a": b"a"})
        assert store.end(record.sid, Ending("logout")) == after

    def test_a_session_has_no_details_until_a_delta_names_some(self, store: Store) -> None:
        session = create(store, changed={"a": b"a"})
        assert (session.record.details, stored(store, session.record.sid).record.details) == (b"", b"")
        after = store.update(session.record.sid, session.record.verifier, Delta(details=b"some"), session)
        assert after.record.details == stored(store, session.record.sid).record.details == b"some"

    @pytest.mark.parametrize("base", ["with base", "without base"])
    @pytest.mark.parametrize("delta", WITH_DETAILS.values(), ids=WITH_DETAILS)
    def test_details_that_a_delta_names_are_replaced(self, store: Store, delta: Delta, base: str) -> None:
        session = create(store, details=b"as they were, and longer", changed={"a": b"a", "b": b"b"})
        sid, verifier = session.record.sid, session.record.verifier
        after = store.update(sid, verifier, delta, session if base == "with base" else None)
        assert after.record.details == delta.details
        assert snapshot(store, sid) == (after.record, {"a": b"a", "b": b"b", **delta.changed})

    @pytest.mark.parametrize("base", ["with base", "without base", "base without details"])
    @pytest.mark.parametrize("delta", WITHOUT_DETAILS.values(), ids=WITHOUT_DETAILS)
    def test_details_stay_where_a_delta_names_none(self, store: Store, delta: Delta, base: str) -> None:
        before = create(store, changed={"a": b"a"})
        sid, verifier = before.record.sid, before.record.verifier
        session = store.update(sid, verifier, Delta(details=b"kept"), before)
        given = {"with base": session, "without base": None, "base without details": before}[base]
        after = store.update(sid, verifier, delta, given)
        assert after.record.details == b"kept"
        assert stored(store, sid).record == after.record

    def test_a_base_that_is_out_of_date_does_not_bring_details_back(self, store: Store) -> None:
        base = create(store, details=b"old", changed={"a": b"a"})
        sid, verifier = base.record.sid, base.record.verifier
        store.update(sid, verifier, Delta(details=b"theirs"), base)
        record = store.update(sid, verifier, Delta(changed={"b": b"b"}), base).record
        assert snapshot(store, sid) == (record, {"a": b"a", "b": b"b"})
        assert record.details == b"theirs"

    def test_what_is_refused_changes_no_details(self, store: Store) -> None:
        session = create(store, details=b"kept", changed={"a": b"a"})
        sid, verifier = session.record.sid, session.record.verifier
        before = snapshot(store, sid)
        with pytest.raises(ConflictError):
            store.update(sid, verifier, Delta(details=b"new", expected={"a": b"other"}), session)
        with pytest.raises(UpdateError):
            store.update(sid, new_verifier(), Delta(details=b"new"), session)
        assert snapshot(store, sid) == before

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_details_that_are_too_long_are_refused_and_nothing_is_written(self, store: Store, base: str) -> None:
        too_long, sid = bytes(MOST_DETAILS_BYTES + 1), new_sid()
        with pytest.raises(ValueError, match="1,024 bytes"):
            store.create(sid, new_verifier(), new_delta(details=too_long))
        assert store.load(sid) is None
        session = create(store, details=b"kept", changed={"a": b"a"})
        before = snapshot(store, session.record.sid)
        given = session if base == "with base" else None
        for others in (Delta(changed={"a": b"A"}), Delta(new_verifier=new_verifier())):
            with pytest.raises(ValueError, match="1,024 bytes"):
                store.update(session.record.sid, session.record.verifier, others._replace(details=too_long), given)
        assert snapshot(store, session.record.sid) == before

    def test_details_go_with_the_session(self, store: Store) -> None:
        live, due = create(store, details=b"gone"), make_due(store, create(store, details=b"gone"))
        for record, ending in ((live.record, Ending("logout")), (due.record, EXPIRED)):
            assert store.end(record.sid, ending) == record
            tombstone = store.load(record.sid)
            assert isinstance(tombstone, Tombstone)
            assert b"gone" not in repr(tombstone._asdict()).encode()
