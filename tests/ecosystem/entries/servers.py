"""Servers that run a site."""

from __future__ import annotations

from typing import Any

from tests.ecosystem.entry import OURS, Entry

TITLE = "Servers"
_STORES, _KINDS = ("database", "redis"), ("sync", "async")
_LOST = "Django stores a session as a whole: the later of two requests undoes what the other one stored."
_DIFFERENCES = {
    **{f"test_what_two_requests_keep_at_once_is_kept[{store}-{kind}]": _LOST for store in _STORES for kind in _KINDS},
    **{f"test_all_sessions_of_a_user_end_from_the_shell[{store}]": "Django has no such command." for store in _STORES},
}
_LIVE = {
    f"test_a_stream_and_a_websocket_end_with_their_session[{store}]": "Django ends no open connection."
    for store in _STORES
}


def _server(name: str, *requirements: str, distribution: str = "", asgi: bool = False, **more: Any) -> Entry:
    chosen = {"TOUR_SERVER": name}
    is_gevent = "gevent" in requirements
    differences = {**_DIFFERENCES, **(_LIVE if asgi else {})}
    if is_gevent:
        differences = {name: why for name, why in differences.items() if not name.endswith("-async]")}
    return Entry(
        name,
        distribution=distribution,
        requirements=("psycopg[binary]>=3.2", "django-redis>=7,<8", "redis[hiredis]>=6,<9", *requirements),
        tour="server",
        why="On PostgreSQL and on Redis."
        + (" Without async views: they work there on neither engine." if is_gevent else ""),
        needs=("postgresql", "redis"),
        django=chosen,
        ours={**OURS, **chosen},
        differences=differences,
        **more,
    )


ENTRIES = (
    _server("gunicorn-threads", distribution="gunicorn", shown="gunicorn, threads"),
    _server("gunicorn-gevent", "gevent", distribution="gunicorn", shown="gunicorn, gevent"),
    _server("gunicorn-asgi", distribution="gunicorn", shown="gunicorn, ASGI", asgi=True),
    _server("uvicorn", "wsproto", asgi=True),
    _server("daphne", asgi=True),
    _server("hypercorn", asgi=True),
    _server("granian-wsgi", distribution="granian", shown="granian, WSGI"),
    _server("granian-asgi", distribution="granian", shown="granian, ASGI", asgi=True),
    _server("uwsgi-processes", distribution="uwsgi", shown="uWSGI, processes"),
    _server("uwsgi-threads", distribution="uwsgi", shown="uWSGI, threads"),
)
