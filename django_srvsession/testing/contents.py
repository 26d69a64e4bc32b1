"""The contract of ``update``: names and values of any kind and number."""

from __future__ import annotations

import os

import pytest

from django_srvsession.records import Client, Delta, Ending, Tombstone
from django_srvsession.store import Store
from django_srvsession.testing.sessions import create, new_user, snapshot, stored

HOSTILE_NAMES = [
    "",
    " ",
    "v:",
    "v:v:a",
    "verifier",
    "user_id",
    "expires_ms",
    "__proto__",
    "a\0b",
    "\0",
    "\n",
    "quote'quote\"back\\slash`",
    "'; DROP TABLE srvsession_session; --",
    "%s %(a)s {0} $1 ?",
    "naïve 세션 \U0001f36a",
    "é",
    "e\u0301",
    "KEY",
    "key",
    "key ",
    "n" * 300,
    "lone surrogate \ud800",
]


HOSTILE_TEXTS = [
    "$verifier",
    "$$ROOT",
    '{"$gt": ""}',
    "'; DROP TABLE srvsession_session; --",
    "%s %(a)s {0} {a} $1 ? :a @a",
    "back\\slash \\x00 \\u0000 \\",
    "\r\n*1\r\n$4\r\nPING\r\n",
    "<script>alert(1)</script>",
    "  spaces  \t",
    "naïve 세션 \U0001f36a e\u0301",
    "a" * 200,
]
BINARY_VALUES = {
    "empty": b"",
    "nul": b"\0",
    "every byte": bytes(range(256)),
    "not utf-8": b"\xff\xfe\x80",
    "crlf": b"\r\n\r\n",
    "300 kB": os.urandom(300_000),
}


class ContentsContract:
    """``update``: what a site may keep in a session."""

    def test_names_of_values_may_be_any_text(self, store: Store) -> None:
        values = {name: b"%d" % number for number, name in enumerate(HOSTILE_NAMES)}
        created = create(store, user_id=new_user(), changed=values)
        record = created.record
        assert stored(store, record.sid).values == values
        assert stored(store, record.sid).record == record
        doubled = {name: value * 2 for name, value in values.items()}
        store.update(record.sid, record.verifier, Delta(changed=doubled, expected=values), created)
        assert stored(store, record.sid).values == doubled
        store.update(record.sid, record.verifier, Delta(resealed={n: (doubled[n], values[n]) for n in values}))
        assert stored(store, record.sid).values == values
        store.update(record.sid, record.verifier, Delta(removed=frozenset(HOSTILE_NAMES), changed={"left": b"1"}))
        assert stored(store, record.sid).values == {"left": b"1"}
        assert stored(store, record.sid).record.user_id == record.user_id

    @pytest.mark.parametrize("text", HOSTILE_TEXTS)
    def test_texts_from_outside_are_only_texts(self, store: Store, text: str) -> None:
        session = create(store, client=Client("", text), changed={text: b"1"})
        sid, verifier = session.record.sid, session.record.verifier
        assert snapshot(store, sid) == (session.record, {text: b"1"})
        assert session.record.client == Client("", text)
        other = Client(text[:64], "")
        changed = store.update(sid, verifier, Delta(client=other, changed={text: b"2"}, expected={text: b"1"}), session)
        assert changed.record.client == other
        assert snapshot(store, sid) == (changed.record, {text: b"2"})
        assert store.end(sid, Ending(text[:60], text, expected={text: b"2"})) == changed.record
        tombstone = store.load(sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.reason, tombstone.by) == (text[:60], text)

    def test_values_are_bytes_of_any_kind_and_size(self, store: Store) -> None:
        session = create(store, changed=BINARY_VALUES)
        sid, verifier = session.record.sid, session.record.verifier
        assert stored(store, sid).values == BINARY_VALUES
        delta = Delta(expected=BINARY_VALUES, changed={"empty": BINARY_VALUES["300 kB"], "nul": b""})
        store.update(sid, verifier, delta)
        assert stored(store, sid).values == {**BINARY_VALUES, "empty": BINARY_VALUES["300 kB"], "nul": b""}

    def test_ten_thousand_values_fit_in_one_update(self, store: Store) -> None:
        session = create(store, changed={"first": b"1"})
        sid, verifier = session.record.sid, session.record.verifier
        many = {f"name-{number}": b"%d" % number for number in range(10_000)}
        store.update(sid, verifier, Delta(changed=many))
        assert stored(store, sid).values == {"first": b"1", **many}
        resealed = {name: (value, value + b"!") for name, value in many.items()}
        store.update(sid, verifier, Delta(expected=many, resealed=resealed))
        assert stored(store, sid).values == {"first": b"1", **{name: new for name, (_, new) in resealed.items()}}
        store.update(sid, verifier, Delta(removed=frozenset(many)))
        assert stored(store, sid).values == {"first": b"1"}
