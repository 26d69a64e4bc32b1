"""The table of the database store, and the model that carries the permissions on live sessions.

Nothing in a row opens the session: ``verifier`` is a digest, and the values are sealed. The store reads and writes the
table by SQL of its own (``backends/db/``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.db import models
from django.db.models import Func, Value
from django.utils.translation import gettext_lazy as _

from django_srvsession.records import as_datetime, is_instant

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    BinaryField = models.BinaryField[Any, Any]
    CharField = models.CharField[Any, Any]
    TextField = models.TextField[Any, Any]
else:
    BinaryField, CharField, TextField = models.BinaryField, models.CharField, models.TextField


def exact_collation(connection: BaseDatabaseWrapper) -> str | None:
    """Return the collation that compares text byte by byte, trailing spaces included; None where that is the default.

    MariaDB's and MySQL's ``utf8mb4_bin`` will not do: it pads, so that "7" is "7 ".
    """
    if connection.vendor == "postgresql":
        return "C"
    if connection.vendor == "mysql":
        is_mariadb: bool = connection.mysql_is_mariadb  # type: ignore[attr-defined]
        return "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
    return None


AS_BYTES: Final = "_binary "
"""What is written before a text for MariaDB and MySQL that not every connection can spell.

With ``charset: utf8`` they cannot spell an emoji; the columns are ``utf8mb4``, and take every character as bytes. The
driver is given a text all the same: PyMySQL writes this before bytes by itself, mysqlclient does not.
"""


def needs_bytes(value: Any) -> bool:
    """Tell whether a value is a text with a character that takes four bytes."""
    return isinstance(value, str) and not value.isascii() and max(value) > "\uffff"


def says_it_is_no_text(error: Exception, connection: BaseDatabaseWrapper) -> bool:
    """Tell whether an error is SQLite's, which keeps anything in a column, and read what is no text in one of text."""
    return connection.vendor == "sqlite" and "Could not decode to UTF-8" in str(error)


@contextlib.contextmanager
def reading_any_text(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Read what is no text as what no text has, half characters: one damaged row must not hide all others."""
    driver = connection.connection
    before, driver.text_factory = driver.text_factory, _decoded
    try:
        yield
    finally:
        driver.text_factory = before


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


class ExactCharField(CharField):
    """Hold text that is looked up byte by byte, on every database: "A" is not "a", "7" is not "7 "."""

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return a value, or the expression for it, as it is written."""
        prepared = super().get_db_prep_save(value, connection)
        if connection.vendor == "mysql" and needs_bytes(prepared):
            return Func(Value(prepared), template=f"{AS_BYTES}%(expressions)s")
        return prepared

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Return the column's type and its collation on this database."""
        return {**super().db_parameters(connection), "collation": exact_collation(connection)}

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return the column's type; spelt out on PostgreSQL.

        Django makes a second index, for ``LIKE``, where an indexed column's type begins with "varchar". It was never
        used here, and as large as the table.
        """
        if connection.vendor == "postgresql":
            return f"character varying({self.max_length})"
        return super().db_type(connection)


class ExactTextField(TextField):
    """Hold text of any length and any alphabet, whatever the database's own character set."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Return the column's type and its collation on this database."""
        return {**super().db_parameters(connection), "collation": exact_collation(connection)}


class ShortBinaryField(BinaryField):
    """Hold up to ``max_length`` bytes, in the row itself also on MariaDB and MySQL."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return the column's type."""
        return f"varbinary({self.max_length})" if connection.vendor == "mysql" else super().db_type(connection)


class DigestField(ShortBinaryField):
    """Hold a digest: hexadecimal digits here, half as many bytes in the database."""

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Return the bytes that are stored."""
        return super().get_db_prep_value(_as_bytes(value), connection, prepared)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> str | None:
        """Return the digits."""
        return None if value is None else bytes(value).hex()

    def to_python(self, value: Any) -> Any:
        """Return the digits."""
        return value

    def value_to_string(self, obj: models.Model) -> str:
        """Return the digits, for a dump."""
        return self.value_from_object(obj)  # type: ignore[no-any-return]


def _as_bytes(value: Any) -> Any:
    return bytes.fromhex(value) if isinstance(value, str) else value


class Session(models.Model):
    """Keep one session: live, past its time, or ended (``ended_ms``: a tombstone, without values).

    Instants are milliseconds since 1970 UTC by the database's clock. ``expires_ms`` is when the row is next due: a live
    session ends then, a tombstone is forgotten then, so that one index serves both (and ``ended_expires_ms`` keeps
    what it was before the end). A save writes three indexes; the one by user has no activity in it for that reason, as
    the few sessions of one user are sorted faster than the index is kept. ``device_family`` is one of
    ``devices.FAMILIES``, so that administrators can ask for those. ``details`` is the engine's (``engine/details.py``).

    Numbers come first: PostgreSQL would fill up to eight bytes before each.
    """

    created_ms = models.BigIntegerField(_("created (ms)"))
    last_seen_ms = models.BigIntegerField(_("last seen (ms)"))
    lifetime_ms = models.BigIntegerField(_("lifetime (ms)"))
    expires_ms = models.BigIntegerField(_("expires (ms)"))
    version = models.BigIntegerField(_("version"), default=1)
    signed_in_ms = models.BigIntegerField(_("signed in (ms)"), null=True)
    deadline_ms = models.BigIntegerField(_("deadline (ms)"), null=True)
    rotated_ms = models.BigIntegerField(_("key changed (ms)"), null=True)
    admitted_ms = models.BigIntegerField(_("counted against the limit since (ms)"), null=True)
    evicting_ms = models.BigIntegerField(_("handed out to be ended (ms)"), null=True)
    ended_ms = models.BigIntegerField(_("ended (ms)"), null=True)
    ended_expires_ms = models.BigIntegerField(_("would have expired (ms)"), null=True)
    rotation_final = models.BooleanField(_("old key dead at once"), default=True)
    sid = ExactCharField(_("public name"), max_length=18, primary_key=True)
    verifier = DigestField(_("digest of the secret"), max_length=32)
    previous_verifier = DigestField(_("digest of the secret before"), max_length=32, null=True)
    # Text, not a foreign key: sessions may live in another database, and users have any kind of primary key.
    user_id = ExactCharField(_("user"), max_length=255, null=True, blank=True)
    ip = ExactCharField(_("address"), max_length=64, blank=True)
    user_agent = ExactTextField(_("browser"), blank=True)
    device_family = ExactCharField(_("device"), max_length=16)
    details = ShortBinaryField(max_length=1024, default=b"")
    data = models.BinaryField(_("sealed values"))
    ended_reason = ExactCharField(_("ended because"), max_length=64, null=True)
    ended_by = ExactTextField(_("ended by"), null=True)

    class Meta:
        verbose_name = _("stored session")
        verbose_name_plural = _("stored sessions")
        default_permissions = ()
        indexes = [
            models.Index(fields=["user_id"], name="srvsession_user"),
            models.Index(fields=["expires_ms"], name="srvsession_expires"),
            models.Index(fields=["last_seen_ms"], name="srvsession_last_seen"),
            models.Index(fields=["device_family", "last_seen_ms"], name="srvsession_device"),
        ]

    def __str__(self) -> str:
        return str(self.sid)


class LiveSession(Session):
    """Carry the permissions to see and to end live sessions, and their place in the admin, whatever the store."""

    class Meta:
        proxy = True
        verbose_name = _("live session")
        verbose_name_plural = _("live sessions")
        default_permissions = ("view", "delete")


class SessionEvent(models.Model):
    """Keep what happened to a user's sessions and account, for ``SRVSESSION_EVENT_LOG`` days; on every store.

    ``at_ms`` is milliseconds since 1970 UTC by the clock of the process that noticed it. Sessions in which nobody
    signed in leave no event, and of failed sign-ins few are kept, so visitors cannot fill the table. A failed sign-in,
    and a change of the account from outside of its sessions, has no ``sid``.
    """

    STARTED = "started"
    ENDED = "ended"
    FAILED = "failed"
    """A wrong password, at a sign-in or (reason ``confirmation``) where it was asked for again."""
    CHANGED = "changed"
    """A change of the account; the reason is ``password_changed`` or ``email_changed``."""
    UNBOUND_USE = "unbound_use"
    """A use of a bound session without its device's key, which was refused."""
    USER_DELETED = "user_deleted"
    """The reason of a row that says that a user is gone; without a ``sid`` it says so of no session."""

    at_ms = models.BigIntegerField(_("at (ms)"))
    kind = ExactCharField(
        _("what"),
        max_length=16,
        choices=[
            *[(STARTED, _("started")), (ENDED, _("ended")), (FAILED, _("failed")), (CHANGED, _("changed"))],
            (UNBOUND_USE, _("used without its device's key")),
        ],
    )
    sid = ExactCharField(_("public name"), max_length=18)
    user_id = ExactCharField(_("user"), max_length=255)
    reason = ExactCharField(_("ended because"), max_length=64, blank=True)
    by = ExactCharField(_("ended by"), max_length=255, blank=True)
    ip = ExactCharField(_("address"), max_length=64, blank=True)
    user_agent = ExactCharField(_("browser"), max_length=256, blank=True)

    class Meta:
        verbose_name = _("session event")
        verbose_name_plural = _("session events")
        default_permissions = ()
        indexes = [
            models.Index(fields=["user_id", "at_ms"], name="srvsession_event_user"),
            models.Index(fields=["at_ms"], name="srvsession_event_at"),
            models.Index(fields=["sid"], name="srvsession_event_sid"),
        ]

    def __str__(self) -> str:
        return f"{self.sid} {self.kind}"

    @property
    def at(self) -> datetime:
        """Return when it happened."""
        return as_datetime(self.at_ms)

    @property
    def is_sound(self) -> bool:
        """Tell whether an event that was read can be shown, whoever wrote it; see ``records.is_sound``."""
        texts = (self.kind, self.sid, self.user_id, self.reason, self.by, self.ip, self.user_agent)
        return is_instant(self.at_ms) and all(type(text) is str for text in texts)


class ClearingRun(models.Model):
    """Remember a run of ``clearsessions_srv``, so that ``doctorsessions_srv`` can tell that none has come lately."""

    started_ms = models.BigIntegerField(_("started (ms)"))
    seconds = models.FloatField(_("took (s)"))
    ended = models.BigIntegerField(_("sessions ended"))
    is_complete = models.BooleanField(_("nothing was left to do"))
    # A place (``Store.walk``), where the time was up before all sessions had been looked at.
    resume_at = ExactCharField(max_length=255, blank=True, default="")

    class Meta:
        verbose_name = _("clearing run")
        verbose_name_plural = _("clearing runs")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{as_datetime(self.started_ms):%Y-%m-%d %H:%M}"

    @property
    def is_sound(self) -> bool:
        """Tell whether what was read of a run can be shown; see ``records.is_sound``."""
        return is_instant(self.started_ms) and type(self.seconds) in (int, float) and type(self.ended) is int


class ProviderLink(models.Model):
    """Keep which session, or user, of an identity provider a session belongs to, as a keyed digest (``oidc/``).

    ``issued_s`` is when the provider says that it was signed in, in seconds since 1970 UTC.
    """

    digest = DigestField(max_length=32)
    sid = ExactCharField(max_length=18)
    issued_s = models.BigIntegerField()
    created_ms = models.BigIntegerField()

    class Meta:
        verbose_name = "provider link"
        verbose_name_plural = "provider links"
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["digest", "sid"], name="srvsession_provider_link")]

    def __str__(self) -> str:
        return str(self.sid)


class ProviderMark(models.Model):
    """Keep for some days what an identity provider has ended, and which of its tokens were used, as a keyed digest.

    ``at_s`` is when the provider says that it was, in seconds since 1970 UTC.
    """

    digest = DigestField(max_length=32)
    at_s = models.BigIntegerField()
    created_ms = models.BigIntegerField()

    class Meta:
        verbose_name = "provider mark"
        verbose_name_plural = "provider marks"
        default_permissions = ()
        indexes = [
            models.Index(fields=["digest"], name="srvsession_provider_mark"),
            models.Index(fields=["created_ms"], name="srvsession_provider_made"),
        ]

    def __str__(self) -> str:
        return str(self.digest)
