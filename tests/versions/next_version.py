"""The next version of this package: a copy that has raised the number of each format, and added a field to each."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.runs import ROOT

PACKAGE = "django_srvsession"
COLUMN = "ALTER TABLE srvsession_session ADD COLUMN added integer NULL"
"""What the next version's migration does before its servers start."""

EDITS: dict[str, list[tuple[str, str]]] = {
    # A field of the details, which every store keeps.
    "engine/details.py": [
        (
            "    unknown: tuple[tuple[int, bytes], ...] = ()",
            '    added: str = ""\n    unknown: tuple[tuple[int, bytes], ...] = ()',
        ),
        ("_DEFAULTS: Final =", '_FIELDS[200] = _Field("added", str, LONGEST_TEXT)\n_DEFAULTS: Final ='),
    ],
    "backends/file/format.py": [
        ("FORMAT: Final = 1", "FORMAT: Final = 2"),
        ('parts["format"] < FORMAT', 'parts["format"] < 1'),
        (
            'fields["client"] = record.client._asdict()',
            'fields["client"] = record.client._asdict()\n    fields["added"] = 7',
        ),
    ],
    "backends/mongodb/format.py": [("FORMAT: Final = 1", "FORMAT: Final = 2"), (") >= FORMAT", ") >= 1")],
    "backends/mongodb/pipelines.py": [
        ('"$gte": FORMAT', '"$gte": 1'),
        ('"nonce": nonce,\n        "verifier"', '"nonce": nonce,\n        "added": 7,\n        "verifier"'),
    ],
    "models.py": [
        ("    class Meta:", "    added = models.IntegerField(null=True)\n\n    class Meta:"),
    ],
    "backends/db/sql.py": [
        (
            '"rotation_final", "version", "details"),\n)\n\n\nclass',
            '"rotation_final", "version", "details", "added"),\n)\n\n\nclass',
        )
    ],
    "backends/db/format.py": [("return {**params, **digests", 'return {**params, "added": 7, **digests')],
}


def make(directory: Path) -> Path:
    """Make the copy below a directory, and return what is to stand first in ``PYTHONPATH``."""
    path = directory / "next"
    shutil.copytree(ROOT / PACKAGE, path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for name, edits in EDITS.items():
        file = path / PACKAGE / name
        text = file.read_text()
        for old, new in edits:
            assert old in text, f"{name} has no {old!r} any more"
            text = text.replace(old, new, 1)
        file.write_text(text)
    return path
