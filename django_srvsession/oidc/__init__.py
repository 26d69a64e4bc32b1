"""End sessions when the identity provider says so: OpenID Connect Back-Channel Logout, and session-revoked of CAEP."""

from django_srvsession.oidc.linking import link
from django_srvsession.oidc.views import BackChannelLogoutView, SecurityEventView

__all__ = ["BackChannelLogoutView", "SecurityEventView", "link"]
