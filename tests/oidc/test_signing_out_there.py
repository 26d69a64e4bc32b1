"""Who signs out here goes on to the identity provider, and signs out there: OpenID Connect RP-Initiated Logout."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth import get_user_model
from django.core import checks
from django.test import Client

from django_srvsession import services
from django_srvsession.models import SessionEvent
from django_srvsession.views import LogoutView
from tests.oidc.browsers import sign_in, user_of
from tests.oidc.provider import CLIENT, ISSUER, Provider
from tests.servers import RedisServer

END = "https://id.example.com/end"
BACK = "https://mysite.example.com/goodbye/"
LOGOUT, GOODBYE = "/account/logout/", "/account/logged-out/"


@pytest.fixture
def ann(db: None, settings: Any) -> Any:
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def there(ann: Any, provider: Provider, settings: Any) -> Provider:
    """A provider that browsers sign out at."""
    settings.SRVSESSION_OIDC = [{**provider.setting, "end_session_endpoint": END, "post_logout_redirect_uri": BACK}]
    return provider


def told(url: str, endpoint: str = f"{END}?") -> dict[str, str]:
    """What the provider is told."""
    assert url.startswith(endpoint)
    return dict(parse_qsl(url.removeprefix(endpoint), strict_parsing=True))


def where_to(client: Client) -> Any:
    return client.get("/where-to/").json()["url"]


@pytest.mark.django_db(transaction=True)
def test_signing_out_here_leads_on_to_the_provider(there: Provider, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 1
    client, other = sign_in(there.id_claims()), sign_in(there.id_claims(provider_sid="p2"))
    answer = client.post(LOGOUT, {"next": "/whoami/"})
    assert answer.status_code == 302
    expected = {"client_id": CLIENT, "logout_hint": "p1", "post_logout_redirect_uri": BACK}
    assert told(answer["Location"]) == expected
    assert answer["Clear-Site-Data"] == '"storage"'
    assert [user_of(client), user_of(other)] == ["", "ann"]
    assert list(SessionEvent.objects.filter(kind="ended").values_list("reason", flat=True)) == ["logout"]
    assert client.get(LOGOUT)["Location"] == GOODBYE  # Nobody is signed in: there is nothing to tell.


def test_so_does_signing_out_this_device_in_the_list(there: Provider) -> None:
    client = sign_in(there.id_claims())
    (record,) = services.sessions_of(get_user_model().objects.get())
    answer = client.post(f"/account/sessions/{record.sid}/end/")
    assert told(answer["Location"])["logout_hint"] == "p1"
    assert user_of(client) == ""


def test_who_was_not_signed_in_by_the_provider_is_not_sent_there(there: Provider) -> None:
    client = Client()
    client.force_login(get_user_model().objects.get())
    assert where_to(client) is None
    assert client.post(LOGOUT)["Location"] == GOODBYE


def test_a_provider_without_such_an_address_is_not_told_and_nothing_is_kept(ann: Any, provider: Provider) -> None:
    client = sign_in(provider.id_claims(), id_token="head.body.signature")
    assert services.PROVIDER_KEY not in client.session
    assert where_to(client) is None
    assert client.post(LOGOUT)["Location"] == GOODBYE


def test_a_provider_that_is_configured_no_more_is_not_told(there: Provider, settings: Any) -> None:
    client = sign_in(there.id_claims())
    settings.SRVSESSION_OIDC = []
    assert client.post(LOGOUT)["Location"] == GOODBYE


def test_the_id_token_is_told_where_it_was_kept_and_no_page_shows_it(there: Provider, settings: Any) -> None:
    settings.SRVSESSION_ADMIN_REVEAL = (services.PROVIDER_KEY,)
    browser = sign_in(there.id_claims(), id_token="head.body.signature")
    (record,) = services.sessions_of(get_user_model().objects.get())
    contents = services.contents_of(record.sid)
    assert contents is not None and contents.revealed == {}
    expected = {"id_token_hint": "head.body.signature", "client_id": CLIENT, "post_logout_redirect_uri": BACK}
    assert told(where_to(browser)) == {**expected, "state": "s 1"}


def test_another_user_in_the_same_browser_is_not_signed_out_there(there: Provider) -> None:
    client, bob = sign_in(there.id_claims()), get_user_model().objects.create_user("bob")
    client.force_login(bob)
    assert where_to(client) is None


def test_of_two_sites_at_one_provider_the_one_that_the_token_is_for_is_named(there: Provider, settings: Any) -> None:
    (entry,) = settings.SRVSESSION_OIDC
    settings.SRVSESSION_OIDC = [{**entry, "client_id": "first"}, {**entry, "end_session_endpoint": f"{END}?realm=2"}]
    audience = ["another", CLIENT]
    client = sign_in({**there.id_claims(), "aud": audience})
    assert told(where_to(client), f"{END}?realm=2&")["client_id"] == CLIENT
    client = sign_in({**there.id_claims(), "aud": "first"})
    assert told(where_to(client))["client_id"] == "first"


def test_a_hint_that_the_provider_gives_comes_before_the_session_s_name(there: Provider) -> None:
    client = sign_in({**there.id_claims(), "login_hint": "O.abc"})
    assert told(where_to(client))["logout_hint"] == "O.abc"
    client = sign_in(there.id_claims(provider_sid=None))
    assert "logout_hint" not in told(where_to(client))


def test_a_view_of_the_site_s_own_may_lead_elsewhere(there: Provider, rf: Any) -> None:
    class Staying(LogoutView):
        def get_provider_logout_url(self) -> str | None:
            return None

    client = sign_in(there.id_claims())
    request = rf.post(LOGOUT)
    request._dont_enforce_csrf_checks = True
    request.session, request.user = client.session, get_user_model().objects.get()
    assert Staying.as_view()(request)["Location"] == GOODBYE
    assert user_of(client) == ""


@pytest.mark.django_db(transaction=True)
def test_while_the_store_is_out_nobody_is_sent_on_as_if_signed_out(
    redis_prefix: str, lasting_redis: RedisServer, there: Provider, settings: Any
) -> None:
    settings.CACHES = {**settings.CACHES, "sessions": lasting_redis.cache_settings()}
    settings.SESSION_CACHE_ALIAS = "sessions"
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    client = sign_in(there.id_claims())
    lasting_redis.stop()
    answer = client.post(LOGOUT)
    assert (answer.status_code, answer.has_header("Location")) == (503, False)
    lasting_redis.start()
    assert user_of(client) == "ann"
    assert told(client.post(LOGOUT)["Location"])["logout_hint"] == "p1"


@pytest.mark.parametrize("token", [7, b"x", {}])
def test_an_id_token_that_is_none_is_a_mistake_that_shows(there: Provider, token: Any, rf: Any) -> None:
    from django_srvsession.oidc import link

    request = rf.get("/")
    request.session = sign_in(there.id_claims()).session
    with pytest.raises(ValueError, match="id_token"):
        link(request, there.id_claims(), id_token=token)


GOOD = {"issuer": ISSUER, "client_id": "x", "jwks_uri": f"{ISSUER}/keys"}


@pytest.mark.parametrize(
    ("more", "is_right"),
    [
        ({"end_session_endpoint": END}, True),
        ({"end_session_endpoint": END, "post_logout_redirect_uri": BACK}, True),
        ({"end_session_endpoint": "http://localhost:8080/end"}, True),
        ({"end_session_endpoint": "http://id.example.com/end"}, False),
        ({"end_session_endpoint": "javascript:alert(1)"}, False),
        ({"end_session_endpoint": f"{END}#there"}, False),
        ({"end_session_endpoint": ""}, False),
        ({"end_session_endpoint": END, "post_logout_redirect_uri": "/goodbye/"}, False),
        ({"post_logout_redirect_uri": BACK}, False),
    ],
)
def test_a_malformed_address_is_reported(settings: Any, more: dict[str, str], is_right: bool) -> None:
    settings.SRVSESSION_OIDC = [{**GOOD, **more}]
    assert ("srvsession.E002" in {str(found.id) for found in checks.run_checks()}) != is_right
