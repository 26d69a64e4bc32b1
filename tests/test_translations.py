"""The Korean translation: complete, and compiled from what stands in the source."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.utils.translation import override

import django_srvsession
from django_srvsession.devices import device_name

MESSAGES = Path(django_srvsession.__file__).parent / "locale" / "ko" / "LC_MESSAGES"
ENTRY = re.compile(r'^msgid (?P<id>".*")\n(?:msgid_plural ".*"\n)?msgstr(?:\[0\])? (?P<text>".*")$', re.MULTILINE)
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")


def entries() -> dict[str, str]:
    found = ENTRY.finditer((MESSAGES / "django.po").read_text(encoding="utf-8"))
    pairs = {ast.literal_eval(entry["id"]): ast.literal_eval(entry["text"]) for entry in found}
    return {text: translation for text, translation in pairs.items() if text}


def test_every_text_is_translated_and_keeps_its_placeholders() -> None:
    assert len(entries()) > 40
    for text, translation in entries().items():
        assert translation, text
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(translation)), text


def test_what_is_compiled_is_what_stands_in_the_source() -> None:
    with (MESSAGES / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for text, translation in entries().items():
        assert compiled.gettext(text) == translation or compiled.ngettext(text, "", 2) == translation, text


@pytest.mark.parametrize("template", ["503", "login", "logged_out", "sessions"])
def test_no_text_of_a_page_is_missing_from_the_translation(template: str) -> None:
    source = Path(django_srvsession.__file__).parent / "templates" / "srvsession" / f"{template}.html"
    texts = re.findall(r'{% translate "([^"]+)" %}', source.read_text(encoding="utf-8"))
    assert texts
    assert set(texts) <= set(entries())


def test_the_page_of_an_outage_and_the_names_of_devices_speak_korean() -> None:
    with override("ko"):
        assert '<html lang="ko"' in render_to_string("srvsession/503.html")
        assert "일시적으로 이용할 수 없음" in render_to_string("srvsession/503.html")
        assert device_name("") == "알 수 없는 기기"
