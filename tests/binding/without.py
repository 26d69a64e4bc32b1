"""A site that binds nothing."""

from django.urls import include, path

urlpatterns = [path("account/", include("django_srvsession.urls"))]
