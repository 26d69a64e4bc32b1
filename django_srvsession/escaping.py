"""Texts of others on their way to a log, to JSON for programs, or to a terminal: shown, and never obeyed.

Names, addresses, user agents, reasons: anybody may have chosen them. A line break forges a line of a log, an escape
sequence (C0 and C1) commands a terminal, and a mark of direction turns around what is read.
"""

from __future__ import annotations

import json


def escaped(text: object) -> str:
    """Return a text in one line in which nothing acts, as Python would write it: ``\\n``, ``\\x1b``, ``\\u202e``.

    Escapes control and format characters, line and paragraph separators, private and unassigned characters, half
    characters, and blanks other than the ordinary one. All else stays as it is, a backslash too.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def escaped_lines(text: object) -> str:
    """Return a text of several lines, each as :func:`escaped` returns it: what a server says of an error."""
    return "\n".join(map(escaped, str(text).split("\n")))


def escaped_json(value: object) -> str:
    """Return a value as JSON in one line, in which the same characters are escaped; it still means the same."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
