"""django-two-factor-auth: a second step is set up by a wizard, asked for at the next sign-in, and taken away."""

import re
import time

from touring import Site

APPS = [
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "two_factor",
]
MIDDLEWARE = ["django_otp.middleware.OTPMiddleware"]
SETTINGS = {
    "LOGIN_URL": "two_factor:login",
    "LOGIN_REDIRECT_URL": "/who/",
    "OTP_TOTP_THROTTLE_FACTOR": 0,
    "OTP_TOTP_SYNC": False,
}
SIGN_IN, SET_UP = "/account/login/", "/account/two_factor/setup/"


def urlpatterns():
    from django.http import HttpResponse
    from django.urls import include, path
    from django_otp.decorators import otp_required
    from two_factor.urls import urlpatterns as theirs

    safe = path("safe/", otp_required(lambda request: HttpResponse("inside")))
    return [path("", include(theirs)), safe]


def code_of(secret, steps=0):
    """Return what an app on a telephone shows for a secret, so many half minutes from now."""
    from base64 import b32decode

    from django_otp.oath import TOTP

    totp = TOTP(b32decode(secret))
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06d}"


def step(browser, path, wizard, name, **fields):
    """Send one step of a wizard."""
    given = {f"{name}-{key}": value for key, value in fields.items()}
    return browser.post(path, {f"{wizard}-current_step": name, **given})


def first_step(browser, name="ann"):
    browser.get(SIGN_IN)
    return step(browser, SIGN_IN, "login_view", "auth", username=name, password=name)


def set_up(browser):
    """Set a second step up, and return its secret."""
    browser.get(SET_UP)
    page = step(browser, SET_UP, "setup_view", "welcome")
    assert page.status == 200, page.text
    secret = re.search(r'<a href="otpauth:[^"]*">([A-Z2-7=]+)</a>', page.text)[1]
    assert browser.get("/account/two_factor/qrcode/").status == 200
    done = step(browser, SET_UP, "setup_view", "generator", token=code_of(secret))
    assert done.location == "/account/two_factor/setup/complete/", done.text
    return secret


def forget(site: Site):
    """Take all second steps away."""
    lines = "from django_otp.plugins.otp_totp.models import TOTPDevice; TOTPDevice.objects.all().delete()"
    site.manage("shell", "-v", "0", "-c", lines)


def test_without_a_second_step_the_first_one_signs_in(browser):
    assert first_step(browser).location == "/who/"
    assert browser.who() == "ann"
    assert browser.get("/safe/").status == 302


def test_a_wrong_password_stays_at_the_first_step(browser):
    browser.get(SIGN_IN)
    assert step(browser, SIGN_IN, "login_view", "auth", username="ann", password="no").status == 200
    assert browser.who() == ""


def test_the_wizard_sets_a_second_step_up_and_the_next_sign_in_asks_for_it(site):
    here, there = site.browser(), site.browser()
    first_step(here)
    secret = set_up(here)
    assert here.get("/safe/").text == "inside"

    page = first_step(there)
    assert page.status == 200
    assert 'name="token-otp_token"' in page.text
    assert there.who() == "", "half a sign-in is none"
    wrong = step(there, SIGN_IN, "login_view", "token", otp_token="000000")
    assert wrong.status == 200
    assert there.who() == ""
    before = there.cookies["sessionid"]
    answer = step(there, SIGN_IN, "login_view", "token", otp_token=code_of(secret, 1))
    assert answer.location == "/who/", answer.text
    assert there.who() == "ann"
    assert there.cookies["sessionid"] != before
    assert there.get("/safe/").text == "inside"
    forget(site)


def test_two_tabs_sign_in_by_one_wizard(site):
    browser = site.browser()
    first_step(browser)
    secret = set_up(browser)
    browser.sign_out()
    one = site.browser()
    first_step(one)
    other = one.twin()
    assert step(one, SIGN_IN, "login_view", "token", otp_token=code_of(secret, 1)).location == "/who/"
    assert step(other, SIGN_IN, "login_view", "token", otp_token=code_of(secret, 1)).location != "/who/"
    assert (one.who(), other.who()) == ("ann", "")
    forget(site)


def test_the_second_step_is_taken_away_by_who_has_passed_it(site):
    browser = site.browser()
    first_step(browser)
    set_up(browser)
    browser.get("/account/two_factor/disable/")
    assert browser.post("/account/two_factor/disable/", {"understand": "on"}).status == 302
    browser.sign_out()
    assert first_step(browser).location == "/who/"


def test_signing_out_takes_the_second_step_along(site):
    browser = site.browser()
    first_step(browser)
    set_up(browser)
    browser.sign_out()
    assert browser.who() == ""
    assert browser.get("/safe/").status == 302
    forget(site)
