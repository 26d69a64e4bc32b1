"""django-oauth-toolkit: a person allows an app to act for them, and the app gets a token, with the key of a code."""

import base64
import hashlib
import re
from urllib.parse import parse_qs, urlsplit

APPS = ["oauth2_provider"]
MIDDLEWARE = ["oauth2_provider.middleware.OAuth2TokenMiddleware"]
SETTINGS = {
    "AUTHENTICATION_BACKENDS": [
        "oauth2_provider.backends.OAuth2Backend",
        "django.contrib.auth.backends.ModelBackend",
    ]
}
BACK = "https://app.example.com/back"
VERIFIER = "a" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ASKED = (
    f"/o/authorize/?response_type=code&client_id=the-app&redirect_uri={BACK}&scope=read&state=xyz"
    f"&code_challenge={CHALLENGE}&code_challenge_method=S256"
)


def urlpatterns():
    from django.http import JsonResponse
    from django.urls import include, path
    from oauth2_provider.decorators import protected_resource

    @protected_resource()
    def mine(request):
        return JsonResponse({"user": request.resource_owner.get_username()})

    return [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")), path("mine/", mine)]


def prepare():
    from oauth2_provider.models import Application

    Application.objects.create(
        name="The app",
        client_id="the-app",
        client_type=Application.CLIENT_PUBLIC,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=BACK,
    )


def allow(browser):
    """Allow the app what it asks; return the code."""
    page = browser.get(ASKED)
    assert page.status == 200, page.text
    names = re.findall(r'<input[^>]*type="hidden"[^>]*>', page.text)
    assert names
    answer = browser.post(ASKED, {**page.fields(), "allow": "Authorize"})
    assert answer.status == 302, answer.text
    assert answer.location.startswith(BACK), answer.location
    said = parse_qs(urlsplit(answer.location).query)
    assert said["state"] == ["xyz"]
    return said["code"][0]


def token_for(browser, code):
    given = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": "the-app"}
    return browser.post("/o/token/", {**given, "code_verifier": VERIFIER})


def test_a_stranger_is_asked_to_sign_in_and_comes_back(browser):
    answer = browser.get(ASKED)
    assert answer.location.startswith("/login/?next=")
    browser.get(answer.location)
    signed_in = browser.post(answer.location, {"username": "ann", "password": "ann"})
    assert signed_in.location.startswith("/o/authorize/")
    assert browser.get(signed_in.location).status == 200


def test_the_app_gets_a_token_and_acts_for_the_person(site):
    browser, app = site.browser(), site.browser()
    browser.sign_in("ann")
    answer = token_for(app, allow(browser))
    assert answer.status == 200, answer.text
    bearer = f"Bearer {answer.json()['access_token']}"
    assert app.get("/mine/", Authorization=bearer).json() == {"user": "ann"}
    assert app.get("/who/", Authorization=bearer).json()["user"] == "ann"
    assert "sessionid" not in app.cookies


def test_a_code_counts_once(site):
    browser, app = site.browser(), site.browser()
    browser.sign_in("ann")
    code = allow(browser)
    assert token_for(app, code).status == 200
    assert token_for(app, code).status == 400


def test_a_token_outlives_the_session_of_the_browser(site):
    browser, app = site.browser(), site.browser()
    browser.sign_in("ann")
    token = token_for(app, allow(browser)).json()["access_token"]
    browser.sign_out()
    assert browser.who() == ""
    assert app.get("/mine/", Authorization=f"Bearer {token}").status == 200


def test_what_the_person_refuses_the_app_does_not_get(browser):
    browser.sign_in("ann")
    fields = browser.get(ASKED + "&approval_prompt=force").fields()
    answer = browser.post(ASKED, fields)
    assert "error=access_denied" in answer.location
