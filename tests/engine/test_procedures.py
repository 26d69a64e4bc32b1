"""How the engine is built: typed coroutines over a state and a face, which nobody else reaches into."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import django_srvsession
from django_srvsession.engine import ending, writing
from django_srvsession.engine.bookkeeping import BriefFace, best_effort
from django_srvsession.records import Loaded, Tombstone
from django_srvsession.store import Store, StoreUnavailableError, waiting
from django_srvsession.store.face import BlockingFace, Face, run_blocking
from tests.runs import ROOT

FAULTS = {
    "misspelt": (ending, "face.load(key.sid)", "face.laod(key.sid)"),
    "swapped": (ending, "face.end_many(sids, ending)", "face.end_many(ending, sids)"),
    "lacking": (writing, "face.create(key.sid, key.verifier, delta)", "face.create(key.sid, delta)"),
    "unawaited": (ending, "record = await face.end(sid, EXPIRED)", "record = face.end(sid, EXPIRED)"),
}


def test_the_type_checker_catches_a_wrong_call_of_the_store_in_a_copy_of_a_procedure(tmp_path: Path) -> None:
    for name, (module, right, wrong) in FAULTS.items():
        source = Path(str(module.__file__)).read_text()
        assert source.count(right) == 1
        (tmp_path / f"{name}.py").write_text(source.replace(right, wrong))
        (tmp_path / f"{name}_as_it_is.py").write_text(source)
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file="),
            *("--cache-dir", str(tmp_path / "cache"), *sorted(map(str, tmp_path.glob("*.py")))),
        ],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {line.partition(":")[0] for line in checked.stdout.splitlines() if ": error: " in line}
    assert {Path(path).stem for path in found} == FAULTS.keys(), checked.stdout + checked.stderr


class Looking(Face):
    """Say how long the store may be waited for, each time that it is asked; suspend in between."""

    def __init__(self, store: Store, limits: list[float | None]) -> None:
        super().__init__(store)
        self.limits = limits

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        self.limits.append(waiting.limit())
        await asyncio.sleep(0)
        self.limits.append(waiting.limit())
        return None


def test_the_limit_of_waiting_holds_for_each_call_alone_and_for_no_other_task(engine: Any) -> None:
    store = engine.SessionStore.store()
    brief, between, other = [], [], []

    async def looks_twice(face: Face) -> None:
        await face.load("00" * 9)
        between.append(waiting.limit())
        await asyncio.sleep(0)
        await face.load("00" * 9)

    async def both() -> None:
        patient = looks_twice(Looking(store, other))
        await asyncio.gather(best_effort(Looking(store, brief), looks_twice), patient)

    asyncio.run(both())
    assert brief == [0.2] * 4
    assert between == [None, None]
    assert other == [None] * 4


def test_the_limit_of_waiting_is_over_when_a_call_fails(engine: Any) -> None:
    class Out(BlockingFace):
        async def load(self, sid: str) -> Loaded | Tombstone | None:
            assert waiting.limit() == 0.2
            raise StoreUnavailableError

    with pytest.raises(StoreUnavailableError):
        run_blocking(BriefFace(Out(engine.SessionStore.store())).load("00" * 9))
    assert waiting.limit() is None


def test_a_procedure_that_would_wait_for_an_event_loop_says_so_where_there_is_none(engine: Any) -> None:
    with pytest.raises(RuntimeError, match="waited for an event loop"):
        run_blocking(Looking(engine.SessionStore.store(), []).load("00" * 9))


PACKAGE = Path(str(django_srvsession.__file__)).parent


def modules_outside(room: str) -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if room not in path.relative_to(PACKAGE).parts]


def test_nobody_outside_of_the_engine_reaches_into_a_session() -> None:
    reached = re.compile(r"\b(?:session|SessionStore)\._(?!session_cache\b|replace\b|asdict\b)\w+")
    found = [(path.name, *reached.findall(path.read_text())) for path in modules_outside("engine")]
    assert [entry for entry in found if len(entry) > 1] == []


def test_a_state_changes_by_what_can_happen_to_it_and_not_by_assignment() -> None:
    assigned = re.compile(r"state\.\w+(?:, [\w.]+)* = |, state\.\w+ = ", re.MULTILINE)
    for path in sorted((PACKAGE / "engine").glob("*.py")):
        found = assigned.findall(path.read_text().replace("base=state", ""))
        assert path.name == "state.py" or found == [], (path.name, found)


def test_no_module_assigns_to_a_name_of_another_one() -> None:
    """An arrow that import-linter does not see: a lower module would know an upper one, by assignment."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        imported = {
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
            if (alias.asname or alias.name)[0].islower()
        }
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                owner = target.value if isinstance(target, ast.Attribute) else None
                assert not (isinstance(owner, ast.Name) and owner.id in imported), (path.name, ast.unparse(node))
