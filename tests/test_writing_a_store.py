"""``docs/how-to/writing-a-store.rst``: its store keeps the contract, which finds what is wrong with a store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from inspect import iscoroutinefunction, signature
from pathlib import Path
from xml.etree import ElementTree

import pytest

from django_srvsession.store import Store
from django_srvsession.store.face import Face, ThreadFace
from django_srvsession.testing import StoreContract
from tests.own_store import PAGE, dict_store, files
from tests.patience import patient
from tests.runs import ROOT
from tests.trust import WHOLE

MODULES = ("clock", "face", "framing", "health", "listings", "loops", "rules", "user_records", "waiting")


class TestTheSmallestStore(StoreContract):
    """What the page shows first is a whole store."""

    @pytest.fixture
    def store(self) -> Store:
        """Take it from the page."""
        return dict_store()()


def test_a_store_has_seven_verbs_and_one_async_hook() -> None:
    assert Store.__abstractmethods__ == {"create", "load", "update", "end", "admit", "walk", "clear_expired"}
    assert [name for name, method in vars(Store).items() if iscoroutinefunction(method)] == []
    assert type(dict_store()().face()) is ThreadFace


def test_a_coroutine_takes_what_its_verb_takes() -> None:
    coroutines = {name for name, method in vars(Face).items() if iscoroutinefunction(method)} - {"call", "pause"}
    assert coroutines >= {"create", "load", "update", "end", "end_many", "alive", "admit", "records"}
    for name in coroutines:
        assert signature(getattr(Face, name)) == signature(getattr(Store, name)), name


def test_the_smallest_store_is_small() -> None:
    assert len([line for line in files()["dict_store.py"].splitlines() if line]) <= 73


def test_the_page_names_what_there_is() -> None:
    named = re.findall(rf"``({'|'.join(MODULES)}|records)\.(\w+)", PAGE)
    assert len(named) > 8
    for module, name in named:
        place = "django_srvsession" if module == "records" else "django_srvsession.store"
        assert hasattr(import_module(f"{place}.{module}"), name), f"{module}.{name}"
    for method in re.findall(r"``(\w+)\([\w, =.]*\)``\n    ", PAGE):
        assert hasattr(Store, method), method


FOUND = "self._find(sid, now)"
CHANGED = f"rules.changed({FOUND}, verifier, delta, now)"
ENDED = f"rules.may_end({FOUND}, ending, now)"
BURIED = "self._all[sid] = rules.tombstone(record, ending, now)"
PUT = "self._all[session.record.sid] = session"
ADMITTED = "self._users.setdefault(user_id, rules.Admissions()).admit(sid, live, limit, policy, now)"
LIVE = "[record for record in sessions if record.is_live(now)]"
# The first stands in the smallest store once; with the second in its place the store is wrong.
MUTATIONS = {
    "a taken sid is written over": (f"rules.already_created({FOUND}, verifier, now)", "None"),
    "a repeated creation is refused": (
        f"rules.already_created({FOUND}, verifier, now)",
        f"rules.already_created({FOUND}, verifier and 'x', now)",
    ),
    "a load ends what is due": (
        f"return {FOUND.replace('now', 'self.clock_ms')}",
        "return rules.as_of(None if "
        "rules.may_end(self._all.get(sid), EXPIRED, self.clock_ms) else self._all.get(sid), self.clock_ms)",
    ),
    "whoever asks may change a session": (
        CHANGED,
        f"rules.changed(found := {FOUND}, found.record.verifier if "
        "isinstance(found, Loaded) and not delta.new_verifier else verifier, delta, now)",
    ),
    "the key before changes the key": (
        CHANGED,
        f"rules.changed(found := {FOUND}, found.record.verifier if "
        "isinstance(found, Loaded) and found.record.accepts(verifier, now) else verifier, delta, now)",
    ),
    "an update creates what is not there": (
        CHANGED,
        f"rules.changed({FOUND} or new_session(sid, verifier, "
        "delta._replace(lifetime_ms=60_000), now), verifier, delta, now)",
    ),
    "an update revives what has ended": (
        CHANGED,
        f"rules.changed(found if isinstance(found := {FOUND}, Loaded) else "
        "new_session(sid, verifier, delta._replace(lifetime_ms=60_000), now), verifier, delta, now)",
    ),
    "an update revives what is due": (
        CHANGED,
        f"rules.changed(found := {FOUND}, verifier, delta, min(now, "
        "found.record.expires_ms - 1) if isinstance(found, Loaded) else now)",
    ),
    "what is expected does not matter": (CHANGED, CHANGED.replace("delta", "delta._replace(expected={})")),
    "a sid passes to another user": (
        CHANGED,
        CHANGED.replace(
            FOUND,
            f"(found := {FOUND}) and isinstance(found, Loaded) "
            "and delta.user_id and found._replace(record=found.record._replace(user_id=None))",
        ),
    ),
    "the base is trusted": (CHANGED, CHANGED.replace(FOUND, f"base or {FOUND}")),
    "what others added is dropped": (
        CHANGED,
        CHANGED.replace(
            "delta,",
            "delta._replace(cleared=base is not None, changed={**(base.values if base else {}), **delta.changed}),",
        ),
    ),
    "the key does not change": (CHANGED, CHANGED.replace("delta", "delta._replace(new_verifier=None)")),
    "the old key stays valid": (CHANGED, CHANGED.replace("delta", "delta._replace(final=False)")),
    "the old key is forgotten": (
        PUT,
        f"session = session._replace(record=session.record._replace(previous_verifier=None))\n        {PUT}",
    ),
    "a touch moves no expiry": (CHANGED, CHANGED.replace("delta", "delta._replace(extend=False)")),
    "a check and its write are two steps": (
        f"        with self._lock:\n            now = self.clock_ms\n            return self._put({CHANGED})",
        f"        now = self.clock_ms\n        session = {CHANGED}\n"
        "        threading.Event().wait(0.001)\n        return self._put(session)",
    ),
    "details are dropped": (
        PUT,
        f"session = session._replace(record=session.record._replace(details=b''))\n        {PUT}",
    ),
    "what is returned can be changed": ("MappingProxyType(dict(session.values))", "dict(session.values)"),
    "whoever asks may end a session": (ENDED, ENDED.replace("ending", "ending._replace(verifier=None)")),
    "an end expects nothing": (ENDED, ENDED.replace("ending", "ending._replace(expected=None)")),
    "a live session expires": (
        ENDED,
        ENDED.replace("ending", "ending._replace(reason=ending.reason or 'expired_idle')"),
    ),
    "an end trusts its caller": (ENDED, f"(found := {ENDED}) and (ending.base.record if ending.base else found)"),
    "an end leaves nothing": (BURIED, "del self._all[sid]"),
    "an end leaves the session": (BURIED, "pass"),
    "a tombstone says nothing of who": (BURIED, BURIED.replace("ending", "ending._replace(by=None)")),
    "the record goes to everybody": (
        "            return record\n",
        "            self._users[sid] = record or self._users.get(sid)\n            return self._users[sid]\n",
    ),
    "a session is given to end twice": (
        ADMITTED,
        ADMITTED.replace("self._users.setdefault(user_id, rules.Admissions())", "rules.Admissions()"),
    ),
    "a limit ends nobody": (f"return {ADMITTED}", "return []"),
    "users share a limit": ("if step.record.user_id == user_id", ""),
    "what is due is listed": (LIVE, "list(sessions)"),
    "a place is not looked at": ("return self._walk(self.clock_ms, after)", "return self._walk(self.clock_ms)"),
    "the order is that of creation": (
        LIVE,
        LIVE.replace("[record", "[record._replace(last_seen_ms=record.created_ms)"),
    ),
    "clearing forgets fresh tombstones": ("rules.as_of(one, now) is None", "not isinstance(one, Loaded)"),
    "a dry run ends sessions": ("return len(due)", "return sum(self.end(sid, EXPIRED) is not None for sid in due)"),
    "clearing tells of each twice": ("rules.hand_over(ended,", "rules.hand_over([one for one in ended for _ in '12'],"),
    "clearing loses what it told nobody": ("rules.hand_over(ended,", "rules.hand_over(list(ended),"),
}
MUTANT = """
import pytest
from django_srvsession.store.face import Face, ThreadFace
from django_srvsession.testing import StoreContract
from mutant_{number} import DictStore


class TestMutant{number}(StoreContract):
    @pytest.fixture
    def store(self):
        return DictStore()
"""
UNTIL_CAUGHT = """
import pytest
from django.conf import settings

settings.configure(SECRET_KEY="for tests")
caught = set()


def pytest_runtest_setup(item):
    if item.cls in caught:
        pytest.skip("This one is caught.")


def pytest_runtest_makereport(item, call):
    if call.when == "call" and call.excinfo is not None:
        caught.add(item.cls)
"""


def test_whatever_is_wrong_with_a_store_the_contract_finds(tmp_path: Path) -> None:
    """Every sixth of the faults; all of them under ``make trust``. Each store is tested until one test fails."""
    right = files()["dict_store.py"]
    assert [old for old, _ in MUTATIONS.values() if right.count(old) != 1] == [], "not in the smallest store once"
    tried = dict(enumerate(list(MUTATIONS)[:: 1 if WHOLE else 6]))
    for number, name in tried.items():
        (tmp_path / f"mutant_{number}.py").write_text(right.replace(*MUTATIONS[name]))
        (tmp_path / f"test_{number}.py").write_text(MUTANT.format(number=number))
    (tmp_path / "conftest.py").write_text(UNTIL_CAUGHT)
    report = tmp_path / "found.xml"
    options = ["-q", "-p", "no:django", "-p", "no:cacheprovider", "--tb=no", f"--junitxml={report}"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    env.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", *options, f"--rootdir={tmp_path}", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=patient(240), check=False)
    failed = [case for case in ElementTree.parse(report).iter("testcase") if case.find("failure") is not None]
    caught = {int(case.get("classname", "").rpartition("Mutant")[2]) for case in failed}
    assert [name for number, name in tried.items() if number not in caught] == []
