"""How many sessions a user may have: decided under the user's lock, remembered in the marks."""

from __future__ import annotations

from django_srvsession.backends.file.listing import Listing
from django_srvsession.backends.file.users import digest_of
from django_srvsession.store import rules


def admit(listing: Listing, user_id: str, sid: str, limit: int, policy: str) -> list[str]:
    """Do as ``Store.admit``; a sid that is not one of the user's live sessions does not count."""
    sessions, users = listing.sessions, listing.users
    sessions.prepare()
    digest = digest_of(user_id)
    with users.locked(digest):
        now = sessions.now_ms
        live = [record.sid for record in listing.newest_first(users.sids(digest), digest)]
        leaving, admitted = users.leaving(digest, now), users.admitted(digest)
        given = rules.to_end(sid, live, admitted, leaving, limit, policy)
        for other in given:
            users.tell_to_leave(digest, other, now)
        if sid in live and sid not in admitted | leaving:
            users.admit(digest, sid)
        return given
