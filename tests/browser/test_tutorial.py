"""The tutorial, done as it says, on the built wheel: from ``pip install`` to ending the session of a phone."""

from __future__ import annotations

import re

import pytest

from tests.browser.browsers import Browser
from tests.browser.project import Project, sign_in
from tests.docs.blocks import DOCS, blocks_of
from tests.processes import Visitor
from tests.trust import WHOLE

ENGLISH = "tutorial/first-sessions"
KOREAN = "tutorial/first-sessions.ko"
DEVICES = {ENGLISH: ["Firefox on Linux", "Safari on iPhone"], KOREAN: ["Linux의 Firefox", "iPhone의 Safari"]}
WORDS = {
    ENGLISH: ("Sign in", "Your devices", "Sign out", "You were signed out from another device."),
    KOREAN: ("로그인", "로그인된 기기", "로그아웃", "다른 기기에서 로그아웃되었습니다."),
}


@pytest.mark.parametrize(
    "page", [ENGLISH, pytest.param(KOREAN, marks=pytest.mark.skipif(not WHOLE, reason="make trust: the same blocks"))]
)
def test_who_follows_the_tutorial_ends_the_session_of_a_phone(
    project: Project, laptop: Browser, phone: Browser, page: str
) -> None:
    words = enter, devices, leave, told = WORDS[page]
    text = (DOCS / f"{page}.rst").read_text()
    assert [word for word in words if word not in text] == []
    new, settings, urls, make, run, view, route, allow, run_openly, commands, code, tidy, check = blocks_of(page)

    for block in (new, settings, urls, make, run):
        project.follow(block)
    sign_in(laptop, project.url, enter)
    assert laptop.heading == devices
    assert len(laptop.texts(".sessions h3")) == 1

    for block in (view, route):
        project.follow(block)
    project.serve_anew()
    for _ in range(3):
        laptop.go("/")
    assert laptop.texts("body") == ["You were here 3 times."]

    project.follow(allow)
    project.follow(run_openly)
    assert Visitor(project.url).get("/account/login/", headers={"Host": "192.168.0.10:8000"}).status == 200
    sign_in(phone, project.url, enter)

    laptop.go("/account/")
    assert sorted(laptop.texts(".sessions h3")) == DEVICES[page]
    laptop.click(leave, within=".sessions li:not([aria-current])")
    laptop.wait_for("document.querySelector('[role=status] p') !== null")
    phone.go("/account/")
    assert (phone.heading, phone.texts(".note")) == (enter, [told])

    laptop.go("/admin/")
    assert "/admin/srvsession/livesession/" in laptop.run("return document.body.innerHTML")
    project.follow(commands)
    laptop.go("/")
    assert laptop.heading == enter

    sign_in(laptop, project.url, enter)
    assert re.search(r"127\.0\.0\.1 20\d\d-", project.manage("shell", "--command", code.text))
    project.follow(tidy)
    project.follow(check)
    laptop.go("/account/")
    assert laptop.heading == enter


def test_both_tutorials_have_the_same_blocks() -> None:
    english, korean = ([(block.language, block.caption, block.text) for block in blocks_of(page)] for page in WORDS)
    assert [(language, file, text.replace('\nLANGUAGE_CODE = "ko"', "")) for language, file, text in korean] == english
