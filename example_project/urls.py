"""URLs of the demo."""

from django.contrib import admin
from django.contrib.auth.urls import urlpatterns as auth_patterns
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

from example_project.demo import views

urlpatterns = [
    path("", views.home, name="home"),
    path("count/", views.count_at_once, name="count_at_once"),
    path("take-away/", views.take_store_away, name="take_store_away"),
    path("language/", include("django.conf.urls.i18n")),
    path("cart/add/", views.add_to_cart, name="add_to_cart"),
    path("cart/empty/", views.empty_cart, name="empty_cart"),
    path("account/", include("django_srvsession.urls")),
    path("device/", include("django_srvsession.binding.urls")),
    path("", include([pattern for pattern in auth_patterns if pattern.name.startswith("password")])),
    path("api/", include("django_srvsession.api.urls")),
    path("admin/", admin.site.urls),
    *staticfiles_urlpatterns(),  # For servers other than runserver; only under DEBUG.
]
