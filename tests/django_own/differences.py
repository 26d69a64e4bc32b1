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
    "SessionMiddlewareTests.test_session_delete_on_end": (
        "It compares the whole line that deletes the cookie, and Django's repeats neither Secure nor HttpOnly. Ours "
        "does: the case runs, and passes, with a cookie that is not HttpOnly, where there is nothing to repeat."
    ),
    "SessionMiddlewareTests.test_session_delete_on_end_with_custom_domain_and_path": "Likewise.",
}
"""Of ``sessions_tests``: the name of the case, and what is different."""

AUTH = {
    "LoginTest.test_session_key_flushed_on_login_after_password_change": (
        "It begins by checking that the same user's second sign-in keeps the key. Here every sign-in changes it (OWASP "
        "ASVS 5.0, 7.2.4). What its name says, a new key after a new password, holds."
    ),
    "TestLoginRequiredMiddleware.test_protected_view_logged_in_performance": (
        "It counts the statements of a page: one for the session, one for the user. Sessions in memory, in Redis or in "
        "files need none. On the database engine the case passes."
    ),
}
"""Of ``auth_tests``: likewise. The second case came with Django 6.0."""

ON_DATABASE = frozenset({"TestLoginRequiredMiddleware.test_protected_view_logged_in_performance"})
"""Those of ``AUTH`` that pass on the database engine."""
