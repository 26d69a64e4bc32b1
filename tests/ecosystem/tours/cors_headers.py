"""django-cors-headers: a page of another origin uses the session, and its preflights begin none."""

APPS = ["corsheaders"]
MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware"]
ALLOWED, OTHER = "https://app.example.com", "https://elsewhere.example.org"
SETTINGS = {
    "CORS_ALLOWED_ORIGINS": [ALLOWED],
    "CORS_ALLOW_CREDENTIALS": True,
    "CSRF_TRUSTED_ORIGINS": [ALLOWED],
    "CSRF_COOKIE_SAMESITE": "None",
    "SESSION_COOKIE_SAMESITE": "None",
}


def test_a_preflight_is_answered_and_begins_no_session(browser):
    asked = {"Origin": ALLOWED, "Access-Control-Request-Method": "POST"}
    answer = browser.ask("OPTIONS", "/login/", headers=asked)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "sessionid" not in browser.cookies


def test_the_allowed_origin_signs_in_and_reads(browser):
    browser.get("/login/")
    answer = browser.post("/login/", {"username": "ann", "password": "ann"}, Origin=ALLOWED)
    assert answer.status == 302
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert answer.cookies["sessionid"]["samesite"] == "None"
    answer = browser.get("/who/", Origin=ALLOWED)
    assert answer.json()["user"] == "ann"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert {"cookie", "origin"} <= {name.strip().lower() for name in answer.headers["Vary"].split(",")}


def test_another_origin_is_told_nothing_and_posts_nothing(browser):
    browser.sign_in("ann")
    assert "Access-Control-Allow-Origin" not in browser.get("/who/", Origin=OTHER).headers
    assert browser.post("/logout/", Origin=OTHER).status == 403
    assert browser.who() == "ann"


def test_the_allowed_origin_signs_out(browser):
    browser.sign_in("ann")
    assert browser.post("/logout/", Origin=ALLOWED).status == 302
    assert browser.who() == ""
