"""URLs of a new project after README's lines, and of binding: the admin, and the pages."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("account/", include("django_srvsession.urls"))]
urlpatterns += [path("device/", include("django_srvsession.binding.urls"))]
