"""Draw the rooms of the package on their floors, into ``docs/images/house.svg``: ``python docs/house.py``.

The floors are the layers that import-linter checks (``pyproject.toml``); what a room is for is the first line of its
docstring; what it uses is what its modules import. A test draws the picture again, so that it cannot go stale.
"""

import ast
import re
import textwrap
import tomllib
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PACKAGE = "django_srvsession"
PICTURE = ROOT / "docs" / "images" / "house.svg"
WIDTH, GAP, LINE, LETTERS = 1180, 10, 15, 7.0


def floors() -> list[list[str]]:
    """Return the rooms of each floor, top floor first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [re.findall(r"\w+", layer) for layer in layers]


def room_of(module: str) -> str:
    """Return the room, or the module at the top of the package, that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def uses() -> dict[str, set[str]]:
    """Return for each room which others its modules import."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            found.setdefault(room_of(module), set()).add(room_of(other))
    return {room: others - {room, ""} for room, others in found.items()}


def purpose(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    path = ROOT / PACKAGE / f"{room}.py"
    path = path if path.exists() else ROOT / PACKAGE / room / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.split("\n\n")[0].replace("``", "").split())


def drawn() -> str:
    """Return the picture as SVG."""
    used, y, parts = uses(), GAP, []
    for rooms in floors():
        width = (WIDTH - GAP * (len(rooms) + 1)) / len(rooms)
        letters = int((width - 2 * GAP) / LETTERS)
        texts = []
        for room in rooms:
            others = ", ".join(sorted(used.get(room, ()))) or "nothing"
            is_package = (ROOT / PACKAGE / room).is_dir()
            lines = [("b", room + "/" if is_package else room + ".py")]
            lines += [("p", line) for line in textwrap.wrap(purpose(room), letters)]
            lines += [("u", line) for line in textwrap.wrap(f"uses {others}", letters)]
            texts.append(lines)
        height = max(len(lines) for lines in texts) * LINE + 2 * GAP
        for number, lines in enumerate(texts):
            x = GAP + number * (width + GAP)
            parts.append(f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="6"/>')
            for row, (kind, line) in enumerate(lines, 1):
                parts.append(f'<text class="{kind}" x="{x + GAP:.0f}" y="{y + row * LINE + 4}">{escape(line)}</text>')
        y += height + GAP
    style = (
        "rect{fill:#f6f8fa;stroke:#57606a}text{font:11px ui-monospace,monospace;fill:#1f2328}"
        ".b{font-weight:bold;font-size:13px}.u{fill:#57606a}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img"'
    title = "<title>The rooms of the package on their floors; imports point downward only.</title>"
    back = f'<rect width="{WIDTH}" height="{y}" style="fill:#fff;stroke:none"/>'
    return "\n".join([f"{head}>{title}<style>{style}</style>{back}", *parts, "</svg>\n"])


if __name__ == "__main__":
    PICTURE.write_text(drawn())
