"""End sessions when the identity provider says so: OpenID Connect Back-Channel Logout."""

from django_srvsession.oidc.linking import link
from django_srvsession.oidc.views import BackChannelLogoutView

__all__ = ["BackChannelLogoutView", "link"]
