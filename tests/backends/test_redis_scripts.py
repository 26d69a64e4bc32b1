"""The Lua files of the Redis store, and that what they write is what Python's rules say."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_srvsession.backends import redis as redis_package
from django_srvsession.backends.redis import RedisStore, scripts
from django_srvsession.backends.redis import format as redis_format
from django_srvsession.backends.redis.scripts import CONSTANTS, compiled, source
from django_srvsession.records import UNSET, Client, Delta, Ending, Loaded, Tombstone, rotated, updated
from django_srvsession.store import UpdateError
from django_srvsession.testing.sessions import HOUR_MS, create, new_user, new_verifier, stored

FILES = {file.name: file.read_text() for file in (files(redis_package) / "lua").iterdir() if file.name.endswith(".lua")}
WHOLE = sorted(name for name, text in FILES.items() if not text.startswith("-- Part of other scripts"))


def code_of(text: str) -> str:
    """Return Lua without comments and texts."""
    return re.sub(r"--.*|'(?:[^'\\\n]|\\.)*'", "", text)


# The files.


@pytest.mark.parametrize("name", FILES)
def test_a_script_knows_numbers_of_the_format_by_their_names_only(name: str) -> None:
    """What is left are places next to each other, and the milliseconds of a second."""
    numbers = set(map(int, re.findall(r"\b\d+\b", code_of(FILES[name]))))
    assert numbers <= {0, 1, 2, 3, 4, 5, 9, 10, 18, 19, 1000}, "say it in Python, and name it here in capitals"


def test_every_constant_is_known_and_used() -> None:
    used = {name for text in FILES.values() for name in re.findall(r"\b[A-Z][A-Z0-9_]+\b", code_of(text))}
    assert used - {"KEYS", "ARGV"} == CONSTANTS.keys()


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("HEAD", redis_format._HEAD),
        ("ROTATION", redis_format._ROTATION),
        ("ENDED", redis_format._TOMB),
        ("LENGTHS", redis_format._TAIL),
    ],
)
def test_a_layout_is_the_same_to_python_and_to_redis(store: RedisStore, name: str, codes: Any) -> None:
    numbers = [
        bytes(range(32)) if code == "32s" else place for place, code in enumerate(re.findall(r"32s|\w", codes.format))
    ]
    (packed,) = store.transport.exchange(
        [("EVAL", f"return struct.pack('{CONSTANTS[name]}', unpack(ARGV))", 0, *numbers)]
    )
    assert packed == codes.pack(*numbers)


@pytest.mark.parametrize("name", WHOLE)
def test_a_script_says_at_its_head_which_keys_and_arguments_it_takes(name: str) -> None:
    head, _, _ = FILES[name].partition("\n\n-- include")
    assert re.search(r"^-- KEYS: the ", head, re.MULTILINE)
    assert re.search(r"^local [\w, ]+ = KEYS\[1\]", head, re.MULTILINE)
    assert re.search(r"ARGV", head)
    rest = FILES[name].removeprefix(head)
    assert not re.search(r"ARGV\[\d", rest), "an argument has a name"


@pytest.mark.parametrize("name", sorted(FILES.keys() - set(WHOLE)))
def test_a_part_is_included_by_a_script(name: str) -> None:
    assert any(f"-- include {name}\n" in text for text in FILES.values())


def test_what_redis_gets_has_no_comments_and_no_names_left() -> None:
    for script in scripts.TEXTS.values():
        assert "--" not in script
        assert set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", code_of(script))) <= {"KEYS", "ARGV"}


@pytest.mark.parametrize("by", [None, "7"])
@pytest.mark.parametrize("user_id", [None, "ü"])
@pytest.mark.parametrize("is_rotated", [False, True])
def test_either_script_leaves_the_same_of_a_session_that_it_ends(
    store: RedisStore, by: str | None, user_id: str | None, is_rotated: bool
) -> None:
    left = []
    for is_known in (False, True):
        session = create(store, **({} if user_id is None else {"user_id": user_id}))
        sid, verifier = session.record.sid, session.record.verifier
        if is_rotated:
            session = store.update(sid, verifier, Delta(new_verifier=new_verifier()), session)
        assert store.end(sid, Ending("revoked", by, base=session if is_known else None)) == session.record
        tombstone = store.load(sid)
        assert isinstance(tombstone, Tombstone)
        assert tombstone.verifiers == ((session.record.verifier, verifier) if is_rotated else (verifier,))
        (stays_ms,) = store.transport.exchange([("PTTL", store._tenant().keys.session(sid))])
        left.append(((tombstone.reason, tombstone.by, tombstone.user_id), stays_ms))
    assert left[0][0] == left[1][0]
    assert abs(left[0][1] - left[1][1]) < 60_000


def test_a_name_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError, match="HEAD_BYTE"):
        compiled("return HEAD_BYTE")
    assert compiled("return 'HEAD' -- HEAD\n-- more\n") == "return 'HEAD'"


def test_the_parts_of_a_script_are_read_from_the_package_wherever_it_is(tmp_path: Any) -> None:
    """A zip file will do."""
    assert source("save.lua").count("local function add(") == 1
    program = (
        "import sys, zipfile, pathlib, django_srvsession as p\n"
        "root = pathlib.Path(p.__file__).parent\n"
        "archive = zipfile.ZipFile(sys.argv[1], 'w')\n"
        "[archive.write(f, f.relative_to(root.parent)) for f in root.rglob('*') if f.suffix in ('.py', '.lua')]\n"
        "archive.close()\n"
        "for name in [n for n in sys.modules if n.startswith('django_srvsession')]: del sys.modules[name]\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from django_srvsession.backends.redis import scripts\n"
        "assert '.zip' in scripts.__file__\n"
        "print(len(scripts.TEXTS))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "package.zip")]
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert (done.stdout, done.stderr) == (f"{len(scripts.TEXTS)}\n", "")


# The rules: ``records.updated`` and ``records.rotated`` are said once more, in Lua.

NAMES = st.sampled_from(["a", "b", "_auth_user_id", "\x01", "é\udc80", ""])
BYTES = st.binary(max_size=40) | st.just(b"x" * 300)
SPANS = st.sampled_from([0, 1, HOUR_MS, 2 * HOUR_MS, 90 * 24 * HOUR_MS])
DELTAS = st.builds(
    Delta,
    changed=st.dictionaries(NAMES, BYTES, max_size=3),
    removed=st.frozensets(NAMES, max_size=2),
    cleared=st.sampled_from([False, False, True]),
    expected=st.just({}),
    resealed=st.dictionaries(NAMES, st.tuples(BYTES, BYTES), max_size=2),
    user_id=st.sampled_from([UNSET, UNSET, "the user"]),
    client=st.sampled_from([UNSET, Client(), Client("192.0.2.1", "agent \udcff" * 9)]),
    lifetime_ms=st.just(UNSET) | SPANS.filter(bool),
    deadline_ms=st.sampled_from([UNSET, UNSET, None, 30, 12_000]),
    extend=st.booleans(),
    new_verifier=st.sampled_from([None, None, "new"]),
    final=st.booleans(),
    details=st.sampled_from([UNSET, b"", b"details" * 9]),
)
SAVES = st.dictionaries(NAMES, BYTES, max_size=3).map(lambda changed: Delta(changed=changed))
"""Which nearly every delta is, and which have a script of their own."""


@pytest.fixture
def store(redis_alias: str) -> RedisStore:
    return RedisStore()


def named(delta: Delta, current: Loaded) -> Delta:
    """Return a delta with what a strategy cannot know: an instant, a verifier, bytes that stand."""
    if isinstance(delta.deadline_ms, int):
        delta = delta._replace(deadline_ms=current.now_ms + delta.deadline_ms * 60_000)
    if delta.new_verifier is not None:
        delta = delta._replace(new_verifier=new_verifier())
    resealed = {
        name: (current.values.get(name, old) if len(new) % 2 else old, new)
        for name, (old, new) in delta.resealed.items()
    }
    return delta._replace(resealed=resealed)


def by_the_rule(current: Loaded, delta: Delta, now_ms: int) -> Loaded:
    after = updated(current, delta, now_ms)
    if delta.new_verifier is None:
        return after
    return rotated(after, delta.new_verifier, delta.final, delta.user_id is not UNSET)


@given(st.lists(st.tuples(DELTAS | SAVES, st.sampled_from(["with base", "with base", "without", "stale"])), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scripts_change_a_session_as_the_rule_says(store: RedisStore, steps: list[tuple[Delta, str]]) -> None:
    begun = expected = create(store, user_id=new_user(), changed={"a": b"a", "b": b"b" * 90})
    user_id = str(begun.record.user_id)
    for delta, how in steps:
        change = named(delta, expected)
        if change.user_id is not UNSET:
            change = change._replace(user_id=user_id)
        base = {"with base": expected, "without": None, "stale": begun}[how]
        try:
            after = store.update(begun.record.sid, expected.record.verifier, change, base)
        except UpdateError:
            assert not expected.record.is_live(store.clock_ms + 1000)
            return
        expected = by_the_rule(expected, change, after.now_ms)
        assert after.record == expected.record
        found = stored(store, begun.record.sid)
        assert (found.record, dict(found.values)) == (expected.record, dict(expected.values))
        if how != "stale":
            assert dict(after.values) == dict(expected.values)
