"""The addresses of everything. The paths are exact: a redirect would lose a bridge's webhook."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import import_string
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", include("sessions_admin.login.urls")),  # before the admin's own pages of these addresses
    path("admin/", admin.site.urls),
    path("link/", include("linking.urls")),
    path("api/whatsapp/", include("webhooks.urls")),
    path("api/whatsapp/", include("api.urls")),
    path("api/v1/whatsapp/webhook", import_string("webhooks.bridge_api.views.reports.MobileActivity").as_view()),
    path("api/schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(template_name="api/docs.html")),
    path("healthz", import_string("api.health.healthz")),
    path("readyz", import_string("api.health.readyz")),
]
handler400 = "api.http.errors.bad_request"
handler403 = "api.http.errors.forbidden"
handler404 = "api.http.errors.not_found"
handler500 = "api.http.errors.broken"
