"""Questions before something is ended: a page with what it is about, one button, and the way back.

Its button stands where no button of a list is, so that a second click at one place never answers a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from django_srvsession.accounts.forms import ConfirmForm
from django_srvsession.views.cards import Card

_MOST_SHOWN: Final = 50


def question(
    request: HttpRequest,
    heading: str,
    button: str,
    *,
    cards: Sequence[Card] = (),
    fields: dict[str, str] | None = None,
    note: str = "",
    label: str = "",
    form: ConfirmForm | None = None,
) -> HttpResponse:
    """Return the page that asks; its form goes to the same address.

    ``label`` is the button's name for screen readers, which holds its text. ``cards`` are the devices that it is about,
    ``fields`` what the form carries, ``form`` asks for the password too.
    """
    context = {
        "heading": heading,
        "button": button,
        "cards": cards[:_MOST_SHOWN],
        "further": max(len(cards) - _MOST_SHOWN, 0),
        "fields": {} if fields is None else fields,
        "note": note,
        "label": label,
        "form": form,
        "asks_first": True,  # The button of the header too may be where the last one was.
    }
    return render(request, "srvsession/question.html", context)
