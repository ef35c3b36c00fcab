"""Where everything answers. Exact paths: a redirect would lose a bridge's webhook."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("link/", include("linking.urls")),
    path("api/whatsapp/", include("webhooks.urls")),
    path("api/v1/whatsapp/", include("webhooks.unsigned_urls")),
]
