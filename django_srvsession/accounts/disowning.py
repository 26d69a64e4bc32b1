"""The link "This was not me" in a mail about a sign-in: who holds it may end that one session, and do nothing else.

It names the session and its user, signed by us, and works for a week. Who follows it needs not be signed in: people
read mail where they like, and whoever took the account over may have signed them out. It is used once, since the
session ends by it; with the session, however that ends, it is dead.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from django.core import signing

from django_srvsession import services
from django_srvsession.records import SessionRecord

SALT: Final = "django_srvsession.accounts.disowning"
REASON: Final = "disowned"
VALID_S: Final = 7 * 24 * 3600


class Claim(NamedTuple):
    """Say of a session, as a mail did, that it is this user's."""

    sid: str
    user_id: str

    @classmethod
    def parse(cls, token: str) -> Claim | None:
        """Return what a token of ours says; None for any other, and for one that is too old."""
        try:
            return cls(*signing.loads(token, salt=SALT, max_age=VALID_S))
        except signing.BadSignature:
            return None

    @property
    def token(self) -> str:
        """Return a text for a link, valid from now on."""
        return signing.dumps(list(self), salt=SALT)

    def session(self) -> SessionRecord | None:
        """Return the session, if it is live and that user's."""
        return services.session_of(self.user_id, self.sid)

    def end(self) -> SessionRecord | None:
        """End the session, which was found to be that user's; return its record if this call has ended it."""
        return services.revoke(self.sid, by=self.user_id, reason=REASON)
