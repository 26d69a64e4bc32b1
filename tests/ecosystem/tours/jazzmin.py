"""Jazzmin's admin: sign in, the pages, a message, a look that a person chooses, sign out."""

APPS = ["jazzmin"]
SETTINGS = {"JAZZMIN_SETTINGS": {"site_title": "Tour"}, "JAZZMIN_UI_TWEAKS": {"theme": "flatly"}}


def as_root(browser):
    answer = browser.sign_in("root", path="/admin/login/", next="/admin/")
    assert answer.location == "/admin/", answer.text
    return browser


def test_a_stranger_is_sent_to_the_sign_in(browser):
    assert browser.get("/admin/").location == "/admin/login/?next=/admin/"
    assert "jazzmin" in browser.get("/admin/login/").text


def test_a_superuser_signs_in_and_sees_the_pages(browser):
    as_root(browser)
    for path in ("/admin/", "/admin/auth/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/password_change/"):
        answer = browser.get(path)
        assert answer.status == 200, path
        assert "jazzmin" in answer.text


def test_who_is_no_staff_does_not_get_in(browser):
    browser.sign_in("ann", path="/admin/login/", next="/admin/")
    assert browser.get("/admin/").status == 302


def test_a_message_is_shown_once(browser):
    as_root(browser)
    browser.get("/admin/auth/group/add/")
    answer = browser.post("/admin/auth/group/add/", {"name": "editors"})
    assert answer.status == 302, answer.text
    first, second = browser.get(answer.location), browser.get(answer.location)
    assert "was added successfully" in first.text
    assert "was added successfully" not in second.text


def test_signing_out_signs_out(browser):
    as_root(browser)
    assert browser.sign_out("/admin/logout/").status in (200, 302)
    assert browser.get("/admin/").status == 302
    assert browser.who() == ""
