"""The translations: complete, compiled from what stands in the source, and in the words of the glossary.

To bring them up to date, in ``django_srvsession/``: ``django-admin makemessages`` with a ``--locale`` for each and
``OPTIONS``, translate, remove the lines with the date, then ``msgfmt --check -o django.mo django.po`` beside each file.
"""

from __future__ import annotations

import ast
import csv
import gettext
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import django
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
PAGE = PACKAGE.parent / "docs" / "reference" / "languages.rst"
LANGUAGES = {"ko": "Korean", "ja": "Japanese", "es": "Spanish", "de": "German", "fr": "French"}
OPTIONS = ["--add-location=file", "--no-obsolete", "--no-wrap"]
ENTRY = re.compile(
    r'^(?:msgctxt (?P<context>".*")\n)?msgid (?P<id>".*")\n(?:msgid_plural (?P<plural>".*")\n)?'
    r'(?P<forms>(?:msgstr(?:\[\d\])? ".*"(?:\n|\Z))+)',
    re.MULTILINE,
)
FORM = re.compile(r'^msgstr(?:\[\d\])? (".*")', re.MULTILINE)
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
# What another register, another word for the same thing, or a careless hand would write.
NOT_SAID = {
    "ko": r"주세요|십시오",
    "ja": r"サインイン|サインアウト|端末|下さい|ユーザ(?!ー)|である。|IPアドレス",
    "es": r"\b(?i:tú|tu|tus|te|vosotros|vuestr[oa]s?|computadora|celular|email|log)\b|^[^¿]*\?",
    "de": r"\b(?:[Dd]u|[Dd]ein\w*|[Dd]ich|[Dd]ir|Account|Login|Logout|\w*loggen|User|Session)\b(?!-Agent)",
    "fr": r"\b(?i:tu|ton|tes|toi|login|périphérique|courriel|email)\b|'|\w[?!;]| [:;?!»]|« ",
}
NAMES = re.compile(r"Chrome|Edge|Windows|Android|Apple|JSON|CSRF|application/json|\btrue\b|\bfalse\b", re.ASCII)

languages = pytest.mark.parametrize("language", LANGUAGES)


class Entry(NamedTuple):
    """Hold a text of the source, and how it is said."""

    key: str
    text: str
    plural: str
    forms: tuple[str, ...]


def messages(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES"


def source(language: str = "ko") -> str:
    return (messages(language) / "django.po").read_text(encoding="utf-8")


def entries(catalogue: str = "") -> dict[str, str]:
    """Return the texts of a catalogue and what they are translated to; of the package's Korean one, without one."""
    return {entry.key: entry.forms[0] for entry in parsed(catalogue or source())}


@cache
def parsed(catalogue: str) -> list[Entry]:
    found = []
    for entry in ENTRY.finditer(catalogue):
        context, text, plural = (ast.literal_eval(entry[name] or '""') for name in ("context", "id", "plural"))
        forms = tuple(ast.literal_eval(form) for form in FORM.findall(entry["forms"]))
        if text:
            found.append(Entry(f"{context}\x04{text}" if context else text, text, plural, forms))
    return found


def compiled(path: Path) -> gettext.GNUTranslations:
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)


def terms(language: str) -> dict[str, str]:
    """Return the fixed terms of a language, as the page of languages has them."""
    table = PAGE.read_text(encoding="utf-8").partition(".. csv-table:: Fixed terms\n")[2].partition("\n\n")[2]
    rows = list(csv.reader((line.strip() for line in table.splitlines()), skipinitialspace=True))
    column = rows[0].index(LANGUAGES[language])
    return {row[0]: row[column] for row in rows[1:]}


@languages
def test_every_text_is_translated_for_good_and_keeps_its_placeholders(language: str) -> None:
    found = parsed(source(language))
    assert len(found) == source(language).count("\nmsgid ") - 1 > 100
    assert "fuzzy" not in source(language)
    for entry in found:
        assert all(entry.forms), entry
        # A plural's placeholders are what counts: the form for one may do without its number.
        wanted = sorted(PLACEHOLDER.findall(entry.plural or entry.text))
        assert sorted(PLACEHOLDER.findall(entry.forms[-1])) == wanted, entry
        assert {name for form in entry.forms for name in PLACEHOLDER.findall(form)} == set(wanted), entry


@languages
def test_a_number_takes_the_form_that_it_has_in_django_s_own_texts(language: str) -> None:
    ours = compiled(messages(language) / "django.mo")
    theirs = compiled(Path(django.__file__).parent / "conf" / "locale" / language / "LC_MESSAGES" / "django.mo")
    one, many = ("Signed out %(count)d session.", "Signed out %(count)d sessions.")
    (entry,) = (entry for entry in parsed(source(language)) if entry.text == one)
    header = re.search(r"nplurals=(\d)", source(language))
    assert header is not None
    assert len(entry.forms) == int(header[1])
    for number in (0, 1, 2, 5, 11, 21, 101, 1_000_000):
        is_one = theirs.ngettext("%(num)d minute", "%(num)d minutes", number) == theirs.ngettext(
            "%(num)d minute", "%(num)d minutes", 1
        )
        assert (ours.ngettext(one, many, number) == entry.forms[0]) is is_one, number


@languages
def test_the_words_are_those_of_the_glossary_and_of_one_register(language: str) -> None:
    fixed = {term.lower(): word.lower() for term, word in terms(language).items()}
    assert len(fixed) > 12
    for entry in parsed(source(language)):
        first = entry.forms[0].lower()
        assert fixed.get(entry.text.lower(), first) == first, entry
        said = PLACEHOLDER.sub("", entry.plural or entry.text).lower()
        for term in ("ip address", "password", "account"):
            assert not re.search(rf"\b{term}\b", said) or fixed[term] in entry.forms[-1].lower(), entry
        for form in entry.forms:
            assert not re.search(NOT_SAID[language], PLACEHOLDER.sub("", form)), entry
            assert set(NAMES.findall(form)) == set(NAMES.findall(entry.text)), entry


@languages
def test_what_is_compiled_is_what_stands_in_the_source(language: str) -> None:
    found = compiled(messages(language) / "django.mo")._catalog  # type: ignore[attr-defined]
    wanted = {}
    for entry in parsed(source(language)):
        wanted |= {(entry.key, n): form for n, form in enumerate(entry.forms)} if entry.plural else {}
        wanted |= {} if entry.plural else {entry.key: entry.forms[0]}
    assert {key: form for key, form in found.items() if key} == wanted


def test_no_text_of_the_package_is_missing_and_none_is_left_over(tmp_path: Path) -> None:
    if find_program("xgettext") is None:
        missing("gettext")
    copy = tmp_path / "django_srvsession"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    locales = [f"--locale={language}" for language in LANGUAGES]
    command = [sys.executable, "-m", "django", "makemessages", *locales, *OPTIONS]
    # Without settings: what is in them has no say in it.
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(command, cwd=copy, env=env, check=True, capture_output=True, timeout=patient(60))
    assert {path.name for path in (copy / "locale").iterdir()} == set(LANGUAGES)
    for language in LANGUAGES:
        made = (copy / "locale" / language / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
        assert re.sub(r'"POT-Creation-Date: .*\n', "", made) == source(language)


@languages
def test_the_source_passes_the_compiler_s_checks(language: str, tmp_path: Path) -> None:
    program = find_program("msgfmt") or missing("gettext")
    command = [program, "--check", "--output-file", tmp_path / "django.mo", messages(language) / "django.po"]
    subprocess.run(command, check=True, capture_output=True, timeout=patient(60))


def test_the_page_of_languages_names_each_and_says_which_no_native_speaker_has_reviewed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for language, name in LANGUAGES.items():
        note = "" if language == "ko" else ", not reviewed by a native speaker yet"
        assert f"* {name}, ``{language}``{note}\n" in page
        assert ("No native speaker has reviewed it yet." in source(language)) is (language != "ko")


@pytest.mark.parametrize(
    ("language", "title", "unknown", "device", "reason"),
    [
        ("ko", "일시적으로 이용할 수 없음", "알 수 없는 기기", "Linux의 Firefox", "다른 기기에서 로그아웃되었습니다."),
        ("ja", "一時的にご利用いただけません", "不明なデバイス", "LinuxのFirefox",
         "別のデバイスからログアウトされました。"),
        ("es", "No disponible temporalmente", "Dispositivo desconocido", "Firefox en Linux",
         "Se cerró la sesión desde otro dispositivo."),
        ("de", "Vorübergehend nicht verfügbar", "Unbekanntes Gerät", "Firefox auf Linux",
         "Sie wurden von einem anderen Gerät aus abgemeldet."),
        ("fr", "Temporairement indisponible", "Appareil inconnu", "Firefox sur Linux",
         "Cet appareil a été déconnecté depuis un autre appareil."),
    ],
)  # fmt: skip
def test_what_no_request_translates_speaks_the_language_too(
    language: str, title: str, unknown: str, device: str, reason: str
) -> None:
    with override(language):
        assert f'<html lang="{language}"' in render_to_string("srvsession/503.html")
        assert title in render_to_string("srvsession/503.html")
        assert device_name("") == unknown
        assert device_name("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0") == device
        assert reasons.text_of(Ended("5" * 18, "revoked", by_owner=True)) == reason
