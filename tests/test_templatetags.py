"""The template filters."""

from __future__ import annotations

from typing import Any

import pytest
from django.template import Context, Template

from django_srvsession.records import NO_CLIENT
from django_srvsession.templatetags.srvsession import device_name


def test_a_device_has_a_name_in_a_template() -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    template = Template("{% load srvsession %}{{ agent|device_name }}")
    assert template.render(Context({"agent": firefox})) == "Firefox on Linux"


@pytest.mark.parametrize(
    "value",
    [None, "", 7, b"Firefox", [], {}, object(), NO_CLIENT, "\x00", "\ud800", "%s %(browser)s {0}", "(" * 100_000, "😀"],
    ids=lambda value: repr(value)[:20],
)
def test_anything_else_is_an_unknown_device_and_never_an_error(value: Any) -> None:
    assert device_name(value) == "Unknown device"
