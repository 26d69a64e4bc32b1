"""Hostile texts: user agents that aim at pages, logs, databases and regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

from django_srvsession.clients import address, devices, programs

LONG: Final = 60_000
MARKUP: Final = "<script>alert(1)</script>"

AGENTS: Final[dict[str, str]] = {
    "none": "",
    "spaces": " " * 300,
    "60 kB of letters": "a" * LONG,
    "60 kB of a browser": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 " * 800,
    "60 kB of markup": f'"><img src=x onerror=alert(1)>{MARKUP}' * 1_000,
    "60 kB of brackets": "(" * LONG,
    "a script": MARKUP,
    "a script in a browser's name": f"{MARKUP}/5.0 Mozilla/5.0 (Linux; {MARKUP}) Firefox/{MARKUP}",
    "a script as the browser's name": f"{MARKUP}/1.0 CFNetwork/978 Darwin/18",
    "an attribute": "\" autofocus onfocus='alert(1)' x=`",
    "a template": "{{ request }}{% debug %}${7*7}#{7*7}<%= 7*7 %>%(browser)s{0.__class__}",
    "a header": "Firefox/1.0\r\nSet-Cookie: sessionid=planted\r\n\r\n<p>",
    "a log line": "Firefox/1.0\n[INFO] signed in: admin\x1b[2J\x1b]0;title\x07",
    "every control character": "".join(map(chr, [*range(32), *range(127, 160)])) + "Firefox/1.0",
    "every bidi character": "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069Firefox/1.0",
    "invisible characters": "Fire\u200b\u200c\u200d\u2060\u00ad\ufefffox\ufff9\ufffb/\U000e0041\U000e007f1.0",
    "line separators": "Firefox\u2028/\u2029\x851.0",
    "lone surrogates": "\ud83dFirefox\udcff/1.0\udfff",
    "no characters": "\ufffe\uffff\U0001ffff\U0010ffff",
    "private characters": "\ue000\uf8ff\U000f0000",
    "emoji": "\U0001f36a\U0001f468\u200d\U0001f4bb Firefox/1.0",
    "stacked accents": "e" + "\u0301" * 400,
    "Korean, Arabic, Hebrew": "파이어폭스 متصفح דפדפן",
    "UTF-8 as the server sees it": "파이어폭스 \U0001f36a".encode().decode("latin-1"),
    "SQL": "'; DROP TABLE srvsession_session; -- \\' \" \x00",
    "JSON": '{"record": {"user_id": "1"}}\\u0000\\ud83d',
    "Redis": "*1\r\n$8\r\nFLUSHALL\r\n",
    "a path": "../../../../etc/passwd\x00.json",
    "a format": "%s%n%x{}{0}" * 50,
}


def aimed_at(pattern: re.Pattern[str], length: int) -> Iterator[str]:
    """Yield texts that make a pattern with repeats try, and fail, as often as it can.

    For each repeat: what the pattern wants before it, then what it repeats to the end, which then does not fit; and
    what comes before it over and over, so that there are many places to begin at.
    """
    repeats: list[tuple[str, str]] = []
    _write(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE), [], repeats)
    for before, unit in repeats:
        for start, rest in ((before, unit), (before, before), (before + unit, before + unit)):
            if rest:
                yield (start + rest * length)[: length - 1] + "~"


def aimed_agents(length: int, every: int) -> list[str]:
    """Return a sample, the same each time, of texts aimed at what reads user agents: our patterns, and our words."""
    modules = (address, devices, programs)
    patterns = [value for module in modules for value in vars(module).values() if isinstance(value, re.Pattern)]
    texts = {text for pattern in patterns for text in aimed_at(pattern, length)}
    for word in programs._KNOWN:
        texts |= {(start + f"{word}/1.") * length for start in ("", "Mozilla/5.0 (iPhone; wv) ", "; wv) ", "bo ")}
    return sorted(text[:length] for text in texts)[::every]


def _write(nodes: Any, out: list[str], repeats: list[tuple[str, str]]) -> None:
    """Write the shortest text that fits parsed nodes, and note each unbounded repeat with what comes before it."""
    for op, argument in nodes:
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            _write_repeat(*argument, out, repeats)
        elif op is ops.SUBPATTERN:
            _write(argument[-1], out, repeats)
        elif op is ops.BRANCH:
            _write(argument[1][0], out, repeats)
        elif op not in (ops.AT, ops.ASSERT, ops.ASSERT_NOT, ops.GROUPREF):
            out.append(_character(op, argument))


def _write_repeat(least: int, most: int, nodes: Any, out: list[str], repeats: list[tuple[str, str]]) -> None:
    unit: list[str] = []
    inner: list[tuple[str, str]] = []
    _write(nodes, unit, inner)
    if most > 20:
        repeats += [("".join(out), "".join(unit)), *(("".join(out) + before, text) for before, text in inner)]
    out += unit * least


def _character(op: Any, argument: Any) -> str:
    """Return a character that one node fits, a letter where it can be one."""
    if op is ops.LITERAL:
        return chr(argument)
    if op is not ops.IN:
        return "a"
    compiled = re.compile(_class_source(argument))
    return next((char for char in "a1 A_-.;/:()b,'\"é" if compiled.match(char)), "a")


def _class_source(members: Any) -> str:
    names = {ops.CATEGORY_DIGIT: r"\d", ops.CATEGORY_WORD: r"\w", ops.CATEGORY_SPACE: r"\s"}
    names |= {ops.CATEGORY_NOT_DIGIT: r"\D", ops.CATEGORY_NOT_WORD: r"\W", ops.CATEGORY_NOT_SPACE: r"\S"}
    parts = []
    for op, argument in members:
        if op is ops.NEGATE:
            parts.append("^")
        elif op is ops.LITERAL:
            parts.append(re.escape(chr(argument)))
        elif op is ops.RANGE:
            parts.append(f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}")
        else:
            parts.append(names[argument])
    return f"[{''.join(parts)}]"
