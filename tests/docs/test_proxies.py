"""``docs/how-to/proxies.rst`` with a real nginx: who asks is seen, and nobody can say that they are somebody else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_srvsession import services
from tests.docs.blocks import block
from tests.docs.programs import nginx
from tests.docs.site import Site
from tests.patience import patient
from tests.runs import Job, new_directory, wait_until
from tests.servers import free_port

PAGE = "how-to/proxies"
FOREGROUND = "daemon off;\nmaster_process off;"


def ask(port: int, cookie: str, **headers: str) -> int:
    """Ask the proxy from another address of this machine, and return the status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=patient(10), source_address=("127.0.0.2", 0))
    with contextlib.closing(connection):
        connection.request("GET", "/admin/", headers={"Cookie": f"sessionid={cookie}", **headers})
        return connection.getresponse().status


@pytest.mark.django_db(transaction=True)
def test_behind_nginx_the_client_is_who_asked_it(
    live_server: Any, site_of: Callable[[str], Site], settings: Any
) -> None:
    site = site_of(PAGE)
    site.do(block(PAGE, "proxy-settings"))
    settings.SRVSESSION_TOUCH_INTERVAL = 0
    user = get_user_model().objects.create_superuser("ann")
    client = Client()
    client.force_login(user)
    cookie = client.cookies["sessionid"].value
    port, directory = free_port(), new_directory("nginx")
    text = block(PAGE, "proxy-nginx").text.replace("http://127.0.0.1:8000", live_server.url)
    job = Job(nginx(f"server {{\nlisten 127.0.0.1:{port};\n{text}\n}}", directory, FOREGROUND), directory)

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return ask(port, cookie) > 0
        return False

    try:
        wait_until(answers, job)
        assert services.sessions_of(user)[0].client.ip == "127.0.0.2"
        assert ask(port, cookie, **{"X-Forwarded-For": "203.0.113.9"}) == 200
        assert services.sessions_of(user)[0].client.ip == "127.0.0.2"
        # Cloudflare: its header counts, and only of the proxy.
        site.do(block(PAGE, "cloudflare"))
        assert ask(port, cookie, **{"CF-Connecting-IP": "203.0.113.7"}) == 200
        assert services.sessions_of(user)[0].client.ip == "203.0.113.7"
        client.get("/admin/", headers={"CF-Connecting-IP": "203.0.113.8"}, REMOTE_ADDR="198.51.100.1")
        assert services.sessions_of(user)[0].client.ip == "198.51.100.1"
    finally:
        job.kill()
