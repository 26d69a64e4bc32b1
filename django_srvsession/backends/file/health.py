"""What an operator should know of a directory of sessions. Raises ``OSError``."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from django_srvsession.backends.file.listing import Listing
from django_srvsession.backends.file.minutes import minute_of
from django_srvsession.backends.file.users import digest_of
from django_srvsession.records import Loaded, SessionRecord
from django_srvsession.store.health import Finding, IndexHealth, Level, StorageInfo

_LEAST_SHARE: Final = 0.05


def storage_info(path: str) -> StorageInfo:
    """Return how much room a directory's disk has left."""
    info = os.statvfs(path)
    return StorageInfo("SESSION_FILE_PATH", free_bytes=info.f_bavail * info.f_frsize)


def room_on(path: str) -> Finding:
    """Say how much room, or how many files, a directory's disk has left."""
    info = os.statvfs(path)
    shares = [info.f_bavail / info.f_blocks if info.f_blocks else 1.0]
    if info.f_files:  # Some file systems have no such limit.
        shares.append(info.f_favail / info.f_files)
    left = min(shares)
    text = f"{left:.0%} of the disk of SESSION_FILE_PATH is free."
    if left >= _LEAST_SHARE:
        return Finding(Level.OK, "disk", text)
    return Finding(
        Level.WARNING, "disk", text, "On a full disk nobody can sign in. Make room, and run clearsessions_srv."
    )


def check_index(listing: Listing, repair: bool) -> IndexHealth:
    """Compare users' marks with the sessions, both ways; ``repair``: mark what is not marked."""
    sessions = listing.sessions
    now, sids = sessions.now_ms, [sid for shard in sessions.shards() for sid in sessions.sids(shard)]
    marks = [(digest, sid) for digest in listing.users.digests() for sid in listing.users.sids(digest)]
    ghosts = sum(listing.live(sid, digest, now) is None for digest, sid in marks)
    minutes = sessions.minutes
    ghosts += sum(_is_stale(listing, sid, minute, now) for minute in minutes.present() for sid in minutes.sids(minute))
    live = [record for sid in sids if (record := listing.live(sid, None, now))]
    unlisted = [record for record in live if not _is_listed(listing, record)]
    repaired = sum(_list_again(listing, record) for record in unlisted) if repair else 0
    return IndexHealth(len(live), ghosts, len(unlisted), repaired)


def _is_listed(listing: Listing, record: SessionRecord) -> bool:
    is_marked = listing.sessions.minutes.has(record.sid, minute_of(record))
    return is_marked and (record.user_id is None or listing.users.has(digest_of(record.user_id), record.sid))


def _is_stale(listing: Listing, sid: str, minute: int, now: int) -> bool:
    stored = listing.sessions.read_sound(sid, now)
    return not isinstance(stored, Loaded) or minute_of(stored.record) != minute


def _list_again(listing: Listing, record: SessionRecord) -> bool:
    users = contextlib.nullcontext() if record.user_id is None else listing.users.locked(digest_of(record.user_id))
    with users, listing.sessions.locked(record.sid):
        live = listing.live(record.sid, None, listing.sessions.now_ms)
        if live is None or live.user_id != record.user_id:
            return False  # It has ended, or somebody has just signed in, and it is listed.
        listing.sessions.minutes.add(live.sid, minute_of(live))
        if live.user_id is not None:
            listing.users.add(digest_of(live.user_id), live.sid)
        return True
