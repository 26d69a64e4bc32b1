"""What is kept of a session beside its contents: how it was proved, what it is called, how often it was guessed at.

Stores keep it as bytes (``SessionRecord.details``) and do not look into them: a tag (1 byte), a length (2 bytes, big
endian) and a payload for each field that says something, in the order of their tags. Tags that this version does not
know are kept as they stand. The record's seal covers a digest of it: whoever writes the store changes and drops nothing
here, and cannot put an older state back without the record of that moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django_srvsession.engine.seal import SealError
from django_srvsession.records import LATEST_MS, MOST_DETAILS_BYTES, SessionRecord

DIGEST_BYTES: Final = 16
LONGEST_TEXT: Final = 255
"""How many bytes of UTF-8 a text may take."""
LONGEST_BINDING: Final = 512
MOST_WRONG: Final = 2**16 - 1
MOST_LEVEL: Final = 2**8 - 1
MOST_GENERATION: Final = 2**32 - 1
BIND_WITHIN_MS: Final = 30_000
"""How long a session may live that must be bound to a device and is not yet, in milliseconds."""


class Details(NamedTuple):
    """Hold the details of a session. Instants and spans are in milliseconds; empty and None say nothing."""

    name: str = ""
    """What the person calls it: "work laptop"."""
    app: str = ""
    """The name of the app that it is used by, where that is no browser."""
    binding: bytes = b""
    """What it is bound to: a device's key, as whoever binds it writes that."""
    generation: int = 0
    """How often the binding was renewed."""
    idle_ms: int | None = None
    """How long it lives unused, where that is for this session alone."""
    longest_ms: int | None = None
    """How long it lives after its user signed in, where that is for this session alone."""
    since_ms: int | None = None
    """When its user signed in, in a session that goes on for an earlier one."""
    proved_ms: int | None = None
    """When the person last proved who they are, other than by the sign-in."""
    means: str = ""
    """By which means that was: "password"."""
    level: int = 0
    """How strong that was, on the site's own scale."""
    on_behalf_of: str = ""
    """The id of the user who acts as this session's user."""
    wrong: int = 0
    """How many confirmations in a row were wrong."""
    was_switched: bool = False
    """Whether its user has given no proof: a mere switch from another user, or an assignment by hand."""
    bind_by_ms: int | None = None
    """Until when it must be bound to a device, where that is required and it is not yet."""
    user_kind: str = ""
    """The label of the model that its user is of, where that is not of ``AUTH_USER_MODEL``."""
    unknown: tuple[tuple[int, bytes], ...] = ()
    """Fields of a later version: tags and payloads."""

    @classmethod
    def decode(cls, data: bytes) -> Details:
        """Return what these bytes say, whose seal was verified; raises :class:`SealError` where that is no sense."""
        if not data:
            return NONE
        fields: dict[str, Any] = {}
        unknown: list[tuple[int, bytes]] = []
        last = place = 0
        while place < len(data):
            tag, start = data[place], place + 3
            place = start + int.from_bytes(data[place + 1 : start], "big")
            payload = data[start:place]
            if tag <= last or start > len(data) or place > len(data):
                raise SealError("its details are damaged")
            last = tag
            if tag in _FIELDS:
                fields[_FIELDS[tag].name] = _read(_FIELDS[tag], payload)
            else:
                unknown.append((tag, payload))
        return cls(**fields, unknown=tuple(unknown))

    def encode(self) -> bytes:
        """Return the bytes to store.

        Raises ``ValueError`` for a field that is out of its range, and where all take more than a record may hold.
        """
        if self == NONE:
            return b""
        parts = dict(self.unknown)
        for tag, field in _FIELDS.items():
            value = getattr(self, field.name)
            if value != _DEFAULTS[field.name]:
                parts[tag] = _written(field, value)
        data = b"".join(bytes((tag,)) + len(parts[tag]).to_bytes(2, "big") + parts[tag] for tag in sorted(parts))
        if len(data) > MOST_DETAILS_BYTES:
            raise ValueError(f"The details of a session take {len(data)} bytes; they may take {MOST_DETAILS_BYTES}.")
        return data

    def after_sign_in(self, by_login: bool, was_checked: bool, came_as_same: bool | None) -> Details:
        """Return what becomes of them when somebody signs in.

        ``by_login``: not by a mere assignment of the user. ``was_checked``: whoever signs in has been asked for
        credentials. ``came_as_same`` tells whether this user was signed in before; None: nobody was.
        """
        was_switched = not by_login or came_as_same is False or self.was_switched
        if by_login and was_checked:
            was_switched = False
        if self is NONE and not was_switched:
            return NONE
        return self._replace(
            since_ms=None if by_login or not came_as_same else self.since_ms,
            proved_ms=None,
            means="",
            level=0,
            wrong=0 if by_login else self.wrong,
            was_switched=was_switched,
        )

    def of_kind(self, user_kind: str) -> Details:
        """Return them for a user of this kind."""
        return self if user_kind == self.user_kind else self._replace(user_kind=user_kind)

    def of_next_session(self, is_same_user: bool, now_ms: int) -> Details:
        """Return what goes along where the contents go on in another session; a proof and a binding never do.

        Where there was a binding, the other session must be bound, too. With another user only what a sign-in alone
        takes away goes along: or whoever is switched to would begin without it.
        """
        if self is NONE:
            return NONE
        if is_same_user:
            bind_by_ms = now_ms + BIND_WITHIN_MS if self.binding else self.bind_by_ms
            return self._replace(binding=b"", generation=0, bind_by_ms=bind_by_ms, proved_ms=None, means="", level=0)
        return Details(wrong=self.wrong, was_switched=self.was_switched)


Change = Callable[[Details, int], Details]
"""What becomes of the details that stand when it is written, whichever those are, at that instant."""


def in_order(*changes: Change) -> Change | None:
    """Return these changes, one after the other, as one; None of none."""

    def change(details: Details, now_ms: int) -> Details:
        for each in changes:
            details = each(details, now_ms)
        return details

    return change if changes else None


class _Field(NamedTuple):
    name: str
    kind: type[str | bytes | int | bool]
    most: int
    """The largest number, or the most bytes."""


_FIELDS: Final = {
    1: _Field("name", str, LONGEST_TEXT),
    2: _Field("app", str, LONGEST_TEXT),
    3: _Field("binding", bytes, LONGEST_BINDING),
    4: _Field("generation", int, MOST_GENERATION),
    5: _Field("idle_ms", int, LATEST_MS),
    6: _Field("longest_ms", int, LATEST_MS),
    7: _Field("since_ms", int, LATEST_MS),
    8: _Field("proved_ms", int, LATEST_MS),
    9: _Field("means", str, LONGEST_TEXT),
    10: _Field("level", int, MOST_LEVEL),
    11: _Field("on_behalf_of", str, LONGEST_TEXT),
    12: _Field("wrong", int, MOST_WRONG),
    13: _Field("was_switched", bool, 1),
    14: _Field("bind_by_ms", int, LATEST_MS),
    15: _Field("user_kind", str, LONGEST_TEXT),
}
"""By tag. A tag is never given to anything else."""
_KIND_TAG: Final = bytes((15,))
_DEFAULTS: Final = Details._field_defaults
NONE: Final = Details()


def details_of(record: SessionRecord) -> Details:
    """Return the details of a session that some list has; none where they are damaged: only opening it tells."""
    try:
        return Details.decode(record.details)
    except SealError:
        return NONE


def is_bound(record: SessionRecord) -> bool:
    """Tell whether a session is bound to a device."""
    return bool(details_of(record).binding)


def user_kind_in(data: bytes) -> str:
    """Return what these bytes, whose seal was verified, say of the user's model; every request asks.

    Raises as :meth:`Details.decode`.
    """
    return Details.decode(data).user_kind if _KIND_TAG in data else ""


def digest_of(data: bytes) -> bytes:
    """Return what the record's seal holds of the stored bytes; nothing where there are none."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest() if data else b""


def _read(field: _Field, payload: bytes) -> Any:
    value: Any = payload
    if field.kind is str:
        try:
            value = payload.decode()
        except UnicodeDecodeError as error:
            raise SealError("its details are damaged") from error
    elif field.kind is not bytes:
        value = field.kind(int.from_bytes(payload, "big"))
    # One spelling for each value, and none for what says nothing.
    if not _is_in_range(field, value) or value == _DEFAULTS[field.name] or _written(field, value) != payload:
        raise SealError("its details are out of range")
    return value


def _written(field: _Field, value: Any) -> bytes:
    if not _is_in_range(field, value):
        raise ValueError(f"The detail {field.name!r} of a session cannot be {value!r}.")
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else int(value).to_bytes((int(value).bit_length() + 7) // 8, "big")


def _is_in_range(field: _Field, value: Any) -> bool:
    if type(value) is not field.kind:
        return False
    if isinstance(value, str):
        try:
            return len(value.encode()) <= field.most
        except UnicodeEncodeError:
            return False
    return len(value) <= field.most if isinstance(value, bytes) else 0 <= value <= field.most
