"""django-csp: each page has its policy, with a nonce of its own, whoever is signed in."""

import re

from csp.constants import NONCE, SELF

APPS = ["csp"]
MIDDLEWARE = ["csp.middleware.CSPMiddleware"]
CONTEXT_PROCESSORS = ["csp.context_processors.nonce"]
SETTINGS = {"CONTENT_SECURITY_POLICY": {"DIRECTIVES": {"default-src": [SELF], "script-src": [SELF, NONCE]}}}


def urlpatterns():
    from django.http import HttpResponse
    from django.urls import path

    def mine(request):
        return HttpResponse(f"{request.csp_nonce} of {request.user.get_username()}")

    return [path("mine/", mine)]


def policy(answer):
    return answer.headers["Content-Security-Policy"]


def test_every_page_has_its_policy(browser):
    for path in ("/none/", "/login/", "/who/", "/admin/login/"):
        assert "default-src 'self'" in policy(browser.get(path)), path


def test_the_policy_stays_when_somebody_signs_in_and_out(browser):
    assert "default-src" in policy(browser.sign_in("ann"))
    assert browser.who() == "ann"
    assert "default-src" in policy(browser.sign_out())
    assert browser.who() == ""


def test_each_page_has_a_nonce_of_its_own(browser):
    browser.sign_in("ann")
    nonces = set()
    for _ in range(3):
        answer = browser.get("/mine/")
        nonce, _, name = answer.text.partition(" of ")
        assert name == "ann"
        assert re.search(rf"script-src [^;]*'nonce-{re.escape(nonce)}'", policy(answer))
        nonces.add(nonce)
    assert len(nonces) == 3


def test_a_page_that_does_not_ask_for_a_nonce_has_none(browser):
    browser.put(basket="full")
    assert "nonce-" not in policy(browser.get("/who/"))
    assert browser.values() == {"basket": "full"}


def test_the_redirect_of_a_stranger_has_its_policy(browser):
    answer = browser.get("/admin/")
    assert answer.status == 302
    assert "default-src" in policy(answer)
