"""Its pages."""

from django.urls import include, path

urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
]
