"""The keys of the Redis store, and which text stands in them."""

from __future__ import annotations

import zlib
from typing import Final
from urllib.parse import quote

SHARDS: Final = tuple(f"{number:02x}" for number in range(16))
USERS: Final = "user"
ANONYMOUS: Final = "anon"
KINDS: Final = (USERS, ANONYMOUS)
"""The two kinds of sessions, listed apart: visitors who never sign in must not push people off the first page."""


_QUOTED: Final = str.maketrans({char: quote(char) for char in "%{}"})


class Keys:
    """Name the keys of a store.

    ``<prefix>s:<sid>``, a string: the session, or its tombstone (see ``format.py``). It has a TTL.
    ``<prefix>u:{<user id>}``, a ZSET: the user's sids by expiry, running ahead of it, and the marks of ``admit``.
    ``<prefix>live:<user|anon>:<00..0f>``, ZSETs: all sids by last use, in shards, because one ZSET is on one node.
    ``<prefix>complete``, a string: on which primaries the lists were found complete (see ``completeness.py``).
    ``<prefix>ended``, a channel and no key: the sid of each session that a script has ended.
    ``<prefix>c:<database>:<sid>``, a string: of a session in a database, what ``cached_db`` keeps here. It has a TTL.

    Braces and percent signs of the prefix are quoted: on a cluster, braces in it would put all keys on one node.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.translate(_QUOTED)
        self.sessions = encoded(f"{self._prefix}s:")
        """What the key of each session begins with."""
        self._users = encoded(f"{self._prefix}u:{{")
        self._shards = {kind: [self.live(kind, shard) for shard in SHARDS] for kind in KINDS}
        self.all_live = [(kind, key) for kind, keys in self._shards.items() for key in keys]

    @property
    def complete(self) -> str:
        """Return the key of what is remembered of the lists."""
        return f"{self._prefix}complete"

    @property
    def ended(self) -> bytes:
        """Return the channel that tells of ends; ``tell.lua`` makes it of a session's key."""
        return self.sessions.removesuffix(b"s:") + b"ended"

    def copies(self, using: str) -> bytes:
        """Return what the keys of copies of the sessions in a database begin with, by the alias of that."""
        return encoded(f"{self._prefix}c:{quote(using)}:")

    def session(self, sid: str) -> bytes:
        """Return the key of a session."""
        return self.sessions + encoded(sid)

    def user(self, user_id: str) -> str:
        """Return the key of a user's index; the id is quoted: a brace in it would move the key to another slot."""
        is_plain = user_id.isascii() and user_id.isalnum()  # Nearly always: a number, or a UUID in hex.
        quoted = user_id if is_plain else quote(user_id, safe="@", errors="surrogatepass")
        return f"{self._prefix}u:{{{quoted}}}"

    @property
    def every_user(self) -> str:
        """Return the pattern of all users' indexes, for SCAN."""
        literal = "".join(f"\\{char}" if char in "*?[]\\" else char for char in self._prefix)
        return f"{literal}u:{{*}}"

    @property
    def every_session(self) -> str:
        """Return the pattern of all sessions and tombstones, for SCAN."""
        return self.every_user.removesuffix("u:{*}") + "s:*"

    # A pattern also finds the keys of a longer prefix, which is another tenant's. These tell them apart.

    def is_session(self, key: bytes) -> bool:
        """Tell whether a key that :attr:`every_session` found is that of a session here."""
        return b":" not in key.removeprefix(self.sessions)

    def is_user(self, key: bytes) -> bool:
        """Tell whether a key that :attr:`every_user` found is that of a user's index here."""
        return b"{" not in key.removeprefix(self._users)

    def sid_of(self, key: bytes) -> str:
        """Return the sid of a session's key."""
        return decoded(key.removeprefix(self.sessions))

    def live(self, kind: str, shard: str) -> str:
        """Return the key of one shard of all sessions of a kind."""
        return f"{self._prefix}live:{kind}:{shard}"

    def live_of(self, kind: str, sid: str) -> str:
        """Return the key of the shard that lists a session of that kind."""
        return self._shards[kind][zlib.crc32(encoded(sid)) % len(SHARDS)]


def encoded(text: str) -> bytes:
    """Encode any text, lone surrogates too: names of session keys and users' agents are not ours to choose."""
    return text.encode("utf-8", "surrogatepass")


def decoded(raw: bytes) -> str:
    """Decode what :func:`encoded` made."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogatepass")


def kind_of(user_id: str | None) -> str:
    """Return which list a session belongs in."""
    return ANONYMOUS if user_id is None else USERS
