"""A site with Django REST framework: one's own sessions as a view set over the services. The documentation shows it."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import include, path
from rest_framework import permissions, routers, serializers, viewsets
from rest_framework.authentication import SessionAuthentication
from rest_framework.response import Response

from django_srvsession import services
from django_srvsession.clients.devices import device_name


class SessionSerializer(serializers.Serializer):
    """Name what a client may know. ``fields = "__all__"`` would be a leak."""

    sid = serializers.CharField()
    device = serializers.SerializerMethodField()
    ip = serializers.CharField(source="client.ip")
    last_seen_at = serializers.DateTimeField()

    def get_device(self, record: Any) -> str:
        return device_name(record.client.user_agent)


class SessionViewSet(viewsets.ViewSet):
    """List and end one's own sessions."""

    authentication_classes = (SessionAuthentication,)
    permission_classes = (permissions.IsAuthenticated,)
    lookup_field = "sid"

    def list(self, request: Any) -> Response:
        return Response(SessionSerializer(services.sessions_of(request.user)[:100], many=True).data)

    def destroy(self, request: Any, sid: str) -> Response:
        if services.session_of(request.user, sid) is None or services.revoke(sid, by=request.user) is None:
            raise Http404
        return Response(status=204)


router = routers.SimpleRouter()
router.register("sessions", SessionViewSet, basename="session")

urlpatterns = [
    path("api/", include("django_srvsession.api.urls")),  # Sign in and out, CSRF token, proof.
    path("rest/", include(router.urls)),
]
