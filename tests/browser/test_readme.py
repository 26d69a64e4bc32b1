"""README, done as it says, on the built wheel: a new project, its blocks in order, a browser that sees and ends."""

from __future__ import annotations

import re
from pathlib import Path

from docutils.core import publish_doctree, publish_string

from tests.browser.browsers import Browser
from tests.browser.project import Project, sign_in
from tests.docs.blocks import blocks_of
from tests.processes import Visitor
from tests.runs import ROOT
from tests.servers import RedisServer

README = "../README"
QUIET = {"report_level": 5}
STOCK = """
from django.contrib.auth import get_user_model
from importlib import import_module
from django.conf import settings
session = import_module(settings.SESSION_ENGINE).SessionStore()
user = get_user_model().objects.create_user("ann", "a@b.example", "pass-ann-2026")
session["_auth_user_id"], session["_auth_user_backend"] = str(user.pk), "django.contrib.auth.backends.ModelBackend"
session["_auth_user_hash"] = user.get_session_auth_hash()
session.create()
print(session.session_key)
"""
VIEW = """
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest
from importlib import import_module
from django.conf import settings
user = get_user_model().objects.get()
def sign_in():
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "192.0.2.1"}
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    request.user = user
    login(request, user)
    request.session.save()
    return request
sign_in()
request = sign_in()
"""


def test_who_follows_readme_in_a_new_project_sees_and_ends_a_session(
    project: Project, laptop: Browser, phone: Browser, redis_server: RedisServer
) -> None:
    install, settings, urls, run, view, redis = blocks_of(README)
    for block in (install, settings, urls, run):
        project.follow(block)
    assert "System check identified no issues" in project.manage("check")
    where = project.manage("shell", "--command", "import django_srvsession; print(django_srvsession.__file__)")
    assert str(project.env["PYTHONPATH"]) in where
    sign_in(laptop, project.url)
    sign_in(phone, project.url)
    laptop.go("/account/")
    assert sorted(laptop.texts(".sessions h3")) == ["Firefox on Linux", "Safari on iPhone"]
    laptop.click("Sign out", within=".sessions li:not([aria-current])")
    laptop.wait_for("document.querySelector('[role=status] p') !== null")
    phone.go("/account/")
    assert phone.heading == "Sign in"
    assert phone.texts(".note") == ["You were signed out from another device."]
    phone.go("/admin/")
    assert "/admin/login/" in phone.run("return location.pathname")
    laptop.go("/admin/")
    assert laptop.heading == "Site administration"
    assert "Ended 0 expired sessions." in project.manage("clearsessions_srv")
    assert view.before.endswith("view:")
    project.manage("shell", "--command", VIEW + view.text)
    assert project.manage("listsessions_srv").strip() == "There is no such session."
    # The other store.
    project.stop()
    project.follow(redis._replace(text=redis.text.replace("redis://127.0.0.1:6379/1", redis_server.url)))
    assert "System check identified no issues" in project.manage("check")
    project.serve()
    sign_in(laptop, project.url)
    assert "Firefox on Linux" in project.manage("listsessions_srv")


def test_an_existing_site_keeps_its_users_and_finds_the_way_back(project: Project) -> None:
    install, settings, urls, _, _, _ = blocks_of(README)
    project.follow(install)
    project.manage("migrate", "--verbosity=0")
    cookie = project.manage("shell", "--command", STOCK).split()[-1]
    before = {path: path.read_text() for path in (project.root / "mysite").glob("*.py")}
    project.serve()
    assert _is_in(project, cookie)
    project.stop()

    project.follow(settings)
    project.follow(urls)
    project.manage("migrate", "--verbosity=0")
    project.serve()
    assert not _is_in(project, cookie)
    answer = Visitor(project.url, {"sessionid": cookie}).get("/account/sessions/")
    assert (answer.status, answer.headers["Location"]) == (302, "/account/login/?next=/account/sessions/")
    check = (
        "from django.contrib.auth import authenticate; print(authenticate(username='ann', password='pass-ann-2026'))"
    )
    assert project.manage("shell", "--command", check).split()[-1] == "ann"
    project.stop()

    for path, text in before.items():
        path.write_text(text)
    project.serve()
    assert _is_in(project, cookie)


def _is_in(project: Project, cookie: str) -> bool:
    """Tell whether a cookie signs in: its user, who is no administrator, reads so on the admin's page."""
    answer = Visitor(project.url, {"sessionid": cookie}).get("/admin/login/")
    return b"You are authenticated as ann" in answer.body


def test_readme_fits_three_screens(laptop: Browser, tmp_path: Path) -> None:
    html = publish_string(
        (ROOT / "README.rst").read_text(), writer="html5", settings_overrides={**QUIET, "input_encoding": "unicode"}
    )
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "README.html").write_bytes(html if isinstance(html, bytes) else html.encode())
    laptop.prefer(width=1280)
    try:
        laptop.remote.get((tmp_path / "README.html").as_uri())
        laptop.wait_for("document.images.length > 0 && document.images[0].complete")
        assert laptop.run("return document.images[0].naturalWidth") > 0
        assert laptop.run("return document.documentElement.scrollHeight") <= 3 * 900
    finally:
        laptop.prefer()


def test_the_korean_readme_has_the_same_blocks_and_passes_as_the_index_reads_it() -> None:
    def without_comments(name: str) -> list[tuple[str, str]]:
        return [(block.language, re.sub(r" *#.*", "", block.text)) for block in blocks_of(name)]

    assert without_comments(f"{README}.ko") == without_comments(README)
    text = (ROOT / "README.ko.rst").read_text()
    publish_doctree(text, settings_overrides={"halt_level": 2, "report_level": 2})
