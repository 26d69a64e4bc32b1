"""django-tenants on PostgreSQL: two tenants, whose people have equal names and numbers, and sessions of their own."""

import json
import os

from touring import Site

PEOPLES = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *(["django_srvsession"] if os.environ["SRVSESSION_ECOSYSTEM_SIDE"] == "ours" else []),
]
SHARED = ["django_tenants", "tenants_of_tour", "django.contrib.auth", "django.contrib.contenttypes"]
SETTINGS = {
    "SHARED_APPS": SHARED,
    "TENANT_APPS": PEOPLES,
    "INSTALLED_APPS": [*SHARED, *(app for app in PEOPLES if app not in SHARED)],
    "TENANT_MODEL": "tenants_of_tour.Tenant",
    "TENANT_DOMAIN_MODEL": "tenants_of_tour.Host",
    "DATABASE_ROUTERS": ["django_tenants.routers.TenantSyncRouter"],
    "DATABASES": {
        "default": {
            "ENGINE": "django_tenants.postgresql_backend",
            **json.loads(os.environ["SRVSESSION_ECOSYSTEM_POSTGRESQL"]),
        }
    },
    "MIDDLEWARE": [
        "django_tenants.middleware.main.TenantMainMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
}
PREPARE = """
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django_tenants.utils import tenant_context
from tenants_of_tour.models import Host, Tenant
call_command("migrate_schemas", "--shared", verbosity=0, interactive=False)
for name in ("green", "blue"):
    tenant = Tenant.objects.create(schema_name=name, name=name)
    Host.objects.create(domain=f"{name}.localhost", tenant=tenant)
    with tenant_context(tenant):
        get_user_model().objects.create_user("ann", password="ann")
        get_user_model().objects.create_superuser("root", password="root")
Host.objects.create(domain="127.0.0.1", tenant=Tenant.objects.create(schema_name="public", name="public"))
"""


class Server(Site):
    """The default server, on a database with a schema for each tenant."""

    def prepare(self):
        self.run("-c", PREPARE)


def at(site, tenant):
    """Return a new browser at a tenant's address."""
    return site.browser(Host=f"{tenant}.localhost")


def test_each_tenant_signs_its_people_in_and_out(site):
    for name in ("green", "blue"):
        browser = at(site, name)
        browser.sign_in("ann")
        assert browser.who() == "ann"
        browser.put(seen=name)
        assert browser.values() == {"seen": name}
        browser.sign_out()
        assert browser.who() == ""


def test_a_cookie_of_one_tenant_opens_nothing_at_another(site):
    green, blue = at(site, "green"), at(site, "blue")
    green.sign_in("ann")
    blue.cookies = dict(green.cookies)
    assert blue.who() == ""
    assert green.who() == "ann"


def test_a_sign_out_at_one_tenant_leaves_the_other(site):
    green, blue = at(site, "green"), at(site, "blue")
    green.sign_in("ann")
    blue.sign_in("ann")
    green.sign_out()
    assert (green.who(), blue.who()) == ("", "ann")


def test_requests_of_two_tenants_take_turns_on_one_server(site):
    browsers = {name: at(site, name) for name in ("green", "blue")}
    for name, browser in browsers.items():
        browser.sign_in("root")
        browser.put(tenant=name)
    for _ in range(10):
        for name, browser in browsers.items():
            assert browser.values() == {"tenant": name}
            assert browser.get("/admin/").status == 200


def test_an_unknown_host_is_nobodys(site):
    assert at(site, "red").get("/who/").status == 404
