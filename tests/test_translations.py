"""The Korean translation: complete, and compiled from what stands in the source.

To bring it up to date, in ``django_srvsession/``: ``django-admin makemessages --locale ko`` with ``OPTIONS``,
translate, remove the line with the date, then ``msgfmt --check -o django.mo django.po`` beside the file.
"""

from __future__ import annotations

import ast
import gettext
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.utils.translation import override

import django_srvsession
from django_srvsession.accounts import reasons
from django_srvsession.clients.devices import device_name
from django_srvsession.records import Ended
from tests.patience import patient
from tests.servers import find_program, missing

PACKAGE = Path(django_srvsession.__file__).parent
MESSAGES = PACKAGE / "locale" / "ko" / "LC_MESSAGES"
OPTIONS = ["--add-location=file", "--no-obsolete", "--no-wrap"]
# A plural's placeholders are what counts: Korean has one form for one and for many.
ENTRY = re.compile(
    r'^msgid (?P<id>".*")\n(?:msgid_plural (?P<plural>".*")\n)?msgstr(?:\[0\])? (?P<text>".*")$', re.MULTILINE
)
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")


def entries(catalogue: str = "") -> dict[str, str]:
    """Return the texts of a catalogue and what they are translated to; of the package's, without one."""
    found = ENTRY.finditer(catalogue or source())
    pairs = {ast.literal_eval(entry["id"]): ast.literal_eval(entry["text"]) for entry in found}
    return {text: translation for text, translation in pairs.items() if text}


def plurals() -> dict[str, str]:
    found = ENTRY.finditer(source())
    return {ast.literal_eval(entry["id"]): ast.literal_eval(entry["plural"]) for entry in found if entry["plural"]}


def source() -> str:
    return (MESSAGES / "django.po").read_text(encoding="utf-8")


def test_every_text_is_translated_for_good_and_keeps_its_placeholders() -> None:
    assert len(entries()) == source().count("\nmsgid ") - 1 > 100
    assert "fuzzy" not in source()
    for text, translation in entries().items():
        assert translation, text
        meant = plurals().get(text, text)
        assert sorted(PLACEHOLDER.findall(meant)) == sorted(PLACEHOLDER.findall(translation)), text


def test_requests_are_in_one_register_and_terms_are_those_of_the_glossary() -> None:
    page = (
        (PACKAGE.parent / "docs" / "reference" / "glossary.rst").read_text(encoding="utf-8").partition("\nKorean\n")[2]
    )
    terms = dict(re.findall(r"^(\w[\w ]*?|IP address)  +(\S.*)$", page, re.MULTILINE))
    assert len(terms) > 8
    said = {text.lower(): translation for text, translation in entries().items()}
    for term, korean in terms.items():
        assert said.get(term.lower(), korean) == korean, term
    assert not [text for text in entries().values() if re.search("주세요|십시오", text)]


def test_what_is_compiled_is_what_stands_in_the_source() -> None:
    with (MESSAGES / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for text, translation in entries().items():
        assert compiled.gettext(text) == translation or compiled.ngettext(text, "", 2) == translation, text


def test_no_text_of_the_package_is_missing_and_none_is_left_over(tmp_path: Path) -> None:
    if find_program("xgettext") is None:
        missing("gettext")
    copy = tmp_path / "django_srvsession"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "django", "makemessages", "--locale=ko", *OPTIONS]
    # Without settings: what is in them has no say in it.
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(command, cwd=copy, env=env, check=True, capture_output=True, timeout=patient(60))
    made = (copy / "locale" / "ko" / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    assert re.sub(r'"POT-Creation-Date: .*\n', "", made) == source()


def test_the_source_passes_the_compiler_s_checks(tmp_path: Path) -> None:
    program = find_program("msgfmt") or missing("gettext")
    command = [program, "--check", "--output-file", tmp_path / "django.mo", MESSAGES / "django.po"]
    subprocess.run(command, check=True, capture_output=True, timeout=patient(60))


@pytest.mark.parametrize(
    ("device", "korean"),
    [
        ("", "알 수 없는 기기"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Linux의 Firefox"),
    ],
)
def test_what_no_request_translates_speaks_korean_too(device: str, korean: str) -> None:
    with override("ko"):
        assert '<html lang="ko"' in render_to_string("srvsession/503.html")
        assert "일시적으로 이용할 수 없음" in render_to_string("srvsession/503.html")
        assert device_name(device) == korean
        assert reasons.text_of(Ended("5" * 18, "revoked", by_owner=True)) == "다른 기기에서 로그아웃되었습니다."
