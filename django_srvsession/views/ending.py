"""End sessions of one's own: one, or all others. What nobody chose is never ended."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext

from django_srvsession import services
from django_srvsession.accounts import destinations, other_sessions, passwords, reauthentication
from django_srvsession.accounts.attempts import outside_of_transactions
from django_srvsession.accounts.forms import ConfirmForm
from django_srvsession.accounts.sign_in import clear_site_data
from django_srvsession.records import SessionRecord
from django_srvsession.views.cards import Card, card_of, digest_of, packed, unpacked
from django_srvsession.views.own_sessions import OwnSessionsView, SessionsView
from django_srvsession.views.questions import question


@method_decorator(outside_of_transactions, name="dispatch")
class EndingView(OwnSessionsView):
    """End something. It may take a question first, and needs a recent proof (ASVS 7.5.2).

    Where the last proof is old, the question asks for the password too: one form more, and nothing to press twice.
    """

    http_method_names = ["get", "head", "post"]

    def unanswered(self, heading: str, button: str, *, asks: bool, **page: Any) -> HttpResponseBase | None:
        """Return the question, or the way to a proof; None when there is nothing left to ask.

        ``asks`` where the person has not said yes yet. Who has guessed too often is sent to sign in.
        """
        request = self.request
        needs_proof = reauthentication.is_asked_before_ending(request)
        if not (asks or needs_proof):
            return None
        if not needs_proof:
            return question(request, heading, button, **page)
        if not reauthentication.can_confirm(request):
            return question(request, heading, button, **page) if asks else reauthentication.ask(request, request.path)
        form = ConfirmForm(request, request.POST if "password" in request.POST and not asks else None)
        if form.is_valid():
            return None
        if not request.user.is_authenticated:
            return destinations.to_sign_in(resolve_url("srvsession:sessions"))
        return question(request, heading, button, form=form, **page)


class EndView(EndingView):
    """End one session of the person who asks; the one that the request came with is a sign-out."""

    def get(self, request: HttpRequest, sid: str) -> HttpResponseBase:
        """Ask whether to end it."""
        return self._end(sid, asks=True)

    def post(self, request: HttpRequest, sid: str) -> HttpResponseBase:
        """End it, and go back to the list; the page that follows an end asks first."""
        return self._end(sid, asks="ask" in request.POST)

    def _end(self, sid: str, *, asks: bool) -> HttpResponseBase:
        """End it; of somebody else's, an ended and an unknown one the same is said: nobody learns which it was."""
        record = services.session_of(self.request.user, sid)
        if record is None:
            if not asks:
                services.ensure_ended()
            return self._back(sid)
        if sid == self.current_sid():
            return self._sign_out(asks=asks)
        card = card_of(record)
        names = {"device": card.device}
        fields = {name: self.request.POST[name] for name in ("page", "ended", "card") if name in self.request.POST}
        heading, button = gettext("Sign out %(device)s?") % names, gettext("Sign out")
        label = gettext("Sign out %(device)s") % names
        if unanswered := self.unanswered(heading, button, asks=asks, label=label, cards=[card], fields=fields):
            return unanswered
        if services.revoke(sid, by=self.request.user) is None:
            return self._back(sid)  # Somebody was faster.
        return self._back(sid, card)

    def _sign_out(self, *, asks: bool) -> HttpResponseBase:
        if asks:
            return redirect("srvsession:logout")
        elsewhere = services.provider_logout_url(self.request)
        logout(self.request)
        return clear_site_data(redirect(elsewhere or "srvsession:logged_out"))

    def _back(self, sid: str, card: Card | None = None) -> HttpResponseBase:
        """Go back to the page of the list that the form was on, where what was signed out keeps its place."""
        if card is None:
            text = gettext("That device was already signed out.")
        else:
            text = passwords.with_advice(gettext("Signed out: %(device)s.") % {"device": card.device})
        messages.success(self.request, text, fail_silently=True)
        return redirect(self._list_url(sid, card))

    def _list_url(self, sid: str, card: Card | None) -> str:
        url, page, user = resolve_url("srvsession:sessions"), self.request.POST.get("page", ""), self.request.user
        # A double click posts twice, and the second time the record is gone: so the form brings the card along.
        shown = [card] if card else [card for card in self._cards("card") if card.sid == sid]
        ended = [card for card in self._cards("ended") if card.sid != sid]
        query = {"page": page} if page.isdecimal() and page != "1" else {}
        query["ended"] = packed([*ended, *shown], user)
        return f"{url}?{urlencode(query)}" + (f"#session-{sid}" if shown else "")

    def _cards(self, field: str) -> list[Card]:
        return unpacked(self.request.POST.get(field, ""), self.request.user)


class EndOthersView(EndingView):
    """End all sessions of the person who asks but the one that the request came with: those that were shown."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Ask, with the number and the list."""
        return self._ask(self._others(self.own_sessions()), asks=True) or redirect("srvsession:sessions")

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """End them and say how many there were; ask again where they are no longer those that were shown."""
        others = self._others(services.all_sessions_of(request.user))
        was_shown = request.POST.get("shown", "")
        has_changed = was_shown != digest_of(others)
        note = gettext("Your devices have changed meanwhile. Please look again.") if was_shown and has_changed else ""
        if unanswered := self._ask(others, asks=has_changed, note=note):
            return unanswered
        if some_wait := services.some_wait():  # And may be carried over meanwhile.
            count = len(other_sessions.end(request))
        else:
            count = sum(1 for _ in services.revoke_many([record.sid for record in others], by=request.user))
        text = ngettext("Signed out %(count)d other device.", "Signed out %(count)d other devices.", count)
        if some_wait and not count:
            text = gettext("All your other devices are signed out.")
        messages.success(request, text % {"count": count}, fail_silently=True)
        return redirect(resolve_url("srvsession:sessions") + "?ended=")

    def _others(self, records: Any) -> list[SessionRecord]:
        current = self.current_sid()
        return [record for record in records if record.sid != current]

    def _ask(self, others: list[SessionRecord], *, asks: bool, note: str = "") -> HttpResponseBase | None:
        """Return the question, the list where there is nothing to ask, or None when there is nothing left to ask."""
        shown = others
        if len(others) <= SessionsView.paginate_by:  # As the list does.
            shown = services.those_that_open(self.request.user, others)
        if not (shown or services.some_wait()):
            return redirect("srvsession:sessions")
        text = gettext("Sign out all others")
        if shown:
            text = ngettext("Sign out %(count)d other device?", "Sign out %(count)d other devices?", len(shown))
        return self.unanswered(
            text % {"count": len(shown)},
            gettext("Sign out all others"),
            asks=asks,
            cards=[card_of(record) for record in shown],
            fields={"shown": digest_of(others)},
            note=note,
        )
