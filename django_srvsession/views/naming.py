"""A person's own name for the device in use: "work laptop"."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.translation import gettext
from django.views.generic import FormView

from django_srvsession.accounts.forms import DeviceNameForm
from django_srvsession.views.own_sessions import OwnSessionsView


class NameView(OwnSessionsView, FormView):  # type: ignore[type-arg]
    """Name the device of the session that the request came with; the name is kept with the session."""

    form_class = DeviceNameForm
    template_name = "srvsession/name.html"
    success_url = reverse_lazy("srvsession:sessions")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Go back to the list where the user needs no session."""
        if request.user.is_authenticated and self.current() is None:
            return redirect(self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def get_initial(self) -> dict[str, Any]:
        """Show the name that it has."""
        return {"device_name": self.request.session.details.name}  # type: ignore[attr-defined]

    def form_valid(self, form: DeviceNameForm) -> HttpResponse:
        """Keep the name, and go back to the list."""
        name = form.cleaned_data["device_name"]
        session: Any = self.request.session
        session.change_details(lambda details, now_ms: details._replace(name=name))
        text = gettext("This device is now called %(name)s.") % {"name": name} if name else gettext("Name removed.")
        messages.success(self.request, text, fail_silently=True)
        return super().form_valid(form)
