"""A use that counts from the beginning of its request, because the session might not see the end of it."""

from __future__ import annotations

import contextlib

from django_srvsession.engine import lifetimes
from django_srvsession.engine.bookkeeping import best_effort
from django_srvsession.engine.state import SessionState
from django_srvsession.engine.values import SealedValues
from django_srvsession.engine.writing import touch
from django_srvsession.store import UpdateError
from django_srvsession.store.face import Face


async def renew(state: SessionState, face: Face, values: SealedValues) -> None:
    """Note the use of a session that is about to end, at once, if each use extends it and the store can.

    Not in a transaction of the site's, which would hold the session's row until its end.
    """
    if face.store.in_transaction or not lifetimes.slides(values.get(lifetimes.EXPIRY_KEY)):
        return
    with contextlib.suppress(UpdateError):  # It has ended meanwhile: who saves will find that out.
        await best_effort(face, lambda brief: touch(state, brief))
        state.note_renewal()
