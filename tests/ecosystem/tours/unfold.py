"""Unfold's admin: sign in, change somebody, change the own password, sign out."""

APPS = ["unfold", "unfold.contrib.filters", "unfold.contrib.forms"]


def urlpatterns():
    from django.contrib import admin
    from django.contrib.auth.admin import UserAdmin
    from django.contrib.auth.models import User
    from unfold.admin import ModelAdmin
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    class Users(UserAdmin, ModelAdmin):
        form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm

    if admin.site.is_registered(User):
        admin.site.unregister(User)
    admin.site.register(User, Users)
    return []


def as_root(browser):
    answer = browser.sign_in("root", path="/admin/login/", next="/admin/")
    assert answer.location == "/admin/", answer.text
    return browser


def test_a_stranger_is_sent_to_the_sign_in(browser):
    assert browser.get("/admin/").location == "/admin/login/?next=/admin/"
    page = browser.get("/admin/login/")
    assert page.status == 200
    assert "unfold" in page.text


def test_a_superuser_signs_in_and_sees_the_pages(browser):
    as_root(browser)
    for path in ("/admin/", "/admin/auth/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/password_change/"):
        answer = browser.get(path)
        assert answer.status == 200, path
        assert "unfold" in answer.text


def test_who_is_no_staff_does_not_get_in(browser):
    browser.sign_in("ann", path="/admin/login/", next="/admin/")
    assert browser.get("/admin/").status == 302


def test_a_message_is_shown_once(browser):
    as_root(browser)
    added = {
        "username": "carl",
        "password1": "long-and-odd-7",
        "password2": "long-and-odd-7",
        "usable_password": "true",
    }
    browser.get("/admin/auth/user/add/")
    answer = browser.post("/admin/auth/user/add/", added)
    assert answer.status == 302, answer.text
    first, second = browser.get(answer.location), browser.get(answer.location)
    assert "was added successfully" in first.text
    assert "was added successfully" not in second.text


def test_a_changed_password_keeps_this_browser_and_signs_the_others_out(site):
    here, there = as_root(site.browser()), as_root(site.browser())
    here.get("/admin/password_change/")
    new = {"old_password": "root", "new_password1": "long-and-odd-8", "new_password2": "long-and-odd-8"}
    assert here.post("/admin/password_change/", new).location.endswith("/done/")
    assert here.who() == "root"
    assert there.who() == ""
    here.get("/admin/password_change/")
    site.manage("shell", "-v", "0", "-c", BACK)


BACK = """
from django.contrib.auth.models import User
root = User.objects.get(username="root")
root.set_password("root")
root.save()
"""


def test_signing_out_signs_out(browser):
    as_root(browser)
    assert browser.sign_out("/admin/logout/").status in (200, 302)
    assert browser.get("/admin/").status == 302
    assert browser.who() == ""
