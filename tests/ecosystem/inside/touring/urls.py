"""The pages that every site of a tour has, behind those of the tour."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.http import HttpResponse, JsonResponse
from django.urls import path

from touring.tour import part

OWN = "tour:"


def _shown(request, user):
    values = {key.removeprefix(OWN): value for key, value in request.session.items() if key.startswith(OWN)}
    return JsonResponse({"user": user.get_username(), "values": values})


def who(request):
    return _shown(request, request.user)


async def who_async(request):
    user = await request.auser()
    values = {key.removeprefix(OWN): value async for key, value in _items(request.session) if key.startswith(OWN)}
    return JsonResponse({"user": user.get_username(), "values": values})


async def _items(session):
    for pair in await session.aitems():
        yield pair


def put(request):
    for key, value in request.GET.items():
        request.session[OWN + key] = value
    return HttpResponse("put")


async def put_async(request):
    for key, value in request.GET.items():
        await request.session.aset(OWN + key, value)
    return HttpResponse("put")


urlpatterns = [
    *part("urlpatterns", list)(),
    path("none/", lambda request: HttpResponse("here")),
    path("who/", who),
    path("put/", put),
    path("async/who/", who_async),
    path("async/put/", put_async),
    path("login/", auth.LoginView.as_view(template_name="touring/login.html")),
    path("logout/", auth.LogoutView.as_view(next_page="/who/")),
    path("admin/", admin.site.urls),
]
