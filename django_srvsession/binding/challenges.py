"""What a device must sign: a text of ours that names the session, and how often its binding was renewed.

So a proof is good for one session and one renewal, and nothing need be stored to recognise it.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

from django.core.signing import BadSignature, Signer

from django_srvsession import conf
from django_srvsession.binding.keys import ProofError

REGISTER: Final = "register"
REFRESH: Final = "refresh"
_SALT: Final = "django_srvsession.binding.challenges"
_REGISTER_MS: Final = 300_000
"""How long a new key may take to come: some devices are slow to make one."""
_SLACK_MS: Final = 60_000


class Challenge(NamedTuple):
    """Hold what a challenge of ours says; ``generation`` counts the renewals before this one."""

    purpose: str
    sid: str
    generation: int
    issued_ms: int

    @classmethod
    def new(cls, purpose: str, sid: str, generation: int, now_ms: int) -> str:
        """Return the text of a new challenge, as it stands in a header."""
        return Signer(salt=_SALT).sign(f"{purpose}:{sid}:{generation}:{now_ms}:{secrets.token_urlsafe(9)}")

    @classmethod
    def parse(cls, text: object, purpose: str, sid: str) -> Challenge:
        """Return the challenge that a text of ours is; raises :class:`ProofError` for one of anything else."""
        try:
            said, of, generation, issued_ms, _ = Signer(salt=_SALT).unsign(str(text)).split(":")
        except BadSignature as error:
            raise ProofError("its challenge is not ours") from error
        if said != purpose or of != sid:
            raise ProofError("its challenge was made for something else")
        return cls(said, of, int(generation), int(issued_ms))

    def is_old(self, now_ms: int) -> bool:
        """Tell whether a new one must be signed instead."""
        age_ms = _REGISTER_MS if self.purpose == REGISTER else conf.bind_age_ms + _SLACK_MS
        return now_ms - self.issued_ms > age_ms
