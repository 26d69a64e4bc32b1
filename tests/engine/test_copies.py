"""Copies of a session object: a site's tests make them, as ``setUpTestData`` does of all that it keeps."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from tests.engine.every_store import on_every_store


@on_every_store
@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy])
def test_a_copy_of_a_session_has_contents_of_its_own(duplicate: Any, engine: Any) -> None:
    session = engine.SessionStore()
    session["list"] = [1]
    session.save()
    session = engine.SessionStore(session.session_key)
    session["pending"] = [2]
    other = duplicate(session)
    assert dict(other.items()) == {"list": [1], "pending": [2]}
    other["list"].append(3)
    session["pending"].append(4)
    assert dict(session.items()) == {"list": [1], "pending": [2, 4]}
    assert other.session_key == session.session_key
    other.save()
    assert dict(engine.SessionStore(session.session_key).items()) == {"list": [1, 3], "pending": [2]}


def test_a_copy_of_what_was_not_read_yet_reads_it(engine: Any) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.save()
    assert copy.deepcopy(engine.SessionStore(session.session_key))["a"] == 1


def test_contents_can_be_copied(engine: Any) -> None:
    session = engine.SessionStore()
    session["list"] = [1]
    session.save()
    contents = engine.SessionStore(session.session_key)._session
    other = copy.deepcopy(contents)
    other["list"].append(2)
    assert (dict(contents), dict(other)) == ({"list": [1]}, {"list": [1, 2]})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused_with_a_sentence(protocol: int, engine: Any) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    for what in (session, session._session):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(what, protocol)
    assert pickle.loads(pickle.dumps(dict(session.items()), protocol)) == {"a": 1}
