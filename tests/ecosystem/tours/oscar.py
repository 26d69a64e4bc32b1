"""Oscar: a shop's basket, an account, and a checkout that keeps its forms in the session."""

import re

from oscar import INSTALLED_APPS as OSCARS
from oscar import defaults

DJANGOS = "django.contrib."
APPS = [
    "django.contrib.sites",
    "django.contrib.flatpages",
    *(app for app in OSCARS if not app.startswith(DJANGOS)),
]
MIDDLEWARE = ["oscar.apps.basket.middleware.BasketMiddleware"]
CONTEXT_PROCESSORS = [
    "oscar.apps.search.context_processors.search_form",
    "oscar.apps.checkout.context_processors.checkout",
    "oscar.apps.communication.notifications.context_processors.notifications",
    "oscar.core.context_processors.metadata",
]
MODULES = [app.rpartition(".")[0] for app in OSCARS if app.startswith("oscar.apps.")]
SETTINGS = {
    **{name: getattr(defaults, name) for name in dir(defaults) if name.startswith("OSCAR_")},
    "SITE_ID": 1,
    # Its migrations take minutes.
    "MIGRATION_MODULES": dict.fromkeys(app.removesuffix(".apps").rpartition(".")[2] for app in MODULES),
    "LOGIN_REDIRECT_URL": "/shop/",
    "HAYSTACK_CONNECTIONS": {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
    "AUTHENTICATION_BACKENDS": ["oscar.apps.customer.auth_backends.EmailBackend"],
    "OSCAR_ALLOW_ANON_CHECKOUT": False,
    "EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
}
DOOR = "/shop/accounts/login/"
ADDRESS = {
    "first_name": "Ann",
    "last_name": "Other",
    "line1": "1 Some Street",
    "line4": "Sometown",
    "postcode": "N1 9RT",
    "country": "GB",
}


def urlpatterns():
    from django.apps import apps
    from django.urls import include, path

    return [
        path("i18n/", include("django.conf.urls.i18n")),
        path("shop/", include(apps.get_app_config("oscar").urls[0])),
    ]


def prepare():
    from oscar.apps.address.models import Country
    from oscar.apps.catalogue.models import Product, ProductClass
    from oscar.apps.partner.models import Partner, StockRecord

    Country.objects.create(iso_3166_1_a2="GB", name="United Kingdom", printable_name="UK", is_shipping_country=True)
    Country.objects.create(iso_3166_1_a2="FR", name="France", printable_name="France", is_shipping_country=True)
    kind = ProductClass.objects.create(name="Fruit")
    pear = Product.objects.create(title="Pear", slug="pear", product_class=kind)
    partner = Partner.objects.create(name="Farm")
    StockRecord.objects.create(product=pear, partner=partner, partner_sku="1", price=1, num_in_stock=100)


def sign_in(browser, name="ann"):
    browser.get(DOOR)
    given = {"login-username": f"{name}@example.com", "login-password": name, "login_submit": "Log In"}
    return browser.post(DOOR, given)


def add_pear(browser):
    browser.get("/shop/catalogue/")
    page = browser.get("/shop/catalogue/pear_1/")
    assert page.status == 200, page.text
    answer = browser.post("/shop/basket/add/1/", {"quantity": "1"})
    assert answer.status == 302, answer.text


def pears(browser):
    found = re.search(r'name="form-0-quantity"[^>]*value="(\d+)"', browser.get("/shop/basket/").text)
    return int(found[1]) if found else 0


def test_the_shop_opens(browser):
    assert browser.get("/shop/", follow=True).status == 200
    assert browser.get("/shop/catalogue/").status == 200


def test_a_person_signs_in_by_mail_and_out(browser):
    assert sign_in(browser).location == "/shop/"
    assert browser.who() == "ann"
    assert browser.get("/shop/accounts/logout/").status == 302
    assert browser.who() == ""


def test_a_welcome_is_shown_once(browser):
    sign_in(browser)
    first = browser.get("/shop/catalogue/").text
    assert "Welcome back" in first
    assert "Welcome back" not in browser.get("/shop/catalogue/").text


def test_an_account_is_made_and_signed_in(browser):
    browser.get(DOOR)
    new = {
        "registration-email": "carl@example.com",
        "registration-password1": "long-and-odd-7",
        "registration-password2": "long-and-odd-7",
        "registration_submit": "Register",
    }
    answer = browser.post(DOOR, new)
    assert answer.status == 302, answer.text
    assert browser.who()


def test_the_basket_of_a_stranger_is_theirs_when_they_sign_in(browser):
    add_pear(browser)
    assert pears(browser) == 1
    sign_in(browser, "bob")
    assert pears(browser) == 1
    browser.get("/shop/accounts/logout/")
    assert pears(browser) == 0


def test_a_checkout_keeps_its_forms_and_loses_them_at_the_sign_out(browser):
    sign_in(browser)
    add_pear(browser)
    assert browser.get("/shop/checkout/payment-details/").location.endswith("/shipping-address/")
    browser.get("/shop/checkout/shipping-address/")
    answer = browser.post("/shop/checkout/shipping-address/", ADDRESS)
    assert answer.location.endswith("/shipping-method/"), answer.text
    browser.get(answer.location, follow=True)
    assert browser.get("/shop/checkout/payment-details/").status == 200
    assert "1 Some Street" in browser.get("/shop/checkout/preview/").text
    browser.get("/shop/accounts/logout/")
    sign_in(browser)
    assert browser.get("/shop/checkout/payment-details/").location.endswith("/shipping-address/")


def test_an_order_is_placed(browser):
    sign_in(browser)
    add_pear(browser)
    browser.get("/shop/checkout/shipping-address/")
    browser.post("/shop/checkout/shipping-address/", ADDRESS)
    browser.get("/shop/checkout/shipping-method/", follow=True)
    browser.get("/shop/checkout/preview/")
    answer = browser.post("/shop/checkout/preview/", {"action": "place_order"})
    assert answer.location.endswith("/thank-you/"), answer.text
    assert browser.get("/shop/checkout/thank-you/").status == 200
    assert pears(browser) == 0
