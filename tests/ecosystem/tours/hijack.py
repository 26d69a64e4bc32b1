"""django-hijack: a superuser becomes ann, and comes back; ending ann's sessions does not end the superuser's."""

from django.urls import include, path

from touring import Site

APPS = ["hijack"]
MIDDLEWARE = ["hijack.middleware.HijackUserMiddleware"]
BECOME_ANN = "from django.contrib.auth import get_user_model; print(get_user_model().objects.get(username='ann').pk)"


def urlpatterns():
    return [path("hijack/", include("hijack.urls"))]


def become_ann(site: Site):
    """Return a browser in which the superuser has become ann."""
    browser = site.browser()
    browser.sign_in("root")
    browser.put(basket="full")
    ann = site.manage("shell", "-v", "0", "-c", BECOME_ANN).strip().splitlines()[-1]
    answer = browser.post("/hijack/acquire/", {"user_pk": ann, "next": "/who/"})
    assert answer.status == 302, answer.text
    return browser


def test_a_superuser_becomes_ann(site):
    assert become_ann(site).who() == "ann"


def test_the_superuser_comes_back(site):
    browser = become_ann(site)
    answer = browser.post("/hijack/release/", {"next": "/who/"})
    assert answer.status == 302, answer.text
    assert browser.who() == "root"
    assert browser.get("/admin/").status == 200


def test_the_key_changes_with_the_person(site):
    browser = site.browser()
    browser.sign_in("root")
    before = browser.cookies["sessionid"]
    other = become_ann(site)
    assert other.cookies["sessionid"] != before
    tab = other.twin()
    other.post("/hijack/release/", {"next": "/who/"})
    assert other.cookies["sessionid"] != tab.cookies["sessionid"]
    assert tab.who() == "", "the key from before opens nothing"


def test_ann_may_not_become_the_superuser(site):
    browser = site.browser()
    browser.sign_in("ann")
    assert browser.post("/hijack/acquire/", {"user_pk": "3", "next": "/who/"}).status == 403
    assert browser.who() == "ann"


def test_signing_out_signs_out(site):
    browser = become_ann(site)
    browser.sign_out()
    assert browser.who() == ""
