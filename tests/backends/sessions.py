"""Names from before they moved: until all branches import from ``django_srvsession.testing.sessions``."""

from django_srvsession.testing.sessions import (  # noqa: F401
    HOUR_MS,
    create,
    in_threads,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    snapshot,
    stored,
    touch_later,
    unexpected,
)
