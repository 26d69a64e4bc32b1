"""django-ninja: an interface whose people are those of the session."""


def urlpatterns():
    from django.contrib.auth import authenticate, login, logout
    from django.urls import path
    from ninja import NinjaAPI, Schema
    from ninja.security import django_auth

    api = NinjaAPI()

    class Credentials(Schema):
        username: str
        password: str

    @api.post("/session", auth=None)
    def sign_in(request, given: Credentials):
        user = authenticate(request, **given.dict())
        if user is None:
            return api.create_response(request, {"detail": "wrong"}, status=401)
        login(request, user)
        return {"user": user.username}

    @api.delete("/session", auth=django_auth)
    def sign_out(request):
        logout(request)
        return {}

    @api.get("/me", auth=django_auth)
    def me(request):
        return {"user": request.auth.username}

    @api.post("/visits", auth=django_auth)
    def visit(request):
        request.session["tour:visits"] = request.session.get("tour:visits", 0) + 1
        return {"visits": request.session["tour:visits"]}

    @api.get("/async/me", auth=None)
    async def me_async(request):
        return {"user": (await request.auser()).get_username()}

    return [path("api/", api.urls)]


def signed_in(browser, name="ann"):
    browser.get("/login/")
    answer = browser.post_json("/api/session", {"username": name, "password": name})
    assert answer.status == 200, answer.text
    return answer


def test_who_is_not_signed_in_gets_401(browser):
    assert browser.get("/api/me").status == 401


def test_the_interface_signs_in_and_out(browser):
    signed_in(browser)
    assert browser.get("/api/me").json() == {"user": "ann"}
    assert browser.get("/api/async/me").json() == {"user": "ann"}
    assert browser.post_json("/api/session", {}, "DELETE").status == 200
    assert browser.get("/api/me").status == 401


def test_a_wrong_password_signs_nobody_in(browser):
    browser.get("/login/")
    assert browser.post_json("/api/session", {"username": "ann", "password": "no"}).status == 401
    assert browser.get("/api/me").status == 401


def test_a_sign_in_on_the_pages_counts_for_the_interface(browser):
    browser.sign_in("bob")
    assert browser.get("/api/me").json() == {"user": "bob"}


def test_a_write_needs_the_token(browser):
    signed_in(browser)
    token = browser.cookies.pop("csrftoken")
    assert browser.post_json("/api/visits", {}).status == 403
    browser.cookies["csrftoken"] = token
    assert [browser.post_json("/api/visits", {}).json() for _ in "ab"] == [{"visits": 1}, {"visits": 2}]


def test_the_key_changes_when_somebody_signs_in(browser):
    browser.put(basket="full")
    before = browser.cookies["sessionid"]
    signed_in(browser)
    assert browser.cookies["sessionid"] != before
    assert browser.values() == {"basket": "full"}
