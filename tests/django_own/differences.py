"""Every case of Django's own tests in which our engines differ on purpose, with its reason; the only such list."""

from __future__ import annotations

SESSIONS = {
    "SessionMiddlewareTests.test_empty_session_saved": (
        "It looks the session up in contrib's own table. test_sessions.py has a twin that asks our engine instead."
    ),
    "SessionMiddlewareTests.test_session_update_error_redirect": (
        "A save that comes after the session was ended is discarded by default, because the visitor of a page that "
        "was merely late did nothing wrong. Django's answer, SessionInterrupted and status 400, is what "
        'SRVSESSION_LATE_SAVE = "interrupt" gives: the case runs, and passes, with that setting.'
    ),
}
"""Of ``sessions_tests``: the name of the case, and what is different."""

AUTH = {
    "TestLoginRequiredMiddleware.test_protected_view_logged_in_performance": (
        "It counts the statements of a page: one for the session, one for the user. Sessions in memory, in Redis or in "
        "files need none. On the database engine the case passes."
    ),
}
"""Of ``auth_tests``: likewise. The case came with Django 6.0."""
