"""What strangers meet: workflows, templates, hooks and versions, which say one thing everywhere."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.patience import patient
from tests.runs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SCHEMAS = [
    *(("github-workflows", path) for path in WORKFLOWS),
    *(("github-issue-forms", path) for path in FORMS),
    ("github-issue-config", ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"),
    ("readthedocs", ROOT / ".readthedocs.yaml"),
]


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps() -> list[tuple[str, dict[str, Any]]]:
    jobs = [(path.name, job) for path in WORKFLOWS for job in loaded(path)["jobs"].values()]
    return [(name, step) for name, job in jobs for step in job["steps"]]


def hooks() -> list[dict[str, Any]]:
    repos = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    return [hook for repo in repos for hook in repo["hooks"]]


def requirements() -> set[str]:
    return {*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)}


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=lambda value: getattr(value, "name", value))
def test_what_a_service_reads_is_valid_by_its_schema(schema: str, path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_workflows_do_nothing_but_what_the_makefile_does() -> None:
    commands = [step["run"] for _, step in steps() if "run" in step]
    assert {"make lint", "make docs", "make dist"} < set(commands)
    for command in commands:
        target = re.fullmatch(r"make ([a-z]+)( .*)?", command.strip())
        assert target is not None and target[1] in TARGETS, command
        assert "github." not in command, "What others may choose goes in by the environment, never into a command."


def test_only_what_publishes_may_more_than_read() -> None:
    for path in WORKFLOWS:
        assert loaded(path)["permissions"] == {"contents": "read"}
        more = {name: job["permissions"] for name, job in loaded(path)["jobs"].items() if "permissions" in job}
        assert more == ({"publish": {"id-token": "write"}} if path.name == "release.yml" else {})


def test_one_list_of_pythons_everywhere() -> None:
    classifiers = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    tox = (ROOT / "tox.ini").read_text()
    numbers = {number for group in re.findall(r"py\{?([\d,]+)\}?-django", tox) for number in group.split(",")}
    jobs = loaded(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    rows = jobs["matrix"]["strategy"]["matrix"]["include"]
    assert {f"3.{number[1:]}" for number in numbers} == set(classifiers)
    assert [row["python"] for row in rows] == classifiers
    assert [row["factor"] for row in rows] == [f"py{version.replace('.', '')}" for version in classifiers]
    assert PROJECT["requires-python"] == f">={classifiers[0]}"
    for name in ("README.rst", "docs/why/design.rst"):
        said = re.findall(r"Python (3\.\d+) to (3\.\d+)", (ROOT / name).read_text())
        assert set(said) <= {(classifiers[0], classifiers[-1])}, name
    assert re.search(rf"Python {classifiers[0]} to {classifiers[-1]}", (ROOT / "README.rst").read_text())


def test_one_list_of_djangos_everywhere() -> None:
    classifiers = re.findall(r"Framework :: Django :: (\d\.\d)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    tox = re.findall(r"django(\d\d): Django~=(\d\.\d)\.0", (ROOT / "tox.ini").read_text())
    assert [version for _, version in tox] == classifiers == [f"{digits[0]}.{digits[1]}" for digits, _ in tox]
    *first, last = classifiers
    assert f"Django {', '.join(first)} and {last}" in (ROOT / "README.rst").read_text()


def test_hooks_need_nothing_that_a_clone_has_not_got() -> None:
    assert {hook["id"] for hook in hooks()} == {"ruff-format", "ruff", "mypy", "import-linter"}
    for hook in hooks():
        assert hook["language"] == "python"
        assert "/" not in hook["entry"]
        assert set(hook["additional_dependencies"]) <= requirements(), "Another version than in pyproject.toml."


def test_where_private_names_of_a_library_are_used_its_next_major_release_is_kept_out() -> None:
    for requirement in PROJECT["optional-dependencies"]["redis"]:
        assert re.search(r">=\d+,<\d+$", requirement), requirement


def commands_of_the_demo(tmp_path: Path, *arguments: str) -> str:
    """Return what ``make demo`` would run in a new clone."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", "--dry-run", "demo", *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=patient(60), check=True).stdout


@pytest.mark.parametrize(
    ("arguments", "extras"), [((), [["redis", "mongodb"]]), (("BIND=yes",), [["redis", "mongodb"], ["bind"]])]
)
def test_the_demo_installs_what_it_needs_and_no_tools(
    tmp_path: Path, arguments: tuple[str, ...], extras: list[list[str]]
) -> None:
    installs = [line for line in commands_of_the_demo(tmp_path, *arguments).splitlines() if "pip install" in line]
    assert len(installs) == len(extras)
    for install, names in zip(installs, extras, strict=True):
        assert "[dev]" not in install
        program = re.search(r"\$\(\.venv/bin/python -c '(.+)' (.+)\)", install)
        assert program is not None
        printed = subprocess.run(
            [sys.executable, "-c", program[1], *program[2].split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=patient(60),
            check=True,
        )
        assert printed.stdout.split() == [
            *PROJECT["dependencies"],
            *(requirement for name in names for requirement in PROJECT["optional-dependencies"][name]),
        ]


@pytest.mark.parametrize("arguments", [(), ("BIND=yes",)])
def test_the_demo_runs_commands_that_a_shell_can_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for line in commands_of_the_demo(tmp_path, *arguments).splitlines():
        subprocess.run(["sh", "-n", "-c", line], timeout=patient(60), check=True)


def imported() -> set[str]:
    """Return what the package imports at the top of a module or in a function, but for Python's own and itself."""
    names: set[str] = set()
    for path in (ROOT / "django_srvsession").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"django_srvsession"}


def test_the_hook_for_types_has_every_library_that_the_package_imports() -> None:
    (hook,) = [hook for hook in hooks() if hook["id"] == "mypy"]
    there = {re.split(r"[\\[<>=]", requirement)[0].lower() for requirement in hook["additional_dependencies"]}
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    untyped = {pattern.removesuffix(".*") for override in overrides for pattern in override["module"]}
    providers = packages_distributions()
    there |= {"asgiref", "hiredis", "cryptography"}  # Come with Django, redis[hiredis] and PyJWT[crypto].
    lacking = {
        name for name in imported() - untyped if not there & {provider.lower() for provider in providers.get(name, [])}
    }
    assert lacking == set()
